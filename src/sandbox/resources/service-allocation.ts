/** Cluster IPs, IP families, node ports and health check ports of Services. */
import { keyOf, type ServiceObject } from '../machinery/objects.ts';
import { FieldErrors, invalid } from '../machinery/status.ts';
import { validateClusterIpFields } from './cluster-ip-fields.ts';
import {
  type ClusterIps,
  clusterIps,
  familyOf,
  internalError,
  NODE_PORTS,
  nodePortPool,
  type Pool,
} from './allocation.ts';
import {
  allocatesNodePorts,
  clusterIpsOf,
  isHeadless,
  needsHealthCheckPort,
  needsNodePorts,
  nodePortsOf,
} from './service-kinds.ts';

const TYPE = { group: '', plural: 'services', kind: 'Service' };
const OTHER: Readonly<Record<string, string>> = { IPv4: 'IPv6', IPv6: 'IPv4' };
const RANGE = `The range of valid ports is ${NODE_PORTS.first}-${NODE_PORTS.last}`;

const TAKEN = 'provided port is already allocated';

/** The pools of one sandbox. */
export class ServiceAllocations {
  readonly #ranges: readonly ClusterIps[];
  readonly #nodePorts: Pool<number>;

  constructor(options: { serviceCidrs: readonly string[]; random: () => number }) {
    this.#ranges = options.serviceCidrs.map(clusterIps);
    this.#nodePorts = nodePortPool(options.random);
  }

  /**
   * Gives the Service what it needs and lacks, and checks what it asks for.
   *
   * @throws ApiError 422 naming the field when something asked for is taken, out of range or of a family without a range
   */
  choose(next: ServiceObject, previous: ServiceObject | undefined): void {
    normalizeClusterIps(next, previous);
    if (next.spec.type !== 'ExternalName') {
      this.#chooseFamilies(next, previous);
      this.#chooseClusterIps(next, previous);
    }
    // Asked-for ports count as chosen from the start, so that an earlier port is not given a later one's number.
    const chosen = new Set((next.spec.ports ?? []).flatMap(({ nodePort }) => nodePort ?? []));
    if (needsNodePorts(next)) this.#chooseNodePorts(next, previous, chosen);
    if (needsHealthCheckPort(next)) this.#chooseHealthCheckPort(next, previous, chosen);
  }

  /** Writes down who has what, after the Service was stored or removed. */
  record(next: ServiceObject | undefined, previous: ServiceObject | undefined): void {
    const owner = next ?? previous;
    if (owner === undefined) return;
    const key = keyOf(owner);
    const of = <T>(read: (service: ServiceObject) => T[], service: ServiceObject | undefined): T[] =>
      service ? read(service) : [];
    this.#nodePorts.record(key, of(nodePortsOf, next), of(nodePortsOf, previous));
    for (const { family, pool } of this.#ranges) {
      const inFamily = (service: ServiceObject): string[] =>
        clusterIpsOf(service).filter((address) => familyOf(address) === family);
      pool.record(key, of(inFamily, next), of(inFamily, previous));
    }
  }

  #chooseFamilies(service: ServiceObject, previous: ServiceObject | undefined): void {
    const { spec, metadata } = service;
    const errors = new FieldErrors();
    validateClusterIpFields(service, errors);
    errors.throwIfAny(TYPE, metadata.name);
    const headlessWithoutSelector = spec.clusterIP === 'None' && spec.selector === undefined;
    spec.ipFamilyPolicy ??=
      previous?.spec.ipFamilyPolicy ?? (headlessWithoutSelector ? 'RequireDualStack' : 'SingleStack');
    if (previous && spec.ipFamilyPolicy === 'SingleStack') releaseSecond(spec, previous.spec);
    const several = (spec.clusterIPs?.length ?? 0) > 1 || (spec.ipFamilies?.length ?? 0) > 1;
    if (spec.ipFamilyPolicy === 'SingleStack' && several) {
      const why = "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified";
      errors.invalid('spec.ipFamilyPolicy', spec.ipFamilyPolicy, why);
    }
    const families = spec.ipFamilies ?? (spec.clusterIPs ?? []).flatMap((address) => familyOf(address) ?? []);
    if (families.length === 0) families.push(this.#ranges[0]?.family ?? 'IPv4');
    if (headlessWithoutSelector) {
      if (families.length < 2 && spec.ipFamilyPolicy !== 'SingleStack') {
        families.push(OTHER[families[0] ?? ''] ?? 'IPv6');
      }
    } else this.#checkFamilies(spec.ipFamilyPolicy, families, errors);
    errors.throwIfAny(TYPE, metadata.name);
    spec.ipFamilies = families;
  }

