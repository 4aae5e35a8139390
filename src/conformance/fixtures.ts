import type { IpAddress } from '../model/address.ts';
import type { Target } from '../model/load-balancer.ts';
import type { Service, ServicePort } from '../model/service.ts';

/** A Service of type LoadBalancer that asks for nothing in particular; `overrides` show what a test is about. */
export function serviceWith(overrides: Partial<Service> = {}): Service {
  const name = overrides.name ?? 'web';
  return {
    namespace: 'default',
    name,
    uid: `uid-of-${name}`,
    resourceVersion: '1',
    createdAtMs: Date.UTC(2030, 0, 1),
    deleting: false,
    labels: {},
    annotations: {},
    finalizers: [],
    type: 'LoadBalancer',
    loadBalancerSourceRanges: [],
    allocateLoadBalancerNodePorts: true,
    ports: [portWith()],
    selector: { app: name },
    clusterIPs: ['10.96.0.10'],
    externalIPs: [],
    externalTrafficPolicy: 'Cluster',
    healthCheckNodePort: 0,
    sessionAffinity: 'None',
    sessionAffinityTimeoutSeconds: 10_800,
    ipFamilies: ['IPv4'],
    ipFamilyPolicy: 'SingleStack',
    ingress: [],
    conditions: [],
    ...overrides,
  };
}

/** One port of a Service, 80/TCP on node port 30080 unless said otherwise. */
export function portWith(overrides: Partial<ServicePort> = {}): ServicePort {
  return { protocol: 'TCP', port: 80, targetPort: 8080, nodePort: 30_080, ...overrides };
}

/** One node as a target, with an address of its own. */
export function targetWith(overrides: Partial<Target> = {}): Target {
  return {
    node: 'node-1',
    providerID: 'test:///node-1',
    addresses: ['192.0.2.11' as IpAddress],
    ...overrides,
  };
}
