import {
  familyOf,
  ipFromNumber,
  ipToNumber,
  rangeHas,
  rangeText,
  type IpAddress,
  type IpFamily,
} from '../model/address.ts';
import type { AddressPool } from '../model/pool.ts';
import { REASONS, type ReasonCode } from '../model/reasons.ts';
import type { ServiceKey } from '../model/service.ts';
import type { AddressRequest } from './addresses.ts';
import { compareText } from './step.ts';

/** Who holds which address: by family, then by the address as a number, so that walking a pool is cheap. */
export type Held = Readonly<Record<IpFamily, ReadonlyMap<bigint, ServiceKey>>>;

/** A request with what it holds already (from its status), in order. */
export interface Claim extends AddressRequest {
  readonly current: readonly IpAddress[];
}

/** What a claim gets. With a `problem` the addresses are what it keeps meanwhile, perhaps none. */
export interface Assignment {
  readonly addresses: readonly IpAddress[];
  readonly problem?: { readonly code: ReasonCode; readonly message: string; readonly remedy: string };
}

/**
 * Assigns addresses: pure, and the same answer for the same input in any order.
 *
 * Claims are served by creationTimestamp, then UID, then key. What a claim holds it keeps, also when the pools were
 * edited meanwhile, unless the user asked for something else or the address is of a family that the Service no longer
 * has. Otherwise the address that was asked for, else the lowest free one of the first pool (by name) that has one;
 * two families come from one pool. `held` lists the addresses of everybody, also of those who do not claim now.
 */
export function assign(
  claims: readonly Claim[],
  pools: readonly AddressPool[],
  held: Held,
): ReadonlyMap<ServiceKey, Assignment> {
  const book = new Book(held);
  const sorted = pools.toSorted((a, b) => compareText(a.name, b.name));
  const answers = new Map<ServiceKey, Assignment>();
  for (const claim of claims.toSorted(compareClaims)) {
    const answer = serve(claim, sorted, book);
    for (const ip of claim.current) if (!answer.addresses.includes(ip)) book.release(ip, claim.key);
    for (const ip of answer.addresses) book.take(ip, claim.key);
    answers.set(claim.key, answer);
  }
  return answers;
}

/** What decides who is served first. */
export type Age = Pick<AddressRequest, 'key' | 'uid' | 'createdAtMs'>;

/** Whether one of the pools has the address. */
export function inPools(ip: IpAddress, pools: readonly AddressPool[]): boolean {
  return pools.some((pool) => pool.ranges.some((range) => rangeHas(range, ip)));
}

/** The order in which claims are served: the older Service first. */
export function compareClaims(a: Age, b: Age): number {
  return a.createdAtMs - b.createdAtMs || compareText(a.uid, b.uid) || compareText(a.key, b.key);
}

/** What is held, with what this run takes and releases on top; the input is not changed. */
class Book {
  readonly #held: Held;
  readonly #changed: Record<IpFamily, Map<bigint, ServiceKey | undefined>> = {
    IPv4: new Map(),
    IPv6: new Map(),
  };

  constructor(held: Held) {
    this.#held = held;
  }

  owner(family: IpFamily, value: bigint): ServiceKey | undefined {
    const changed = this.#changed[family];
    return changed.has(value) ? changed.get(value) : this.#held[family].get(value);
  }

  take(ip: IpAddress, key: ServiceKey): void {
    this.#changed[familyOf(ip)].set(ipToNumber(ip), key);
  }

  release(ip: IpAddress, key: ServiceKey): void {
    const value = ipToNumber(ip);
    if (this.owner(familyOf(ip), value) === key) this.#changed[familyOf(ip)].set(value, undefined);
  }

  free(ip: IpAddress, key: ServiceKey): boolean {
    const owner = this.owner(familyOf(ip), ipToNumber(ip));
    return owner === undefined || owner === key;
  }
}

function serve(claim: Claim, pools: readonly AddressPool[], book: Book): Assignment {
  const usable = claim.current.filter((ip) => book.free(ip, claim.key));
  const kept = claim.families.flatMap((family) => usable.find((ip) => familyOf(ip) === family) ?? []);
  const moved = claim.requested.filter((ip) => !kept.includes(ip));
  if (moved.length > 0) return move(claim, kept, { pools, book });
  if (kept.length === claim.families.length) return { addresses: inOrder(kept, claim.families) };
  if (kept.length > 0) return complete(claim, kept, { pools, book });
  return fresh(claim, pools, book);
}

