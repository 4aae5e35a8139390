import { hostname } from 'node:os';
import {
  KubeClient,
  readClusterId,
  runLeaderElection,
  type Connection,
  type Leadership,
  type RequestRecord,
} from '../kube/index.ts';
import { ANNOTATION_ENDPOINT, ANNOTATION_NODES, LEASE_NAME } from '../model/names.ts';
import type { ServiceKey } from '../model/service.ts';
import { guard } from '../provider/guard.ts';
import { prepareProvider, Registry } from '../provider/registry.ts';
import type { Clock, Host, Log, Provider } from '../provider/spi.ts';
import { Controller, type ControllerOptions, type ControllerSettings } from './controller.ts';
import { DeclaredWatches } from './declared-watches.ts';
import { endpointOf, serveHttp, type HttpEndpoint } from './http.ts';
import { LiveCluster } from './live-cluster.ts';
import type { PatchObject } from './pool-report.ts';
import type { NodeStore } from './node-memory.ts';
import { ControllerMetrics } from './metrics.ts';
import { ensureSecrets } from './secrets.ts';

/** A provider to load, as the configuration names it. */
export interface ProviderSpec {
  readonly spec: string;
  readonly config?: unknown;
  readonly classes?: readonly string[];
  readonly section?: string;
}

/** Everything that a controller process is started with. Durations are milliseconds. */
export interface RunOptions {
  readonly connection: Connection;
  readonly providers: readonly ProviderSpec[];
  readonly defaultProvider: string | undefined;
  /** The cluster's identity; read from the cluster when unset. */
  readonly clusterId: string | undefined;
  readonly clusterName: string;
  readonly settings: ControllerSettings;
  /** `undefined`: acts without an election. */
  readonly election: ElectionSettings | undefined;
  readonly listen: { readonly host: string; readonly port: number };
  /** Berth's own namespace, where Secrets are made that providers declare; that of the election unless given. */
  readonly namespace?: string;
  /** How the HTTP endpoint is told to `berth plan`: a pod (`pod/NAMESPACE/NAME`) or `undefined` for loopback. */
  readonly pod: string | undefined;
  /** Where providers given as paths or package names are looked for. */
  readonly from: string;
  /** Asks to stop. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly version: string;
  /** Called when this process has begun to act. */
  readonly onActing?: (controller: Controller) => void;
}

/** Leader election by Lease; see `runLeaderElection`. */
export interface ElectionSettings {
  readonly namespace: string;
  readonly identity: string;
  readonly leaseDurationMs?: number;
  readonly renewDeadlineMs?: number;
  readonly retryPeriodMs?: number;
}

/** How a run ended. */
export type RunEnd = 'stopped' | 'lost';

/** How long events may still be written after that, in milliseconds. */
const EVENTS_DEADLINE_MS = 1_000;

/** How long what is under way may take to finish after the signal, in milliseconds: less than the Lease lasts. */
const STOP_DEADLINE_MS = 4_500;

/**
 * Runs the controller until `signal` aborts or the Lease is lost.
 *
 * Flow: HTTP endpoint, identity, providers, election; once elected: list by quorum, observe, act. On the signal: no
 * new pass is begun, what is under way is finished, events are written, the Lease is released, providers are closed.
 *
 * @throws ProviderLoadError, BerthError `KubeconfigUnusable` and others of their documented codes when it cannot start.
 */
export async function runController(options: RunOptions): Promise<RunEnd> {
  const process = new ControllerProcess(options);
  try {
    await process.open();
    if (options.election === undefined) {
      // Nobody can take the right to act away, so nothing makes it drop what is under way.
      await process.act(new AbortController().signal, { stop: options.signal, holds: () => true });
      return 'stopped';
    }
    const { log, election } = options;
    const end = await runLeaderElection({
      client: process.client,
      name: LEASE_NAME,
      ...election,
      annotations: { [ANNOTATION_ENDPOINT]: process.endpoint },
      signal: options.signal,
      onElected: (leadership) =>
        process.act(leadership.signal, {
          stop: options.signal,
          holds: () => leadership.holds(),
          nodeStore: nodeStoreOn(leadership),
        }),
      onStandby: (holder) => {
        process.standby();
        log.info({ holder }, 'standing by');
      },
      onTrouble: (error) => log.warn({ error: String(error) }, 'the Lease could not be read or renewed'),
    });
    return end === 'lost' ? 'lost' : 'stopped';
  } finally {
    await process.close();
  }
}

