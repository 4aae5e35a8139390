import { familyOf, ipFromNumber, ipToNumber, type IpAddress, type IpFamily } from '../model/address.ts';
import { mayShare, poolHas, type AddressPool, type Holder } from '../model/pool.ts';
import type { ServiceKey } from '../model/service.ts';

/** Who holds which address: by family, then by the address as a number, so that walking a pool is cheap. */
export type Held = Readonly<Record<IpFamily, ReadonlyMap<bigint, readonly Holder[]>>>;

/** The holder of an address that nobody gets for now; no Service has this key. */
export const QUARANTINE: Holder = { key: '(quarantine)' };

/** What is held, with what one run takes and releases on top; the input is not changed. */
export class AddressLedger {
  readonly #held: Held;
  readonly #changed: Record<IpFamily, Map<bigint, readonly Holder[]>> = { IPv4: new Map(), IPv6: new Map() };

  constructor(held: Held) {
    this.#held = held;
  }

  /** Notes that the claimant holds the address, under its present sharing key. */
  take(ip: IpAddress, { key, sharing }: Holder): void {
    const others = this.#others(ip, key);
    this.#changed[familyOf(ip)].set(ipToNumber(ip), [...others, { key, sharing }]);
  }

  /** Notes that it no longer does. */
  release(ip: IpAddress, key: ServiceKey): void {
    this.#changed[familyOf(ip)].set(ipToNumber(ip), this.#others(ip, key));
  }

  /** Whether nobody holds the address. */
  isFree(family: IpFamily, value: bigint): boolean {
    return (this.#holders(family, value)?.length ?? 0) === 0;
  }

  /** Whether the claimant may have the address: nobody else holds it, or all who do share it. */
  fits(ip: IpAddress, { key, sharing }: Holder): boolean {
    return this.#others(ip, key).every((other) => mayShare(other.sharing, sharing));
  }

  /** The Services that stand in the way, as people write them. */
  strangers(ip: IpAddress, { key, sharing }: Holder): string {
    return this.#others(ip, key)
      .filter((other) => !mayShare(other.sharing, sharing))
      .map((other) => other.key)
      .join(', ');
  }

  /** Whether nobody gets the address for now. */
  quarantined(ip: IpAddress): boolean {
    return this.#others(ip, '').some(({ key }) => key === QUARANTINE.key);
  }

  /** The lowest address of the pool that others hold under the claimant's sharing key and that fits. */
  shared(claimant: Holder, pool: AddressPool, family: IpFamily): IpAddress | undefined {
    const values = new Set([...this.#held[family].keys(), ...this.#changed[family].keys()]);
    const fitting = [...values]
      .filter((value) => !this.isFree(family, value))
      .map((value) => ({ value, ip: ipFromNumber(value, family) }))
      .filter(({ ip }) => poolHas(pool, ip) && this.fits(ip, claimant));
    return fitting.toSorted((a, b) => (a.value < b.value ? -1 : 1))[0]?.ip;
  }

  #holders(family: IpFamily, value: bigint): readonly Holder[] | undefined {
    return this.#changed[family].get(value) ?? this.#held[family].get(value);
  }

  #others(ip: IpAddress, key: ServiceKey): readonly Holder[] {
    return (this.#holders(familyOf(ip), ipToNumber(ip)) ?? []).filter((holder) => holder.key !== key);
  }
}
