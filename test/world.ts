/** The controller in a world that a test holds in its hands: a fake cluster, clouds in memory, a clock that stands still. */
import { Controller, type ControllerSettings } from '../src/controller/controller.ts';
import { ControllerMetrics } from '../src/controller/metrics.ts';
import type { PatchObject } from '../src/controller/pool-report.ts';
import type { Node } from '../src/model/node.ts';
import type { Service, ServiceKey } from '../src/model/service.ts';
import { guard } from '../src/provider/guard.ts';
import { createMemoryProvider, MemoryCloud, type MemoryProviderOptions } from '../src/provider/memory.ts';
import { Registry } from '../src/provider/registry.ts';
import type { Provider } from '../src/provider/spi.ts';
import { createTestHost, ManualClock, type TestHost } from '../src/conformance/host.ts';
import { FakeCluster } from './fake-cluster.ts';

/** What a world is made of. Everything may be left out. */
export interface WorldOptions {
  readonly services?: readonly Partial<Service>[];
  /** Nodes by name or in full; two unless given. */
  readonly nodes?: readonly (string | Partial<Node>)[];
  readonly settings?: Partial<ControllerSettings>;
  /** How the memory provider is; ignored when `providers` are given. */
  readonly memory?: MemoryProviderOptions;
  /** Providers in place of the memory provider over `cloud`. */
  readonly providers?: (cloud: MemoryCloud) => readonly Provider[];
  readonly defaultProvider?: string;
  /** Longest time of one call of a provider, in milliseconds. */
  readonly callTimeoutMs?: number;
  /** From 0 (inclusive) to 1; 0.5 unless given. */
  readonly random?: () => number;
  /** Takes what is written of the pools. */
  readonly patch?: PatchObject;
}

/** How a settled world is told from one at work: this many turns of the event loop without anything happening. */
const QUIET_TURNS = 8;

/** A world with a controller in it. */
export class World {
  readonly clock = new ManualClock();
  readonly cluster = new FakeCluster(this.clock);
  readonly cloud = new MemoryCloud({ clock: this.clock });
  /** Whether the controller may act at the moment, as the Lease would say. */
  holds = true;
  host: TestHost<ManualClock> = createTestHost(this.clock);
  metrics = new ControllerMetrics();
  controller: Controller;
  readonly #options: WorldOptions;
  #abort = new AbortController();

  constructor(options: WorldOptions = {}) {
    this.#options = options;
    for (const node of options.nodes ?? ['node-1', 'node-2'])
      this.cluster.addNode(typeof node === 'string' ? { name: node } : node);
    for (const service of options.services ?? []) this.cluster.create(service);
    this.controller = this.#incarnate();
  }

  /** Starts the controller and waits until it has nothing to do. */
  async start(): Promise<this> {
    this.begin();
    await this.settle();
    return this;
  }

  /** Starts the controller without waiting for anything. */
  begin(): void {
    void this.controller.start(this.#abort.signal);
  }

  /** Waits until nothing happens any more without time going on. */
  async settle(): Promise<void> {
    let before = '';
    for (let quiet = 0; quiet < QUIET_TURNS;) {
      await turns(1);
      const { patches, told } = this.cluster;
      const now = [patches.length, told.length, this.cloud.calls.length, this.host.lines.length].join();
      quiet = now === before ? quiet + 1 : 0;
      before = now;
    }
  }

  /** Lets time pass, and waits until nothing happens any more. */
  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
    await this.settle();
  }

  /** The controller goes away as if killed, without a last word, and another one is made; it is not started. */
  crash(): void {
    this.#abort.abort(new Error('killed'));
    this.cluster.onService = () => {};
    this.cluster.onNode = () => {};
    this.#abort = new AbortController();
    this.host = createTestHost(this.clock);
    this.metrics = new ControllerMetrics();
    this.controller = this.#incarnate();
  }

  /** Crashes and starts again. */
  async restart(): Promise<void> {
    this.crash();
    await this.start();
  }

  /** The Service as the API server has it; fails when there is none. */
  service(key: ServiceKey = 'default/web'): Service {
    const service = this.cluster.service(key);
    if (service === undefined) throw new Error(`there is no Service ${key}`);
    return service;
  }

