import { asBerthError, type BerthError } from '../model/errors.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Target } from '../model/load-balancer.ts';
import { keyOf, type Service, type ServiceKey } from '../model/service.ts';
import { tracesOf } from '../plan/change.ts';
import { portsWithoutNodePort } from '../plan/desired.ts';
import { hasFinalizer, lifecycleOf, type Lifecycle } from '../plan/lifecycle.ts';
import type { Clock, PlanRequest } from '../provider/spi.ts';
import { parseSettings } from '../plan/settings.ts';
import { confirmAbsence } from './confirm.ts';
import { converge, mustHold, type StepObserver } from './converge.ts';
import { decide, waitingFor, type Decision } from './decide.ts';
import { clearLeftovers } from './leftovers.ts';
import type { Cluster } from './ports.ts';
import type { Outcome } from './queue.ts';
import type { Reporter } from './report.ts';
import type { ProviderRuntime } from './runtime.ts';
import { ensureShared, sharedKey } from './shared.ts';

/** How often Berth turns node port allocation on against somebody who turns it off again. */
const MAX_NODE_PORT_PATCHES = 2;

/** When to look again while a provider has not been observed yet, in milliseconds. */
const UNOBSERVED_MS = 1_000;

/** Reasons that end when an address becomes free or a pool changes. */
const ADDRESS_REASONS = new Set(['AddressInUse', 'AddressOutsidePool', 'NoPool', 'PoolExhausted']);

/** What a pass works with. */
export interface PassOptions {
  readonly cluster: Cluster;
  readonly runtimes: readonly ProviderRuntime[];
  /** The runtime whose provider serves the Service, if any. */
  readonly serving: (service: Service) => ProviderRuntime | undefined;
  /** Eligible nodes, sorted by name. */
  readonly targets: () => readonly Target[];
  /** Labels of a node. */
  readonly labelsOf: (node: string) => Readonly<Record<string, string>>;
  /** Backends of a Service; `undefined` while they are not known yet. */
  readonly endpoints: (key: ServiceKey) => readonly Endpoint[] | undefined;
  /** Whether Berth may turn node port allocation on. */
  readonly allocateNodePorts: boolean;
  readonly reporter: Reporter;
  readonly observer: StepObserver;
  readonly clock: Clock;
  /** Plans these keys again at once. */
  readonly wake: (keys: Iterable<string>) => void;
}

/**
 * One pass over one Service: look, decide, act, report.
 *
 * Flow: (1) what another Service of the same name, or another provider for this one, left behind goes first; (2) node
 * ports are ensured; (3) addresses and the desired state are decided; (4) the finalizer is set before anything is made;
 * (5) steps are planned and carried out until nothing differs; (6) ingress and condition are written, in one patch,
 * only when they differ; (7) addresses that it moved away from become free.
 * A Service that is deleted or no longer wants a load balancer is planned from what is observed to nothing, and keeps
 * its finalizer until nothing is left; then its addresses become free.
 *
 * Guarantees: no write and no provider call when nothing differs; every error ends in its reaction (`REACTIONS`).
 * Assumption: one pass at a time for one key (the queue sees to that).
 */
export class ServicePass {
  readonly #options: PassOptions;
  readonly #nodePortPatches = new Map<string, number>();

  /** Orphans that may be deleted: UID by key. */
  readonly #condemned = new Map<ServiceKey, string>();

  constructor(options: PassOptions) {
    this.#options = options;
  }

  /** Lets the next pass over the key delete what is observed there for this UID, though no Service asks for it. */
  condemn(key: ServiceKey, uid: string): void {
    this.#condemned.set(key, uid);
  }

  /** Works on one key. A pass whose `signal` is aborted stops without a report. */
  async run(key: ServiceKey, signal: AbortSignal): Promise<Outcome> {
    const { cluster, serving, reporter, observer } = this.#options;
    const service = cluster.services.get(key);
    if (service === undefined) return await this.#absent(key, signal);
    const runtime = serving(service);
    const lifecycle = lifecycleOf(service, runtime !== undefined);
    const needed = this.#needed(service, runtime, lifecycle);
    if (needed.some(({ ready }) => !ready)) return { requeue: 'after', ms: UNOBSERVED_MS };
    if (lifecycle === 'paused') {
      reporter.paused(service);
      return { requeue: 'forget' };
    }
    if (lifecycle === 'ignore') return await this.#absent(key, signal);
    try {
      mustHold(observer);
      for (const doubted of needed) {
        if (doubted.doubtful.delete(key)) await observeAgain(doubted, key, signal);
      }
      if (lifecycle === 'cleanup' || runtime === undefined) return await this.#cleanup(service, signal);
      return await this.#ensure(service, runtime, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      // Somebody else may act and report by now.
      if (!observer.holds()) return { requeue: 'backoff' };
      const error = asBerthError(thrown);
      if (runtime !== undefined && ADDRESS_REASONS.has(error.code)) runtime.waiting.add(key);
      // The newest object: the pass itself may have written to the one it began with.
      const current = cluster.services.get(key);
      if (current === undefined || isGone(error)) return { requeue: 'forget' };
      return await reporter.failed(current, { error, runtime }, signal);
    }
  }

