/** Services: defaults, what an update changes by itself, and what is drawn from the pools. */
import type { KubeObject, ServiceObject } from '../machinery/objects.ts';
import { resource, type ResourceType } from '../machinery/resource.ts';
import { ServiceAllocations } from './service-allocation.ts';
import { isExternallyAccessible, needsHealthCheckPort, needsNodePorts } from './service-kinds.ts';
import { serviceColumns, serviceSchema } from './service-schema.ts';
import { validateService, validateServiceStatus, validateServiceUpdate } from './service-validation.ts';

const CLIENT_IP_SECONDS = 10_800;

/** The resource `services`, with its pools. `serviceCidrs`: one for each IP family, the first is the primary. */
export function services(options: { serviceCidrs: readonly string[]; random: () => number }): ResourceType {
  const allocations = new ServiceAllocations(options);
  const fields = (object: KubeObject): Record<string, string> => {
    const { spec } = object as ServiceObject;
    return { 'spec.type': spec.type, 'spec.clusterIP': spec.clusterIP ?? '' };
  };
  return resource({
    plural: 'services',
    singular: 'service',
    kind: 'Service',
    shortNames: ['svc'],
    categories: ['all'],
    schema: serviceSchema,
    columns: serviceColumns,
    status: true,
    createOnUpdate: true,
    returnsDeleted: true,
    names: 'label1035',
    selectable: { known: ['spec.type', 'spec.clusterIP'], fields: withMetadata(fields) },
    rules: {
      defaults: (next) => defaults(next as ServiceObject),
      allocate: (next, previous) => {
        if (previous) keepAllocated(next as ServiceObject, previous as ServiceObject);
        allocations.choose(next as ServiceObject, previous as ServiceObject | undefined);
      },
      prepare: (next, previous) => prepare(next as ServiceObject, previous as ServiceObject | undefined),
      validate: (next, errors, previous) => {
        if (previous) validateServiceUpdate(next as ServiceObject, previous as ServiceObject, errors);
        validateService(next as ServiceObject, errors);
      },
      validateStatus: (next, errors) => validateServiceStatus(next as ServiceObject, errors),
      stored: (next, previous) =>
        allocations.record(next as ServiceObject | undefined, previous as ServiceObject | undefined),
    },
  });
}

const withMetadata =
  (fields: (object: KubeObject) => Record<string, string>) =>
  (object: KubeObject): Record<string, string> => ({
    'metadata.name': object.metadata.name,
    'metadata.namespace': object.metadata.namespace ?? '',
    ...fields(object),
  });

/** apis/core/v1 SetDefaults_Service. */
function defaults(service: ServiceObject): void {
  const { spec } = service;
  spec.type ??= 'ClusterIP';
  spec.sessionAffinity ??= 'None';
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  if (
    spec.sessionAffinity === 'ClientIP' &&
    spec.sessionAffinityConfig?.clientIP?.timeoutSeconds === undefined
  ) {
    spec.sessionAffinityConfig = { clientIP: { timeoutSeconds: CLIENT_IP_SECONDS } };
  }
  for (const port of spec.ports ?? []) {
    port.protocol ??= 'TCP';
    if (port.targetPort === undefined || port.targetPort === 0 || port.targetPort === '')
      port.targetPort = port.port;
  }
  if (isExternallyAccessible(service)) spec.externalTrafficPolicy ??= 'Cluster';
  if (spec.type === 'ExternalName') delete spec.internalTrafficPolicy;
  else spec.internalTrafficPolicy ??= 'Cluster';
  if (spec.type !== 'LoadBalancer') return;
  spec.allocateLoadBalancerNodePorts ??= true;
  for (const ingress of service.status.loadBalancer.ingress ?? []) {
    if (ingress.ip !== undefined) ingress.ipMode ??= 'VIP';
  }
}

/** What a client left out of an update because it does not know it stays as it was: cluster IPs and node ports. */
function keepAllocated(next: ServiceObject, previous: ServiceObject): void {
  const [spec, before] = [next.spec, previous.spec];
  if (spec.type !== 'ExternalName' && before.type !== 'ExternalName') {
    if (spec.clusterIP === undefined && before.clusterIP !== undefined) spec.clusterIP = before.clusterIP;
    if (
      spec.clusterIPs === undefined &&
      spec.clusterIP === before.clusterIP &&
      before.clusterIPs !== undefined
    ) {
      spec.clusterIPs = [...before.clusterIPs];
    }
  }
  if (needsNodePorts(previous) && needsNodePorts(next)) keepNodePorts(next, previous);
  if (
    needsHealthCheckPort(previous) &&
    needsHealthCheckPort(next) &&
    before.healthCheckNodePort !== undefined
  ) {
    spec.healthCheckNodePort ??= before.healthCheckNodePort;
  }
}

function keepNodePorts(next: ServiceObject, previous: ServiceObject): void {
  const byName = new Map((previous.spec.ports ?? []).map((port) => [port.name, port.nodePort]));
  const kept = new Set((previous.spec.ports ?? []).map((port) => port.nodePort));
  const used = new Set((next.spec.ports ?? []).map((port) => port.nodePort).filter((port) => kept.has(port)));
  for (const port of next.spec.ports ?? []) {
    const former = byName.get(port.name);
    if (port.nodePort !== undefined || former === undefined || used.has(former)) continue;
    port.nodePort = former;
    used.add(former);
  }
}

/** Status never comes in through the main resource, and fields that the new type has no use for go. */
function prepare(next: ServiceObject, previous: ServiceObject | undefined): void {
  if (previous === undefined) {
    next.status = { loadBalancer: {} };
    return;
  }
  const [spec, before] = [next.spec, previous.spec];
  const same = (field: keyof ServiceObject['spec']): boolean =>
    JSON.stringify(spec[field]) === JSON.stringify(before[field]);
  if (before.type !== 'ExternalName' && spec.type === 'ExternalName') {
    if (same('clusterIP') && same('clusterIPs')) {
      delete spec.clusterIP;
      delete spec.clusterIPs;
    }
    if (same('ipFamilies')) delete spec.ipFamilies;
    if (same('ipFamilyPolicy')) delete spec.ipFamilyPolicy;
  }
  if (needsNodePorts(previous) && !needsNodePorts(next)) dropNodePorts(next, previous);
  const leaves = (needs: (service: ServiceObject) => boolean): boolean => needs(previous) && !needs(next);
  if (leaves(needsHealthCheckPort) && same('healthCheckNodePort')) delete spec.healthCheckNodePort;
  if (leaves(isLoadBalancer) && same('allocateLoadBalancerNodePorts'))
    delete spec.allocateLoadBalancerNodePorts;
  if (leaves(isLoadBalancer) && same('loadBalancerClass')) delete spec.loadBalancerClass;
  if (leaves(isExternallyAccessible) && same('externalTrafficPolicy')) delete spec.externalTrafficPolicy;
  next.status = isLoadBalancer(next) ? previous.status : { ...previous.status, loadBalancer: {} };
}

function isLoadBalancer({ spec }: ServiceObject): boolean {
  return spec.type === 'LoadBalancer';
}

/** Node ports go with the type, unless the same update asks for new ones: then validation refuses it. */
function dropNodePorts(next: ServiceObject, previous: ServiceObject): void {
  const before = new Set((previous.spec.ports ?? []).map((port) => port.nodePort));
  const ports = next.spec.ports ?? [];
  if (ports.every((port) => port.nodePort === undefined || before.has(port.nodePort))) {
    for (const port of ports) delete port.nodePort;
  }
}
