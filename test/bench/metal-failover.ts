/** How long addresses are not answered, or answered twice, when speakers, nodes and the API server fail. */
import { labNames } from './metal-services.ts';
import { type MetalBench, pause, spread, total, Watch, worst } from './metal-watch.ts';
import type { Measurement } from './report.ts';

/** Addresses that are asked for while something fails: enough that every node holds some. */
const ADDRESSES = 6;
/** How long is watched after a failure, and after what failed is back. */
const AFTER_MS = 2_000;
/** Long enough for the holder to have answered alone before. */
const BEFORE_MS = 500;
/** A speaker that starts has heard every node or has waited its 3 s. */
const START_MS = 3_500;

/** What one failure did to the addresses of the node that it hit. */
interface Blow {
  /** First answer by another node, of the slowest address. */
  readonly firstMs: number;
  /** Longest time without an answer, of the worst address. */
  readonly silenceMs: number;
  readonly unanswered: number;
  readonly twoOwnersMs: number;
  /** Moves of all addresses, and those that the failure explains. */
  readonly moves: number;
  readonly expected: number;
  /** Gratuitous frames for each address that moved. */
  readonly gratuitous: number;
}

/** What is done to a node, in stages; `mark` tells how the time up to it is to be judged. */
type Treatment = (victim: string, mark: (stage: string) => Promise<void>) => Promise<void>;

/** Creates the Services of the failover phases; they stay for the rest of the benchmark. */
export async function failoverServices({ lab, berth }: MetalBench): Promise<readonly string[]> {
  const addresses: string[] = [];
  for (const name of labNames('failover', ADDRESSES)) {
    await lab.createService({ name });
    addresses.push((await berth.addressesOf(name))[0] ?? '');
  }
  return addresses;
}

/** Every way to fail, one after another. */
export async function failovers(bench: MetalBench): Promise<void> {
  const addresses = await failoverServices(bench);
  await killed(bench, addresses);
  await cutOff(bench, addresses);
  await stopped(bench, addresses);
  await killedAndStarted(bench, addresses);
  await cutFromApi(bench, addresses);
  await withoutApi(bench, addresses);
}

/** The same treatment again and again; the stages' blows by name. */
async function repeated(
  bench: MetalBench,
  addresses: readonly string[],
  { runs, treat }: { readonly runs: number; readonly treat: Treatment },
): Promise<ReadonlyMap<string, readonly Blow[]>> {
  const blows = new Map<string, Blow[]>();
  for (let run = 0; run < runs; run++) {
    const watch = await Watch.start(bench, addresses);
    try {
      const before = await watch.settled();
      const victim = before.get(addresses[run % addresses.length] ?? '') ?? '';
      const theirs = addresses.filter((address) => before.get(address) === victim);
      let fromMs = Date.now();
      await treat(victim, async (stage) => {
        const toMs = Date.now();
        await watch.read();
        const blow = blowOf(watch, { addresses, theirs, victim, fromMs, toMs });
        blows.set(stage, [...(blows.get(stage) ?? []), blow]);
        fromMs = toMs;
      });
    } finally {
      await watch.stop();
    }
  }
  return blows;
}

interface Case {
  readonly addresses: readonly string[];
  readonly theirs: readonly string[];
  readonly victim: string;
  readonly fromMs: number;
  readonly toMs: number;
}

function blowOf(watch: Watch, { addresses, theirs, victim, fromMs, toMs }: Case): Blow {
  const lines = theirs.map((address) => watch.timeline(address, { fromMs, toMs }));
  const all = addresses.map((address) => watch.timeline(address, { fromMs, toMs }));
  // Who answered before is part of a move.
  const withBefore = addresses.map((address) =>
    watch.timeline(address, { fromMs: fromMs - BEFORE_MS, toMs }),
  );
  return {
    firstMs: worst(theirs.map((address) => watch.firstFromOther(address, victim, fromMs))),
    silenceMs: worst(lines.map((line) => line.silenceMs)),
    unanswered: total(all.map((line) => line.unanswered)),
    twoOwnersMs: worst(all.map((line) => line.twoOwnersMs)),
    moves: total(withBefore.map((line) => line.moves)),
    expected: theirs.length,
    gratuitous: total(all.map((line) => line.gratuitous)) / theirs.length,
  };
}

