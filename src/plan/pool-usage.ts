import { ipFromNumber, type IpFamily, type IpRange } from '../model/address.ts';
import { poolHas, type AddressPool } from '../model/pool.ts';
import type { ServiceKey } from '../model/service.ts';
import { QUARANTINE, type Held } from './ledger.ts';

/** Addresses of one family in a pool. */
export interface AddressCount {
  /** What the pool can give away; at most `ENDLESS`. */
  readonly total: bigint;
  /** Of these, how many somebody holds. A shared address counts once. */
  readonly inUse: number;
}

/** How full a pool is. */
export interface PoolUsage {
  readonly pool: string;
  readonly IPv4: AddressCount;
  readonly IPv6: AddressCount;
  /** Services that hold an address of the pool. */
  readonly services: number;
}

/** The count of a pool that never runs out: the largest number that an `int64` of the Kubernetes API can hold. */
export const ENDLESS = 2n ** 63n - 1n;

/** A range of this many addresses counts as endless, as it does with MetalLB. */
const ENDLESS_FROM = 2n ** 62n;

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];

/**
 * How full each pool is, in the order of the pools. An address that two pools have counts to the first; one that is in
 * use and in no pool any more counts to none. Pure.
 */
export function poolUsage(pools: readonly AddressPool[], held: Held): readonly PoolUsage[] {
  const inUse = new Map(pools.map((pool) => [pool, { IPv4: 0, IPv6: 0, services: new Set<ServiceKey>() }]));
  for (const family of FAMILIES) {
    for (const [value, holders] of held[family]) {
      const keys = holders.map(({ key }) => key).filter((key) => key !== QUARANTINE.key);
      const ip = ipFromNumber(value, family);
      const counted = inUse.get(pools.find((pool) => poolHas(pool, ip)) as AddressPool);
      if (counted === undefined || keys.length === 0) continue;
      counted[family] += 1;
      for (const key of keys) counted.services.add(key);
    }
  }
  return [...inUse].map(([pool, { IPv4, IPv6, services }]) => ({
    pool: pool.name,
    IPv4: { total: sizeOf(pool, 'IPv4'), inUse: IPv4 },
    IPv6: { total: sizeOf(pool, 'IPv6'), inUse: IPv6 },
    services: services.size,
  }));
}

/** What is left of a pool; what never runs out stays endless. */
export function available({ total, inUse }: AddressCount): bigint {
  return total === ENDLESS ? ENDLESS : total - BigInt(inUse);
}

/** How many addresses of a family a pool can give away. */
function sizeOf({ ranges, avoidBuggyIPs }: AddressPool, family: IpFamily): bigint {
  let total = 0n;
  for (const range of ranges.filter((one) => one.family === family)) {
    const size = range.last - range.first + 1n;
    if (size >= ENDLESS_FROM) return ENDLESS;
    total += avoidBuggyIPs === true && family === 'IPv4' ? size - confusing(range) : size;
  }
  return total < ENDLESS ? total : ENDLESS;
}

/** How many addresses of the range end in .0 or .255; see `isAvoided`. */
function confusing({ first, last }: IpRange): bigint {
  const upTo = (value: bigint, octet: bigint): bigint => (value < octet ? 0n : (value - octet) / 256n + 1n);
  return [0n, 255n].reduce((sum, octet) => sum + upTo(last, octet) - upTo(first - 1n, octet), 0n);
}
