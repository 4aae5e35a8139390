import { familyOf, ipToNumber, rangeHas, type IpAddress, type IpFamily, type IpRange } from './address.ts';
import type { ServiceKey } from './service.ts';
import { selectedByAny, type LabelSelector } from './selector.ts';

/** A set of addresses that the core assigns from. */
export interface AddressPool {
  readonly name: string;
  /** Walked in this order; inside a range the lowest free address is taken. */
  readonly ranges: readonly IpRange[];
  /** `false`: used only for an address or a pool that is asked for by name. */
  readonly autoAssign: boolean;
  /** Leaves out IPv4 addresses that end in .0 or .255, which some old devices take for broadcasts. */
  readonly avoidBuggyIPs?: boolean;
  /** For which Services it is; absent: for all, after the pools that have one. */
  readonly allocation?: PoolAllocation;
}

/** Which Services a pool is for. Namespaces and selectors must both match where both are given. */
export interface PoolAllocation {
  /** Lower numbers first; 0 comes last. */
  readonly priority: number;
  /** Absent: every namespace. */
  readonly namespaces?: readonly string[];
  /** One of them must match; empty: every Service. */
  readonly serviceSelectors: readonly LabelSelector[];
}

/** What makes Services share one address: the same key and backends, and no port in common. */
export interface Sharing {
  readonly key: string;
  /** Empty with externalTrafficPolicy Cluster; the selector as text with Local, where only equal ones can share. */
  readonly backend: string;
  /** `80/TCP`. */
  readonly ports: readonly string[];
}

/** Who holds an address. */
export interface Holder {
  readonly key: ServiceKey;
  readonly sharing?: Sharing | undefined;
}

/** Whether the pool has the address. */
export function poolHas(pool: AddressPool, ip: IpAddress): boolean {
  return pool.ranges.some((range) => rangeHas(range, ip)) && !isAvoided(pool, familyOf(ip), ipToNumber(ip));
}

/** Whether the pool leaves this address of its ranges out. */
export function isAvoided(pool: AddressPool, family: IpFamily, value: bigint): boolean {
  if (pool.avoidBuggyIPs !== true || family === 'IPv6') return false;
  const last = value & 0xffn;
  return last === 0n || last === 0xffn;
}

/** Whether the pool is for a Service of this namespace with these labels. */
export function poolAccepts(
  { allocation }: AddressPool,
  service: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> },
): boolean {
  if (allocation === undefined) return true;
  const { namespaces, serviceSelectors } = allocation;
  if (namespaces !== undefined && !namespaces.includes(service.namespace)) return false;
  return selectedByAny(serviceSelectors, service.labels);
}

/** Whether two Services may have one address. */
export function mayShare(a: Sharing | undefined, b: Sharing | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a.key === b.key && a.backend === b.backend && !a.ports.some((port) => b.ports.includes(port));
}
