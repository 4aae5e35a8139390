import type { Cidr, IpAddress, IpFamily } from './address.ts';
import type { Endpoint } from './endpoint.ts';
import type { Protocol, ServiceKey } from './service.ts';

/** One port that the load balancer must serve, with the node port it forwards to (0 for pod targets). */
export interface LoadBalancerPort {
  readonly name?: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly nodePort: number;
  readonly targetPort: number | string;
  readonly appProtocol?: string;
}

/** One node that receives traffic. `addresses` are its InternalIPs, in the order of the Node's status. */
export interface Target {
  readonly node: string;
  readonly providerID: string;
  readonly addresses: readonly IpAddress[];
}

/** How targets are probed: `default` leaves it to the provider (TCP on the node port is customary). */
export type HealthCheck =
  | { readonly kind: 'default' }
  | { readonly kind: 'http'; readonly port: number; readonly path: string };

/**
 * The desired state of one load balancer in provider-neutral words: plain JSON values, so that it can be compared,
 * hashed and printed. Lists are sorted where order has no meaning (targets by name, ports by port then protocol).
 */
export interface LoadBalancer<Settings = Readonly<Record<string, unknown>>> {
  readonly key: ServiceKey;
  readonly namespace: string;
  readonly name: string;
  /** UID of the Service: a re-created Service is another load balancer. */
  readonly uid: string;
  /** `spec.loadBalancerClass`, or `""` for a Service without one. */
  readonly loadBalancerClass: string;
  readonly families: readonly IpFamily[];
  /**
   * Addresses that the load balancer must have: assigned by the core from the provider's pools, or (without pools)
   * what the user asked for. Empty: any address will do.
   */
  readonly addresses: readonly IpAddress[];
  readonly ports: readonly LoadBalancerPort[];
  /** Who may connect; empty means everybody. */
  readonly sourceRanges: readonly Cidr[];
  readonly externalTrafficPolicy: 'Cluster' | 'Local';
  readonly healthCheck: HealthCheck;
  /** Seconds that a client sticks to its target; 0 without session affinity. */
  readonly clientIPAffinitySeconds: number;
  /** Nodes to forward to; empty unless traffic goes to node ports. */
  readonly targets: readonly Target[];
  /** Pods to forward to, sorted by address; empty unless traffic goes to pods. */
  readonly endpoints: readonly Endpoint[];
  readonly settings: Settings;
}
