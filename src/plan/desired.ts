import { parseCidr, type Cidr, type IpAddress, type IpFamily } from '../model/address.ts';
import type { Capabilities } from '../model/capabilities.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { InvalidSpec, Unsupported } from '../model/errors.ts';
import type { HealthCheck, LoadBalancer, LoadBalancerPort, Target } from '../model/load-balancer.ts';
import { ANNOTATION_SOURCE_RANGES } from '../model/names.ts';
import { note, REASONS, type Note } from '../model/reasons.ts';
import { keyOf, portText, type PortStatus, type Service, type ServicePort } from '../model/service.ts';
import type { SettingsTable } from '../model/settings.ts';
import { familiesOf, requestedAddresses, sharingNotes } from './addresses.ts';
import { parseSettings, settingNotes } from './settings.ts';
import { compareText } from './step.ts';

/** What the planner has to know of the provider that serves a Service. */
export interface ProviderTraits {
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly settings: SettingsTable;
  /** What traffic goes to, where a setting decides it; else the capability. */
  readonly targetsOf?: (settings: Readonly<Record<string, unknown>>) => Capabilities['targets'];
  readonly prefixes?: readonly string[];
  readonly nodeLabelsOf?: (settings: Readonly<Record<string, unknown>>) => Readonly<Record<string, string>>;
  readonly check?: (desired: LoadBalancer) => readonly Note[];
}

/** What a Service is turned into its desired load balancer with. */
export interface DesiredContext {
  readonly traits: ProviderTraits;
  /** Eligible nodes, sorted by name (`targetsOf`). */
  readonly targets: readonly Target[];
  /** Labels of a node; needed where a setting selects nodes. */
  readonly labelsOf?: (node: string) => Readonly<Record<string, string>>;
  /** Backends of the Service; needed where traffic goes to pods. */
  readonly endpoints?: readonly Endpoint[];
  /** What address assignment gave; `undefined` when the provider has no pools and the request is passed on. */
  readonly assigned: readonly IpAddress[] | undefined;
}

/** The desired load balancer and what was left out of it. */
export interface Desired {
  readonly loadBalancer: LoadBalancer;
  /** Ports that are not served, for the per-port errors of the status. */
  readonly portErrors: readonly Required<PortStatus>[];
  readonly notes: readonly Note[];
}

/**
 * Turns a Service into the load balancer that it asks for. Pure and total: the same input gives the same value, and
 * everything that is left out has a note.
 *
 * @throws InvalidSpec for what is wrong in the Service, naming field, value and remedy.
 * @throws Unsupported for what the provider cannot do and the core cannot leave out.
 */
export function desired(service: Service, context: DesiredContext): Desired {
  const { capabilities, name, settings } = context.traits;
  const parsed = parseSettings(name, settings, service.annotations);
  const kind = targetKind(context.traits, parsed);
  const { ports, portErrors, notes } = servedPorts(service, capabilities, kind);
  const addresses = requestedAddresses(service, capabilities);
  requireClusterIP(service, kind);
  const affinity = affinityOf(service, capabilities);
  const loadBalancer: LoadBalancer = {
    key: keyOf(service),
    namespace: service.namespace,
    name: service.name,
    uid: service.uid,
    loadBalancerClass: service.loadBalancerClass ?? '',
    families: familiesOf(service, capabilities),
    addresses: context.assigned ?? addresses.requested,
    ports,
    sourceRanges: sourceRangesOf(service, capabilities),
    externalTrafficPolicy: service.externalTrafficPolicy,
    healthCheck: healthCheckOf(service, capabilities),
    clientIPAffinitySeconds: affinity.seconds,
    targets: kind === 'nodePort' ? selectedTargets(context, parsed) : [],
    endpoints: kind === 'podIP' ? sortedEndpoints(context.endpoints ?? []) : [],
    settings: parsed,
  };
  return {
    loadBalancer,
    portErrors,
    notes: [
      ...notes,
      ...addresses.notes,
      ...sharingNotes(service, capabilities),
      ...affinity.notes,
      ...targetNotes(loadBalancer, kind),
      ...settingNotes(context.traits, service.annotations),
      ...(context.traits.check?.(loadBalancer) ?? []),
    ],
  };
}

