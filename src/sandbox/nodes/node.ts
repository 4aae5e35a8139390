/** One simulated node: a Node object, a proxy on its own address, and its backends. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeObject } from '../machinery/objects.ts';
import type { Objects } from '../sandbox.ts';
import type { Backend } from './backend.ts';
import { NodeProxy } from './proxy.ts';
import type { NodeRoutes } from './routes.ts';

/** The taint by which cluster-autoscaler announces that a node goes. */
export const LEAVING_TAINT = 'ToBeDeletedByClusterAutoscaler';
/** The label by which a node is kept out of load balancers. */
export const EXCLUDE_LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';

const ACCEPT_MS = 100;

/** How a node is announced to leave. */
export interface DrainOptions {
  /** Default `taint`. */
  readonly by?: 'taint' | 'label';
  /** Between the announcement and the end of accepting: how long load balancers have to react. Default 2000. */
  readonly delayMs?: number;
  /** How long connections may go on after that. Default 10,000. */
  readonly graceMs?: number;
  readonly signal?: AbortSignal;
}

/** What a node is made of. */
export interface NodeParts {
  readonly name: string;
  readonly address: string;
  readonly index: number;
  readonly objects: Objects;
  readonly onError: (error: unknown) => void;
  /** Has the endpoint slices and the other nodes' routes follow a change of this node's backends. */
  readonly changed: () => Promise<void>;
}

/** A simulated node. */
export class SimulatedNode {
  readonly name: string;
  /** Its InternalIP. */
  readonly address: string;
  readonly backends: Backend[] = [];
  readonly #parts: NodeParts;
  readonly #proxy: NodeProxy;

  constructor(parts: NodeParts) {
    this.#parts = parts;
    this.name = parts.name;
    this.address = parts.address;
    const { address, index, onError } = parts;
    this.#proxy = new NodeProxy({ address, turn: index, healthy: () => !this.#isLeaving(), onError });
  }

  /** Connections through this node's ports that are under way. */
  get activeConnections(): number {
    return this.#proxy.active;
  }

  /** Opens the health port and registers the Node. @throws Error when the address cannot be listened on */
  async register(): Promise<void> {
    await this.#proxy.start();
    const { objects } = this.#parts;
    objects.create('nodes', nodeObject(this.#parts));
    // Admission taints a new node not-ready, and the node controller takes that back when it is.
    objects.patch(this.#ref(), { spec: { taints: null } });
  }

  /** Follows the routes. Resolves when the listeners do. */
  apply(routes: NodeRoutes): Promise<void> {
    return this.#proxy.apply(routes);
  }

  /** Announces that the node leaves, by taint or label, and does nothing else. */
  cordon(by: 'taint' | 'label' = 'taint'): void {
    const { objects } = this.#parts;
    if (by === 'label') objects.patch(this.#ref(), { metadata: { labels: { [EXCLUDE_LABEL]: 'true' } } });
    else {
      const taint = {
        key: LEAVING_TAINT,
        value: String(Math.floor(Date.now() / 1000)),
        effect: 'NoSchedule',
      };
      objects.patch(this.#ref(), { spec: { taints: [taint] } });
    }
  }

  /** Takes taint and label back. */
  uncordon(): void {
    const patch = { metadata: { labels: { [EXCLUDE_LABEL]: null } }, spec: { taints: null } };
    this.#parts.objects.patch(this.#ref(), patch);
  }

  /**
   * Leaves in good order: announces it, waits for `delayMs`, takes its backends out of the endpoint slices, stops
   * accepting, and lets what is under way finish. The Node object stays; `remove` takes it away.
   *
   * @throws AbortError when the signal aborts the wait
   */
  async drain(options: DrainOptions = {}): Promise<void> {
    const { by = 'taint', delayMs = 2_000, graceMs = 10_000, signal } = options;
    this.cordon(by);
    await sleep(delayMs, undefined, signal ? { signal } : {});
    for (const backend of this.backends) backend.ready = false;
    await this.#parts.changed();
    // Connections that were on their way before the routes changed are still to be accepted.
    await sleep(ACCEPT_MS);
    await Promise.all([this.#proxy, ...this.backends].map((part) => part.drain(graceMs)));
  }

  /** Dies: connections are reset, ports are closed, the Node turns NotReady. The Node object stays. */
  async stop(): Promise<void> {
    this.close();
    const { objects } = this.#parts;
    if (!objects.get(this.#ref())) return;
    const status = { conditions: [readyCondition('Unknown', 'NodeStatusUnknown')] };
    objects.patch(this.#ref(), { status }, { status: true });
    await this.#parts.changed();
  }

  /** Lets go of sockets without telling the API. */
  close(): void {
    this.#proxy.stop();
    for (const backend of this.backends) backend.stop();
  }

  #ref(): { resource: string; name: string } {
    return { resource: 'nodes', name: this.name };
  }

  #isLeaving(): boolean {
    const node = this.#parts.objects.get(this.#ref()) as NodeObject | undefined;
    const tainted = node?.spec.taints?.some(({ key }) => key === LEAVING_TAINT) ?? false;
    return node === undefined || tainted || node.metadata.deletionTimestamp !== undefined;
  }
}

function nodeObject({ name, address }: NodeParts) {
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux' } },
    spec: { providerID: `sandbox://${name}` },
    status: {
      addresses: [
        { type: 'InternalIP', address },
        { type: 'Hostname', address: name },
      ],
      conditions: [readyCondition('True', 'KubeletReady')],
      nodeInfo: { kubeletVersion: 'v1.33.0-sandbox', osImage: 'Berth sandbox', kernelVersion: 'none' },
    },
  };
}

function readyCondition(status: string, reason: string) {
  const now = new Date().toISOString();
  return { type: 'Ready', status, reason, message: '', lastHeartbeatTime: now, lastTransitionTime: now };
}