async function killed(bench: MetalBench, addresses: readonly string[]): Promise<void> {
  const { berth, sizes } = bench;
  const blows = await repeated(bench, addresses, {
    runs: sizes.runs,
    treat: async (victim, mark) => {
      await berth.speaker(victim).kill();
      await pause(bench, AFTER_MS);
      await mark('killed');
      berth.startSpeaker(victim);
      await pause(bench, START_MS);
      await mark('back');
    },
  });
  const [at, back] = [blows.get('killed') ?? [], blows.get('back') ?? []];
  const first = at.map(({ firstMs }) => firstMs);
  measure(bench, 'killed.first', {
    what: 'speaker killed: first answer from another node',
    value: worst(first),
    unit: 'ms',
    target: { atMost: 1_000 },
    note: `slowest; ${spread(first)}`,
  });
  twoOwners(bench, 'killed', {
    what: 'speaker killed, and back: two owners',
    blows: [...at, ...back],
    atMostMs: 0,
  });
  measure(bench, 'killed.gratuitous', {
    what: 'gratuitous frames for each address that moved, within 2 s',
    value: worst(at.map(({ gratuitous }) => gratuitous)),
    unit: 'frames',
  });
  moves(bench, 'killed', {
    what: 'moves beyond those of the killed node, its return included',
    blows: at,
    back,
  });
}

async function cutOff(bench: MetalBench, addresses: readonly string[]): Promise<void> {
  const { lab, sizes } = bench;
  const blows = await repeated(bench, addresses, {
    runs: sizes.runs,
    treat: async (victim, mark) => {
      await lab.cut(victim);
      try {
        await pause(bench, AFTER_MS);
        await mark('cut');
      } finally {
        await lab.join(victim);
      }
      await pause(bench, AFTER_MS);
      await mark('back');
    },
  });
  const [at, back] = [blows.get('cut') ?? [], blows.get('back') ?? []];
  const first = at.map(({ firstMs }) => firstMs);
  measure(bench, 'cut.first', {
    what: 'node cut off from the network: first answer from another',
    value: worst(first),
    unit: 'ms',
    target: { atMost: 1_000 },
    note: `slowest; ${spread(first)}`,
  });
  twoOwners(bench, 'back', { what: 'the cut node comes back: two owners', blows: back, atMostMs: 500 });
  moves(bench, 'back', { what: 'moves beyond those of the cut node, its return included', blows: at, back });
}

async function stopped(bench: MetalBench, addresses: readonly string[]): Promise<void> {
  const { berth, sizes } = bench;
  const blows = await repeated(bench, addresses, {
    runs: sizes.runs,
    treat: async (victim, mark) => {
      await berth.speaker(victim).stop();
      await pause(bench, 1_000);
      await mark('stopped');
      berth.startSpeaker(victim);
      await pause(bench, START_MS);
      await mark('back');
    },
  });
  const [at, back] = [blows.get('stopped') ?? [], blows.get('back') ?? []];
  const unanswered = at.map((blow) => blow.unanswered);
  measure(bench, 'stopped.unanswered', {
    what: 'polite stop: requests without an answer',
    value: total(unanswered),
    unit: 'requests',
    target: { exactly: 0 },
    note: `every address asked for every 10 ms; longest silence ${Math.round(worst(at.map(({ silenceMs }) => silenceMs)))} ms`,
  });
  twoOwners(bench, 'stopped', { what: 'polite stop: two owners', blows: at, atMostMs: 50 });
  moves(bench, 'stopped', {
    what: 'moves beyond those of the stopped node, its return included',
    blows: at,
    back,
  });
}

async function killedAndStarted(bench: MetalBench, addresses: readonly string[]): Promise<void> {
  const { berth, sizes } = bench;
  const blows = await repeated(bench, addresses, {
    runs: sizes.runs,
    treat: async (victim, mark) => {
      await berth.speaker(victim).kill();
      await pause(bench, 1_000);
      berth.startSpeaker(victim);
      await pause(bench, START_MS);
      await mark('restarted');
    },
  });
  const all = blows.get('restarted') ?? [];
  const silence = all.map(({ silenceMs }) => silenceMs);
  measure(bench, 'restarted.silence', {
    what: 'killed, started again after 1 s: silence',
    value: worst(silence),
    unit: 'ms',
    target: { atMost: 1_000 },
    note: `longest; ${spread(silence)}`,
  });
  twoOwners(bench, 'restarted', {
    what: 'killed, started again after 1 s: two owners',
    blows: all,
    atMostMs: 0,
  });
}