interface Surroundings {
  readonly pools: readonly AddressPool[];
  readonly book: Book;
}

/** The user asked for addresses that the Service does not have: all of them, or it keeps what it has. */
function move(claim: Claim, kept: readonly IpAddress[], { pools, book }: Surroundings): Assignment {
  // What it has already it keeps, also when the pools were edited meanwhile.
  for (const ip of claim.requested.filter((asked) => !kept.includes(asked))) {
    if (!inPools(ip, pools))
      return failed('AddressOutsidePool', `${ip} was asked for, but ${poolsText(pools)}`, kept);
    if (!book.free(ip, claim.key)) {
      const owner = book.owner(familyOf(ip), ipToNumber(ip));
      return failed('AddressInUse', `${ip} was asked for, but the Service ${owner} has it`, kept);
    }
  }
  const others = kept.filter((ip) => !claim.requested.some((asked) => familyOf(asked) === familyOf(ip)));
  const addresses = [...claim.requested, ...others];
  if (addresses.length === claim.families.length) return { addresses: inOrder(addresses, claim.families) };
  return complete(claim, addresses, { pools, book });
}

/** Some families have their address: adds the others, from a pool that has what is there already, when it can. */
function complete(claim: Claim, kept: readonly IpAddress[], { pools, book }: Surroundings): Assignment {
  const missing = claim.families.filter((family) => !kept.some((ip) => familyOf(ip) === family));
  const same = pools.filter((pool) => kept.every((ip) => inPools(ip, [pool])));
  for (const pool of same) {
    const added = missing.map((family) => lowestFree(pool, family, book));
    if (added.every((ip) => ip !== undefined))
      return { addresses: inOrder([...kept, ...added], claim.families) };
  }
  if (!claim.allFamilies) return { addresses: inOrder(kept, claim.families) };
  return failed(
    'PoolExhausted',
    `no pool that has ${kept.join(', ')} has a free ${missing.join(' and ')} address`,
    kept,
  );
}

function fresh(claim: Claim, pools: readonly AddressPool[], book: Book): Assignment {
  const usable = pools.filter((pool) => pool.autoAssign);
  const wishes = claim.allFamilies
    ? [claim.families]
    : [claim.families, ...claim.families.map((family) => [family])];
  for (const families of wishes) {
    for (const pool of usable) {
      const addresses = families.map((family) => lowestFree(pool, family, book));
      if (addresses.every((ip) => ip !== undefined)) return { addresses };
    }
  }
  const has = (pool: AddressPool, family: IpFamily): boolean =>
    pool.ranges.some((range) => range.family === family);
  const serving = usable.filter((pool) =>
    claim.allFamilies
      ? claim.families.every((family) => has(pool, family))
      : claim.families.some((family) => has(pool, family)),
  );
  return serving.length === 0
    ? failed('NoPool', `no pool has ${claim.families.join(' and ')} addresses to assign`, [])
    : failed(
        'PoolExhausted',
        `every ${claim.families.join(' and ')} address of ${poolNames(serving)} is in use`,
        [],
      );
}

function lowestFree(pool: AddressPool, family: IpFamily, book: Book): IpAddress | undefined {
  for (const range of pool.ranges) {
    if (range.family !== family) continue;
    for (let value = range.first; value <= range.last; value++) {
      if (book.owner(family, value) === undefined) return ipFromNumber(value, family);
    }
  }
  return undefined;
}

function inOrder(addresses: readonly IpAddress[], families: readonly IpFamily[]): readonly IpAddress[] {
  return addresses.toSorted((a, b) => families.indexOf(familyOf(a)) - families.indexOf(familyOf(b)));
}

function failed(code: ReasonCode, message: string, addresses: readonly IpAddress[]): Assignment {
  return { addresses, problem: { code, message, remedy: REASONS[code].remedy } };
}

function poolNames(pools: readonly AddressPool[]): string {
  return pools.map(({ name }) => `pool ${name}`).join(', ');
}

function poolsText(pools: readonly AddressPool[]): string {
  const named = pools.map(({ name, ranges }) => `pool ${name} (${ranges.map(rangeText).join(', ')})`);
  return named.length === 0 ? 'there is no pool' : `it is not in ${named.join(' or ')}`;
}
