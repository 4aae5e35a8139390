/** What a node's proxy has to do, computed from Services and EndpointSlices: the part of kube-proxy that decides. */
import type { EndpointSliceObject, ServiceObject } from '../machinery/objects.ts';

const SERVICE_LABEL = 'kubernetes.io/service-name';

/** Where a connection can go. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly nodeName: string;
}

/** One node port and where its traffic goes on one node. */
export interface PortRoute {
  readonly protocol: 'TCP' | 'UDP';
  readonly nodePort: number;
  readonly endpoints: readonly Endpoint[];
  /** Policy Local: the backend sees the client's address. */
  readonly keepsClientAddress: boolean;
  /** How long a client stays with one backend. 0: not at all. */
  readonly affinitySeconds: number;
}

/** One `healthCheckNodePort` and how many endpoints the node has. */
export interface HealthRoute {
  readonly port: number;
  readonly service: { readonly namespace: string; readonly name: string };
  readonly localEndpoints: number;
}

/** Everything one node listens for. */
export interface NodeRoutes {
  readonly ports: readonly PortRoute[];
  readonly health: readonly HealthRoute[];
}

/**
 * The routes of one node. A port without a usable endpoint is left out: the connection is refused, as kube-proxy refuses
 * it. With policy Local only the node's own endpoints are usable.
 */
export function routesOf(
  nodeName: string,
  services: readonly ServiceObject[],
  slices: ReadonlyMap<string, readonly EndpointSliceObject[]>,
): NodeRoutes {
  const ports: PortRoute[] = [];
  const health: HealthRoute[] = [];
  for (const service of services) {
    const { spec, metadata } = service;
    const { namespace = '', name } = metadata;
    const own = slices.get(`${namespace}/${name}`) ?? [];
    const local = spec.externalTrafficPolicy === 'Local';
    for (const port of spec.ports ?? []) {
      if (port.nodePort === undefined || port.protocol === 'SCTP') continue;
      const { protocol, nodePort } = port;
      const all = endpointsOf(own, { name: port.name ?? '', protocol });
      const endpoints = local ? all.filter((each) => each.nodeName === nodeName) : all;
      const affinitySeconds = affinityOf(service);
      if (endpoints.length > 0)
        ports.push({ protocol, nodePort, endpoints, keepsClientAddress: local, affinitySeconds });
    }
    if (spec.healthCheckNodePort !== undefined) {
      const localEndpoints = countLocal(own, nodeName);
      health.push({ port: spec.healthCheckNodePort, service: { namespace, name }, localEndpoints });
    }
  }
  return { ports, health };
}

/** Slices by the `namespace/name` of their Service. */
export function slicesByService(slices: readonly EndpointSliceObject[]): Map<string, EndpointSliceObject[]> {
  return Map.groupBy(
    slices,
    ({ metadata }) => `${metadata.namespace ?? ''}/${metadata.labels?.[SERVICE_LABEL] ?? ''}`,
  );
}

function endpointsOf(
  slices: readonly EndpointSliceObject[],
  port: { name: string; protocol: string },
): Endpoint[] {
  return slices.flatMap((slice) => {
    const found = slice.ports?.find(
      (each) => (each.name ?? '') === port.name && each.protocol === port.protocol,
    );
    const number = found?.port;
    if (number === undefined) return [];
    return ready(slice).flatMap(({ addresses, nodeName = '' }) =>
      addresses.map((address) => ({ address, port: number, nodeName })),
    );
  });
}

function ready(slice: EndpointSliceObject): NonNullable<EndpointSliceObject['endpoints']> {
  return (slice.endpoints ?? []).filter(({ conditions }) => conditions?.['ready'] !== false);
}

function countLocal(slices: readonly EndpointSliceObject[], nodeName: string): number {
  return slices.flatMap(ready).filter((endpoint) => endpoint.nodeName === nodeName).length;
}

function affinityOf({ spec }: ServiceObject): number {
  return spec.sessionAffinity === 'ClientIP'
    ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 0)
    : 0;
}
