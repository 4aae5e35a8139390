import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BenchCluster,
  type Observer,
  quiet,
  serviceNames,
  since,
  sum,
  type Tally,
  tallyText,
  WRITES,
} from './core-cluster.ts';
import { bareNode, BerthProcess, cpuMsOf, type Memory, memoryOf } from './core-process.ts';
import { type Measurement, quantile, rounded } from './report.ts';

/** How large the benchmark is, and how long its rests are, in milliseconds. */
export interface Sizes {
  readonly services: number;
  readonly nodes: number;
  /** Starts to take the first Service's time from. */
  readonly starts: number;
  readonly settleMs: number;
  readonly restMs: number;
  /** Arguments of Berth's node process. */
  readonly nodeArgs: readonly string[];
}

/** What every phase works with. */
export interface Phases {
  readonly cluster: BenchCluster;
  readonly observer: Observer;
  readonly sizes: Sizes;
  /** Ends everything. */
  readonly signal: AbortSignal;
  readonly record: (measurement: Measurement) => void;
}

/** Nothing is waited for longer than this. */
const LIMIT_MS = 60_000;

/** From the start of the process until a Service that was waiting has its ingress. */
export async function firstServed({ cluster, observer, sizes, signal, record }: Phases): Promise<void> {
  console.log(`first Service after a start, ${sizes.starts} times ...`);
  const times: number[] = [];
  for (let start = 0; start < sizes.starts; start++) {
    const name = `first-${start}`;
    await cluster.createServices([name]);
    const berth = await BerthProcess.start(cluster, sizes.nodeArgs);
    try {
      await until(`${name} has its ingress`, () => observer.served.has(name), { berth, signal });
      times.push((observer.served.get(name) ?? Number.NaN) - berth.startedAt);
      await cluster.deleteServices([name]);
      await until(`${name} is gone`, () => observer.deleted.has(name), { berth, signal });
    } finally {
      await berth.stop();
    }
  }
  record({
    id: 'core.first-served',
    what: 'process start to first Service served',
    value: quantile(times, 0.5),
    unit: 'ms',
    target: { atMost: 1_500 },
    note: `median of ${times.map((time) => rounded(time)).join(', ')}`,
  });
}

/** Memory with nothing to do. */
export async function empty({ sizes, signal, record }: Phases, berth: BerthProcess): Promise<Memory> {
  console.log('at rest without Services ...');
  await until('Berth is ready', () => berth.ready(), { berth, signal });
  await sleep(sizes.settleMs, undefined, { signal });
  const [bare, memory] = [await bareNode(), await memoryOf(berth.pid)];
  const note = (of: Memory): string => `${rounded(of.anonymous)} MB of it anonymous`;
  record({
    id: 'core.rss.bare',
    what: 'RSS of a Node process that does nothing',
    value: bare.rss,
    unit: 'MB',
    note: note(bare),
  });
  record({
    id: 'core.rss.empty',
    what: 'RSS with 0 Services',
    value: memory.rss,
    unit: 'MB',
    note: note(memory),
  });
  return memory;
}

/** All Services are created at once: how long until each has its ingress, and what that costs. */
export async function creation(bench: Phases, berth: BerthProcess): Promise<void> {
  const { cluster, observer, sizes, signal, record } = bench;
  console.log(`creating ${sizes.services} Services ...`);
  const names = serviceNames(sizes.services);
  const before = await cluster.tally();
  const own = await ownRequests(berth);
  const cpu = await cpuClock(cluster, berth);
  const begun = performance.now();
  await cluster.createServices(names);
  const created = performance.now() - begun;
  const served = (): boolean => names.every((name) => observer.served.has(name));
  await until('all Services have their ingress', served, { berth, signal });
  const spent = await cpu();
  const times = names.map((name) => (observer.served.get(name) ?? Number.NaN) - begun);
  record({
    id: 'core.create.served',
    what: `first create to all ${sizes.services} Services served`,
    value: Math.max(...times),
    unit: 'ms',
    target: { atMost: 20_000 },
    note: `the creates alone took ${rounded(created)} ms; CPU: ${spent}`,
  });
  await creationRequests(bench, { berth, begun: own, asked: since(before, await quiet(cluster, signal)) });
}

