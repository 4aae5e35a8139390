import { createHash } from 'node:crypto';
import type { LoadBalancer } from '../model/load-balancer.ts';
import { ANNOTATION_APPLIED } from '../model/names.ts';
import { keyOf, type Service, type ServiceKey } from '../model/service.ts';
import { hasFinalizer, isPaused } from '../plan/lifecycle.ts';
import type { Json } from '../plan/step.ts';
import type { Provider, Recollection } from '../provider/spi.ts';

/** What the annotation `berth.dev/applied` says. */
interface Applied {
  /** UID of the Service: an annotation that was copied to another Service means nothing there. */
  readonly uid: string;
  readonly provider: string;
  readonly planner: string;
  /** Hash of the desired load balancer without its targets. */
  readonly spec: string;
  readonly ids: Json;
}

/** Annotations of the API server's limit (256 KiB in all) must stay possible for others. */
const MAX_LENGTH = 32_768;

/**
 * What to write on a Service about which nothing is left to do, so that a later process need not read everything anew;
 * empty for providers that remember nothing. Written after the fact and never before.
 */
export function appliedAnnotation(
  provider: Provider,
  desired: LoadBalancer,
  observed: Parameters<NonNullable<Provider['remember']>>[1] | undefined,
): Readonly<Record<string, string | null>> {
  if (provider.remember === undefined || observed === undefined) return {};
  const applied: Applied = {
    uid: desired.uid,
    provider: provider.name,
    planner: provider.planner ?? '',
    spec: specHash(desired),
    ids: provider.remember(desired, observed),
  };
  const text = JSON.stringify(applied);
  return { [ANNOTATION_APPLIED]: text.length > MAX_LENGTH ? null : text };
}

/** How the present compares with what was remembered. */
export interface Present {
  /** What is wanted for a Service now; `undefined` when that cannot be said. */
  readonly desired: (service: Service) => LoadBalancer | undefined;
  /** Whether the nodes are those that all load balancers had as targets. */
  readonly sameTargets: boolean;
}

/**
 * What the Services remember of what was made for them, where the same is still wanted; the others call for a read in
 * depth, and so do those that are going or frozen. `undefined` for a provider that remembers nothing.
 */
export function recollections(
  provider: Provider,
  services: readonly Service[],
  { desired, sameTargets }: Present,
): ReadonlyMap<ServiceKey, Recollection> | undefined {
  if (provider.remember === undefined) return undefined;
  const entries = services.flatMap((service): [ServiceKey, Recollection][] => {
    if (!hasFinalizer(service) || service.deleting || isPaused(service)) return [];
    const applied = parse(service.annotations[ANNOTATION_APPLIED]);
    if (applied?.uid !== service.uid || applied.provider !== provider.name) return [];
    const wanted = desired(service);
    const same = applied.planner === (provider.planner ?? '') && wanted && applied.spec === specHash(wanted);
    return same ? [[keyOf(service), { desired: wanted, remembered: applied.ids, sameTargets }]] : [];
  });
  return new Map(entries);
}

/** Hash of everything that is wanted except the targets, which change with the nodes and are remembered elsewhere. */
export function specHash(desired: LoadBalancer): string {
  const { targets: _targets, endpoints: _endpoints, ...spec } = desired;
  return hashOf(JSON.stringify(spec));
}

/** A short hash of a text, for telling whether it is the same. */
export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function parse(text: string | undefined): Applied | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && 'ids' in value ? (value as Applied) : undefined;
  } catch {
    // Somebody edited it; everything is read instead.
    return undefined;
  }
}
