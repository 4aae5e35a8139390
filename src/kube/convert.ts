import { parseIp } from '../model/address.ts';
import type { Node, NodeAddress, Taint } from '../model/node.ts';
import type { Condition, Ingress, PortStatus, Protocol, Service, ServicePort } from '../model/service.ts';
import { count, list, oneOf, optionalText, type Raw, record, text, textMap, texts } from './raw.ts';

const PROTOCOLS: readonly Protocol[] = ['TCP', 'UDP', 'SCTP'];
const STATUSES = ['True', 'False', 'Unknown'] as const;
/** A copy of the whole manifest, which nobody here reads. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** The API server's default (3 hours) for `sessionAffinityConfig.clientIP.timeoutSeconds`. */
const DEFAULT_AFFINITY_SECONDS = 10_800;

/**
 * A core/v1 Service as the model has it; `undefined` if it has no namespace, name or resourceVersion. Fields that are
 * absent get the API server's defaults; entries that make no sense are left out.
 */
export function toService(raw: unknown): Service | undefined {
  const { metadata: rawMetadata, spec: rawSpec, status: rawStatus } = record(raw);
  const metadata = record(rawMetadata);
  const namespace = text(metadata['namespace']);
  const meta = toMeta(metadata);
  if (meta === undefined || namespace === '') return undefined;
  const status = record(rawStatus);
  return {
    namespace,
    ...meta,
    createdAtMs: Date.parse(text(metadata['creationTimestamp'])) || 0,
    annotations: annotationsOf(metadata),
    finalizers: texts(metadata['finalizers']),
    ...toSpec(record(rawSpec)),
    ingress: list(record(status['loadBalancer'])['ingress']).map(toIngress),
    conditions: list(status['conditions']).flatMap(toCondition),
  };
}

type Meta = Pick<Service, 'name' | 'uid' | 'resourceVersion' | 'deleting' | 'labels'>;

function toMeta(metadata: Raw): Meta | undefined {
  const name = text(metadata['name']);
  const resourceVersion = text(metadata['resourceVersion']);
  if (name === '' || resourceVersion === '') return undefined;
  return {
    name,
    uid: text(metadata['uid']),
    resourceVersion,
    deleting: text(metadata['deletionTimestamp']) !== '',
    labels: textMap(metadata['labels']),
  };
}

function annotationsOf(metadata: Raw): Record<string, string> {
  const annotations = textMap(metadata['annotations']);
  delete annotations[LAST_APPLIED];
  return annotations;
}

type Spec = Omit<
  Service,
  keyof Meta | 'namespace' | 'createdAtMs' | 'annotations' | 'finalizers' | 'ingress' | 'conditions'
>;