async function creationRequests(
  { sizes: { services }, record }: Phases,
  { berth, begun, asked }: { readonly berth: BerthProcess; readonly begun: OwnCount; readonly asked: Tally },
): Promise<void> {
  const each = (pattern: RegExp): number => sum(asked, pattern) / services;
  const one = { unit: 'per Service', target: { exactly: 1 } } as const;
  record({
    id: 'core.create.finalizer',
    what: 'creation: patches of the Service (finalizer)',
    value: each(/^patch services$/),
    ...one,
  });
  record({
    id: 'core.create.status',
    what: 'creation: patches of its status',
    value: each(/^patch services\/status$/),
    ...one,
  });
  record({
    id: 'core.create.events',
    what: 'creation: Events',
    value: each(/ events$/),
    unit: 'per Service',
    target: { atMost: 2 },
  });
  const others = [...asked].filter(([name]) => !/^patch services(\/status)?$| (events|leases)$/.test(name));
  record({
    id: 'core.create.others',
    what: 'creation: all other requests, and refused ones',
    value: total(others.map(([, count]) => count)),
    unit: 'requests',
    target: { exactly: 0 },
    note: tallyText(new Map(others)),
  });
  await ownCount(record, { berth, begun, asked });
}

/** Holds Berth's own count of its writes against the API server's. Both have the Lease renewals in them. */
async function ownCount(
  record: Phases['record'],
  { berth, begun, asked }: { readonly berth: BerthProcess; readonly begun: OwnCount; readonly asked: Tally },
): Promise<void> {
  const own = since(begun, await ownRequests(berth));
  const audited = [...asked].filter(([name]) => WRITES.test(name)).map(([, count]) => count);
  record({
    id: 'core.create.own-count',
    what: "creation: writes by Berth's own metric but not by the audit log",
    value: total(own.values()) - total(audited),
    unit: 'requests',
    target: { exactly: 0 },
    note: `rest_client_requests_total: ${tallyText(own)}, Lease renewals included`,
  });
}

/** Berth's own count of its writes, by method and code. */
async function ownRequests(berth: BerthProcess): Promise<OwnCount> {
  const metric = await berth.metric('rest_client_requests_total');
  const named = [...metric].map(([labels, count]) => [methodOf(labels), count] as const);
  return new Map(named.filter(([name]) => !name.startsWith('GET')));
}

type OwnCount = ReadonlyMap<string, number>;

function total(counts: Iterable<number>): number {
  return [...counts].reduce((sum, count) => sum + count, 0);
}

function methodOf(labels: string): string {
  const value = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(labels)?.[1] ?? '';
  return `${value('method')} ${value('code')}`;
}

/** CPU and memory when nothing happens. */
export async function atRest(
  { cluster, sizes, signal, record }: Phases,
  berth: BerthProcess,
  before: Memory,
): Promise<void> {
  console.log(`at rest with ${sizes.services} Services, ${sizes.restMs / 1000} s ...`);
  const burst = await memoryOf(berth.pid);
  await sleep(sizes.settleMs, undefined, { signal });
  const [tally, begun, cpu] = [await cluster.tally(), performance.now(), await cpuMsOf(berth.pid)];
  await sleep(sizes.restMs, undefined, { signal });
  const share = (100 * ((await cpuMsOf(berth.pid)) - cpu)) / (performance.now() - begun);
  const asked = since(tally, await cluster.tally());
  const memory = await memoryOf(berth.pid);
  record({
    id: 'core.rest.cpu',
    what: `CPU at rest, ${sizes.restMs / 1000} s`,
    value: share,
    unit: '% of a core',
    target: { atMost: 1 },
  });
  record({
    id: 'core.rest.requests',
    what: 'API requests at rest',
    value: sum(asked),
    unit: 'requests',
    target: { exactly: 0 },
    note: `beside them: ${tallyText(asked) || 'nothing'}`,
  });
  record({
    id: 'core.rss.full',
    what: `RSS with ${sizes.services} Services`,
    value: memory.rss,
    unit: 'MB',
    note: `${rounded(memory.anonymous)} MB of it anonymous; right after the creation ${rounded(burst.rss)}, peak ${rounded(memory.peak)}`,
  });
  record({
    id: 'core.rss.growth',
    what: 'growth of RSS',
    value: memory.rss - before.rss,
    unit: 'MB',
    target: { atMost: 40 },
  });
  const planMs = [await berth.planMs(), await berth.planMs(), await berth.planMs()];
  record({
    id: 'core.plan',
    what: '/api/plan over all Services (what a sweep computes)',
    value: quantile(planMs, 0.5),
    unit: 'ms',
    note: 'median of 3',
  });
}