  /** `192.0.2.1 lb.test`: the addresses in a Service's status. */
  addresses(key: ServiceKey = 'default/web'): string {
    return this.service(key)
      .ingress.map(({ ip, hostname }) => ip ?? hostname)
      .join(' ');
  }

  /** `True Provisioned`: the condition of a Service; empty when it has none of ours. */
  condition(key: ServiceKey = 'default/web'): string {
    const condition = this.service(key).conditions.find(({ type }) => type === 'berth.dev/Provisioned');
    return condition === undefined ? '' : `${condition.status} ${condition.reason}`;
  }

  /** `addFinalizer default/web`: what was written, in order. */
  get written(): readonly string[] {
    return this.cluster.patches.map(({ write, key }) => `${write} ${key}`);
  }

  /** Reasons of the events so far, in order; of one Service when a key is given. */
  reasons(key?: ServiceKey): readonly string[] {
    return this.cluster.told
      .filter((event) => key === undefined || event.key === key)
      .map(({ reason }) => reason);
  }

  /** `createListener default/web`: what the cloud was asked for, in order, reads included. */
  get calls(): readonly string[] {
    return this.cloud.calls.map(({ operation, key = '*' }) => `${operation} ${key}`);
  }

  /** The sum of a metric over all series with these labels; 0 when there is none. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const metric = await this.metrics.registry.getSingleMetric(name)?.get();
    const matching = (metric?.values ?? []).filter((value) =>
      Object.entries(labels).every(([label, wanted]) => value.labels[label] === wanted),
    );
    return matching.reduce((sum, { value }) => sum + value, 0);
  }

  /** The reasons that the condition metric has for a Service now. */
  async metricReasons(key: ServiceKey): Promise<readonly (string | number | undefined)[]> {
    const metric = await this.metrics.registry.getSingleMetric('berth_service_condition')?.get();
    return (metric?.values ?? [])
      .filter(({ labels, value }) => `${labels['namespace']}/${labels['name']}` === key && value === 1)
      .map(({ labels }) => labels['reason']);
  }

  /** Forgets what was written, told and called so far. */
  reset(): void {
    this.cluster.reset();
    this.cloud.calls.length = 0;
    this.cloud.counts.clear();
  }

  /** Stops gracefully. */
  async stop(): Promise<void> {
    await this.controller.stop();
    this.#abort.abort(new Error('the test is over'));
  }

  #incarnate(): Controller {
    const { memory, providers, settings, defaultProvider, callTimeoutMs, random, patch } = this.#options;
    const { clock, cluster, cloud, metrics, host } = this;
    const raw = providers?.(cloud) ?? [createMemoryProvider(cloud, memory) as Provider];
    const guarded = raw.map((provider) =>
      guard(provider, {
        clock,
        metrics,
        strict: true,
        ...(callTimeoutMs === undefined ? {} : { timeoutMs: callTimeoutMs }),
      }),
    );
    const controller = new Controller({
      cluster,
      registry: new Registry(guarded, defaultProvider),
      settings: { ...SETTINGS, ...settings },
      clock,
      random: random ?? (() => 0.5),
      log: host.log,
      metrics,
      holds: () => this.holds,
      ...(patch === undefined ? {} : { patch }),
    });
    cluster.onService = (event) => controller.serviceChanged(event);
    cluster.onNode = (event) => controller.nodeChanged(event);
    return controller;
  }
}

const SETTINGS: ControllerSettings = {
  concurrentSyncs: 4,
  sweepIntervalMs: 600_000,
  drift: 'enforce',
  deleteOrphans: false,
  allocateNodePorts: true,
};

/** A world whose controller has started and settled; what it did so far is on record. */
export function startWorld(options: WorldOptions = {}): Promise<World> {
  return new World(options).start();
}

/** A world that has settled, with a clean record: what comes next is what the test is about. */
export async function settledWorld(options: WorldOptions = {}): Promise<World> {
  const world = await startWorld({ services: [{}], ...options });
  world.reset();
  return world;
}

/** Lets the event loop turn. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
