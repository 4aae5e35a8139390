/** How soon new Services are answered, and what restarts do to many addresses. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { firstAnswerMs } from '../harness/metal-timeline.ts';
import { type MetalBench, pause, spread, total, Watch, worst } from './metal-watch.ts';
import { quantile } from './report.ts';

/** Services created one after another for the time to the first answer. */
const SINGLES = 10;
/** As many beside many others: the pool has 256 addresses. */
const CROWDED = 7;
/** Requests that the benchmark keeps in flight while it creates Services. */
const IN_FLIGHT = 8;
/** A successor has heard the others and has taken over. */
const SUCCEED_MS = 3_000;

/** `count` names: `failover-000` and on. */
export function labNames(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}-${String(index).padStart(3, '0')}`);
}

/** Addresses of the IPv4 pool in the order in which they are given, without those that are taken. */
export async function freeAddresses({ lab }: MetalBench, count: number): Promise<readonly string[]> {
  const { items } = await lab.send<{
    items: { status: { loadBalancer?: { ingress?: { ip: string }[] } } }[];
  }>('GET', '/api/v1/services');
  const taken = new Set(
    items.flatMap(({ status }) => status.loadBalancer?.ingress?.map(({ ip }) => ip) ?? []),
  );
  const pool = Array.from({ length: 256 }, (_, index) => lab.net.pooled(index));
  return pool.filter((address) => !taken.has(address)).slice(0, count);
}

/** Time to the first answer of Services created one after another. @param names for them. */
async function firstAnswerTimes(bench: MetalBench, names: readonly string[]): Promise<readonly number[]> {
  const times: number[] = [];
  for (const name of names) {
    // The next one that is given; asking for more would be most of the machine's work.
    const [address = ''] = await freeAddresses(bench, 1);
    const watch = await Watch.start(bench, [address], 4);
    try {
      const fromMs = await bench.lab.createService({ name });
      times.push(await firstAnswerIn(watch, address, fromMs));
    } finally {
      await watch.stop();
    }
  }
  return times;
}

/** With the conflict probe, which an address gets that was never announced before. */
export async function firstAnswers(bench: MetalBench): Promise<void> {
  const times = await firstAnswerTimes(bench, labNames('single', SINGLES));
  bench.record({
    id: 'metal.first.probed',
    what: 'Service to first ARP answer, with the conflict probe',
    value: quantile(times, 0.5),
    unit: 'ms',
    target: { atMost: 500 },
    note: spread(times),
  });
}

/** The same by speakers that were told not to probe. */
export function firstAnswersUnprobed(bench: MetalBench): Promise<void> {
  return withoutProbe(bench, async () => {
    const times = await afterTheFirst(bench, labNames('unprobed', SINGLES + 1));
    bench.record({
      id: 'metal.first.unprobed',
      what: 'Service to first ARP answer, without it (`conflictProbe: false`)',
      value: quantile(times, 0.5),
      unit: 'ms',
      target: { atMost: 30 },
      note: spread(times),
    });
  });
}

/** The same where many others are announced. */
export function firstAnswersInACrowd(bench: MetalBench, others: number): Promise<void> {
  return withoutProbe(bench, async () => {
    const times = await afterTheFirst(bench, labNames('crowd', CROWDED + 1));
    bench.record({
      id: 'metal.first.crowd',
      what: `the same beside ${others} others`,
      value: quantile(times, 0.5),
      unit: 'ms',
      note: spread(times),
    });
  });
}

/** The first one waits for the speakers to be there, and is not counted. */
async function afterTheFirst(bench: MetalBench, names: readonly string[]): Promise<readonly number[]> {
  const [, ...times] = await firstAnswerTimes(bench, names);
  return times;
}

async function withoutProbe({ lab, berth }: MetalBench, work: () => Promise<void>): Promise<void> {
  const file = join(lab.dir, 'without-probe.yaml');
  await writeFile(file, JSON.stringify({ providers: { metal: { config: { conflictProbe: false } } } }));
  await berth.restartSpeakers(['--config', file]);
  await work();
  await berth.restartSpeakers();
}

function firstAnswerIn(watch: Watch, address: string, fromMs: number): Promise<number> {
  return watch.until(`${address} is answered`, (frames) => firstAnswerMs(frames, address, { fromMs }));
}

/** Many Services at once: when the last of them is answered, after the last was created. */
export async function atOnce(bench: MetalBench): Promise<readonly string[]> {
  const { lab, sizes } = bench;
  const addresses = await freeAddresses(bench, sizes.services);
  const watch = await Watch.start(bench, addresses, 50);
  try {
    const names = labNames('many', sizes.services).values();
    const created: number[] = [];
    const create = async (): Promise<void> => {
      for (const name of names) {
        await lab.createService({ name });
        created.push(Date.now());
      }
    };
    const fromMs = Date.now();
    await Promise.all(Array.from({ length: IN_FLIGHT }, create));
    const lastMs = worst(created);
    const answered = await watch.allAnswered(addresses, fromMs);
    bench.record({
      id: 'metal.many.last',
      what: `${sizes.services} Services at once: last one answered after the last was created`,
      value: Math.max(0, worst(answered) - lastMs),
      unit: 'ms',
      target: { atMost: 1_900 },
      note: `created within ${Math.round(lastMs - fromMs)} ms; each asked for every 50 ms`,
    });
  } finally {
    await watch.stop();
  }
  return addresses;
}

/** Controller, all speakers, and one speaker after another with its successor started first. */
export async function restarts(bench: MetalBench, addresses: readonly string[]): Promise<void> {
  await restartController(bench, addresses);
  await restartSpeakers(bench, addresses);
  await rollingUpdate(bench, addresses);
}

async function restartController(bench: MetalBench, addresses: readonly string[]): Promise<void> {
  const watch = await Watch.start(bench, addresses, 50);
  try {
    await watch.settled();
    const fromMs = Date.now();
    await bench.berth.controller.stop();
    await bench.berth.startController();
    await pause(bench, 2_000);
    bench.record({
      id: 'metal.controller.disturbed',
      what: 'controller restarted: moves, lost and doubled answers',
      value: await disturbances(watch, addresses, fromMs),
      unit: '',
      target: { exactly: 0 },
    });
    await kept(bench, addresses, 'controller');
  } finally {
    await watch.stop();
  }
}

async function restartSpeakers(bench: MetalBench, addresses: readonly string[]): Promise<void> {
  const { lab, berth } = bench;
  const watch = await Watch.start(bench, addresses, 50);
  try {
    await Promise.all(lab.net.nodes.map(({ name }) => berth.speaker(name).stop()));
    const fromMs = Date.now();
    berth.startMissing();
    const times = (await watch.allAnswered(addresses, fromMs)).map((atMs) => atMs - fromMs);
    bench.record({
      id: 'metal.speakers.answered',
      what: 'all speakers restarted: every address answered again',
      value: worst(times),
      unit: 'ms',
      target: { atMost: 1_500 },
      note: `${addresses.length} addresses, from the start of the new processes; first after ${Math.round(Math.min(...times))} ms`,
    });
    await watch.settled();
    await kept(bench, addresses, 'speakers');
  } finally {
    await watch.stop();
  }
}

async function rollingUpdate(bench: MetalBench, addresses: readonly string[]): Promise<void> {
  const { lab, berth } = bench;
  const watch = await Watch.start(bench, addresses, 50);
  try {
    await watch.settled();
    const fromMs = Date.now();
    for (const { name } of lab.net.nodes) {
      const before = berth.speaker(name);
      berth.startSpeaker(name);
      await pause(bench, SUCCEED_MS);
      await before.stop();
    }
    await pause(bench, 1_000);
    bench.record({
      id: 'metal.rolling.disturbed',
      what: 'speakers updated one after another: moves, lost and doubled answers',
      value: await disturbances(watch, addresses, fromMs),
      unit: '',
      target: { exactly: 0 },
    });
  } finally {
    await watch.stop();
  }
}

async function disturbances(watch: Watch, addresses: readonly string[], fromMs: number): Promise<number> {
  await watch.read();
  const toMs = Date.now();
  const lines = addresses.map((address) => watch.timeline(address, { fromMs, toMs }));
  return total(lines.map((line) => line.moves + line.unanswered + line.twoOwnersMs));
}

async function kept(bench: MetalBench, addresses: readonly string[], id: string): Promise<void> {
  const free = new Set(await freeAddresses(bench, 256));
  bench.record({
    id: `metal.${id}.kept`,
    what: '  addresses that are no longer given',
    value: addresses.filter((address) => free.has(address)).length,
    unit: 'addresses',
    target: { exactly: 0 },
  });
}
