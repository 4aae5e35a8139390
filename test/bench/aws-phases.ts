import { setTimeout as sleep } from 'node:timers/promises';
import { sum } from '../fixtures/aws-world.ts';
import {
  awaited,
  type AwsBench,
  beside,
  measure,
  PORTS,
  recordCalls,
  recordTime,
  serviceNames,
  type Taken,
} from './aws-measuring.ts';
import { AwsBerth } from './aws-process.ts';
import { cpuMsOf, memoryOf } from './process-facts.ts';

/** The Lease is renewed every two seconds, and what is remembered of the nodes goes with it. */
const RENEWAL_MS = 3_000;

/** How often the fleet is read anew while a repair is waited for. */
const SWEEP_SECONDS = 15;

/** Starts Berth and waits until it serves. */
export async function startBerth(bench: AwsBench, sweepInterval?: string): Promise<AwsBerth> {
  const { world, dir, sizes } = bench;
  const berth = await AwsBerth.start({
    world,
    dir,
    nodeArgs: sizes.nodeArgs,
    ...(sweepInterval === undefined ? {} : { sweepInterval }),
  });
  await berth.ready();
  return berth;
}

/** All Services are created at once. */
export async function create(bench: AwsBench, berth: AwsBerth): Promise<void> {
  const { world, sizes } = bench;
  const { services } = sizes;
  const before = await cpuMsOf(berth.pid);
  const taken = await createAll(bench, berth);
  const cpuMs = (await cpuMsOf(berth.pid)) - before;
  recordTime(bench, {
    id: 'aws.create.seconds',
    what: `create ${services}: until all have their ingress and all targets`,
    ms: taken.doneMs,
    atMost: 6,
    note: `${(cpuMs / 1_000).toFixed(1)} s CPU of Berth; ${beside({ lbc: '32.6 s', cpa: '8.1 s' })}`,
  });
  recordCalls(bench, {
    id: 'create',
    what: `create ${services}`,
    counts: taken.counts,
    target: { atMost: 9 * services + 20 },
    note: beside({ lbc: '1,473', cpa: '930' }),
  });
  await expectTargets(bench);
  bench.record({
    id: 'aws.rules',
    what: "rules on the nodes' security group",
    value: (await world.view.rulesOf(world.vpc.nodeSecurityGroup)).length,
    unit: 'rules',
    target: { between: [1, 2] },
    note: `at ${services} Services; ${beside({ lbc: '1', cpa: '101' })}`,
  });
  const { rss, anonymous } = await memoryOf(berth.pid);
  bench.record({
    id: 'aws.rss',
    what: `RSS with ${services} Services`,
    value: rss,
    unit: 'MB',
    note: `of it ${Math.round(anonymous)} MB its own, the rest mapped files; ${beside({ lbc: '83 MB', cpa: '90 MB' })}`,
  });
}

async function createAll(bench: AwsBench, berth: AwsBerth): Promise<Taken> {
  const { world, sizes } = bench;
  const names = serviceNames(sizes.services);
  return await measure(bench, {
    what: 'all Services have their ingress',
    berth,
    begin: () => names.forEach((name) => world.createService(name, { ports: PORTS })),
    done: () =>
      names.every((name) => world.hostname(name) !== '' && world.condition(name) === 'True Provisioned'),
  });
}

/** A status is written only when all targets are registered; this holds the measurement to it. */
async function expectTargets({ world, sizes }: AwsBench): Promise<void> {
  const counts = Object.values(await world.view.targetCounts());
  const wrong = counts.filter((count) => count !== world.nodes.size);
  const wanted = sizes.services * PORTS.length;
  if (counts.length !== wanted || wrong.length > 0)
    throw new Error(
      `${counts.length} target groups instead of ${wanted}, ${wrong.length} of them without the ${world.nodes.size} targets`,
    );
}