/**
 * What the traffic of a Service goes to.
 *
 * @throws InvalidSpec as `parseSettings` does.
 */
export function targetKindOf(service: Service, traits: ProviderTraits): Capabilities['targets'] {
  if (traits.targetsOf === undefined) return traits.capabilities.targets;
  return targetKind(traits, parseSettings(traits.name, traits.settings, service.annotations));
}

/** Ports of the Service that need a node port and have none, as people write them. Throws as `targetKindOf` does. */
export function portsWithoutNodePort(service: Service, traits: ProviderTraits): readonly string[] {
  if (targetKindOf(service, traits) !== 'nodePort') return [];
  return service.ports.filter(({ nodePort }) => nodePort === 0).map(portText);
}

const EVERYBODY: Readonly<Record<IpFamily, Cidr>> = { IPv4: '0.0.0.0/0' as Cidr, IPv6: '::/0' as Cidr };

/**
 * Who may connect: the field wins over Kubernetes' own annotation; spaces around entries are ignored; none (or
 * ranges that cover every address of the Service's families) means everybody.
 *
 * @throws InvalidSpec `InvalidSourceRange` naming the entry.
 * @throws Unsupported `SourceRangesUnsupported` rather than opening to everybody what should be limited.
 */
export function sourceRangesOf(service: Service, capabilities: Capabilities): readonly Cidr[] {
  const inField = service.loadBalancerSourceRanges.length > 0;
  const subject = inField ? 'spec.loadBalancerSourceRanges' : `annotation ${ANNOTATION_SOURCE_RANGES}`;
  const entries = inField
    ? service.loadBalancerSourceRanges
    : (service.annotations[ANNOTATION_SOURCE_RANGES] ?? '').split(',').filter((entry) => entry.trim() !== '');
  const ranges = entries.map((entry) => {
    const cidr = parseCidr(entry);
    if (cidr !== undefined) return cidr;
    throw new InvalidSpec('InvalidSourceRange', {
      message: `${subject} has the entry ${JSON.stringify(entry.trim())}, which is not a CIDR`,
      remedy: REASONS.InvalidSourceRange.remedy,
    });
  });
  const everybody = familiesOf(service, capabilities).every((family) => ranges.includes(EVERYBODY[family]));
  if (everybody) return [];
  const limits = [...new Set(ranges)].toSorted(compareText);
  if (limits.length > 0 && !capabilities.sourceRanges) {
    throw new Unsupported('SourceRangesUnsupported', {
      message: `${subject} limits clients to ${limits.join(', ')}, which the provider cannot do`,
      remedy: REASONS.SourceRangesUnsupported.remedy,
    });
  }
  return limits;
}

interface ServedPorts {
  readonly ports: readonly LoadBalancerPort[];
  readonly portErrors: readonly Required<PortStatus>[];
  readonly notes: readonly Note[];
}

function targetKind(
  { capabilities, targetsOf }: ProviderTraits,
  settings: Readonly<Record<string, unknown>>,
): Capabilities['targets'] {
  return targetsOf?.(settings) ?? capabilities.targets;
}

/** The nodes with the labels that a setting asks for; all of them where none does. */
function selectedTargets(
  { traits, targets, labelsOf = () => ({}) }: DesiredContext,
  settings: Readonly<Record<string, unknown>>,
): readonly Target[] {
  const wanted = Object.entries(traits.nodeLabelsOf?.(settings) ?? {});
  if (wanted.length === 0) return targets;
  const has = (labels: Readonly<Record<string, string>>, [name, value]: readonly [string, string]): boolean =>
    labels[name] !== undefined && (value === '' || labels[name] === value);
  return targets.filter(({ node }) => wanted.every((label) => has(labelsOf(node), label)));
}

function sortedEndpoints(endpoints: readonly Endpoint[]): readonly Endpoint[] {
  return endpoints.toSorted((a, b) => compareText(a.address, b.address));
}