/** Edits that a load balancer cannot see. */
export async function unrelatedEdits(
  { cluster, sizes, signal, record }: Phases,
  berth: BerthProcess,
): Promise<void> {
  const names = serviceNames(Math.min(100, sizes.services));
  console.log(`relabelling ${names.length} Services ...`);
  const [before, steps] = [await quiet(cluster, signal), await berth.steps(/./)];
  await cluster.relabelServices(names);
  const asked = since(before, await quiet(cluster, signal));
  record({
    id: 'core.relabel.requests',
    what: `${names.length} Services relabelled: API requests`,
    value: sum(asked),
    unit: 'requests',
    target: { exactly: 0 },
  });
  record({
    id: 'core.relabel.steps',
    what: `${names.length} Services relabelled: steps`,
    value: (await berth.steps(/./)) - steps,
    unit: 'steps',
    target: { exactly: 0 },
  });
}

/** Nodes join: from the first create until every load balancer has them. */
export async function nodesJoin(
  { cluster, sizes: { services }, signal, record }: Phases,
  berth: BerthProcess,
  { from, count }: { readonly from: number; readonly count: number },
): Promise<void> {
  console.log(`${count} node${count === 1 ? ' joins' : 's join'} ...`);
  const before = await quiet(cluster, signal);
  const cpu = await cpuClock(cluster, berth);
  const begunWallMs = Date.now();
  await cluster.createNodes(from, from + count);
  const created = Date.now() - begunWallMs;
  // The log is read rather than /metrics polled: reading a file costs Berth nothing.
  const updates = async (): Promise<readonly number[]> =>
    (await berth.loggedSteps(begunWallMs)).flatMap(({ resource, time }) =>
      resource === 'targets' ? [time] : [],
    );
  await until('every load balancer has the nodes', async () => (await updates()).length >= services, {
    berth,
    signal,
    everyMs: 100,
  });
  const spent = await cpu();
  const asked = since(before, await quiet(cluster, signal));
  const times = await updates();
  const id = count === 1 ? 'core.node' : 'core.nodes';
  const what = count === 1 ? '1 node joins' : `${count} nodes join at once`;
  record({
    id: `${id}.applied`,
    what: `${what}: until applied for all ${services}`,
    value: Math.max(...times) - begunWallMs,
    unit: 'ms',
    ...(count === 1 ? { target: { atMost: 1_000 } } : {}),
    note: `200 ms of it is the window that coalesces; ${count === 1 ? '' : `the creates took ${created} ms; `}CPU: ${spent}`,
  });
  record({
    id: `${id}.writes`,
    what: `${what}: API writes`,
    value: sum(asked, WRITES),
    unit: 'requests',
    target: { exactly: 0 },
  });
  record({
    id: `${id}.calls`,
    what: `${what}: calls for each load balancer`,
    value: times.length / services,
    unit: 'calls',
    target: { exactly: 1 },
  });
}

