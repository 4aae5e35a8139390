import { setTimeout as sleep } from 'node:timers/promises';
import { quiet, serviceNames, since, sum, tallyText, WRITES } from './core-cluster.ts';
import { writeCloud } from './core-cloud.ts';
import { until } from './berth-process.ts';
import { CoreBerth } from './core-process.ts';
import { bareNode, cpuMsOf, type Memory, memoryOf } from './process-facts.ts';
import { cpuClock, type Phases } from './core-waiting.ts';
import { quantile, rounded } from './report.ts';

/** Memory with nothing to do. */
export async function empty({ sizes, signal, record }: Phases, berth: CoreBerth): Promise<Memory> {
  console.log('at rest without Services ...');
  await until('Berth is ready', () => berth.isReady(), { berth, signal });
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

/** CPU and memory when nothing happens. */
export async function atRest(
  { cluster, sizes, signal, record }: Phases,
  berth: CoreBerth,
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
  berth: CoreBerth,
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
  berth: CoreBerth,
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

/** Berth starts with everything existing: Services, nodes, and the load balancers in a file that stands for a cloud. */
export async function restart({ cluster, sizes, signal, record }: Phases): Promise<void> {
  const { services } = sizes;
  console.log(`restart with ${services} Services ...`);
  const cloudFile = await writeCloud(cluster);
  const before = await quiet(cluster, signal);
  const berth = await CoreBerth.start(cluster, { ...sizes, cloudFile });
  try {
    await until('Berth is ready', () => berth.isReady(), { berth, signal });
    const ready = performance.now() - berth.startedAt;
    const planned = async (): Promise<boolean> => (await berth.passes()) >= services;
    await until('everything is planned', planned, { berth, signal, everyMs: 50 });
    const all = performance.now() - berth.startedAt;
    const cpuMs = await cpuMsOf(berth.pid);
    const asked = since(before, await quiet(cluster, signal));
    record({ id: 'core.restart.ready', what: 'restart: start to ready', value: ready, unit: 'ms' });
    record({
      id: 'core.restart.planned',
      what: `restart: start to all ${services} planned`,
      value: all,
      unit: 'ms',
      note: `${rounded(cpuMs / 1000)} s of CPU`,
    });
    record({
      id: 'core.restart.steps',
      what: 'restart: steps',
      value: await berth.steps(/./),
      unit: 'steps',
      target: { exactly: 0 },
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
  } finally {
    await berth.stop();
  }
}

/**
 * Berth starts, and every load balancer is gone: the Services are as they were, all else is made again. Done with the
 * arguments that Node has by itself, to tell what RSS is then.
 */
export async function rebuild({ cluster, sizes, signal, record }: Phases): Promise<CoreBerth> {
  const { services } = sizes;
  console.log(`restart with ${services} Services and no load balancer ...`);
  const before = await quiet(cluster, signal);
  const berth = await CoreBerth.start(cluster, { nodeArgs: [] });
  try {
    const made = async (): Promise<boolean> =>
      (await berth.loggedSteps(0)).filter(({ resource }) => resource === 'targets').length >= services;
    await until('everything is made again', made, { berth, signal, everyMs: 100 });
    const steps = await berth.loggedSteps(0);
    const asked = since(before, await quiet(cluster, signal));
    record({
      id: 'core.rebuild.applied',
      what: `restart without load balancers: start to all ${services} made again`,
      value: Math.max(...steps.map(({ time }) => time)) - berth.startedWallMs,
      unit: 'ms',
      note: `${steps.length} steps`,
    });
    record({
      id: 'core.rebuild.writes',
      what: 'restart without load balancers: API writes',
      value: sum(asked, WRITES),
      unit: 'requests',
      target: { exactly: 0 },
    });
    const { rss, anonymous } = await memoryOf(berth.pid);
    record({
      id: 'core.rss.unlimited',
      what: `RSS with ${services} Services and V8 as it is by default`,
      value: rss,
      unit: 'MB',
      note: `${rounded(anonymous)} MB of it anonymous; on this machine, without a memory limit`,
    });
    return berth;
  } catch (error) {
    await berth.stop();
    throw error;
  }
}
