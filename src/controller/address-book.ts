import { familyOf, ipToNumber, parseIp, type IpAddress, type IpFamily } from '../model/address.ts';
import type { Capabilities } from '../model/capabilities.ts';
import type { AddressPool, Holder, Sharing } from '../model/pool.ts';
import { keyOf, statusAddresses, type Service, type ServiceKey } from '../model/service.ts';
import { addressRequest, sharingOf, type AddressRequest } from '../plan/addresses.ts';
import { hasFinalizer } from '../plan/lifecycle.ts';
import { assign, compareClaims, inPools, type Assignment, type Claim } from '../plan/assign.ts';
import { AddressLedger, QUARANTINE, type Held } from '../plan/ledger.ts';
import { poolUsage, type PoolUsage } from '../plan/pool-usage.ts';

/** A load balancer that was found, with the addresses that it has. */
export interface Made {
  readonly key: ServiceKey;
  readonly uid: string;
  readonly addresses: readonly IpAddress[];
}

/**
 * The addresses that one provider's Services hold. It lives on the leader, is filled from the Services' statuses
 * before anything new is assigned, and reserves an address before anything is planned with it.
 */
export class AddressBook {
  readonly #capabilities: Capabilities;
  readonly #pools: () => readonly AddressPool[];
  /** Addresses that nobody gets for now, because a stranger answers for them. */
  readonly #quarantined: () => readonly IpAddress[];
  readonly #held: Record<IpFamily, Map<bigint, readonly Holder[]>> = { IPv4: new Map(), IPv6: new Map() };
  readonly #reserved = new Map<
    ServiceKey,
    { readonly uid: string; readonly addresses: readonly IpAddress[]; readonly sharing?: Sharing | undefined }
  >();

  /** UIDs of the Services in `#reserved`. */
  readonly #holders = new Set<string>();

  /** Addresses that Services moved away from, held until nothing uses them any more. */
  readonly #leaving = new Map<ServiceKey, readonly IpAddress[]>();

  constructor(
    capabilities: Capabilities,
    pools: () => readonly AddressPool[],
    quarantined: () => readonly IpAddress[] = () => [],
  ) {
    this.#capabilities = capabilities;
    this.#pools = pools;
    this.#quarantined = quarantined;
  }

