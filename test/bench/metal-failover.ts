/** How long addresses are not answered, or answered twice, when speakers, nodes and the API server fail. */
import { type Blow, measure, moves, repeated, twoOwners } from './metal-blow.ts';
import { labNames } from './metal-services.ts';
import { type MetalBench, pause, spread, total, worst } from './metal-watch.ts';

/** Addresses that are asked for while something fails: enough that every node holds some. */
const ADDRESSES = 6;
/** How long is watched after a failure, and after what failed is back. */
const AFTER_MS = 2_000;
/** A speaker that starts has heard every node or has waited its 3 s. */
const START_MS = 3_500;

/** Creates the Services of the failover phases; they stay for the rest of the benchmark. */
async function failoverServices({ lab, berth }: MetalBench): Promise<readonly string[]> {
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
