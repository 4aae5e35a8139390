/** Builders of what an election is about. */
import { parseIp, type IpAddress } from '@berth/core';
import type { Group, NodeName } from './types.ts';

/** One address, parsed. */
export function ip(text: string): IpAddress {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(`${text} is no address`);
  return parsed;
}

/** A group of one or more addresses that every node given may announce. */
export function aGroup(
  addresses: string | readonly string[],
  nodes: readonly NodeName[] | ReadonlyMap<NodeName, number>,
  more: Partial<Group> = {},
): Group {
  const list = (typeof addresses === 'string' ? [addresses] : addresses).map(ip);
  const eligible =
    nodes instanceof Map ? nodes : new Map((nodes as readonly string[]).map((node) => [node, 0]));
  const key = list[0] ?? '';
  return { key, addresses: list, eligible, epoch: 0, known: new Set(list), failback: false, ...more };
}

/** `n0`, `n1`, ... */
export function names(count: number): readonly NodeName[] {
  return Array.from({ length: count }, (_, index) => `n${index}`);
}