  /**
   * Reads what Services hold by their status. Of two with one address the older keeps it. What a Service with our
   * finalizer holds stays, also outside the pools; what somebody else wrote into another Service's status counts only
   * where a pool has it. What a load balancer was found to have, and no status says yet, is its Service's as well: a
   * predecessor may have been killed in between. An orphan's address is nobody else's either.
   */
  load(services: Iterable<Service>, made: Iterable<Made> = []): void {
    const claims = [...services]
      .map((service) => ({
        key: keyOf(service),
        uid: service.uid,
        createdAtMs: service.createdAtMs,
        sharing: this.#capabilities.sharing ? sharingOf(service) : undefined,
        addresses: statusAddresses(service, parseIp).filter(
          (ip) => hasFinalizer(service) || inPools(ip, this.#pools()),
        ),
      }))
      .toSorted(compareClaims);
    for (const claim of claims) {
      if (this.#reserved.has(claim.key)) continue;
      const ledger = new AddressLedger(this.#held);
      const own = claim.addresses.filter((ip) => ledger.fits(ip, claim));
      if (own.length > 0) this.#reserve(claim, own);
    }
    const sharing = new Map(claims.map((claim) => [claim.uid, claim.sharing]));
    for (const { key, uid, addresses } of made)
      this.#found({ key, uid, sharing: sharing.get(uid) }, addresses);
  }

  /**
   * The addresses of a Service. When it has none yet, all waiting Services are served in one go, so that the older
   * one wins whatever the order of the queue.
   */
  assignment(service: Service, waiting: Iterable<Service>): Assignment {
    const key = keyOf(service);
    const claim = this.#claim(service);
    const settled = this.#settled(claim);
    if (settled !== undefined) return settled;
    const others = this.#reserved.has(key)
      ? []
      : [...waiting].flatMap((other) => this.#waitingClaim(other, key));
    const answers = assign([claim, ...others], this.#pools(), this.#withQuarantine());
    for (const candidate of [claim, ...others]) {
      const answer = answers.get(candidate.key);
      if (answer !== undefined) this.#reserve(candidate, answer.addresses);
    }
    return answers.get(key) ?? { addresses: [] };
  }

  /**
   * Frees what a Service moved away from; says whether that was anything. To be called when neither its load balancer
   * nor its status has the old addresses any more: until then nobody else may get them.
   */
  vacate(key: ServiceKey): boolean {
    const addresses = this.#leaving.get(key) ?? [];
    this.#leaving.delete(key);
    this.#free(key, addresses);
    return addresses.length > 0;
  }

  /** Addresses of a Service that are in no pool any more: they stay, with a warning. */
  outsidePools(key: ServiceKey): readonly IpAddress[] {
    const pools = this.#pools();
    return (this.#reserved.get(key)?.addresses ?? []).filter((ip) => !inPools(ip, pools));
  }

  /** Frees what a Service held; says whether that was anything. Another UID's reservation is left alone. */
  release(key: ServiceKey, uid?: string): boolean {
    const reserved = this.#reserved.get(key);
    if (reserved !== undefined && uid !== undefined && reserved.uid !== uid) return false;
    this.#forget(key);
    this.#free(key, reserved?.addresses ?? []);
    return this.vacate(key) || reserved !== undefined;
  }

  /** Whether a Service holds an address. */
  holds(key: ServiceKey): boolean {
    return this.#reserved.has(key);
  }

  /** The same by UID: asked for every Service whenever one comes, when to make a key of each would take longest. */
  holdsFor(uid: string): boolean {
    return this.#holders.has(uid);
  }

  /** How full each pool is at this moment. */
  usage(): readonly PoolUsage[] {
    return poolUsage(this.#pools(), this.#held);
  }

  /** Keys that hold an address. */
  get keys(): readonly ServiceKey[] {
    return [...this.#reserved.keys()];
  }

  /** Takes what a load balancer has for its Service's; beside what the status says, as what it moves away from. */
  #found(holder: Holder & { readonly uid: string }, addresses: readonly IpAddress[]): void {
    const ledger = new AddressLedger(this.#held);
    const free = addresses.filter((ip) => ledger.fits(ip, holder));
    const reserved = this.#reserved.get(holder.key);
    if (reserved === undefined && free.length > 0) return this.#reserve(holder, free);
    const added = free.filter((ip) => reserved?.addresses.includes(ip) === false);
    if (added.length === 0) return;
    this.#leaving.set(holder.key, [...(this.#leaving.get(holder.key) ?? []), ...added]);
    for (const ip of added) this.#set(ip, [...this.#others(ip, holder.key), holder]);
  }

  /** The answer without asking `assign`, when the Service has all it asks for. */
  #settled(claim: Claim): Assignment | undefined {
    const { current } = claim;
    if (!this.#stillFits(claim)) return undefined;
    const complete = claim.families.every((family) => current.some((ip) => familyOf(ip) === family));
    const asked = claim.requested.every((ip) => current.includes(ip));
    return complete && asked && current.length === claim.families.length ? { addresses: current } : undefined;
  }

  /** Whether a Service may keep what it has: the pool it asks for, whom it shares with, no stranger on the wire. */
  #stillFits(claim: Claim): boolean {
    const { current, pool } = claim;
    const pools = this.#pools().filter(({ name }) => name === pool);
    if (pool !== undefined && !current.every((ip) => inPools(ip, pools))) return false;
    const reserved = this.#reserved.get(claim.key)?.sharing;
    if (JSON.stringify(reserved) !== JSON.stringify(claim.sharing)) return false;
    const quarantined = this.#quarantined();
    return !current.some((ip) => quarantined.includes(ip));
  }

  #claim(service: Service): Claim {
    const request: AddressRequest = addressRequest(service, this.#capabilities);
    const reserved = this.#reserved.get(request.key);
    return { ...request, current: reserved?.uid === service.uid ? reserved.addresses : [] };
  }

  #waitingClaim(service: Service, except: ServiceKey): readonly Claim[] {
    const key = keyOf(service);
    if (key === except || this.#reserved.has(key)) return [];
    try {
      return [this.#claim(service)];
    } catch {
      // A Service whose request is wrong is told so in its own pass; it does not stand in the way of the others.
      return [];
    }
  }

  #reserve({ key, uid, sharing }: Holder & { readonly uid: string }, addresses: readonly IpAddress[]): void {
    const before = [...(this.#leaving.get(key) ?? []), ...(this.#reserved.get(key)?.addresses ?? [])];
    const leaving = before.filter((ip) => !addresses.includes(ip));
    if (leaving.length > 0) this.#leaving.set(key, leaving);
    else this.#leaving.delete(key);
    this.#forget(key);
    if (addresses.length > 0) {
      this.#reserved.set(key, { uid, addresses, sharing });
      this.#holders.add(uid);
    }
    for (const ip of addresses) this.#set(ip, [...this.#others(ip, key), { key, sharing }]);
  }

  #forget(key: ServiceKey): void {
    this.#holders.delete(this.#reserved.get(key)?.uid ?? '');
    this.#reserved.delete(key);
  }

  #free(key: ServiceKey, addresses: readonly IpAddress[]): void {
    for (const ip of addresses) this.#set(ip, this.#others(ip, key));
  }

  #others(ip: IpAddress, key: ServiceKey): readonly Holder[] {
    return (this.#held[familyOf(ip)].get(ipToNumber(ip)) ?? []).filter((holder) => holder.key !== key);
  }

  #set(ip: IpAddress, holders: readonly Holder[]): void {
    const held = this.#held[familyOf(ip)];
    if (holders.length === 0) held.delete(ipToNumber(ip));
    else held.set(ipToNumber(ip), holders);
  }

  /** What is held, with the addresses that nobody gets for now as held by nobody's Service. */
  #withQuarantine(): Held {
    const quarantined = this.#quarantined();
    if (quarantined.length === 0) return this.#held;
    const held = { IPv4: new Map(this.#held.IPv4), IPv6: new Map(this.#held.IPv6) };
    for (const ip of quarantined) {
      held[familyOf(ip)].set(ipToNumber(ip), [...this.#others(ip, ''), QUARANTINE]);
    }
    return held;
  }
}
