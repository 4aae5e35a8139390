/** What a speaker reads of the API server: live copies of six resources, and the view made of them. */
import {
  parseIp,
  type ClusterApi,
  type Endpoint,
  type EndpointSlice,
  type IpAddress,
  type IpFamily,
  familyOf,
  keyOf,
  type LiveList,
  type Log,
  type Node,
  type Service,
  type ServiceKey,
} from '@berth/core';
import type { MetalConfig } from '../config.ts';
import type { Facts } from '../election/payload.ts';
import type { NodeName } from '../election/types.ts';
import { advertisementsOf, PATHS, poolsOf, toObject, type KubeObject } from '../objects.ts';
import { toL2Status, type L2Status } from './l2-status.ts';
import { viewOf, type GroupView } from './view.ts';

/** Settings of the view. */
export interface ClusterSettings {
  readonly config: MetalConfig;
  readonly classes: readonly string[];
  readonly ignoreExcludeLabel: boolean;
  readonly log: Log;
}

/** The lists that a speaker watches. */
export class ClusterWatch {
  readonly #settings: ClusterSettings;
  readonly #services: LiveList<Service>;
  readonly #nodes: LiveList<Node>;
  readonly #slices: LiveList<EndpointSlice>;
  readonly #pools: LiveList<unknown>;
  readonly #advertisements: LiveList<unknown>;
  readonly #statuses: LiveList<unknown>;
  readonly #told = new Set<string>();
  #endpoints: ReadonlyMap<ServiceKey, readonly Endpoint[]> | undefined;
  /** The last view and what it was made of. */
  #made: { readonly of: readonly unknown[]; readonly view: ReadonlyMap<string, GroupView> } | undefined;

  /** Begins to watch; `onChange` is called after every change. */
  constructor(api: ClusterApi, settings: ClusterSettings, onChange: () => void) {
    this.#settings = settings;
    this.#services = api.services(onChange);
    this.#nodes = api.nodes(onChange);
    this.#slices = api.endpointSlices(() => {
      this.#endpoints = undefined;
      onChange();
    });
    this.#pools = api.objects(PATHS.pools, onChange);
    this.#advertisements = api.objects(PATHS.advertisements, onChange);
    this.#statuses = api.objects(PATHS.statuses, onChange);
  }

  /** Resolves when everything has been read once. */
  async synced(): Promise<void> {
    await Promise.all(this.#lists().map(({ synced }) => synced));
  }

  /** Whether all watches stand. */
  get isConnected(): boolean {
    return this.#lists().every(({ isConnected }) => isConnected);
  }

  get services(): readonly Service[] {
    return this.#services.list();
  }

  get nodes(): readonly Node[] {
    return this.#nodes.list();
  }

  get statuses(): readonly L2Status[] {
    return this.#statuses.list().flatMap((raw) => toL2Status(raw) ?? []);
  }

  /** Takes the answer to a write of a ServiceL2Status. */
  wrote(raw: unknown): void {
    this.#statuses.put(raw);
  }

  /** The groups of addresses, as they are now; the same object as before when nothing that matters to them changed. */
  view(facts: (node: NodeName) => Facts | undefined): ReadonlyMap<string, GroupView> {
    const of = this.#sources(facts);
    const made = this.#made;
    if (made !== undefined && made.of.length === of.length && of.every((one, at) => one === made.of[at]))
      return made.view;
    const view = this.#makeView(facts);
    this.#made = { of, view };
    return view;
  }

  /** Everything that the view depends on, by identity. Most changes of a Service come before it has an address. */
  #sources(facts: (node: NodeName) => Facts | undefined): readonly unknown[] {
    const services = this.services.filter(({ ingress }) => ingress.length > 0);
    const addressed = new Set(services.map(keyOf));
    const slices = this.#slices.list().filter(({ service }) => addressed.has(service));
    const { nodes } = this;
    const others = [nodes, this.#pools.list(), this.#advertisements.list(), this.#statuses.list()];
    const known = nodes.map(({ name }) => facts(name));
    // Lengths, too, so that nothing that leaves one list passes for what comes into the next.
    return [services, slices, ...others, known].flatMap((list) => [list.length, ...list]);
  }

  #makeView(facts: (node: NodeName) => Facts | undefined): ReadonlyMap<string, GroupView> {
    const { config, classes, ignoreExcludeLabel } = this.#settings;
    const ours = ({ namespace }: KubeObject): boolean =>
      config.namespace === undefined || namespace === config.namespace;
    // Which namespaces a pool is for was the allocation's business.
    const objects = this.#pools.list().map(toObject).filter(ours);
    const pools = poolsOf({ config, objects, namespaces: new Map() });
    const advertised = advertisementsOf(config, this.#advertisements.list().map(toObject).filter(ours));
    this.#tell([...pools.problems, ...advertised.problems]);
    this.#endpoints ??= endpointsByService(this.#slices.list());
    const endpoints = this.#endpoints;
    return viewOf({
      services: this.services,
      nodes: this.nodes,
      endpoints: (key) => endpoints.get(key) ?? [],
      pools: pools.pools,
      advertisements: advertised.advertisements,
      statuses: this.statuses,
      facts,
      classes,
      ignoreExcludeLabel,
      failback: config.failback,
      conflictProbe: config.conflictProbe,
    });
  }

  #lists(): readonly LiveList<unknown>[] {
    return [this.#services, this.#nodes, this.#slices, this.#pools, this.#advertisements, this.#statuses];
  }

  /** Each problem is said once. */
  #tell(problems: readonly { readonly object: string; readonly message: string }[]): void {
    for (const { object, message } of problems) {
      const text = `${object}: ${message}`;
      if (this.#told.has(text)) continue;
      this.#told.add(text);
      this.#settings.log.error({ object }, `left out: ${message}`);
    }
  }
}

function endpointsByService(slices: readonly EndpointSlice[]): ReadonlyMap<ServiceKey, readonly Endpoint[]> {
  const found = new Map<ServiceKey, Endpoint[]>();
  for (const { service, endpoints } of slices) {
    const list = found.get(service);
    if (list === undefined) found.set(service, [...endpoints]);
    else list.push(...endpoints);
  }
  return found;
}

/** The InternalIP of a Node; of the given family when one is given, else the first. */
export function internalIp(node: Node, family?: IpFamily): IpAddress | undefined {
  return node.addresses
    .filter(({ type }) => type === 'InternalIP')
    .map(({ address }) => parseIp(address))
    .find((address) => address !== undefined && (family === undefined || familyOf(address) === family));
}
