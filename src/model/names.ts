/** The names that everything agrees on: finalizer, condition, annotations, Lease. See the README's reference. */

/** Prefix of everything Berth writes or reads on Kubernetes objects. Provider settings live under `NAME.berth.dev/`. */
export const PREFIX = 'berth.dev/';
/** The finalizer that keeps a Service until its load balancer is gone. */
export const FINALIZER = 'berth.dev/load-balancer';
/** The condition that Berth writes into a Service's status. */
export const CONDITION = 'berth.dev/Provisioned';
/** Comma list of requested addresses, at most one for each IP family. */
export const ANNOTATION_ADDRESSES = 'berth.dev/load-balancer-ips';
/** All annotations that ask for addresses: ours first, then the incumbents' (MetalLB's two prefixes, kube-vip's). */
export const ADDRESS_ANNOTATIONS: readonly string[] = [
  ANNOTATION_ADDRESSES,
  'metallb.io/loadBalancerIPs',
  'metallb.universe.tf/loadBalancerIPs',
  'kube-vip.io/loadbalancerIPs',
];
/** Names that ask for an address of a pool: ours first, then MetalLB's. */
export const POOL_ANNOTATIONS: readonly string[] = [
  'berth.dev/address-pool',
  'metallb.io/address-pool',
  'metallb.universe.tf/address-pool',
];
/** Names that let Services with the same value share an address: ours first, then MetalLB's. */
export const SHARING_ANNOTATIONS: readonly string[] = [
  'berth.dev/allow-shared-ip',
  'metallb.io/allow-shared-ip',
  'metallb.universe.tf/allow-shared-ip',
];
/** `"true"` freezes a Service: nothing is planned, applied or deleted until it is taken away. */
export const ANNOTATION_PAUSED = 'berth.dev/paused';
/** What was applied, remembered by Berth itself on the Service; written after the fact. */
export const ANNOTATION_APPLIED = 'berth.dev/applied';
/** On the Lease: where the leader's API is reached by `berth plan` and `berth explain`. */
export const ANNOTATION_ENDPOINT = 'berth.dev/endpoint';
/** Kubernetes' own annotation for source ranges; `spec.loadBalancerSourceRanges` wins over it. */
export const ANNOTATION_SOURCE_RANGES = 'service.beta.kubernetes.io/load-balancer-source-ranges';
/** Node label that keeps a node out of load balancers (any value but `false`). */
export const LABEL_EXCLUDE_NODE = 'node.kubernetes.io/exclude-from-external-load-balancers';
/** Taints that say that a node is about to go: cluster-autoscaler's and Karpenter's. */
export const LEAVING_TAINTS: readonly string[] = ['ToBeDeletedByClusterAutoscaler', 'karpenter.sh/disrupted'];
/** On the Lease: a hash of the nodes that all load balancers have as targets, once they all have them. */
export const ANNOTATION_NODES = 'berth.dev/nodes';
/** Name of the leader-election Lease in Berth's namespace. */
export const LEASE_NAME = 'berth-controller';
/** Event source and field manager. */
export const COMPONENT = 'berth-controller';
