import type { IpAddress, IpFamily } from './address.ts';

/** Transport protocols of a Service port. */
export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** `namespace/name`: the key of a Service, of its load balancer and of its place in the queue. */
export type ServiceKey = string;

/** One entry of `spec.ports`. `nodePort` is 0 when the API server allocated none. */
export interface ServicePort {
  readonly name?: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly targetPort: number | string;
  readonly nodePort: number;
  readonly appProtocol?: string;
}

/** Per-port outcome inside `status.loadBalancer.ingress[].ports`; `error` is CamelCase or domain-prefixed. */
export interface PortStatus {
  readonly port: number;
  readonly protocol: Protocol;
  readonly error?: string;
}

/** One entry of `status.loadBalancer.ingress`: as written, so that garbage found there can be seen and replaced. */
export interface Ingress {
  readonly ip?: string;
  readonly hostname?: string;
  readonly ipMode?: 'VIP' | 'Proxy';
  readonly ports?: readonly PortStatus[];
}

/** One entry of `status.conditions` (meta/v1 Condition). Times are RFC 3339 text. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
  readonly observedGeneration?: number;
}

/** What Berth keeps of a Service: trimmed on arrival, plain and read-only. */
export interface Service {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** `creationTimestamp` in milliseconds since the epoch; the older of two Services wins a contested address. */
  readonly createdAtMs: number;
  /** Whether `deletionTimestamp` is set. */
  readonly deleting: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly finalizers: readonly string[];
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  readonly loadBalancerClass?: string;
  readonly loadBalancerIP?: string;
  readonly loadBalancerSourceRanges: readonly string[];
  readonly allocateLoadBalancerNodePorts: boolean;
  readonly ports: readonly ServicePort[];
  readonly selector: Readonly<Record<string, string>>;
  readonly clusterIPs: readonly string[];
  readonly externalIPs: readonly string[];
  readonly externalTrafficPolicy: 'Cluster' | 'Local';
  /** 0 when there is none. */
  readonly healthCheckNodePort: number;
  readonly sessionAffinity: 'None' | 'ClientIP';
  /** Seconds; meaningful with `sessionAffinity: ClientIP` only. */
  readonly sessionAffinityTimeoutSeconds: number;
  readonly ipFamilies: readonly IpFamily[];
  readonly ipFamilyPolicy: 'SingleStack' | 'PreferDualStack' | 'RequireDualStack';
  readonly ingress: readonly Ingress[];
  readonly conditions: readonly Condition[];
}

/** The key of a Service. */
export function keyOf(service: { readonly namespace: string; readonly name: string }): ServiceKey {
  return `${service.namespace}/${service.name}`;
}

/** `443/TCP`: how a port is named in steps, messages and events. */
export function portText(port: { readonly port: number; readonly protocol: string }): string {
  return `${port.port}/${port.protocol}`;
}

/** Addresses that a Service's status holds already, in order, without what is not an IP. */
export function statusAddresses(
  service: Pick<Service, 'ingress'>,
  parse: (text: string) => IpAddress | undefined,
): IpAddress[] {
  return service.ingress.flatMap((entry) => {
    const ip = entry.ip === undefined ? undefined : parse(entry.ip);
    return ip === undefined ? [] : [ip];
  });
}
