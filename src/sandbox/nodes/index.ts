/** Simulated nodes: they really listen on node ports and balance over real little backends. */
import type { EndpointSliceObject, ServiceObject } from '../machinery/objects.ts';
import type { Sandbox } from '../sandbox.ts';
import { type AddressPlan, claimAddresses } from './addresses.ts';
import { Backend } from './backend.ts';
import { EndpointController } from './endpoints.ts';
import { SimulatedNode } from './node.ts';
import { routesOf, slicesByService } from './routes.ts';

/** What nodes to start. */
export interface NodesOptions {
  /** Default 3. */
  readonly count?: number;
  /** Default 2. */
  readonly backendsPerNode?: number;
  /** Labels of the backends. Default `app: demo`. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Backends expect PROXY protocol v2. Default false. */
  readonly proxyProtocol?: boolean;
  /** Where addresses begin; see `claimAddresses`. Default `127.66.0.0`. */
  readonly base?: string;
  /** Told what goes wrong in the background, such as a node port that something else has. Default: nowhere. */
  readonly onError?: (error: unknown) => void;
}

/** What backends to add. */
export interface BackendsOptions {
  readonly node: SimulatedNode;
  readonly count?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly proxyProtocol?: boolean;
  /** Names are `NODE-PREFIX-N`; default: the value of the label `app`. */
  readonly prefix?: string;
}

/** Running nodes. */
export interface SimulatedNodes {
  readonly nodes: readonly SimulatedNode[];
  /** Adds a node with backends like those of the others. */
  add(): Promise<SimulatedNode>;
  /** Adds backends to a node. */
  addBackends(options: BackendsOptions): Promise<Backend[]>;
  /** Deletes the Node object and ends the node at once; `drain` first for good order. */
  remove(node: SimulatedNode): Promise<void>;
  /** Resolves when slices and listeners follow every change made so far. */
  settled(): Promise<void>;
  /** Ends all nodes. The objects stay. */
  stop(): Promise<void>;
}

/**
 * Starts nodes with backends and keeps them in step with the sandbox's Services.
 *
 * Flow: claims loopback addresses; each node registers a Node object and opens 10256; endpoint slices are kept for
 * Services with a selector; every change of Services or slices changes what the nodes listen on.
 * Guarantees: a node listens on its own address only. Assumptions: Linux, or a `base` whose addresses the machine has.
 *
 * @throws Error when the addresses cannot be had, with the remedy
 */
export async function startNodes(sandbox: Sandbox, options: NodesOptions = {}): Promise<SimulatedNodes> {
  const plan = await claimAddresses(options.base ?? '127.66.0.0');
  const cluster = new Cluster(sandbox, plan, options);
  try {
    for (let index = 0; index < (options.count ?? 3); index++) await cluster.add();
    await cluster.settled();
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

class Cluster implements SimulatedNodes {
  readonly #nodes: SimulatedNode[] = [];
  readonly #sandbox: Sandbox;
  readonly #plan: AddressPlan;
  readonly #options: NodesOptions;
  readonly #onError: (error: unknown) => void;
  readonly #endpoints: EndpointController;
  readonly #unsubscribe: (() => void)[];
  #lastNode = 0;
  #lastBackend = 0;
  #due: NodeJS.Immediate | undefined;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(sandbox: Sandbox, plan: AddressPlan, options: NodesOptions) {
    this.#sandbox = sandbox;
    this.#plan = plan;
    this.#options = options;
    this.#onError = options.onError ?? (() => {});
    const { objects } = sandbox;
    this.#endpoints = new EndpointController(objects, () => this.#backends(), this.#onError);
    this.#unsubscribe = ['services', 'endpointslices'].map((resource) =>
      objects.subscribe(resource, () => this.#applySoon()),
    );
  }

  get nodes(): readonly SimulatedNode[] {
    return this.#nodes;
  }

  async add(): Promise<SimulatedNode> {
    const index = this.#nextIndex();
    const node = new SimulatedNode({
      name: `node-${index}`,
      address: this.#plan.node(index),
      index,
      objects: this.#sandbox.objects,
      onError: this.#onError,
      changed: () => this.#changed(),
    });
    await node.register();
    this.#nodes.push(node);
    await this.addBackends({ node, count: this.#options.backendsPerNode ?? 2 });
    return node;
  }

  async addBackends(options: BackendsOptions): Promise<Backend[]> {
    const { node, count = 1 } = options;
    const labels = options.labels ?? this.#options.labels ?? { app: 'demo' };
    const proxyProtocol = options.proxyProtocol ?? this.#options.proxyProtocol ?? false;
    const prefix = options.prefix ?? labels['app'] ?? 'backend';
    const first =
      node.backends.filter(({ options: { name } }) => name.startsWith(`${node.name}-${prefix}-`)).length + 1;
    const added = Array.from({ length: count }, (_, index) => {
      const name = `${node.name}-${prefix}-${first + index}`;
      const address = this.#plan.backend(++this.#lastBackend);
      return new Backend({ name, nodeName: node.name, address, labels, proxyProtocol });
    });
    node.backends.push(...added);
    await this.#changed();
    return added;
  }

  async remove(node: SimulatedNode): Promise<void> {
    const index = this.#nodes.indexOf(node);
    if (index < 0) return;
    this.#nodes.splice(index, 1);
    node.close();
    const ref = { resource: 'nodes', name: node.name };
    if (this.#sandbox.objects.get(ref)) this.#sandbox.objects.delete(ref);
    await this.#changed();
  }

  async settled(): Promise<void> {
    await this.#endpoints.settled();
    await this.#apply();
  }

  async stop(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    clearImmediate(this.#due);
    this.#endpoints.stop();
    await this.#endpoints.settled();
    for (const node of this.#nodes) node.close();
    this.#plan.release();
  }

  /** Nodes of an earlier set may still be in the API. */
  #nextIndex(): number {
    do this.#lastNode++;
    while (this.#sandbox.objects.get({ resource: 'nodes', name: `node-${this.#lastNode}` }));
    return this.#lastNode;
  }

  #backends(): Backend[] {
    return this.#nodes.flatMap(({ backends }) => backends);
  }

  async #changed(): Promise<void> {
    await this.#endpoints.syncAll();
    await this.#apply();
  }

  /** Changes of one turn of the event loop become one pass. */
  #applySoon(): void {
    this.#due ??= setImmediate(() => {
      this.#due = undefined;
      this.#apply().catch(this.#onError);
    });
  }

  /** One pass at a time, and never more than one waiting: it will see whatever has changed by then. */
  #apply(): Promise<void> {
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      this.#running = this.#pass();
      return this.#running;
    });
    return this.#next;
  }

  async #pass(): Promise<void> {
    const { objects } = this.#sandbox;
    const services = objects.list('services') as ServiceObject[];
    const slices = slicesByService(objects.list('endpointslices') as EndpointSliceObject[]);
    await Promise.all(this.#nodes.map((node) => node.apply(routesOf(node.name, services, slices))));
  }
}
