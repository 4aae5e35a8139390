import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { ENDLESS, type PoolUsage } from '../plan/pool-usage.ts';
import type { Instrument, Metrics } from '../provider/spi.ts';
import type { QueueObserver } from './queue.ts';

/** Buckets of the incumbent's node sync histograms: 1, 2, 4 ... 16384 seconds. */
const SYNC_BUCKETS = Array.from({ length: 15 }, (_, index) => 2 ** index);

/** The workqueue buckets that Kubernetes components use, in seconds. */
const QUEUE_BUCKETS = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10];

/** What MetalLB's allocator tells of each pool, under its names; label `pool`. */
const POOL_GAUGES: readonly (readonly [name: string, help: string, count: (usage: PoolUsage) => number])[] = [
  [
    'metallb_allocator_addresses_total',
    'Addresses that the pool has.',
    ({ IPv4, IPv6 }) => Math.min(Number(IPv4.total + IPv6.total), Number(ENDLESS)),
  ],
  ['metallb_allocator_ipv4_addresses_total', 'Of these, IPv4 ones.', ({ IPv4 }) => Number(IPv4.total)],
  ['metallb_allocator_ipv6_addresses_total', 'Of these, IPv6 ones.', ({ IPv6 }) => Number(IPv6.total)],
  [
    'metallb_allocator_addresses_in_use_total',
    'Addresses of the pool that Services hold.',
    ({ IPv4, IPv6 }) => IPv4.inUse + IPv6.inUse,
  ],
  ['metallb_allocator_ipv4_addresses_in_use_total', 'Of these, IPv4 ones.', ({ IPv4 }) => IPv4.inUse],
  ['metallb_allocator_ipv6_addresses_in_use_total', 'Of these, IPv6 ones.', ({ IPv6 }) => IPv6.inUse],
  [
    'metallb_allocator_services_allocated_total',
    'Services that hold an address of the pool.',
    ({ services }) => services,
  ],
];

/** `/metrics`: the names that dashboards already use, and Berth's own. */
export class ControllerMetrics implements Metrics {
  readonly registry = new Registry();
  readonly syncs: Instrument;
  readonly steps: Instrument;
  readonly conditions: Instrument;
  readonly drifts: Instrument;
  readonly orphans: Instrument;
  readonly nodeSyncErrors: Instrument;
  readonly #nodeSyncLatency: Histogram;
  readonly #hostLatency: Histogram;
  #usage: () => readonly PoolUsage[] = () => [];

  constructor() {
    this.syncs = this.counter(
      'service_controller_loadbalancer_sync_total',
      'Passes over Services, by outcome: success, waiting, invalid, error.',
      ['outcome'],
    );
    this.steps = this.counter('berth_plan_steps_total', 'Steps carried out.', [
      'provider',
      'verb',
      'resource',
    ]);
    this.conditions = this.gauge('berth_service_condition', 'The reason that holds for a Service (1).', [
      'namespace',
      'name',
      'reason',
    ]);
    this.drifts = this.counter('berth_drift_total', 'Load balancers found changed by hand.', ['provider']);
    this.orphans = this.gauge('berth_orphans', 'Load balancers of ours that belong to no Service.', [
      'provider',
    ]);
    this.nodeSyncErrors = this.counter(
      'service_controller_nodesync_error_total',
      'Services whose pass after a change of nodes failed.',
      [],
    );
    this.#nodeSyncLatency = this.#histogram(
      'service_controller_nodesync_latency_seconds',
      'Seconds from a change of nodes until all load balancers have it.',
      SYNC_BUCKETS,
    );
    this.#hostLatency = this.#histogram(
      'service_controller_update_loadbalancer_host_latency_seconds',
      'Seconds from a change of nodes until one load balancer has it.',
      SYNC_BUCKETS,
    );
    for (const row of POOL_GAUGES) this.#poolGauge(row);
  }

  /** Where to read how full the pools are, whenever the metrics are asked for. */
  poolUsage(usage: () => readonly PoolUsage[]): void {
    this.#usage = usage;
  }

  /** All load balancers have the nodes, this many seconds after they changed. */
  nodesSynced(seconds: number): void {
    this.#nodeSyncLatency.observe(seconds);
  }

  /** One load balancer has the nodes, this many seconds after they changed. */
  hostsUpdated(seconds: number): void {
    this.#hostLatency.observe(seconds);
  }

  counter(name: string, help: string, labels: readonly string[]): Instrument {
    const existing = this.registry.getSingleMetric(name);
    const counter =
      existing instanceof Counter
        ? existing
        : new Counter({ name, help, labelNames: [...labels], registers: [this.registry] });
    return { record: (values, by) => counter.inc({ ...values }, by) };
  }

  gauge(name: string, help: string, labels: readonly string[]): Instrument {
    const existing = this.registry.getSingleMetric(name);
    const gauge =
      existing instanceof Gauge
        ? existing
        : new Gauge({ name, help, labelNames: [...labels], registers: [this.registry] });
    return {
      record(values, value) {
        // A reason that no longer holds goes, so that the number of series stays that of Services.
        if (value === 0 && labels.length > 1) gauge.remove({ ...values });
        else gauge.set({ ...values }, value);
      },
    };
  }

  /** `workqueue_*` under the name that the incumbent's queue has. */
  queueObserver(onFailed: (key: string, error: unknown) => void): QueueObserver {
    const labels = { name: 'service' };
    const adds = this.counter('workqueue_adds_total', 'Keys asked for.', ['name']);
    const retries = this.counter('workqueue_retries_total', 'Keys put back.', ['name']);
    const depth = new Gauge({
      name: 'workqueue_depth',
      help: 'Keys that wait for a worker.',
      labelNames: ['name'],
      registers: [this.registry],
    });
    const waited = this.#histogram(
      'workqueue_queue_duration_seconds',
      'Seconds a key waited.',
      QUEUE_BUCKETS,
      ['name'],
    );
    const worked = this.#histogram('workqueue_work_duration_seconds', 'Seconds a pass took.', QUEUE_BUCKETS, [
      'name',
    ]);
    return {
      added(size) {
        adds.record(labels, 1);
        depth.set(labels, size);
      },
      started(waitedMs, size) {
        waited.observe(labels, waitedMs / 1000);
        depth.set(labels, size);
      },
      finished: (workedMs) => worked.observe(labels, workedMs / 1000),
      retried: () => retries.record(labels, 1),
      failed: onFailed,
    };
  }

  #poolGauge([name, help, count]: (typeof POOL_GAUGES)[number]): void {
    const usage = (): readonly PoolUsage[] => this.#usage();
    const gauge = new Gauge({
      name,
      help,
      labelNames: ['pool'],
      registers: [this.registry],
      collect() {
        gauge.reset();
        for (const pool of usage()) gauge.inc({ pool: pool.pool }, count(pool));
      },
    });
  }

  // oxlint-disable-next-line eslint/max-params -- private: name, help, buckets and labels say what they are
  #histogram(name: string, help: string, buckets: number[], labelNames: string[] = []): Histogram {
    return new Histogram({ name, help, buckets, labelNames, registers: [this.registry] });
  }
}
