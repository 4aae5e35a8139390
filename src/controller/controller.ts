import { keyOf, type Service, type ServiceKey } from '../model/service.ts';
import type { LoadBalancer } from '../model/load-balancer.ts';
import type { Node } from '../model/node.ts';
import { REASONS } from '../model/reasons.ts';
import { serviceFingerprint, traceText, tracesOf, type ChangeContext } from '../plan/change.ts';
import { hasFinalizer, needsCleanup } from '../plan/lifecycle.ts';
import { stepText } from '../plan/step.ts';
import type { Registry } from '../provider/registry.ts';
import type { Clock, Log } from '../provider/spi.ts';
import { recollections } from './applied.ts';
import { backoffMs } from './backoff.ts';
import type { StepObserver } from './converge.ts';
import { Inspector } from './inspect.ts';
import { Mending } from './mending.ts';
import type { ControllerMetrics } from './metrics.ts';
import { NodeMemory, type NodeStore } from './node-memory.ts';
import { NodeSync } from './node-sync.ts';
import { NodeWatch } from './node-watch.ts';
import { ServicePass } from './pass.ts';
import type { CacheEvent, Cluster, EndpointSource } from './ports.ts';
import { PoolReport, type PatchObject } from './pool-report.ts';
import { KeyedQueue, type Outcome } from './queue.ts';
import { Reporter } from './report.ts';
import { ProviderRuntime } from './runtime.ts';
import { ensureShared, removeShared, sharedKey, sharedName, whenReady } from './shared.ts';
import { Sweep, type SweepReport } from './sweep.ts';

/** What a person may set. Durations are milliseconds. */
export interface ControllerSettings {
  readonly concurrentSyncs: number;
  readonly sweepIntervalMs: number;
  /** What happens to what somebody changed by hand. */
  readonly drift: 'enforce' | 'observe';
  readonly deleteOrphans: boolean;
  readonly allocateNodePorts: boolean;
}

/** What a controller is made of. */
export interface ControllerOptions {
  readonly cluster: Cluster;
  readonly registry: Registry;
  readonly settings: ControllerSettings;
  readonly clock: Clock;
  /** From 0 (inclusive) to 1. */
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: ControllerMetrics;
  /** Whether this process may act at this very moment; asked before each step. Always, unless given. */
  readonly holds?: () => boolean;
  /** What outlives this process beside the Services; without it, targets are read again after a restart. */
  readonly nodeStore?: NodeStore;
  /** Writes what providers tell of their pools; without it, nothing is written of them. */
  readonly patch?: PatchObject;
}

/** For Services that no provider serves: their annotations do not matter. */
const NO_CONTEXT: ChangeContext = { settings: new Set(), sharing: false };

/** Part of the interval between sweeps over which a sweep is spread. */
const SPREAD = 0.8;

/** Deletions go before everything else. */
const DELETION_PRIORITY = 10;

/**
 * The one acting instance: keeps load balancers as the Services ask.
 *
 * Flow: `start` observes every provider, reads the addresses in use, and puts every Service into the queue; from then
 * on changes of Services and Nodes do. The sweep reads everything again on a jittered schedule.
 * Guarantees: nothing is planned for a provider before it has been observed; no step is begun once the signal given
 * to `start` is aborted. Assumption: one instance acts at a time (the Lease sees to that); steps are safe to repeat
 * where that fails.
 */
export class Controller {
  readonly runtimes: readonly ProviderRuntime[];
  readonly inspect: Inspector;
  readonly #options: ControllerOptions;
  readonly #nodes: NodeWatch;
  readonly #memory: NodeMemory;
  readonly #nodeSync: NodeSync;
  readonly #queue: KeyedQueue;
  readonly #mending: Mending;
  readonly #reporter: Reporter;
  readonly #pass: ServicePass;
  readonly #sweep: Sweep;
  readonly #pools: PoolReport;
  readonly #observer: StepObserver;
  #signal: AbortSignal = AbortSignal.abort(new Error('the controller was not started'));
  #cancelSweep: (() => void) | undefined;
  #firstSweep: readonly SweepReport[] = [];
  #sweeping = false;