function servedPorts(
  service: Service,
  capabilities: Capabilities,
  kind: Capabilities['targets'],
): ServedPorts {
  if (service.ports.length === 0) {
    throw new InvalidSpec('NoPorts', { message: 'spec.ports is empty', remedy: REASONS.NoPorts.remedy });
  }
  const first = service.ports.find(({ protocol }) => capabilities.protocols.includes(protocol));
  const refusal = (port: ServicePort): 'ProtocolUnsupported' | 'MixedProtocolNotSupported' | undefined => {
    if (!capabilities.protocols.includes(port.protocol)) return 'ProtocolUnsupported';
    const mixed = port.protocol !== first?.protocol && !capabilities.mixedProtocols;
    return mixed ? 'MixedProtocolNotSupported' : undefined;
  };
  if (first === undefined) {
    throw new Unsupported('ProtocolUnsupported', {
      message: `spec.ports has ${service.ports.map(portText).join(', ')}, the provider serves ${capabilities.protocols.join(' and ')}`,
      remedy: REASONS.ProtocolUnsupported.remedy,
    });
  }
  const served = service.ports.filter((port) => refusal(port) === undefined);
  requireNodePorts(served, kind);
  const refused = service.ports.flatMap((port) => {
    const code = refusal(port);
    return code === undefined ? [] : [{ port, code }];
  });
  return {
    ports: served
      .map(balancedPort)
      .toSorted((a, b) => a.port - b.port || compareText(a.protocol, b.protocol)),
    portErrors: refused.map(({ port, code }) => ({ port: port.port, protocol: port.protocol, error: code })),
    notes: refused.map(({ port, code }) =>
      note(
        code,
        `spec.ports ${portText(port)}`,
        `port ${portText(port)} is left out: ${REASONS[code].meaning}`,
      ),
    ),
  };
}

/** Nodes that take the traffic themselves forward it to the ClusterIP. */
function requireClusterIP(service: Service, kind: Capabilities['targets']): void {
  if (kind !== 'none' || service.clusterIPs.some((ip) => ip !== '' && ip !== 'None')) return;
  throw new InvalidSpec('NoClusterIP', {
    message: `spec.clusterIP is ${service.clusterIPs[0] ?? 'empty'}`,
    remedy: REASONS.NoClusterIP.remedy,
  });
}

function requireNodePorts(ports: readonly ServicePort[], kind: Capabilities['targets']): void {
  const missing = ports.filter(({ nodePort }) => nodePort === 0);
  if (kind !== 'nodePort' || missing.length === 0) return;
  throw new InvalidSpec('NodePortMissing', {
    message: `spec.ports has no node port for ${missing.map(portText).join(', ')}`,
    remedy: REASONS.NodePortMissing.remedy,
  });
}

function balancedPort(port: ServicePort): LoadBalancerPort {
  return {
    ...(port.name === undefined ? {} : { name: port.name }),
    protocol: port.protocol,
    port: port.port,
    nodePort: port.nodePort,
    targetPort: port.targetPort,
    ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
  };
}

/**
 * How targets are probed. With policy Local the API server gives the Service a health check node port, on which
 * kube-proxy answers `/healthz` with 200 only where there is a local endpoint; port 0 means that there is none.
 */
export function healthCheckOf(service: Service, capabilities: Capabilities): HealthCheck {
  const local = service.externalTrafficPolicy === 'Local' && service.type === 'LoadBalancer';
  if (!local || service.healthCheckNodePort === 0 || !capabilities.healthCheck) return { kind: 'default' };
  return { kind: 'http', port: service.healthCheckNodePort, path: '/healthz' };
}

function affinityOf(
  service: Service,
  capabilities: Capabilities,
): { seconds: number; notes: readonly Note[] } {
  if (service.sessionAffinity === 'None') return { seconds: 0, notes: [] };
  if (capabilities.sessionAffinity) return { seconds: service.sessionAffinityTimeoutSeconds, notes: [] };
  const message = 'spec.sessionAffinity is ClientIP, which the provider does not offer';
  return { seconds: 0, notes: [note('SessionAffinityIgnored', 'spec.sessionAffinity', message)] };
}

function targetNotes(loadBalancer: LoadBalancer, kind: Capabilities['targets']): readonly Note[] {
  if (kind !== 'nodePort' || loadBalancer.targets.length > 0) return [];
  return [note('UnAvailableLoadBalancer', 'nodes', 'There are no available nodes for LoadBalancer')];
}