/** Nobody changes anything, except what no load balancer can see. */
export async function rest(bench: AwsBench): Promise<void> {
  const { world, sizes } = bench;
  await world.account.calls.reset();
  for (const name of serviceNames(sizes.services))
    world.patchService(name, { metadata: { labels: { relabelled: 'true' } } });
  const [node = ''] = world.nodes.keys();
  const status = { conditions: [{ type: 'Ready', status: 'False', reason: 'Bench', message: '' }] };
  world.sandbox.objects.patch({ resource: 'nodes', name: node }, { status }, { status: true });
  await sleep(sizes.restMs, undefined, { signal: bench.signal });
  recordCalls(bench, {
    id: 'rest',
    what: `nothing changes for ${sizes.restMs / 1_000} s`,
    counts: await world.account.calls.counts(),
    target: { exactly: 0 },
    note: `labels of all Services and the Ready of a node are edited meanwhile; ${beside({ lbc: '0', cpa: '0' })}`,
  });
}

/** Nodes join at once. */
export async function join(bench: AwsBench, berth: AwsBerth, count: 1 | 10): Promise<void> {
  const { world, sizes } = bench;
  const groups = sizes.services * PORTS.length;
  const instances = await world.vpc.addInstances(count);
  const taken = await measure(bench, {
    what: 'all targets are registered',
    berth,
    begin: () => world.addNodes(instances),
    done: async () => ((await world.account.calls.counts())['elbv2:RegisterTargets'] ?? 0) >= groups,
  });
  await expectTargets(bench);
  const [id, what] = count === 1 ? ['join', 'a node joins'] : [`join${count}`, `${count} nodes join at once`];
  recordTime(bench, {
    id: `aws.${id}.seconds`,
    what: `${what}: until registered everywhere`,
    ms: taken.callsMs,
    atMost: 4,
    note: count === 1 ? beside({ lbc: '20.3 s', cpa: '5.4 s' }) : '',
  });
  recordCalls(bench, {
    id,
    what,
    counts: taken.counts,
    target: { atMost: groups + 2 },
    note: count === 1 ? beside({ lbc: '200', cpa: '751' }) : 'the same as for one',
  });
}

/** A node goes; its instance runs on. */
export async function leave(bench: AwsBench, berth: AwsBerth): Promise<void> {
  const { world, sizes } = bench;
  const groups = sizes.services * PORTS.length;
  const [name = ''] = world.nodes.keys();
  const taken = await measure(bench, {
    what: 'all targets are deregistered',
    berth,
    begin: () => world.leave(name),
    done: async () => ((await world.account.calls.counts())['elbv2:DeregisterTargets'] ?? 0) >= groups,
  });
  await expectTargets(bench);
  recordTime(bench, {
    id: 'aws.leave.seconds',
    what: 'a node leaves: until deregistered everywhere',
    ms: taken.callsMs,
    atMost: 4,
    note: beside({ lbc: '20.2 s', cpa: '4.8 s' }),
  });
  recordCalls(bench, {
    id: 'leave',
    what: 'a node leaves',
    counts: taken.counts,
    target: { atMost: groups + 2 },
    note: beside({ lbc: '200', cpa: '750' }),
  });
}

/** One port of some Services becomes another. */
export async function changePort(bench: AwsBench, berth: AwsBerth): Promise<void> {
  const { world, sizes } = bench;
  const names = serviceNames(sizes.changed);
  const taken = await measure(bench, {
    what: 'all changed ports have listeners',
    berth,
    begin: () => names.forEach((name) => world.changePorts(name, [8080, PORTS[1]])),
  });
  for (const name of names) {
    const { listeners } = await world.view.behind(world.hostname(name));
    const ports = listeners.map(({ Port }) => Port).join();
    if (ports !== '443,8080') throw new Error(`${name} listens on ${ports}`);
  }
  recordTime(bench, {
    id: 'aws.port.seconds',
    what: `one port changed on ${names.length} Services`,
    ms: taken.callsMs,
    atMost: 1,
    note: beside({ lbc: '6.8 s', cpa: '1.0 s' }),
  });
  recordCalls(bench, {
    id: 'port',
    what: `one port changed on ${names.length} Services`,
    counts: taken.counts,
    target: { atMost: 5 * names.length },
    note: beside({ lbc: '287', cpa: '160' }),
  });
}