/**
 * Looks at the cluster and the providers once, changing nothing: what `berth plan`, `status` and `explain` do when no
 * leader answers. The caches stay open until `signal` aborts.
 */
export async function lookOnce(options: Omit<RunOptions, 'election' | 'listen' | 'pod'>): Promise<Looked> {
  const metrics = new ControllerMetrics();
  const client = clientFor(options, metrics);
  const { registry, watches } = await loadAll(options, { client, metrics, controller: () => undefined });
  const cluster = liveCluster(options, { client, signal: options.signal, controller: () => undefined });
  await Promise.all([cluster.synced(), watches.open(client, options.signal)]);
  const { settings, clock, random, log } = options;
  const controller = new Controller({ cluster, registry, settings, clock, random, log, metrics });
  await controller.look(options.signal);
  return { controller, cluster, client, close: () => closeAll(registry.providers) };
}

/** What `lookOnce` sees. */
export interface Looked {
  readonly controller: Controller;
  readonly cluster: LiveCluster;
  readonly client: KubeClient;
  close(): Promise<void>;
}

/** A process that is ready to act, once it may. */
class ControllerProcess {
  readonly client: KubeClient;
  readonly #options: RunOptions;
  readonly #metrics = new ControllerMetrics();
  #http: HttpEndpoint | undefined;
  #loaded: Loaded | undefined;
  #controller: Controller | undefined;
  #ready = false;

  constructor(options: RunOptions) {
    this.#options = options;
    this.client = clientFor(options, this.#metrics);
  }

  /** Opens the HTTP endpoint and loads the providers. */
  async open(): Promise<void> {
    const { listen, log } = this.#options;
    this.#http = await serveHttp(
      {
        healthy: () => true,
        ready: () => this.#ready,
        metrics: () => this.#metrics.registry.metrics(),
        answer: (question, query) =>
          this.#controller === undefined ? undefined : answer(this.#controller, question, query),
      },
      listen,
    );
    log.info({ host: this.#http.host, port: this.#http.port }, 'serving /healthz, /readyz and /metrics');
    this.#loaded = await loadAll(this.#options, {
      client: this.client,
      metrics: this.#metrics,
      controller: () => this.#controller,
    });
  }

  /** Where `berth plan` finds this process while it leads. */
  get endpoint(): string {
    const { pod } = this.#options;
    const { host = '', port = 0 } = this.#http ?? {};
    return endpointOf(pod, { host, port }) ?? `${pod}:${port}`;
  }

  /** Another process leads; being ready to take over is all that is asked of this one. */
  standby(): void {
    this.#ready = true;
  }

