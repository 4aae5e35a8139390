import { available, type ObjectPatch, type PoolUsage } from '@berth/core';
import { PATHS, type KubeObject } from './objects.ts';

/** The counters of an IPAddressPool's `status`, which MetalLB defines: `int64`. */
const FIELDS: Readonly<Record<string, (usage: PoolUsage) => bigint>> = {
  assignedIPv4: ({ IPv4 }) => BigInt(IPv4.inUse),
  assignedIPv6: ({ IPv6 }) => BigInt(IPv6.inUse),
  availableIPv4: ({ IPv4 }) => available(IPv4),
  availableIPv6: ({ IPv6 }) => available(IPv6),
};

/** The patches that make the `status` of the IPAddressPools say how full they are; none for those that say so already. */
export function poolPatches(
  objects: readonly KubeObject[],
  usage: readonly PoolUsage[],
): readonly ObjectPatch[] {
  return objects.flatMap(({ name, namespace, status }): readonly ObjectPatch[] => {
    const found = usage.find(({ pool }) => pool === name);
    if (found === undefined) return [];
    const said = (status ?? {}) as Readonly<Record<string, unknown>>;
    const counts = Object.entries(FIELDS).map(([field, count]) => [field, count(found)] as const);
    // JSON's numbers have lost their last digits when they come back: what is read as the same is the same.
    if (counts.every(([field, count]) => said[field] === Number(count))) return [];
    return [{ path: statusPath(namespace, name), body: { status: Object.fromEntries(counts) } }];
  });
}

function statusPath(namespace: string, name: string): string {
  const [base, plural] = [PATHS.pools.slice(0, PATHS.pools.lastIndexOf('/')), PATHS.pools.split('/').at(-1)];
  return `${base}/namespaces/${namespace}/${plural}/${name}/status`;
}