  /** The runtimes that must have been observed before anything is done about the Service. */
  #needed(
    service: Service,
    runtime: ProviderRuntime | undefined,
    lifecycle: Lifecycle,
  ): readonly ProviderRuntime[] {
    const serving = runtime === undefined ? [] : [runtime];
    if (lifecycle !== 'cleanup') return serving;
    // With its type a Service loses its class: who made its load balancer is then seen only by looking everywhere.
    return service.type === 'LoadBalancer' && runtime !== undefined ? serving : this.#options.runtimes;
  }

  /** The deletion half: from what is observed to nothing, then the traces in the object, then the finalizer. */
  async #cleanup(service: Service, signal: AbortSignal): Promise<Outcome> {
    const { cluster, runtimes, reporter, clock, serving } = this.#options;
    const key = keyOf(service);
    const suspects = this.#needed(service, serving(service), 'cleanup');
    for (const runtime of suspects) await confirmAbsence(runtime, service, { clock, signal });
    const owners = runtimes.filter((runtime) => runtime.has(key));
    if (owners.length > 0) {
      reporter.event(service, 'Normal', {
        reason: 'DeletingLoadBalancer',
        message: 'Deleting load balancer',
      });
    }
    for (const runtime of owners) {
      await this.#remove(runtime, key, { signal, settings: settingsOf(service, runtime) });
      runtime.unseen.set(service.uid, Number.NEGATIVE_INFINITY);
    }
    const { writes } = cluster;
    const emptied = service.deleting
      ? service
      : await writes.patchStatus(service, { ingress: [], condition: null }, signal);
    await writes.removeFinalizer(emptied, signal);
    // Not before: after a crash here, an address that two statuses have would go to the older Service.
    for (const runtime of runtimes) {
      this.#release(runtime, key, service.uid);
      runtime.unseen.delete(service.uid);
    }
    if (owners.length > 0) {
      reporter.event(service, 'Normal', { reason: 'DeletedLoadBalancer', message: 'Deleted load balancer' });
    }
    reporter.forget(key);
    this.#nodePortPatches.delete(service.uid);
    this.#options.wake(runtimes.map(sharedKey));
    return { requeue: 'forget' };
  }

  /** The other half: makes the load balancer what the Service asks for, and says so. */
  async #ensure(seen: Service, runtime: ProviderRuntime, signal: AbortSignal): Promise<Outcome> {
    const { observer, targets, reporter } = this.#options;
    const key = keyOf(seen);
    await this.#removeOthers(seen, runtime, signal);
    const ported = await this.#ensureNodePorts(seen, runtime, signal);
    const decision = this.#decide(ported, runtime);
    const service = await this.#ensureFinalizer(ported, signal);
    const request = { scope: 'loadBalancer', key, desired: decision.loadBalancer } as const;
    let error: BerthError | undefined;
    if (runtime.provider.plan(request, runtime.state.view).length > 0) {
      await ensureShared(runtime, { targets: targets(), observer, signal });
      error = await this.#act(runtime, request, signal);
    }
    if (error !== undefined && ADDRESS_REASONS.has(error.code)) runtime.waiting.add(key);
    const outcome = await reporter.served(
      service,
      { runtime, decision, error: error ?? decision.problem },
      signal,
    );
    if (error === undefined && runtime.book?.vacate(key) === true) this.#options.wake(runtime.waiting);
    if (outcome.requeue !== 'forget' || error !== undefined) return outcome;
    return await clearLeftovers(runtime, decision.loadBalancer, { observer, signal });
  }

  /** Removes what was made under this key for another Service, or by another provider for this one. */
  async #removeOthers(service: Service, serving: ProviderRuntime, signal: AbortSignal): Promise<void> {
    const key = keyOf(service);
    for (const runtime of this.#options.runtimes) {
      const uid = runtime.state.view.loadBalancers.get(key)?.uid;
      if (uid === undefined || (runtime === serving && uid === service.uid)) continue;
      await this.#remove(runtime, key, { signal });
      this.#release(runtime, key, uid);
    }
  }

  #decide(service: Service, runtime: ProviderRuntime): Decision {
    const { cluster, serving, targets, labelsOf, endpoints } = this.#options;
    const waiting = waitingFor(runtime, cluster.services, serving);
    const decision = decide(service, runtime, { targets: targets(), labelsOf, waiting, endpoints });
    runtime.needs.set(keyOf(service), runtime.provider.needs?.(decision.loadBalancer) ?? []);
    if (decision.problem === undefined) runtime.waiting.delete(keyOf(service));
    else runtime.waiting.add(keyOf(service));
    return decision;
  }

  /** Carries out what a load balancer needs; gives back the error instead of throwing it, for there is a status to write. */
  async #act(
    runtime: ProviderRuntime,
    request: PlanRequest,
    signal: AbortSignal,
  ): Promise<BerthError | undefined> {
    try {
      await this.#converge(runtime, request, signal);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      mustHold(this.#options.observer);
      return asBerthError(error);
    }
  }

  async #remove(
    runtime: ProviderRuntime,
    key: ServiceKey,
    {
      signal,
      settings,
    }: { readonly signal: AbortSignal; readonly settings?: Readonly<Record<string, unknown>> | undefined },
  ): Promise<void> {
    const asked = settings === undefined ? {} : { settings };
    await this.#converge(runtime, { scope: 'loadBalancer', key, desired: undefined, ...asked }, signal);
  }

  /** Plans and acts; on a `Conflict` the key is observed again and the work is done once more. */
  async #converge(runtime: ProviderRuntime, request: PlanRequest, signal: AbortSignal): Promise<void> {
    const { observer } = this.#options;
    try {
      await converge(runtime, request, { observer, signal });
    } catch (error) {
      const { kind } = asBerthError(error);
      if (signal.aborted || request.scope === 'shared') throw error;
      if (kind === 'Transient') runtime.doubtful.add(request.key);
      if (kind !== 'Conflict') throw error;
      await runtime.observeKey(request.key, signal);
      await converge(runtime, request, { observer, signal });
    }
  }

  async #ensureNodePorts(service: Service, runtime: ProviderRuntime, signal: AbortSignal): Promise<Service> {
    const missing = portsWithoutNodePort(service, runtime.traits);
    const patched = this.#nodePortPatches.get(service.uid) ?? 0;
    const may = this.#options.allocateNodePorts && patched < MAX_NODE_PORT_PATCHES;
    if (missing.length === 0 || service.allocateLoadBalancerNodePorts || !may) return service;
    this.#nodePortPatches.set(service.uid, patched + 1);
    const allocated = await this.#options.cluster.writes.allocateNodePorts(service, signal);
    const message = `Set spec.allocateLoadBalancerNodePorts to true: ${missing.join(', ')} had no node port`;
    this.#options.reporter.event(service, 'Normal', { reason: 'NodePortsAllocated', message });
    return allocated;
  }

  async #ensureFinalizer(service: Service, signal: AbortSignal): Promise<Service> {
    if (hasFinalizer(service)) return service;
    const { cluster, reporter } = this.#options;
    reporter.event(service, 'Normal', { reason: 'EnsuringLoadBalancer', message: 'Ensuring load balancer' });
    reporter.writing(keyOf(service), { ...tracesOf(service), finalizer: true });
    return await cluster.writes.addFinalizer(service, signal);
  }

  /**
   * Nobody asks for anything under this key: the Service is gone without a clean-up by us (it had no finalizer, or
   * somebody took it away), or it is none of ours. What is still observed is an orphan, reported by the sweep and
   * removed only when it was condemned; its address stays reserved while it exists.
   */
  async #absent(key: ServiceKey, signal: AbortSignal): Promise<Outcome> {
    const condemned = this.#condemned.get(key);
    for (const runtime of this.#options.runtimes) {
      if (condemned !== undefined && runtime.state.view.loadBalancers.get(key)?.uid === condemned) {
        mustHold(this.#options.observer);
        await this.#remove(runtime, key, { signal });
        this.#options.wake([sharedKey(runtime)]);
      }
      if (!runtime.has(key)) this.#release(runtime, key);
    }
    this.#condemned.delete(key);
    this.#options.reporter.forget(key);
    return { requeue: 'forget' };
  }

  /**
   * Forgets what a Service needs, frees what it held, and wakes those that wait for it; without pools anything may have
   * become free.
   */
  #release(runtime: ProviderRuntime, key: ServiceKey, uid?: string): void {
    runtime.waiting.delete(key);
    runtime.needs.delete(key);
    if (runtime.book?.release(key, uid) ?? true) this.#options.wake(runtime.waiting);
  }
}

/** Reads a key anew; it stays doubtful when that fails. */
async function observeAgain(runtime: ProviderRuntime, key: ServiceKey, signal: AbortSignal): Promise<void> {
  try {
    await runtime.observeKey(key, signal);
  } catch (error) {
    runtime.doubtful.add(key);
    throw error;
  }
}

/** Whether the API server says that the object does not exist any more. */
function isGone(error: BerthError): boolean {
  return error.code === 'ApiNotFound';
}

/** The settings of a Service that is going; nothing where they are not valid, for a deletion needs none. */
function settingsOf(
  { annotations }: Service,
  { provider }: ProviderRuntime,
): Readonly<Record<string, unknown>> | undefined {
  try {
    return parseSettings(provider.name, provider.settings, annotations);
  } catch {
    return undefined;
  }
}
