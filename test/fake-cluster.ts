/**
 * A cluster in memory for tests of the controller: an API server's rules (optimistic concurrency, finalizers, node
 * ports), a cache that follows it, and a record of everything that the controller asked for. The patches are those of
 * `src/kube`, so that what is asserted here is what is sent there.
 */
import type { CacheEvent, Cluster, Recorder, ServiceWrites } from '../src/controller/ports.ts';
import { ApiError } from '../src/kube/errors.ts';
import { addFinalizer, allocateNodePorts, patchStatus, removeFinalizer } from '../src/kube/services.ts';
import type { Endpoint } from '../src/model/endpoint.ts';
import type { Node } from '../src/model/node.ts';
import { keyOf, type Condition, type Ingress, type Service, type ServiceKey } from '../src/model/service.ts';
import type { Clock } from '../src/provider/spi.ts';
import { aNode, aService } from './builders.ts';

/** The writes that the controller can make. */
export type WriteName = keyof ServiceWrites;

/** One patch as it was sent, also when it was refused. */
export interface RecordedPatch {
  readonly write: WriteName;
  readonly key: ServiceKey;
  readonly path: string;
  readonly body: PatchBody;
}

/** The merge patches of `src/kube/services.ts`. */
export interface PatchBody {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly finalizers?: readonly string[] | null;
    readonly annotations?: Readonly<Record<string, string | null>>;
  };
  readonly spec?: { readonly allocateLoadBalancerNodePorts: boolean };
  readonly status?: {
    readonly loadBalancer?: { readonly ingress: readonly Ingress[] | null };
    readonly conditions?: readonly Condition[] | null;
  };
}