/** Berth is stopped and started again; nothing changed meanwhile. */
export async function restart(bench: AwsBench, old: AwsBerth): Promise<AwsBerth> {
  const { world, signal } = bench;
  await sleep(RENEWAL_MS, undefined, { signal });
  await old.stop();
  let berth = old;
  let [readyAt, cpuMs] = [Number.NaN, Number.NaN];
  const taken = await measure(bench, {
    what: 'Berth serves again',
    berth: old,
    begin: async () => {
      berth = await AwsBerth.start({ world, dir: bench.dir, nodeArgs: bench.sizes.nodeArgs });
      readyAt = await berth.ready();
      cpuMs = await cpuMsOf(berth.pid);
    },
    done: () => true,
  });
  const readyMs = readyAt - berth.startedWallMs;
  recordTime(bench, {
    id: 'aws.restart.seconds',
    what: 'restart: process start until the last call is answered',
    ms: Math.max(taken.callsMs, readyMs),
    atMost: 2,
    note: `ready after ${Math.round(readyMs)} ms and ${(cpuMs / 1_000).toFixed(1)} s CPU; ${beside({ lbc: '23.4 s', cpa: '5.6 s' })}`,
  });
  recordCalls(bench, {
    id: 'restart',
    what: 'restart, nothing changed meanwhile',
    counts: taken.counts,
    target: { atMost: 12 },
    note: beside({ lbc: '918', cpa: '602' }),
  });
  return berth;
}

/** Berth is away while a node joins and a Service gets another port. */
export async function away(bench: AwsBench, old: AwsBerth): Promise<AwsBerth> {
  const { world, sizes } = bench;
  await old.stop();
  await world.joinNodes(1);
  world.changePorts('web-0', [8081, PORTS[1]]);
  const groups = sizes.services * PORTS.length;
  let berth = old;
  const taken = await measure(bench, {
    what: 'everything is caught up with',
    berth: old,
    begin: async () => {
      berth = await startBerth(bench);
    },
    done: () => true,
  });
  const registered = taken.counts['elbv2:RegisterTargets'] ?? 0;
  if (registered !== groups) throw new Error(`${registered} of ${groups} target groups got the new node`);
  await expectTargets(bench);
  recordTime(bench, {
    id: 'aws.away.seconds',
    what: 'restart, a node and a port changed meanwhile: until caught up',
    ms: taken.callsMs,
    atMost: 60,
    note: 'the targets of all groups are read, because nodes changed',
  });
  recordCalls(bench, {
    id: 'away',
    what: 'restart, a node and a port changed meanwhile',
    counts: taken.counts,
    note: '',
  });
  return berth;
}

/** A listener is deleted by hand; Berth is restarted with a short interval between sweeps. */
export async function drift(bench: AwsBench, old: AwsBerth): Promise<AwsBerth> {
  const { world, signal } = bench;
  await old.stop();
  const berth = await startBerth(bench, `${SWEEP_SECONDS}s`);
  await world.account.calls.reset();
  const { listeners, balancer } = await world.view.behind(world.hostname('web-1'));
  const begun = Date.now();
  await world.view.elb.deleteListener({ ListenerArn: listeners[0]?.ListenerArn });
  const arn = balancer.LoadBalancerArn ?? '';
  await awaited(
    'the listener is there again',
    async () => {
      await sleep(200, undefined, { signal });
      return (await world.view.listeners(arn)).length === PORTS.length;
    },
    { berth, signal },
  );
  recordTime(bench, {
    id: 'aws.drift.seconds',
    what: `a listener deleted by hand: until repaired, sweeps every ${SWEEP_SECONDS} s`,
    ms: Date.now() - begun,
    // The interval has a jitter, and the reading in depth is spread over most of the next one.
    atMost: SWEEP_SECONDS * 2.2,
    note: beside({ lbc: 'not repaired in 120 s', cpa: 'not repaired in 120 s' }),
  });
  recordCalls(bench, {
    id: 'sweep',
    what: 'a sweep that finds it, until the repair',
    counts: await world.account.calls.counts(),
    note: 'everything is read in depth, spread over the interval',
  });
  await berth.stop();
  return await startBerth(bench);
}