async function cutFromApi(bench: MetalBench, addresses: readonly string[]): Promise<void> {
  const { lab, sizes } = bench;
  const blows = await repeated(bench, addresses, {
    runs: sizes.runs,
    treat: async (victim, mark) => {
      await lab.cutFromApi(victim);
      try {
        await pause(bench, AFTER_MS);
      } finally {
        await lab.joinApi(victim);
      }
      await pause(bench, 500);
      await mark('cut');
    },
  });
  const all = blows.get('cut') ?? [];
  measure(bench, 'api.moves', {
    what: 'one node cut off from the API server: moves',
    value: total(all.map((blow) => blow.moves)),
    unit: 'moves',
    target: { exactly: 0 },
    note: `${all.length} runs of ${AFTER_MS / 1000} s; ${total(all.map((blow) => blow.unanswered))} requests without an answer`,
  });
  twoOwners(bench, 'api', {
    what: 'one node cut off from the API server: two owners',
    blows: all,
    atMostMs: 0,
  });
}

async function withoutApi(bench: MetalBench, addresses: readonly string[]): Promise<void> {
  const { lab, berth, sizes } = bench;
  await lab.plane.killApiServer();
  let blows: ReadonlyMap<string, readonly Blow[]>;
  let victimOf = '';
  try {
    blows = await repeated(bench, addresses, {
      runs: 1,
      treat: async (victim, mark) => {
        victimOf = victim;
        await pause(bench, sizes.withoutApiMs);
        await mark('without');
        await berth.speaker(victim).kill();
        await pause(bench, AFTER_MS);
        await mark('killed');
      },
    });
  } finally {
    await lab.plane.startApiServer();
  }
  // After a minute without its Lease the controller has ended, for its Deployment to start it again.
  if (!berth.controller.alive) await berth.startController();
  berth.startSpeaker(victimOf);
  // Its Lease was not released, so it may take 15 s until anybody acts.
  await lab.createService({ name: 'after' });
  await berth.addressesOf('after');
  await pause(bench, START_MS);
  const [without, failover] = [blows.get('without')?.[0], blows.get('killed')?.[0]];
  const seconds = sizes.withoutApiMs / 1000;
  const spoiled = (without?.moves ?? Number.NaN) + (without?.unanswered ?? 0) + (without?.twoOwnersMs ?? 0);
  measure(bench, 'withoutApi.disturbed', {
    what: `API server gone for ${seconds} s: moves, lost and doubled answers`,
    value: spoiled,
    unit: '',
    target: { exactly: 0 },
  });
  measure(bench, 'withoutApi.failover', {
    what: '  and then a speaker killed: first answer from another node',
    value: failover?.firstMs ?? Number.NaN,
    unit: 'ms',
    target: { atMost: 1_000 },
  });
}

function measure({ record }: MetalBench, id: string, measurement: Omit<Measurement, 'id'>): void {
  record({ id: `metal.${id}`, ...measurement });
}

function twoOwners(
  bench: MetalBench,
  id: string,
  {
    what,
    blows,
    atMostMs,
  }: { readonly what: string; readonly blows: readonly Blow[]; readonly atMostMs: number },
): void {
  const values = blows.map(({ twoOwnersMs }) => twoOwnersMs);
  measure(bench, `${id}.twoOwners`, {
    what,
    value: worst(values),
    unit: 'ms',
    target: { atMost: atMostMs },
    note: spread(values),
  });
}

/** Moves on top of one for each address of the node that failed; of a stage that ends with its return, all count. */
function moves(
  bench: MetalBench,
  id: string,
  {
    what,
    blows,
    back,
  }: { readonly what: string; readonly blows: readonly Blow[]; readonly back: readonly Blow[] },
): void {
  const extra = blows.map((blow) => blow.moves - blow.expected);
  const returned = back.map((blow) => blow.moves);
  measure(bench, `${id}.moves`, {
    what,
    value: total(extra) + total(returned),
    unit: 'moves',
    target: { exactly: 0 },
    note: `by run: ${extra.join(' ')}; at the return: ${returned.join(' ')}`,
  });
}