/** One event as it was recorded. */
export interface RecordedEvent {
  readonly key: ServiceKey;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

interface Fault {
  readonly write: WriteName;
  readonly error: unknown;
  readonly moment: 'before' | 'after';
}

/** First node port that the fake API server allocates. */
const FIRST_NODE_PORT = 31_000;

/** See the head of this file. Listeners are set by whoever watches: the controller under test. */
export class FakeCluster implements Cluster {
  readonly services = new FakeCache<Service>();
  readonly nodes = new FakeCache<Node>();
  /** Backends by Service; `undefined` while they have not been listed. */
  backends: Map<ServiceKey, readonly Endpoint[]> | undefined = new Map();
  readonly endpoints: Cluster['endpoints'] = {
    of: (key) => (this.backends === undefined ? undefined : (this.backends.get(key) ?? [])),
  };
  readonly writes: ServiceWrites;
  readonly quorum: Cluster['quorum'];
  readonly events: Recorder;
  /** All patches so far, in order. */
  readonly patches: RecordedPatch[] = [];
  /** All events so far, in order. */
  readonly told: RecordedEvent[] = [];
  /** How many lists by quorum were asked for. */
  quorumLists = 0;
  onService: (event: CacheEvent<Service>) => void = () => {};
  onNode: (event: CacheEvent<Node>) => void = () => {};
  /** The watch tells of our own writes before their answers arrive. */
  watchIsFaster = false;
  /** Awaited before each write has its effect: for tests that stop one in the middle. */
  beforeWrite: (write: WriteName, key: ServiceKey) => Promise<void> = () => Promise.resolve();
  /** Called when a write had its effect, before its answer arrives; what it throws is what the caller gets. */
  afterWrite: (write: WriteName, key: ServiceKey) => void = () => {};
  /** What a list by quorum fails with. */
  quorumError: Error | undefined;
  readonly #server = new Map<ServiceKey, Service>();
  readonly #clock: Clock;
  readonly #faults: Fault[] = [];
  #late: (() => void)[] | undefined;
  #version = 100;
  #nodePort = FIRST_NODE_PORT;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.writes = this.#writes();
    this.events = {
      record: (service, event) => void this.told.push({ key: keyOf(service), ...event }),
    };
    this.quorum = {
      listServices: () => {
        this.quorumLists += 1;
        return this.quorumError === undefined
          ? Promise.resolve([...this.#server.values()])
          : Promise.reject(this.quorumError);
      },
    };
  }

  /** The Service as the API server has it. */
  service(key: ServiceKey): Service | undefined {
    return this.#server.get(key);
  }

  /** Makes a Service, as a person does. */
  create(overrides: Partial<Service> = {}): Service {
    const service = { ...aService(overrides), resourceVersion: this.#next() };
    this.#server.set(keyOf(service), service);
    this.#deliver(() => this.#cached({ type: 'added', object: service, via: 'watch' }));
    return service;
  }

  /** Changes a Service, as a person does. A type other than LoadBalancer loses its addresses, as the API server does it. */
  edit(key: ServiceKey, change: Partial<Service>): Service {
    const before = this.#server.get(key);
    if (before === undefined) throw new Error(`there is no Service ${key}`);
    const cleared = change.type !== undefined && change.type !== 'LoadBalancer' ? { ingress: [] } : {};
    const object = { ...before, ...cleared, ...change, resourceVersion: this.#next() };
    this.#server.set(key, object);
    this.#deliver(() => this.#cached({ type: 'modified', object, via: 'watch' }));
    return object;
  }

  /** Deletes a Service, as a person does: it stays while it has finalizers. */
  delete(key: ServiceKey): void {
    const before = this.#server.get(key);
    if (before === undefined) return;
    if (before.finalizers.length > 0) this.edit(key, { deleting: true });
    else this.#gone(before);
  }

  /** Adds a node. */
  addNode(overrides: Partial<Node> = {}): void {
    const node = aNode(overrides);
    this.nodes.put(node.name, node);
    this.onNode({ type: 'added', key: node.name, object: node, via: 'watch' });
  }

  /** Changes a node. */
  editNode(name: string, change: Partial<Node>): void {
    const old = this.nodes.get(name);
    if (old === undefined) throw new Error(`there is no Node ${name}`);
    const object = { ...old, ...change, resourceVersion: this.#next() };
    this.nodes.put(name, object);
    this.onNode({ type: 'modified', key: name, object, old, via: 'watch' });
  }

  /** Removes a node. */
  removeNode(name: string): void {
    const old = this.nodes.get(name);
    if (old === undefined) throw new Error(`there is no Node ${name}`);
    this.nodes.drop(name);
    this.onNode({ type: 'deleted', key: name, object: old, old, via: 'watch' });
  }

  /** Lets the next write of this kind fail, before its effect or after it (as if the answer had been lost). */
  failNext(write: WriteName, error: unknown, moment: 'before' | 'after' = 'before'): void {
    this.#faults.push({ write, error, moment });
  }

  /** From now on changes by others do not reach the cache. */
  holdWatch(): void {
    this.#late ??= [];
  }

  /** The watch catches up. */
  releaseWatch(): void {
    const late = this.#late ?? [];
    this.#late = undefined;
    for (const deliver of late) deliver();
  }

  /** Forgets patches and events so far. */
  reset(): void {
    this.patches.length = 0;
    this.told.length = 0;
    this.quorumLists = 0;
  }

  #writes(): ServiceWrites {
    // The functions of `src/kube` make the patch; carrying it out is this class's part.
    const through =
      (write: WriteName) =>
      async (service: Service, send: (client: Client) => Promise<unknown>): Promise<Service> => {
        const answer = await send({ request: (request) => this.#patch(write, service, request) });
        return (answer as Service | undefined) ?? service;
      };
    const nowMs = (): number => this.#clock.now();
    return {
      addFinalizer: (service, signal) =>
        through('addFinalizer')(service, (client) => addFinalizer({ client, signal }, service)),
      removeFinalizer: async (service, signal) => {
        await through('removeFinalizer')(service, (client) =>
          removeFinalizer({ client, signal }, service),
        ).catch((error: unknown) => {
          if (!(error instanceof ApiError) || error.code !== 'ApiNotFound') throw error;
        });
      },
      patchStatus: (service, wanted, signal) =>
        through('patchStatus')(service, (client) =>
          patchStatus({ client, signal }, service, { ...wanted, nowMs: nowMs() }),
        ),
      allocateNodePorts: (service, signal) =>
        through('allocateNodePorts')(service, (client) => allocateNodePorts({ client, signal }, service)),
    };
  }

  async #patch(
    write: WriteName,
    service: Service,
    request: Parameters<Client['request']>[0],
  ): Promise<Service> {
    request.signal.throwIfAborted();
    const key = keyOf(service);
    const body = request.body as PatchBody;
    this.patches.push({ write, key, path: request.path, body });
    await this.beforeWrite(write, key);
    request.signal.throwIfAborted();
    const at = this.#faults.findIndex((fault) => fault.write === write);
    const [fault] = at < 0 ? [] : this.#faults.splice(at, 1);
    if (fault?.moment === 'before') throw fault.error;
    const answer = this.#carryOut(key, body);
    this.afterWrite(write, key);
    if (fault !== undefined) throw fault.error;
    return answer;
  }

  #carryOut(key: ServiceKey, body: PatchBody): Service {
    const before = this.#server.get(key);
    if (before === undefined) throw apiError('ApiNotFound', key);
    if (before.resourceVersion !== body.metadata.resourceVersion) throw apiError('ApiConflict', key);
    const object = { ...this.#patched(before, body), resourceVersion: this.#next() };
    // As the API server: the object goes in the same moment, and the answer has the version from before. A cache takes
    // nothing from it; the watch tells of the deletion, with the object as it was.
    if (object.deleting && object.finalizers.length === 0) {
      this.#gone(before);
      return { ...object, resourceVersion: before.resourceVersion };
    }
    this.#server.set(key, object);
    this.#cached({ type: 'modified', object, via: this.watchIsFaster ? 'watch' : 'put' });
    return object;
  }

  #patched(before: Service, { metadata, spec, status }: PatchBody): Service {
    const allocates = spec?.allocateLoadBalancerNodePorts === true;
    const ingress = status?.loadBalancer === undefined ? before.ingress : (status.loadBalancer.ingress ?? []);
    const conditions = status?.conditions === undefined ? before.conditions : (status.conditions ?? []);
    return {
      ...before,
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers ?? [] }),
      annotations: merged(before.annotations, metadata.annotations ?? {}),
      ...(allocates ? { allocateLoadBalancerNodePorts: true, ports: this.#withNodePorts(before) } : {}),
      ingress,
      conditions,
    };
  }

  #withNodePorts({ ports }: Service): Service['ports'] {
    return ports.map((port) => (port.nodePort === 0 ? { ...port, nodePort: this.#nodePort++ } : port));
  }

  #gone(object: Service): void {
    this.#server.delete(keyOf(object));
    this.#deliver(() => this.#cached({ type: 'deleted', object, via: 'watch' }));
  }

  /** What others do reaches the cache by the watch, which a test may hold back. */
  #deliver(change: () => void): void {
    if (this.#late === undefined) change();
    else this.#late.push(change);
  }

  #cached({ type, object, via }: Pick<CacheEvent<Service>, 'type' | 'object' | 'via'>): void {
    const key = keyOf(object);
    const old = this.services.get(key);
    if (type === 'deleted') this.services.drop(key);
    else this.services.put(key, object);
    // As `ObjectStore`: deleted and created again while nobody looked are two objects, not one that changed.
    if (type !== 'deleted' && old !== undefined && old.uid !== object.uid) {
      this.onService({ type: 'deleted', key, object: old, old, via });
      this.onService({ type: 'added', key, object, via });
      return;
    }
    const known = old === undefined && type === 'modified' ? 'added' : type;
    this.onService({ type: known, key, object, ...(old === undefined ? {} : { old }), via });
  }

  #next(): string {
    this.#version += 1;
    return String(this.#version);
  }
}

/** A JSON merge patch of annotations: `null` removes one. */
function merged(
  before: Readonly<Record<string, string>>,
  patch: Readonly<Record<string, string | null>>,
): Readonly<Record<string, string>> {
  const entries = Object.entries({ ...before, ...patch });
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== null));
}

type Client = Parameters<typeof addFinalizer>[0]['client'];

/** A cache that a test fills. */
class FakeCache<T> {
  readonly #objects = new Map<string, T>();

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): readonly T[] {
    return [...this.#objects.values()];
  }

  put(key: string, object: T): void {
    this.#objects.set(key, object);
  }

  drop(key: string): void {
    this.#objects.delete(key);
  }
}

/** An error as the API server's answer makes it. */
export function apiError(
  code: ConstructorParameters<typeof ApiError>[0],
  key: ServiceKey,
  details: { readonly retryAfterMs?: number } = {},
): ApiError {
  return new ApiError(code, { what: `PATCH ${key}`, message: code, ...details });
}