  /** Acts until `stop` (finish what is under way) or `signal` (drop everything) aborts. */
  async act(signal: AbortSignal, { stop, ...term }: { stop: AbortSignal } & Term): Promise<void> {
    const { log, onActing } = this.#options;
    const watching = new AbortController();
    const working = new AbortController();
    const { acting, cluster } = this.#controllerFor(watching.signal, term);
    this.#ready = false;
    try {
      const synced = Promise.all([
        cluster.synced(),
        this.#loaded?.watches.open(this.client, watching.signal),
      ]);
      await Promise.race([synced, aborted(signal), aborted(stop)]);
      if (signal.aborted || stop.aborted) return;
      this.#controller = acting;
      log.info({ services: cluster.services.size, nodes: cluster.nodes.size }, 'leading');
      this.#makeSecrets(watching.signal);
      const started = acting.start(AbortSignal.any([signal, working.signal]));
      await Promise.race([started, aborted(signal), aborted(stop)]);
      if (signal.aborted || stop.aborted) return;
      this.#ready = true;
      onActing?.(acting);
      await Promise.race([aborted(stop), aborted(signal)]);
    } finally {
      this.#ready = false;
      await Promise.race([acting.stop(), aborted(signal), delay(this.#options.clock, STOP_DEADLINE_MS)]);
      // What is still under way must neither begin a step nor write when the Lease is somebody else's.
      working.abort(new Error('stopped'));
      this.#controller = undefined;
      await cluster.close(signal.aborted ? 0 : EVENTS_DEADLINE_MS);
      watching.abort(new Error('stopped'));
    }
  }

  async close(): Promise<void> {
    await closeAll(this.#loaded?.registry.providers ?? []);
    await this.#http?.close();
  }

  /** Beside the work on Services, which does not wait for it. */
  #makeSecrets(signal: AbortSignal): void {
    const { clock, log, election, namespace = election?.namespace } = this.#options;
    const providers = this.#loaded?.registry.providers ?? [];
    if (namespace !== undefined)
      void ensureSecrets({ client: this.client, providers, namespace, clock, log, signal });
  }

  #controllerFor(watching: AbortSignal, term: Term): { acting: Controller; cluster: LiveCluster } {
    const { settings, clock, random, log } = this.#options;
    const cluster = liveCluster(this.#options, {
      client: this.client,
      signal: watching,
      controller: () => this.#controller,
    });
    const registry = this.#loaded?.registry ?? new Registry([]);
    const metrics = this.#metrics;
    const patch: PatchObject = ({ path, body }, signal) =>
      this.client.request({ method: 'PATCH', path, body, signal, idempotent: true });
    return {
      acting: new Controller({ cluster, registry, settings, clock, random, log, metrics, patch, ...term }),
      cluster,
    };
  }
}

/** What a process has while it may act. */
type Term = Pick<ControllerOptions, 'nodeStore'> & { readonly holds: () => boolean };

/** Remembers the nodes in an annotation of the Lease, which is written with the next renewal anyway. */
function nodeStoreOn({ annotations, annotate }: Leadership): NodeStore {
  return {
    remembered: annotations[ANNOTATION_NODES],
    remember: (nodes) => annotate({ [ANNOTATION_NODES]: nodes ?? null }),
  };
}

function answer(controller: Controller, question: string, query: URLSearchParams): unknown {
  if (question === 'plan') return controller.inspect.plan();
  if (question === 'status') return controller.inspect.status();
  if (question === 'explain') return controller.inspect.explain(query.get('key') ?? '');
  if (question === 'sweep') return controller.lastSweep;
  return undefined;
}

function clientFor(
  { connection, version }: Pick<RunOptions, 'connection' | 'version'>,
  metrics: ControllerMetrics,
): KubeClient {
  const requests = metrics.counter('rest_client_requests_total', 'Requests to the API server.', [
    'code',
    'method',
    'host',
  ]);
  const onRequest = ({ code, method, host }: RequestRecord): void =>
    requests.record({ code: String(code), method, host }, 1);
  return new KubeClient(connection, { version, onRequest });
}

/** The providers, and what they declared to read. */
interface Loaded {
  readonly registry: Registry;
  readonly watches: DeclaredWatches;
}

interface Surroundings {
  readonly client: KubeClient;
  readonly metrics: ControllerMetrics;
  /** The acting controller, if there is one at the moment. */
  readonly controller: () => Controller | undefined;
}

async function loadAll(
  options: Pick<
    RunOptions,
    'providers' | 'defaultProvider' | 'clusterId' | 'clusterName' | 'clock' | 'log' | 'from' | 'signal'
  >,
  { client, metrics, controller }: Surroundings,
): Promise<Loaded> {
  const { clock, log, from } = options;
  const watches = new DeclaredWatches(log);
  // A mistake in the configuration is told at once, not when the API server is reached.
  const prepared = [];
  for (const spec of options.providers)
    prepared.push({ spec: spec.spec, make: await prepareProvider({ ...spec, from }) });
  const id = options.clusterId ?? (await readClusterId(client, options.signal));
  const providers: Provider[] = [];
  for (const { spec, make } of prepared) {
    let name = spec;
    const enqueue = (keys: readonly ServiceKey[] | undefined, because: string): void =>
      controller()?.enqueue(name, keys, because);
    const cluster = { id, name: options.clusterName };
    const watch: Host['watch'] = (declaration) => watches.declare(declaration);
    const host: Host = { clock, log, metrics, cluster, enqueue, watch };
    const provider = await make(host);
    name = provider.name;
    providers.push(guard(provider, { clock, metrics }));
  }
  return { registry: new Registry(providers, options.defaultProvider), watches };
}

function liveCluster(
  { log }: Pick<RunOptions, 'log'>,
  {
    client,
    signal,
    controller,
  }: { client: KubeClient; signal: AbortSignal; controller: () => Controller | undefined },
): LiveCluster {
  return new LiveCluster({
    client,
    log,
    instance: hostname(),
    signal,
    onService: (event) => controller()?.serviceChanged(event),
    onNode: (event) => controller()?.nodeChanged(event),
    onEndpoints: (key) => controller()?.endpointsChanged(key),
  });
}

async function closeAll(providers: readonly Provider[]): Promise<void> {
  await Promise.allSettled(providers.map((provider) => provider.close()));
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

function delay(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve);
  });
}
