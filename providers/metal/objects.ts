import type { z } from 'zod';
import { parseRange, selectedByAny, type AddressPool, type IpRange, type LabelSelector } from '@berth/core';
import {
  advertisementSpecSchema,
  poolSpecSchema,
  type AdvertisementSpec,
  type MetalConfig,
  type PoolSpec,
} from './config.ts';

/** Paths of the custom resources, as MetalLB defines them. */
export const PATHS = {
  pools: '/apis/metallb.io/v1beta1/ipaddresspools',
  advertisements: '/apis/metallb.io/v1beta1/l2advertisements',
  statuses: '/apis/metallb.io/v1beta1/servicel2statuses',
  namespaces: '/api/v1/namespaces',
} as const;

/** An object of the API server, as far as it is read here. */
export interface KubeObject {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** creationTimestamp, RFC 3339. */
  readonly created: string;
  readonly spec: unknown;
  readonly status: unknown;
}

/** A pool with the labels that advertisements select it by. */
export interface MetalPool {
  readonly pool: AddressPool;
  readonly labels: Readonly<Record<string, string>>;
}

/** A named advertisement. */
export interface Advertisement extends AdvertisementSpec {
  readonly name: string;
}

/** Something in a custom resource that cannot be used, with what is wrong; the object is left out, the others work. */
export interface ObjectProblem {
  readonly object: string;
  readonly message: string;
}

/** Raw JSON as an object; missing parts are empty. */
export function toObject(raw: unknown): KubeObject {
  const { metadata, spec, status } = raw as {
    metadata?: Record<string, unknown>;
    spec?: unknown;
    status?: unknown;
  };
  return {
    name: String(metadata?.['name'] ?? ''),
    namespace: String(metadata?.['namespace'] ?? ''),
    labels: (metadata?.['labels'] ?? {}) as Record<string, string>,
    annotations: (metadata?.['annotations'] ?? {}) as Record<string, string>,
    created: String(metadata?.['creationTimestamp'] ?? ''),
    spec,
    status,
  };
}

/** What the pools of cluster and configuration file amount to. */
export interface Pools {
  readonly pools: readonly MetalPool[];
  readonly problems: readonly ObjectProblem[];
}

/** Everything that pools are made from. */
export interface PoolSources {
  readonly config: MetalConfig;
  readonly objects: readonly KubeObject[];
  /** Labels of each namespace, for `namespaceSelectors`. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
}

/**
 * The pools of the cluster's IPAddressPools and of the configuration file; of two with one name the file's wins. A
 * pool that cannot be read is left out and told of.
 */
export function poolsOf({ config, objects, namespaces }: PoolSources): Pools {
  const problems: ObjectProblem[] = [];
  const found = new Map<string, MetalPool>();
  for (const { name, labels, spec } of objects) {
    const parsed = parsedSpec(poolSpecSchema, spec);
    const made = typeof parsed === 'string' ? parsed : toPool(name, parsed, namespaces);
    if (typeof made === 'string') problems.push({ object: `IPAddressPool ${name}`, message: made });
    else found.set(name, { pool: made, labels });
  }
  for (const { name, labels, ...spec } of config.pools) {
    const made = toPool(name, spec, namespaces);
    if (typeof made === 'string')
      problems.push({ object: `providers.metal.config.pools ${name}`, message: made });
    else found.set(name, { pool: made, labels });
  }
  return { pools: [...found.values()], problems };
}

/** The advertisements of the cluster and of the configuration file, and what could not be read. */
export function advertisementsOf(
  config: MetalConfig,
  objects: readonly KubeObject[],
): { readonly advertisements: readonly Advertisement[]; readonly problems: readonly ObjectProblem[] } {
  const problems: ObjectProblem[] = [];
  const advertisements: Advertisement[] = [...config.advertisements];
  for (const { name, spec } of objects) {
    const parsed = parsedSpec(advertisementSpecSchema, spec ?? {});
    if (typeof parsed === 'string') problems.push({ object: `L2Advertisement ${name}`, message: parsed });
    else advertisements.push({ name, ...parsed });
  }
  return { advertisements, problems };
}

/** Whether the advertisement is for the pool: named, selected, or (without either) because it is for all. */
export function advertises(advertisement: AdvertisementSpec, { pool, labels }: MetalPool): boolean {
  const { ipAddressPools, ipAddressPoolSelectors } = advertisement;
  if (ipAddressPools.length === 0 && ipAddressPoolSelectors.length === 0) return true;
  if (ipAddressPools.includes(pool.name)) return true;
  return ipAddressPoolSelectors.length > 0 && selectedByAny(asSelectors(ipAddressPoolSelectors), labels);
}

/** Selectors as the core takes them: zod's optional keys may hold `undefined`. */
export function asSelectors(selectors: AdvertisementSpec['nodeSelectors']): readonly LabelSelector[] {
  return selectors as readonly LabelSelector[];
}

function toPool(name: string, spec: PoolSpec, namespaces: PoolSources['namespaces']): AddressPool | string {
  const ranges: IpRange[] = [];
  for (const text of spec.addresses) {
    const range = parseRange(text);
    if (range === undefined)
      return `spec.addresses has ${JSON.stringify(text)}, which is no CIDR and no FIRST-LAST`;
    ranges.push(range);
  }
  const { autoAssign, avoidBuggyIPs, serviceAllocation } = spec;
  const allocation =
    serviceAllocation === undefined
      ? {}
      : {
          allocation: {
            priority: serviceAllocation.priority,
            serviceSelectors: asSelectors(serviceAllocation.serviceSelectors),
            ...namespacesFor(serviceAllocation, namespaces),
          },
        };
  return { name, ranges, autoAssign, avoidBuggyIPs, ...allocation };
}

/** Names and selectors of namespaces are alternatives; with neither, every namespace counts. */
function namespacesFor(
  allocation: NonNullable<PoolSpec['serviceAllocation']>,
  known: PoolSources['namespaces'],
): { readonly namespaces?: readonly string[] } {
  const { namespaces, namespaceSelectors } = allocation;
  if (namespaces.length === 0 && namespaceSelectors.length === 0) return {};
  const selectors = asSelectors(namespaceSelectors);
  const selected = [...known].filter(
    ([, labels]) => selectors.length > 0 && selectedByAny(selectors, labels),
  );
  return { namespaces: [...new Set([...namespaces, ...selected.map(([name]) => name)])] };
}

function parsedSpec<Schema extends z.ZodType>(schema: Schema, spec: unknown): z.output<Schema> | string {
  const result = schema.safeParse(spec);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  return `spec.${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not understood'}`;
}