function toSpec(spec: Raw): Spec {
  const clientIP = record(record(spec['sessionAffinityConfig'])['clientIP']);
  return {
    type: oneOf(spec['type'], ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'], 'ClusterIP'),
    ...optionalText('loadBalancerClass', spec['loadBalancerClass']),
    // An empty loadBalancerIP is what some tools write for none.
    ...(spec['loadBalancerIP'] === '' ? {} : optionalText('loadBalancerIP', spec['loadBalancerIP'])),
    loadBalancerSourceRanges: texts(spec['loadBalancerSourceRanges']),
    allocateLoadBalancerNodePorts: spec['allocateLoadBalancerNodePorts'] !== false,
    ports: list(spec['ports']).flatMap(toPort),
    selector: textMap(spec['selector']),
    clusterIPs: texts(spec['clusterIPs']),
    externalIPs: texts(spec['externalIPs']),
    externalTrafficPolicy: oneOf(spec['externalTrafficPolicy'], ['Cluster', 'Local'], 'Cluster'),
    healthCheckNodePort: count(spec['healthCheckNodePort']),
    sessionAffinity: oneOf(spec['sessionAffinity'], ['None', 'ClientIP'], 'None'),
    sessionAffinityTimeoutSeconds: count(clientIP['timeoutSeconds'], DEFAULT_AFFINITY_SECONDS),
    ipFamilies: texts(spec['ipFamilies']).filter((family) => family === 'IPv4' || family === 'IPv6'),
    ipFamilyPolicy: oneOf(
      spec['ipFamilyPolicy'],
      ['SingleStack', 'PreferDualStack', 'RequireDualStack'],
      'SingleStack',
    ),
  };
}

function toPort(value: unknown): ServicePort[] {
  const raw = record(value);
  const port = count(raw['port']);
  if (port < 1 || port > 65_535) return [];
  const target = raw['targetPort'];
  return [
    {
      ...optionalText('name', raw['name']),
      protocol: oneOf(raw['protocol'], PROTOCOLS, 'TCP'),
      port,
      targetPort: typeof target === 'string' ? target : count(target, port),
      nodePort: count(raw['nodePort']),
      ...optionalText('appProtocol', raw['appProtocol']),
    },
  ];
}

function toIngress(value: unknown): Ingress {
  const raw = record(value);
  const mode = raw['ipMode'];
  const ports = list(raw['ports']).map(toPortStatus);
  return {
    ...optionalText('ip', raw['ip']),
    ...optionalText('hostname', raw['hostname']),
    ...(mode === 'VIP' || mode === 'Proxy' ? { ipMode: mode } : {}),
    ...(ports.length > 0 ? { ports } : {}),
  };
}

function toPortStatus(value: unknown): PortStatus {
  const raw = record(value);
  return {
    port: count(raw['port']),
    protocol: oneOf(raw['protocol'], PROTOCOLS, 'TCP'),
    ...optionalText('error', raw['error']),
  };
}

function toCondition(value: unknown): Condition[] {
  const raw = record(value);
  const type = text(raw['type']);
  if (type === '') return [];
  const generation = raw['observedGeneration'];
  return [
    {
      type,
      status: oneOf(raw['status'], STATUSES, 'Unknown'),
      reason: text(raw['reason']),
      message: text(raw['message']),
      lastTransitionTime: text(raw['lastTransitionTime']),
      ...(typeof generation === 'number' ? { observedGeneration: generation } : {}),
    },
  ];
}

/**
 * A core/v1 Node as the model has it; `undefined` if it has no name or resourceVersion. Addresses that are host names
 * or no addresses at all are left out.
 */
export function toNode(raw: unknown): Node | undefined {
  const { metadata, spec: rawSpec, status: rawStatus } = record(raw);
  const meta = toMeta(record(metadata));
  if (meta === undefined) return undefined;
  const spec = record(rawSpec);
  const status = record(rawStatus);
  return {
    ...meta,
    taints: list(spec['taints']).flatMap(toTaint),
    providerID: text(spec['providerID']),
    addresses: list(status['addresses']).flatMap(toNodeAddress),
    ready: conditionStatus(status, 'Ready'),
    networkUnavailable: conditionStatus(status, 'NetworkUnavailable') === 'True',
  };
}

function toTaint(value: unknown): Taint[] {
  const raw = record(value);
  const key = text(raw['key']);
  return key === '' ? [] : [{ key, ...optionalText('value', raw['value']), effect: text(raw['effect']) }];
}

function toNodeAddress(value: unknown): NodeAddress[] {
  const raw = record(value);
  const type = raw['type'];
  const address = parseIp(text(raw['address']));
  return address !== undefined && (type === 'InternalIP' || type === 'ExternalIP') ? [{ type, address }] : [];
}

function conditionStatus(status: Raw, type: string): 'True' | 'False' | 'Unknown' {
  const condition = list(status['conditions'])
    .map(record)
    .find((entry) => entry['type'] === type);
  return oneOf(condition?.['status'], STATUSES, 'Unknown');
}

/**
 * Any object as it came, without `managedFields` and the manifest copy: for custom resources that a provider declares
 * a watch on. `undefined` if it has no name or resourceVersion.
 */
export function toPlainObject(raw: unknown): Raw | undefined {
  const object = record(raw);
  const metadata = record(object['metadata']);
  if (toMeta(metadata) === undefined) return undefined;
  const { managedFields: _, ...kept } = metadata;
  return { ...object, metadata: { ...kept, annotations: annotationsOf(metadata) } };
}
