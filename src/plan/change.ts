import { ANNOTATION_SOURCE_RANGES, CONDITION, ADDRESS_ANNOTATIONS, PREFIX } from '../model/names.ts';
import type { Service } from '../model/service.ts';
import { hasFinalizer } from './lifecycle.ts';

/** What of a Service's surroundings decides whether a change of it matters. */
export interface ChangeContext {
  /** Annotations that the serving provider reads. */
  readonly settings: ReadonlySet<string>;
  /** Whether the selector matters: only where addresses are shared. */
  readonly sharing: boolean;
}

/** Whether some part of ours reads this annotation. */
export function readsAnnotation(key: string, settings: ReadonlySet<string>): boolean {
  const prefix = key.split('/', 1)[0] ?? '';
  return (
    settings.has(key) ||
    key.startsWith(PREFIX) ||
    prefix.endsWith(`.${PREFIX.slice(0, -1)}`) ||
    key === ANNOTATION_SOURCE_RANGES ||
    ADDRESS_ANNOTATIONS.includes(key)
  );
}

/**
 * Everything of a Service that a pass looks at, as text. A watch event whose text equals that of the object before it
 * is not worth a pass: labels, selectors and foreign annotations come and go without one. Our own traces in status and
 * metadata are part of it, so that somebody else's edit of them is repaired.
 */
export function serviceFingerprint(service: Service, context: ChangeContext): string {
  const annotations = Object.entries(service.annotations)
    .filter(([key]) => readsAnnotation(key, context.settings))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([
    [service.uid, service.type, service.deleting, hasFinalizer(service), annotations],
    [service.loadBalancerClass, service.loadBalancerIP, service.loadBalancerSourceRanges],
    [service.allocateLoadBalancerNodePorts, service.ports, service.externalIPs],
    [service.externalTrafficPolicy, service.healthCheckNodePort],
    [service.sessionAffinity, service.sessionAffinityTimeoutSeconds],
    [service.ipFamilies, service.ipFamilyPolicy, service.clusterIPs],
    context.sharing ? Object.entries(service.selector).toSorted() : null,
    [service.ingress, service.conditions.find(({ type }) => type === CONDITION)],
  ]);
}
