import { createHash } from 'node:crypto';
import type { ServiceKey } from '@berth/core';

/** Tags that say what is ours, whose it is and what it is for. Everything without the first one is never touched. */
export const TAGS = {
  /** The cluster's identity. */
  cluster: 'berth.dev/cluster',
  /** `namespace/name` of the Service. */
  service: 'berth.dev/service',
  /** UID of the Service: a re-created Service is another one. */
  uid: 'berth.dev/service-uid',
  /** Which piece: `loadBalancer`, `targetGroup TCP:30080`, `listener 80`, `frontendGroup`, `backendGroup`. */
  resource: 'berth.dev/resource',
} as const;

/** The pieces, as the tag `berth.dev/resource` names them. */
export const PIECE = {
  balancer: 'loadBalancer',
  frontend: 'frontendGroup',
  backend: 'backendGroup',
  targetGroup: (key: string): string => `targetGroup ${key}`,
  listener: (key: string): string => `listener ${key}`,
} as const;

/** Longest name of a load balancer or target group (ELBv2 API, CreateLoadBalancer `Name`). */
export const MAX_NAME = 32;

/** The cluster, as names and tags have it. */
export interface Cluster {
  /** Its identity; renaming the cluster does not change it. */
  readonly id: string;
}

/** What begins every name that we make up in this cluster: `berth-3fa9c1-`. */
export function namePrefix(cluster: Cluster): string {
  return `berth-${hash(cluster.id, 6)}-`;
}

/**
 * A name of at most 32 characters: whose cluster, a readable part, and a hash of what makes it different from others.
 * The same input gives the same name, so that a create that is repeated meets what its first attempt made.
 */
export function nameFor(cluster: Cluster, readable: string, distinct: readonly string[]): string {
  const prefix = namePrefix(cluster);
  const tail = hash(JSON.stringify([cluster.id, ...distinct]), 10);
  const room = MAX_NAME - prefix.length - tail.length - 1;
  const middle = readable
    .replaceAll(/[^a-zA-Z0-9]+/g, '-')
    .slice(0, room)
    .replaceAll(/^-+|-+$/g, '');
  return middle === '' ? `${prefix}${tail}` : `${prefix}${middle}-${tail}`;
}

/** The tags of one piece of a Service's load balancer. */
export function ownerTags(
  cluster: Cluster,
  owner: { readonly key: ServiceKey; readonly uid: string },
  piece: string,
): Readonly<Record<string, string>> {
  return {
    [TAGS.cluster]: cluster.id,
    [TAGS.service]: owner.key,
    [TAGS.uid]: owner.uid,
    [TAGS.resource]: piece,
  };
}

/** The tags of what the cluster owns once. */
export function sharedTags(cluster: Cluster, piece: string): Readonly<Record<string, string>> {
  return { [TAGS.cluster]: cluster.id, [TAGS.resource]: piece };
}

/** What marks a rule on somebody else's security group as ours: its description (at most 255 characters). */
export function ruleMark(cluster: Cluster): string {
  return `berth.dev/cluster=${cluster.id}`;
}

function hash(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}
