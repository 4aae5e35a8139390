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
import {
  type Advertisement,
  advertisementsOf,
  type MetalPool,
  type ObjectProblem,
  PATHS,
  poolsOf,
  toObject,
  type KubeObject,
} from '../objects.ts';
import { toL2Status, type L2Status } from './l2-status.ts';
import { Remembered } from './remembered.ts';
import { viewOf, ViewMemory, type GroupView } from './view.ts';

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
  readonly #view = new Remembered<ReadonlyMap<string, GroupView>>();
  readonly #memory = new ViewMemory();
  readonly #readPools = new Remembered<readonly MetalPool[]>();
  readonly #readAdvertisements = new Remembered<readonly Advertisement[]>();
  /** By the object that it was read from. */
  readonly #readStatuses = new WeakMap<object, L2Status | undefined>();

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
    return this.#statuses.list().flatMap((raw) => this.#statusIn(raw as object) ?? []);
  }

  /** Takes the answer to a write of a ServiceL2Status. */
  wrote(raw: unknown): void {
    this.#statuses.put(raw);
  }

  /** The groups of addresses, as they are now; the same object as before when nothing that matters to them changed. */
  view(facts: (node: NodeName) => Facts | undefined): ReadonlyMap<string, GroupView> {
    return this.#view.of('', this.#sources(facts), () => this.#makeView(facts));
  }

  #statusIn(raw: object): L2Status | undefined {
    if (!this.#readStatuses.has(raw)) this.#readStatuses.set(raw, toL2Status(raw));
    return this.#readStatuses.get(raw);
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
    this.#endpoints ??= endpointsByService(this.#slices.list());
    const endpoints = this.#endpoints;
    const sources = {
      services: this.services,
      nodes: this.nodes,
      endpoints: (key: ServiceKey) => endpoints.get(key) ?? [],
      pools: this.#poolsNow(),
      advertisements: this.#advertisementsNow(),
      statuses: this.statuses,
      facts,
      classes,
      ignoreExcludeLabel,
      failback: config.failback,
      conflictProbe: config.conflictProbe,
    };
    return viewOf(sources, this.#memory);
  }

  #poolsNow(): readonly MetalPool[] {
    const { config } = this.#settings;
    const list = this.#pools.list();
    return this.#readPools.of('', list, () => {
      // Which namespaces a pool is for was the allocation's business.
      const sources = { config, objects: this.#objectsIn(list), namespaces: new Map() };
      const { pools, problems } = poolsOf(sources);
      this.#tell(problems);
      return pools;
    });
  }

  #advertisementsNow(): readonly Advertisement[] {
    const list = this.#advertisements.list();
    return this.#readAdvertisements.of('', list, () => {
      const { advertisements, problems } = advertisementsOf(this.#settings.config, this.#objectsIn(list));
      this.#tell(problems);
      return advertisements;
    });
  }

  /** In our namespace, when we have one. */
  #objectsIn(list: readonly unknown[]): readonly KubeObject[] {
    const { namespace } = this.#settings.config;
    return list.map(toObject).filter((object) => namespace === undefined || object.namespace === namespace);
  }

  #lists(): readonly LiveList<unknown>[] {
    return [this.#services, this.#nodes, this.#slices, this.#pools, this.#advertisements, this.#statuses];
  }

  /** Each problem is said once. */
  #tell(problems: readonly ObjectProblem[]): void {
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