  constructor(options: ControllerOptions) {
    const { cluster, registry, settings, clock, log, metrics } = options;
    this.#options = options;
    this.runtimes = registry.providers.map((provider) => new ProviderRuntime(provider));
    this.#observer = { log, steps: metrics.steps, holds: options.holds ?? (() => true) };
    this.#nodeSync = new NodeSync(clock, metrics);
    const withLabels = registry.providers.some(({ nodeLabelsOf }) => nodeLabelsOf !== undefined);
    this.#nodes = new NodeWatch({ nodes: cluster.nodes, clock, withLabels }, (since) =>
      this.#nodesChanged(since),
    );
    this.#memory = new NodeMemory(this.#nodes, options.nodeStore);
    this.#queue = new KeyedQueue({
      concurrency: settings.concurrentSyncs,
      clock,
      random: options.random,
      work: (key) => this.#work(key),
      observer: metrics.queueObserver((key, error) => this.#failed(key, error)),
    });
    this.#mending = new Mending({
      clock,
      random: options.random,
      due: (key) => this.#queue.add(key),
      onContest: (key) => this.#reporter.contested(key),
    });
    this.#reporter = new Reporter({ cluster, log, conditions: metrics.conditions, syncs: metrics.syncs });
    const serving = (service: Service): ProviderRuntime | undefined => this.serving(service);
    const targets = (): NodeWatch['targets'] => this.#nodes.targets;
    const { labelsOf } = this.#nodes;
    const endpoints = (key: ServiceKey): ReturnType<EndpointSource['of']> => cluster.endpoints.of(key);
    const reporter = this.#reporter;
    const around = { cluster, runtimes: this.runtimes, serving, targets, labelsOf, endpoints, reporter };
    this.#pass = new ServicePass({
      ...around,
      allocateNodePorts: settings.allocateNodePorts,
      observer: this.#observer,
      clock,
      wake: (keys) => this.#wake(keys),
    });
    this.inspect = new Inspector(around);
    this.#pools = new PoolReport({ runtimes: this.runtimes, clock, log, metrics, patch: options.patch });
    this.#sweep = this.#makeSweep();
  }

  /** The runtime whose provider serves the Service's class, if any. */
  serving(service: Service): ProviderRuntime | undefined {
    const provider = this.#options.registry.serving(service);
    return this.runtimes.find((runtime) => runtime.provider === provider);
  }

  /** Whether nothing waits and nothing is worked on. Keys in back-off do not count. */
  get idle(): boolean {
    return this.#queue.idle && !this.#nodes.pending;
  }

  /** What the latest sweep found. */
  get lastSweep(): readonly SweepReport[] {
    return this.#firstSweep;
  }

  /**
   * Begins to act. The caches must be synced. Returns when every provider that could be observed at once is being
   * served; one that cannot be read is tried again by itself and keeps only its own Services waiting.
   */
  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#nodes.refresh();
    await Promise.all(this.runtimes.map((runtime) => this.#begin(runtime, 0)));
    this.#pools.begin(signal);
    this.#scheduleSweep();
  }

  /** Finishes the passes that are under way and takes no more. */
  async stop(): Promise<void> {
    this.#cancelSweep?.();
    this.#nodes.close();
    this.#mending.close();
    this.#pools.close();
    await this.#queue.close();
  }

  /** Takes a change of a Service in. */
  serviceChanged(event: CacheEvent<Service>): void {
    const { type, object, old, via, key } = event;
    if (via === 'put') return;
    if (type === 'deleted') {
      this.#mending.forget(key);
      // The answer to the write that released it has the version from before it, so that the cache learns only now
      // that nobody needs what is shared.
      if (hasFinalizer(object)) this.#wake(this.runtimes.map(sharedKey));
      if (this.runtimes.some((runtime) => runtime.has(key)) || this.#reporter.lastPass(key) !== undefined)
        this.#queue.add(key);
      return;
    }
    const known = this.#reporter.lastPass(key) !== undefined;
    const wants =
      needsCleanup(object) || (object.type === 'LoadBalancer' && this.serving(object) !== undefined);
    if (!wants && !known) return;
    if (old !== undefined) {
      const change = this.#changeOf(key, old, object);
      if (change === 'none') return;
      this.#reporter.edited(key);
      if (change === 'traces' && !needsCleanup(object)) return this.#mending.edited(key);
    }
    this.#queue.forgive(key);
    this.#queue.add(key, needsCleanup(object) ? DELETION_PRIORITY : 0);
  }

  /** Takes a change of a Node in. */
  nodeChanged(event: CacheEvent<Node>): void {
    this.#nodes.changed(event);
  }

  /** Takes a change of a Service's backends in. */
  endpointsChanged(key: ServiceKey): void {
    const service = this.#options.cluster.services.get(key);
    const runtime = service === undefined ? undefined : this.serving(service);
    if (runtime?.ready === true && this.#reporter.lastPass(key) !== undefined) this.#queue.add(key);
  }

  /** Plans keys of a provider again, because it asked for it. */
  enqueue(provider: string, keys: readonly ServiceKey[] | undefined, because: string): void {
    this.#options.log.debug({ provider, keys: keys?.length ?? 'all', because }, 'enqueued by the provider');
    const runtime = this.runtimes.find(({ provider: { name } }) => name === provider);
    this.#pools.poke();
    if (runtime?.ready === true) this.#wake(keys ?? this.#served(runtime).map(keyOf));
  }

  /**
   * Reads everything anew; the schedule goes on as it was. `spreadMs`: over how long what has to be read one by one is
   * spread; 0 does it at once.
   */
  async sweep(signal: AbortSignal, spreadMs = 0): Promise<readonly SweepReport[]> {
    const { settings, log } = this.#options;
    const ready = this.runtimes.filter((runtime) => runtime.ready);
    const reports = await Promise.all(
      ready.map((runtime) =>
        this.#sweep.run(runtime, signal, { recollected: this.#recollections(runtime), spreadMs }),
      ),
    );
    this.#firstSweep = reports;
    if (settings.drift === 'enforce') this.#wake(ready.map(sharedKey));
    for (const runtime of ready) this.#wake(this.#vanished(runtime));
    for (const { orphans, provider } of reports) {
      for (const orphan of settings.deleteOrphans ? orphans : []) {
        if (!orphan.ripe) continue;
        log.warn({ provider, key: orphan.key, uid: orphan.uid }, 'deleting an orphan');
        this.#pass.condemn(orphan.key, orphan.uid);
        this.#queue.add(orphan.key, DELETION_PRIORITY);
      }
    }
    return reports;
  }

  /**
   * Looks without acting: observes every provider and reads the addresses in use, so that `inspect` can answer.
   *
   * @throws BerthError when a provider cannot be observed.
   */
  async look(signal: AbortSignal): Promise<void> {
    this.#nodes.refresh();
    await Promise.all(this.runtimes.map((runtime) => this.#observe(runtime, signal)));
  }

  async #observe(runtime: ProviderRuntime, signal: AbortSignal): Promise<void> {
    await runtime.observeAll(signal, this.#recollections(runtime));
    runtime.book?.load(this.#served(runtime), runtime.made);
    runtime.ready = true;
  }

  #recollections(runtime: ProviderRuntime): ReturnType<typeof recollections> {
    const { sameNodes: sameTargets } = this.#memory;
    const desired = (service: Service): LoadBalancer | undefined => this.inspect.desired(service, runtime);
    return recollections(runtime.provider, this.#served(runtime), { desired, sameTargets });
  }

  async #begin(runtime: ProviderRuntime, failures: number): Promise<void> {
    const { clock, log, random } = this.#options;
    const { name } = runtime.provider;
    try {
      await this.#observe(runtime, this.#signal);
    } catch (error) {
      if (this.#signal.aborted) return;
      const ms = backoffMs(failures + 1, random);
      log.error(
        { provider: name, error: String(error), retryInMs: ms },
        'the provider cannot be observed; its Services wait',
      );
      clock.after(ms, () => void this.#begin(runtime, failures + 1));
      return;
    }
    runtime.needs.expect(this.#served(runtime).filter(hasFinalizer).map(keyOf));
    for (const service of this.#options.cluster.services.list()) {
      const key = keyOf(service);
      const cleanup = needsCleanup(service);
      if (cleanup || this.serving(service) === runtime || runtime.has(key))
        this.#queue.add(key, cleanup ? DELETION_PRIORITY : 0);
    }
    this.#memory.expect(this.#served(runtime).map(keyOf));
    // A predecessor may have stopped between the last load balancer and what they all shared.
    this.#queue.add(sharedKey(runtime));
  }

  async #work(key: string): Promise<Outcome> {
    const shared = sharedName(key);
    if (shared !== undefined) return await this.#workShared(shared).catch(whenReady);
    if (key.split('/').length !== 2)
      throw new TypeError(`queue key ${JSON.stringify(key)} is not NAMESPACE/NAME`);
    const outcome = await this.#pass.run(key, this.#signal);
    const done = outcome.requeue === 'forget' || (outcome.requeue === 'after' && outcome.settled === true);
    this.#nodeSync.done(key, done);
    this.#memory.passed(key, done);
    this.#pools.poke();
    return outcome;
  }

  /** Looks after what the load balancers of a provider share: there while somebody needs it, gone otherwise. */
  async #workShared(name: string): Promise<Outcome> {
    const runtime = this.runtimes.find(({ provider }) => provider.name === name);
    if (runtime === undefined) return { requeue: 'forget' };
    const work = { targets: this.#nodes.targets, observer: this.#observer, signal: this.#signal };
    const wanting = this.#served(runtime).filter((service) => hasFinalizer(service) || !service.deleting);
    if (wanting.length === 0) return await removeShared(runtime, work);
    if (runtime.state.view.loadBalancers.size > 0 && wanting.some(hasFinalizer))
      await ensureShared(runtime, work);
    return { requeue: 'forget' };
  }

  /** A pass that threw although every error has its reaction: the API server could not be told. */
  #failed(key: string, error: unknown): void {
    if (this.#signal.aborted) return;
    this.#options.metrics.syncs.record({ outcome: 'error' }, 1);
    const text = error instanceof Error ? error.message : String(error);
    this.#options.log.warn({ key, error: text }, 'pass failed');
  }

  #nodesChanged(sinceMs: number): void {
    const keys = this.runtimes
      .filter(({ ready, provider }) => ready && provider.capabilities.targets !== 'none')
      .flatMap((runtime) => this.#served(runtime).map(keyOf));
    this.#options.log.info(
      { nodes: this.#nodes.targets.length, services: keys.length },
      'the eligible nodes have changed',
    );
    this.#nodeSync.begin(keys, sinceMs);
    this.#memory.changing(keys);
    this.#wake(keys);
  }

  /** What changed of a Service: what somebody asks for, only the traces that Berth left in it, or nothing that matters. */
  #changeOf(key: ServiceKey, old: Service, object: Service): 'wish' | 'traces' | 'none' {
    const context = this.serving(object)?.changeContext ?? NO_CONTEXT;
    if (serviceFingerprint(old, context) !== serviceFingerprint(object, context)) return 'wish';
    const touched = traceText(tracesOf(old)) !== traceText(tracesOf(object));
    return touched && !this.#reporter.wrote(key, object) ? 'traces' : 'none';
  }

  /** Tells people what was changed by hand, and (unless it is only to be observed) plans it back. */
  #drifted(found: SweepReport['drifted']): void {
    for (const { key, steps } of found) {
      const service = this.#options.cluster.services.get(key);
      const first = steps[0] === undefined ? '' : stepText(steps[0]);
      const more = steps.length > 1 ? ` (and ${steps.length - 1} more)` : '';
      const message = `${first}${more}. ${REASONS.DriftDetected.remedy}.`;
      if (service !== undefined)
        this.#reporter.event(service, 'Warning', { reason: 'DriftDetected', message });
    }
    if (this.#options.settings.drift === 'enforce') this.#wake(found.map(({ key }) => key));
  }

  #driftOf(key: ServiceKey, runtime: ProviderRuntime): ReturnType<Inspector['stepsOf']> {
    const settled = this.#reporter.lastPass(key)?.clean === true && !this.#queue.busy(key);
    return settled ? this.inspect.stepsOf(key, runtime) : [];
  }

  #makeSweep(): Sweep {
    const { cluster, clock, log, metrics } = this.#options;
    return new Sweep({
      clock,
      log,
      quorum: cluster.quorum,
      service: (key) => cluster.services.get(key),
      served: (runtime) => this.#served(runtime).map(keyOf),
      drift: (key, runtime) => this.#driftOf(key, runtime),
      onDrift: (found) => this.#drifted(found),
      drifts: metrics.drifts,
      orphans: metrics.orphans,
    });
  }

  /** Services that the provider serves and may hold something for. */
  #served(runtime: ProviderRuntime): readonly Service[] {
    return this.#options.cluster.services
      .list()
      .filter((service) => service.type === 'LoadBalancer' && this.serving(service) === runtime);
  }

  /** Keys that hold an address though neither a Service nor a load balancer is there any more. */
  #vanished(runtime: ProviderRuntime): readonly ServiceKey[] {
    const { services } = this.#options.cluster;
    return (runtime.book?.keys ?? []).filter((key) => services.get(key) === undefined && !runtime.has(key));
  }

  #wake(keys: Iterable<string>): void {
    for (const key of keys) this.#queue.add(key);
  }

  #scheduleSweep(): void {
    const { clock, random, settings } = this.#options;
    const ms = settings.sweepIntervalMs * (0.9 + 0.2 * random());
    this.#cancelSweep = clock.after(ms, () => {
      if (this.#signal.aborted) return;
      this.#scheduleSweep();
      if (this.#sweeping) return;
      this.#sweeping = true;
      void this.sweep(this.#signal, settings.sweepIntervalMs * SPREAD)
        .catch(() => undefined)
        .finally(() => (this.#sweeping = false));
    });
  }
}
