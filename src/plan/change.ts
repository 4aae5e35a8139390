import {
  ADDRESS_ANNOTATIONS,
  ANNOTATION_APPLIED,
  ANNOTATION_SOURCE_RANGES,
  CONDITION,
  POOL_ANNOTATIONS,
  PREFIX,
  SHARING_ANNOTATIONS,
} from '../model/names.ts';
import type { Condition, Ingress, Service } from '../model/service.ts';
import { hasFinalizer } from './lifecycle.ts';
import { isSettingName } from './settings.ts';

/** What of a Service's surroundings decides whether a change of it matters. */
export interface ChangeContext {
  /** Annotations that the serving provider reads. */
  readonly settings: ReadonlySet<string>;
  /** Whether the selector matters: only where addresses are shared. */
  readonly sharing: boolean;
}

/** Whether some part of ours reads this annotation as a wish. What Berth itself remembers there is none. */
export function readsAnnotation(key: string, settings: ReadonlySet<string>): boolean {
  if (key === ANNOTATION_APPLIED) return false;
  const prefix = key.split('/', 1)[0] ?? '';
  return (
    isSettingName(key, settings) ||
    key.startsWith(PREFIX) ||
    prefix.endsWith(`.${PREFIX.slice(0, -1)}`) ||
    key === ANNOTATION_SOURCE_RANGES ||
    ADDRESS_ANNOTATIONS.includes(key) ||
    POOL_ANNOTATIONS.includes(key) ||
    SHARING_ANNOTATIONS.includes(key)
  );
}

/**
 * Everything of a Service that somebody asks for, as text. A watch event whose text equals that of the object before
 * it is not worth a pass: labels, selectors and foreign annotations come and go without one.
 */
export function serviceFingerprint(service: Service, context: ChangeContext): string {
  const annotations = Object.entries(service.annotations)
    .filter(([key]) => readsAnnotation(key, context.settings))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([
    [service.uid, service.type, service.deleting, annotations],
    [service.loadBalancerClass, service.loadBalancerIP, service.loadBalancerSourceRanges],
    [service.allocateLoadBalancerNodePorts, service.ports, service.externalIPs],
    [service.externalTrafficPolicy, service.healthCheckNodePort],
    [service.sessionAffinity, service.sessionAffinityTimeoutSeconds],
    [service.ipFamilies, service.ipFamilyPolicy, service.clusterIPs],
    context.sharing ? Object.entries(service.selector).toSorted() : null,
  ]);
}

/** The traces that Berth leaves in a Service: its finalizer, the ingress entries, its condition. */
export interface Traces {
  readonly finalizer: boolean;
  readonly ingress: readonly Ingress[];
  readonly condition: Pick<Condition, 'status' | 'reason' | 'message'> | undefined;
}

/** The traces in a Service. */
export function tracesOf(service: Service): Traces {
  const condition = service.conditions.find(({ type }) => type === CONDITION);
  return { finalizer: hasFinalizer(service), ingress: service.ingress, condition };
}

/** Traces as text, whatever the order of keys: a difference that is not our own write is somebody else's edit. */
export function traceText({ finalizer, ingress, condition }: Traces): string {
  return JSON.stringify([
    finalizer,
    ingress.map(({ ip, hostname, ipMode, ports }) => [
      [ip, hostname, ipMode],
      ports?.map(({ port, protocol, error }) => [port, protocol, error]),
    ]),
    [condition?.status, condition?.reason, condition?.message],
  ]);
}