/** Berth starts with everything existing. Returns the process. */
export async function restart({ cluster, sizes, signal, record }: Phases): Promise<BerthProcess> {
  const { services } = sizes;
  console.log(`restart with ${services} Services ...`);
  const before = await quiet(cluster, signal);
  const berth = await BerthProcess.start(cluster, sizes.nodeArgs);
  try {
    await until('Berth is ready', () => berth.ready(), { berth, signal });
    const ready = performance.now() - berth.startedAt;
    const made = async (): Promise<boolean> =>
      (await berth.loggedSteps(0)).filter(({ resource }) => resource === 'targets').length >= services;
    await until('everything is planned', made, { berth, signal, everyMs: 100 });
    const steps = await berth.loggedSteps(0);
    const last = Math.max(...steps.map(({ time }) => time));
    const cpuMs = await cpuMsOf(berth.pid);
    const asked = since(before, await quiet(cluster, signal));
    record({ id: 'core.restart.ready', what: 'restart: start to ready', value: ready, unit: 'ms' });
    record({
      id: 'core.restart.planned',
      what: `restart: start to all ${services} planned and applied`,
      value: last - berth.startedWallMs,
      unit: 'ms',
      note: `${steps.length} steps, ${rounded(cpuMs / 1000)} s of CPU`,
    });
    record({
      id: 'core.restart.requests',
      what: 'restart: API requests',
      value: sum(asked),
      unit: 'requests',
      note: tallyText(asked),
    });
    record({
      id: 'core.restart.writes',
      what: 'restart: API writes',
      value: sum(asked, WRITES),
      unit: 'requests',
      target: { exactly: 0 },
    });
    return berth;
  } catch (error) {
    await berth.stop();
    throw error;
  }
}

/** All Services go. */
export async function deletion(
  { cluster, observer, sizes, signal, record }: Phases,
  berth: BerthProcess,
): Promise<void> {
  const { services } = sizes;
  console.log(`deleting ${services} Services ...`);
  const names = serviceNames(services);
  const before = await cluster.tally();
  const cpu = await cpuClock(cluster, berth);
  const begun = performance.now();
  await cluster.deleteServices(names);
  const requested = performance.now() - begun;
  await until('all Services are gone', () => names.every((name) => observer.deleted.has(name)), {
    berth,
    signal,
  });
  const spent = await cpu();
  const asked = since(before, await quiet(cluster, signal));
  record({
    id: 'core.delete.gone',
    what: `first delete to all ${services} gone`,
    value: Math.max(...names.map((name) => observer.deleted.get(name) ?? Number.NaN)) - begun,
    unit: 'ms',
    note: `the deletes alone took ${rounded(requested)} ms; CPU: ${spent}`,
  });
  record({
    id: 'core.delete.requests',
    what: 'deletion: API requests',
    value: sum(asked) / services,
    unit: 'per Service',
    note: tallyText(asked),
  });
}

/** Starts to measure who uses the cores; the answer says who did, in seconds of CPU time. */
async function cpuClock({ plane }: BenchCluster, berth: BerthProcess): Promise<() => Promise<string>> {
  const { etcd, apiServer } = plane.processes();
  const pids: readonly (readonly [string, number | undefined])[] = [
    ['Berth', berth.pid],
    ['kube-apiserver', apiServer],
    ['etcd', etcd],
    ['this benchmark', process.pid],
  ];
  const read = (): Promise<readonly number[]> =>
    Promise.all(pids.map(([, pid]) => (pid === undefined ? Number.NaN : cpuMsOf(pid))));
  const before = await read();
  return async () => {
    const after = await read();
    return pids
      .map(([name], index) => `${name} ${rounded(((after[index] ?? 0) - (before[index] ?? 0)) / 1000)} s`)
      .join(', ');
  };
}

interface Waiting {
  readonly berth: BerthProcess;
  readonly signal: AbortSignal;
  readonly everyMs?: number;
}

/** Waits until something holds. @throws Error with the end of Berth's log when it does not in time. */
async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { berth, signal, everyMs = 20 }: Waiting,
): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await holds())) {
    if (!berth.alive || performance.now() > deadline) {
      throw new Error(
        `${berth.alive ? `After ${LIMIT_MS / 1000} s` : 'Berth has ended and'} it does not hold that ${what}. The end of Berth's log:\n${await berth.tail()}`,
      );
    }
    await sleep(everyMs, undefined, { signal });
  }
}
