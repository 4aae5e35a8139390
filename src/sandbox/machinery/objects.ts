/** Shapes of the objects the sandbox stores. Only fields that its own rules look at are named; the schema knows all. */

/** Anything that JSON can say. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
/** A JSON object. */
export type JsonObject = { [key: string]: Json };

/** `metadata` of an object (meta/v1 ObjectMeta). Times are RFC 3339 in whole seconds. */
export interface ObjectMeta {
  name: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: { apiVersion?: string; kind?: string; name?: string; uid?: string }[];
}

/** Any object of the API. */
export interface KubeObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

/** core/v1 ServicePort. */
export interface ServicePort {
  name?: string;
  protocol: 'TCP' | 'UDP' | 'SCTP';
  appProtocol?: string;
  port: number;
  targetPort: number | string;
  nodePort?: number;
}

/** core/v1 Service, as stored: defaults are in. */
export interface ServiceObject extends KubeObject {
  spec: {
    type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
    ports?: ServicePort[];
    selector?: Record<string, string>;
    clusterIP?: string;
    clusterIPs?: string[];
    ipFamilies?: string[];
    ipFamilyPolicy?: string;
    externalIPs?: string[];
    externalName?: string;
    externalTrafficPolicy?: string;
    internalTrafficPolicy?: string;
    healthCheckNodePort?: number;
    allocateLoadBalancerNodePorts?: boolean;
    loadBalancerClass?: string;
    loadBalancerIP?: string;
    loadBalancerSourceRanges?: string[];
    publishNotReadyAddresses?: boolean;
    sessionAffinity?: string;
    sessionAffinityConfig?: { clientIP?: { timeoutSeconds?: number } };
    trafficDistribution?: string;
  };
  status: {
    loadBalancer: { ingress?: LoadBalancerIngress[] };
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
  };
}

/** core/v1 LoadBalancerIngress. */
export interface LoadBalancerIngress {
  ip?: string;
  hostname?: string;
  ipMode?: string;
  ports?: { port: number; protocol: string; error?: string }[];
}

/** core/v1 Taint. */
export interface Taint {
  key: string;
  value?: string;
  effect: string;
  timeAdded?: string;
}

/** core/v1 Node. */
export interface NodeObject extends KubeObject {
  spec: { providerID?: string; unschedulable?: boolean; taints?: Taint[]; podCIDRs?: string[] };
  status: {
    addresses?: { type: string; address: string }[];
    conditions?: { type: string; status: string }[];
    nodeInfo?: Record<string, string>;
  };
}

/** discovery.k8s.io/v1 EndpointSlice. */
export interface EndpointSliceObject extends KubeObject {
  addressType: string;
  /** The API server writes `null` for an empty list here. */
  endpoints: { addresses: string[]; nodeName?: string; conditions?: Record<string, boolean> }[] | null;
  ports: { name?: string; port?: number; protocol?: string; appProtocol?: string }[] | null;
}

/** `namespace/name`, or `/name` for objects without a namespace. Sorts as etcd sorts its keys. */
export function keyOf(object: { metadata: { namespace?: string; name: string } }): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}

/** Freezes a tree of plain values in place, so that nobody who is handed a stored object can change the store. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
  return value;
}
