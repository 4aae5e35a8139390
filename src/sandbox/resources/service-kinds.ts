/** Questions about a Service that several rules ask. */
import type { ServiceObject } from '../machinery/objects.ts';

/** `clusterIP: None`. */
export function isHeadless({ spec }: ServiceObject): boolean {
  return spec.clusterIPs?.[0] === 'None' || spec.clusterIP === 'None';
}

/** True for the types that have node ports. */
export function needsNodePorts({ spec }: ServiceObject): boolean {
  return spec.type === 'NodePort' || spec.type === 'LoadBalancer';
}

/** True when missing node ports are to be given out. */
export function allocatesNodePorts({ spec }: ServiceObject): boolean {
  return (
    spec.type === 'NodePort' || (spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false)
  );
}

/** True when the Service has a `healthCheckNodePort`. */
export function needsHealthCheckPort({ spec }: ServiceObject): boolean {
  return spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local';
}

/** True when traffic can come from outside, so that an external traffic policy makes sense. */
export function isExternallyAccessible({ spec }: ServiceObject): boolean {
  const external = spec.type === 'ClusterIP' && (spec.externalIPs?.length ?? 0) > 0;
  return external || spec.type === 'NodePort' || spec.type === 'LoadBalancer';
}

/** Every node port of the Service, the health check's included. */
export function nodePortsOf({ spec }: ServiceObject): number[] {
  const ports = (spec.ports ?? []).flatMap(({ nodePort }) => nodePort ?? []);
  return spec.healthCheckNodePort === undefined ? ports : [...ports, spec.healthCheckNodePort];
}

/** Its cluster addresses, without the `None` of a headless Service. */
export function clusterIpsOf({ spec }: ServiceObject): string[] {
  return (spec.clusterIPs ?? []).filter((address) => address !== 'None' && address !== '');
}
