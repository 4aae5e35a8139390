/** Pools that Services draw from: node ports and cluster IPs. */
import { Address4, Address6 } from 'ip-address';
import { ApiError } from '../machinery/status.ts';

/** The default `--service-node-port-range`. */
export const NODE_PORTS = { first: 30_000, last: 32_767 } as const;

/**
 * Numbers or addresses and who has them. Choosing and recording are apart: a request chooses, may still be refused,
 * and only what was stored is recorded, so that nothing ever has to be given back after a failure.
 */
export class Pool<T> {
  readonly #owners = new Map<T, string>();
  readonly #candidates: (isFree: (item: T) => boolean) => T | undefined;

  constructor(candidates: (isFree: (item: T) => boolean) => T | undefined) {
    this.#candidates = candidates;
  }

  /** True when nobody but `owner` has the item. */
  isFree(item: T, owner?: string): boolean {
    const holder = this.#owners.get(item);
    return holder === undefined || holder === owner;
  }

  /** A free item that is not in `chosen` either. Undefined when the pool is exhausted. */
  next(chosen: ReadonlySet<T>): T | undefined {
    return this.#candidates((item) => !this.#owners.has(item) && !chosen.has(item));
  }

  /** Records that `owner` now has exactly `items` of what it had (`before`) and gained. */
  record(owner: string, items: readonly T[], before: readonly T[]): void {
    for (const item of before) if (this.#owners.get(item) === owner) this.#owners.delete(item);
    for (const item of items) this.#owners.set(item, owner);
  }

  get used(): number {
    return this.#owners.size;
  }
}

/** Node ports: a random free one, as the API server gives them. One number belongs to one Service in all protocols. */
export function nodePortPool(random: () => number): Pool<number> {
  const count = NODE_PORTS.last - NODE_PORTS.first + 1;
  return new Pool<number>((isFree) => {
    const start = Math.floor(random() * count);
    for (let offset = 0; offset < count; offset++) {
      const port = NODE_PORTS.first + ((start + offset) % count);
      if (isFree(port)) return port;
    }
    return undefined;
  });
}

/** `IPv4` or `IPv6`, as `spec.ipFamilies` has them. */
export type IpFamily = 'IPv4' | 'IPv6';

/** One family's cluster IPs. */
export interface ClusterIps {
  readonly family: IpFamily;
  readonly pool: Pool<string>;
  /** True when the address lies in the range and is not its base address. */
  contains(address: string): boolean;
}

/** How many addresses of a range are used at most: more than any sandbox has Services. */
const CLUSTER_IPS = 65_534n;

/**
 * Cluster IPs of one range. Addresses are given in order, each after the last, so that one is reused late.
 *
 * @throws AddressError when `cidr` is not one
 */
export function clusterIps(cidr: string): ClusterIps {
  const v6 = cidr.includes(':');
  const range = v6 ? new Address6(cidr) : new Address4(cidr);
  const base = range.startAddress().bigInt();
  const size = range.endAddress().bigInt() - base - 1n;
  const count = size < CLUSTER_IPS ? size : CLUSTER_IPS;
  const text = (value: bigint): string =>
    (v6 ? Address6.fromBigInt(value) : Address4.fromBigInt(value)).correctForm();
  let cursor = 0n;
  const pool = new Pool<string>((isFree) => {
    for (let tried = 0n; tried < count; tried++) {
      const address = text(base + 1n + (cursor % count));
      cursor++;
      if (isFree(address)) return address;
    }
    return undefined;
  });
  const contains = (address: string): boolean => {
    const value = (v6 ? new Address6(address) : new Address4(address)).bigInt();
    return value > base && value <= base + size;
  };
  return { family: v6 ? 'IPv6' : 'IPv4', pool, contains };
}

/** The family of an address, or undefined when it is not one. */
export function familyOf(address: string): IpFamily | undefined {
  if (Address4.isValid(address) && !address.includes('/')) return 'IPv4';
  return Address6.isValid(address) && !address.includes('/') ? 'IPv6' : undefined;
}

/** True for `ADDRESS/BITS` of either family. */
export function isCidr(text: string): boolean {
  return text.includes('/') && (Address4.isValid(text) || Address6.isValid(text));
}

/** 500 InternalError: what the API server says when a pool is exhausted or a health check port is taken. */
export function internalError(message: string): ApiError {
  return new ApiError(500, 'InternalError', {
    message: `Internal error occurred: ${message}`,
    details: { causes: [{ message }] },
  });
}
