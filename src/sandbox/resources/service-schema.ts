/** Fields and columns of Services (core/v1). */
import type { KubeObject, ServiceObject } from '../machinery/objects.ts';
import { kindSchema } from '../machinery/resource.ts';
import {
  bool,
  int,
  intOrString,
  kept,
  list,
  object,
  shown,
  str,
  strings,
  struct,
  time,
} from '../machinery/schema.ts';
import { ageColumn, type Column, nameColumn } from '../machinery/table.ts';

const servicePort = object({
  name: str,
  protocol: str,
  appProtocol: kept(str),
  port: shown(int, 0),
  targetPort: kept(intOrString),
  nodePort: int,
});

const condition = object({
  type: shown(str, ''),
  status: shown(str, ''),
  observedGeneration: int,
  lastTransitionTime: shown(time, null),
  reason: shown(str, ''),
  message: shown(str, ''),
});

const ingress = object({
  ip: str,
  hostname: str,
  ipMode: kept(str),
  ports: list(object({ port: shown(int, 0), protocol: shown(str, ''), error: kept(str) })),
});

export const serviceSchema = kindSchema({
  spec: struct({
    // The merge key is the port number alone, although two protocols may share one (kubernetes/kubernetes#39188).
    ports: list(servicePort, 'port'),
    selector: strings,
    clusterIP: str,
    clusterIPs: list(str),
    type: str,
    externalIPs: list(str),
    sessionAffinity: str,
    loadBalancerIP: str,
    loadBalancerSourceRanges: list(str),
    externalName: str,
    externalTrafficPolicy: str,
    healthCheckNodePort: int,
    publishNotReadyAddresses: bool,
    sessionAffinityConfig: kept(object({ clientIP: kept(object({ timeoutSeconds: kept(int) })) })),
    ipFamilies: list(str),
    ipFamilyPolicy: kept(str),
    allocateLoadBalancerNodePorts: kept(bool),
    loadBalancerClass: kept(str),
    internalTrafficPolicy: kept(str),
    trafficDistribution: kept(str),
  }),
  status: struct({ loadBalancer: struct({ ingress: list(ingress) }), conditions: list(condition, 'type') }),
});

const service = (object: KubeObject): ServiceObject => object as ServiceObject;

/** What `kubectl get services` shows. */
export const serviceColumns: readonly Column[] = [
  nameColumn,
  { name: 'Type', description: 'How the Service is exposed.', cell: (object) => service(object).spec.type },
  {
    name: 'Cluster-IP',
    description: 'First cluster address of the Service.',
    cell: (object) => service(object).spec.clusterIPs?.[0] ?? '<none>',
  },
  {
    name: 'External-IP',
    description: 'Addresses of the load balancer, and external IPs.',
    cell: (object) => externalIp(service(object)),
  },
  {
    name: 'Port(s)',
    description: 'Ports, node ports and protocols.',
    cell: (object) => ports(service(object)),
  },
  ageColumn,
  {
    name: 'Selector',
    priority: 1,
    description: 'Labels of the pods that serve.',
    cell: (object) => labelsText(service(object).spec.selector),
  },
];

function externalIp({ spec, status }: ServiceObject): string {
  const external = spec.externalIPs ?? [];
  if (spec.type === 'ExternalName') return spec.externalName ?? '';
  if (spec.type !== 'LoadBalancer') return external.join(',') || '<none>';
  const assigned = (status.loadBalancer.ingress ?? []).map((each) => each.ip ?? each.hostname ?? '');
  const distinct = [...new Set(assigned.filter((each) => each !== ''))].toSorted();
  return [...distinct, ...external].join(',') || '<pending>';
}

function ports({ spec }: ServiceObject): string {
  const pieces = (spec.ports ?? []).map(({ port, nodePort, protocol }) =>
    nodePort === undefined ? `${port}/${protocol}` : `${port}:${nodePort}/${protocol}`,
  );
  return pieces.join(',') || '<none>';
}

/** `a=b,c=d` in the order of the keys, or `<none>`. */
export function labelsText(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.toSorted().join(',') || '<none>';
}