/** All Services go. */
export async function remove(bench: AwsBench, berth: AwsBerth): Promise<void> {
  const { services } = bench.sizes;
  const taken = await removeAll(bench, berth);
  recordTime(bench, {
    id: 'aws.delete.seconds',
    what: `delete ${services}: until all are gone`,
    ms: taken.doneMs,
    atMost: 6,
    note: beside({ lbc: '21.2 s', cpa: '6.3 s' }),
  });
  recordCalls(bench, {
    id: 'delete',
    what: `delete ${services}`,
    counts: taken.counts,
    target: { atMost: 5 * services },
    note: beside({ lbc: '603', cpa: '452' }),
  });
  await leftovers(bench, 'aws.delete.left');
}

async function removeAll(bench: AwsBench, berth: AwsBerth): Promise<Taken> {
  const { world, sizes } = bench;
  const names = serviceNames(sizes.services);
  return await measure(bench, {
    what: 'all Services are gone',
    berth,
    begin: () => names.forEach((name) => world.deleteService(name)),
    done: () => names.every((name) => world.service(name) === undefined),
  });
}

async function leftovers({ world, record }: AwsBench, id: string): Promise<void> {
  const left = await world.leftovers();
  record({
    id,
    what: 'left in the account afterwards',
    value: left.length,
    unit: 'resources',
    target: { exactly: 0 },
    note: left.slice(0, 5).join(', '),
  });
}

/** Creation and deletion with every call above ten a second throttled, by a Berth that has just been started. */
export async function throttled(bench: AwsBench, old: AwsBerth): Promise<AwsBerth> {
  const { world, sizes } = bench;
  const { services } = sizes;
  await old.stop();
  const berth = await startBerth(bench);
  const fault = await world.account.faults.add({ rate: 10, burst: 20 });
  const created = await createAll(bench, berth);
  recordTime(bench, {
    id: 'aws.throttled.create.seconds',
    what: `create ${services}, every call above 10/s throttled`,
    ms: created.doneMs,
    atMost: 40,
    note: `33 s is the floor; ${beside({ lbc: '117.7 s', cpa: '62.5 s' })}`,
  });
  recordCalls(bench, {
    id: 'throttled-create',
    what: `create ${services}, throttled`,
    counts: created.counts,
    target: { atMost: Math.ceil(10.4 * services) },
    note: `${await fault.hits()} refused; ${beside({ lbc: '1,787', cpa: '1,343' })}`,
  });
  await expectTargets(bench);
  const before = await fault.hits();
  const removed = await removeAll(bench, berth);
  recordTime(bench, {
    id: 'aws.throttled.delete.seconds',
    what: `delete ${services}, throttled likewise`,
    ms: removed.doneMs,
    atMost: 30,
    note: beside({ lbc: '45.1 s', cpa: 'leaks 7 target groups and 9 rules' }),
  });
  recordCalls(bench, {
    id: 'throttled-delete',
    what: `delete ${services}, throttled`,
    counts: removed.counts,
    note: `${(await fault.hits()) - before} refused, ${sum(removed.counts)} in all`,
  });
  await fault.remove();
  await leftovers(bench, 'aws.throttled.left');
  return berth;
}