  #checkFamilies(policy: string, families: string[], errors: FieldErrors): void {
    const configured = this.#ranges.map(({ family }) => family as string);
    if (policy === 'RequireDualStack' && configured.length < 2) {
      errors.invalid('spec.ipFamilyPolicy', policy, 'this cluster is not configured for dual-stack services');
    }
    for (const [index, family] of families.entries()) {
      if (configured.includes(family)) continue;
      errors.invalid(`spec.ipFamilies[${index}]`, family, 'not configured on this cluster');
    }
    const other = OTHER[families[0] ?? ''];
    if (
      policy !== 'SingleStack' &&
      families.length === 1 &&
      other !== undefined &&
      configured.includes(other)
    ) {
      families.push(other);
    }
  }

  #chooseClusterIps(next: ServiceObject, previous: ServiceObject | undefined): void {
    const { spec } = next;
    if (isHeadless(next) || (previous && isHeadless(previous))) return;
    const addresses = [...(spec.clusterIPs ?? [])];
    for (const [index, family] of (spec.ipFamilies ?? []).entries()) {
      const range = this.#ranges.find((each) => each.family === family);
      const wanted = addresses[index];
      if (range === undefined) continue;
      if (wanted === undefined) addresses[index] = range.pool.next(new Set()) ?? exhausted('a serviceIP');
      else checkAddress(next, { wanted, range });
    }
    spec.clusterIPs = addresses;
    spec.clusterIP = addresses[0] ?? '';
  }

  /** On creation, ports of one number share a node port across protocols, as with kubectl's DNS Services. */
  #chooseNodePorts(next: ServiceObject, previous: ServiceObject | undefined, chosen: Set<number>): void {
    const ports = next.spec.ports ?? [];
    const byPort = new Map<number, number>();
    for (const { port, nodePort } of ports) {
      if (nodePort !== undefined && !byPort.has(port)) byPort.set(port, nodePort);
    }
    for (const [index, port] of ports.entries()) {
      if (port.nodePort === undefined && allocatesNodePorts(next)) {
        const shared = previous === undefined ? byPort.get(port.port) : undefined;
        port.nodePort = shared ?? this.#nodePorts.next(chosen) ?? exhausted('a nodePort');
        byPort.set(port.port, port.nodePort);
      } else if (port.nodePort !== undefined) {
        const { nodePort } = port;
        const rival = previous ? undefined : ports.slice(0, index).find((each) => each.nodePort === nodePort);
        const taken = rival !== undefined && rival.port !== port.port;
        this.#checkNodePort(next, { field: `spec.ports[${index}].nodePort`, nodePort, taken });
      }
      if (port.nodePort !== undefined) chosen.add(port.nodePort);
    }
  }

  #checkNodePort(service: ServiceObject, asked: { field: string; nodePort: number; taken: boolean }): void {
    const problem = asked.taken ? TAKEN : this.#nodePortProblem(service, asked.nodePort);
    if (problem === undefined) return;
    const errors = new FieldErrors();
    errors.invalid(asked.field, asked.nodePort, problem);
    throw invalid(TYPE, service.metadata.name, errors.causes);
  }

  #nodePortProblem(service: ServiceObject, port: number): string | undefined {
    if (port < NODE_PORTS.first || port > NODE_PORTS.last)
      return `provided port is not in the valid range. ${RANGE}`;
    return this.#nodePorts.isFree(port, keyOf(service)) ? undefined : TAKEN;
  }

  /** A health check port that cannot be had is an internal error: so the API server answers. */
  #chooseHealthCheckPort(
    next: ServiceObject,
    previous: ServiceObject | undefined,
    chosen: Set<number>,
  ): void {
    const asked = next.spec.healthCheckNodePort;
    if (asked === undefined) {
      next.spec.healthCheckNodePort = this.#nodePorts.next(chosen) ?? exhausted('a HealthCheck NodePort');
      return;
    }
    if (asked === previous?.spec.healthCheckNodePort) return;
    const problem = chosen.has(asked) ? TAKEN : this.#nodePortProblem(next, asked);
    if (problem !== undefined) {
      throw internalError(`failed to allocate requested HealthCheck NodePort ${asked}: ${problem}`);
    }
  }
}

function exhausted(what: string): never {
  throw internalError(`failed to allocate ${what}: range is full`);
}

/** `clusterIP` and `clusterIPs` say the same; a client that knows only the first one is understood. */
function normalizeClusterIps({ spec }: ServiceObject, previous: ServiceObject | undefined): void {
  if (previous === undefined) {
    if (spec.clusterIP !== undefined && spec.clusterIPs === undefined) spec.clusterIPs = [spec.clusterIP];
    return;
  }
  const before = previous.spec;
  if (spec.clusterIP === before.clusterIP) return;
  if (JSON.stringify(spec.clusterIPs) !== JSON.stringify(before.clusterIPs)) return;
  if (spec.clusterIP === undefined) delete spec.clusterIPs;
  else spec.clusterIPs = [spec.clusterIP, ...(spec.clusterIPs ?? []).slice(1)];
}

/** Setting the policy to SingleStack is enough to let go of the second address and family. */
function releaseSecond(spec: ServiceObject['spec'], before: ServiceObject['spec']): void {
  if (spec.clusterIPs && JSON.stringify(spec.clusterIPs) === JSON.stringify(before.clusterIPs)) {
    spec.clusterIPs = spec.clusterIPs.slice(0, 1);
  }
  if (spec.ipFamilies && JSON.stringify(spec.ipFamilies) === JSON.stringify(before.ipFamilies)) {
    spec.ipFamilies = spec.ipFamilies.slice(0, 1);
  }
}

function checkAddress(service: ServiceObject, asked: { wanted: string; range: ClusterIps }): void {
  const { wanted, range } = asked;
  const errors = new FieldErrors();
  const field = 'spec.clusterIPs';
  if (!range.contains(wanted)) {
    errors.invalid(
      field,
      [wanted],
      `failed to allocate IP ${wanted}: the provided IP is not in the valid range`,
    );
  } else if (!range.pool.isFree(wanted, keyOf(service))) {
    errors.invalid(field, [wanted], `failed to allocate IP ${wanted}: provided IP is already allocated`);
  }
  errors.throwIfAny(TYPE, service.metadata.name);
}
