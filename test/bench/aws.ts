import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import { AwsWorld, type Counts } from '../fixtures/aws-world.ts';
import { type LocalStack, startLocalStack } from '../harness/localstack.ts';
import { count, phasesOf, type Values, wantedOf } from './arguments.ts';
import { type AwsBench, type AwsSizes, operationsTable } from './aws-measuring.ts';
import {
  away,
  changePort,
  create,
  drift,
  join,
  leave,
  remove,
  rest,
  restart,
  startBerth,
  throttled,
} from './aws-phases.ts';
import type { AwsBerth } from './aws-process.ts';
import { NODE_ARGS } from './berth-process.ts';
import { machineFacts, type Measurement, publish } from './report.ts';

/** A phase; one that starts another Berth gives it back. */
type Phase = (bench: AwsBench, berth: AwsBerth) => Promise<AwsBerth | void>;

/** The phases in their order. `create` and `delete` always run; what they measure is told only when asked for. */
const PHASES: Readonly<Record<string, Phase>> = {
  create,
  rest,
  join: (bench, berth) => join(bench, berth, 1),
  join10: (bench, berth) => join(bench, berth, 10),
  leave,
  port: changePort,
  restart,
  away,
  drift,
  delete: remove,
  throttled,
};
const ALWAYS = ['create', 'delete'];

const USAGE = `npm run bench -- aws [--quick] [--only PHASE,...] [--services N] [--nodes N] [--node-arg=ARG ...]

  --quick           5 Services, 4 nodes, short rests: to see whether the benchmark works, not for figures
  --only PHASE,...  of ${Object.keys(PHASES).join(', ')}
  --services N      Services of 2 ports to create (50)
  --nodes N         nodes that are there from the start (20)
  --node-arg=ARG    further argument for Berth's node process, such as --node-arg=--cpu-prof; repeatable

Needs LocalStack (installed by itself, as \`npm test\` does). Takes under 5 minutes.
Exit code 1: a target was missed, or the benchmark could not be finished.`;

/** The whole benchmark ends by then, in whatever state. */
const TOTAL_LIMIT_MS = 290_000;
/** Added to every call. */
const LATENCY_MS = 50;

const CAVEATS = [
  `The API is LocalStack with our plug-in, ${LATENCY_MS} ms added to every call; it, Berth and this benchmark with its API server (the sandbox) share the cores.`,
  'Calls are counted by LocalStack, refused ones included; reads of this benchmark are not.',
  "The incumbents' figures were measured on the same work: AWS Load Balancer Controller, and cloud-provider-aws with 10 workers.",
  'Berth runs as it is shipped (built to JavaScript), with both SDK clients.',
];

/** Runs the benchmark; prints its table, writes its JSON, sets the exit code. */
export async function run(args: readonly string[]): Promise<void> {
  const wanted = wantedOf(args, { usage: USAGE, options: OPTIONS, wanted: runOf });
  if (wanted === undefined) return;
  const { sizes, only } = wanted;
  const machine = machineFacts();
  const measurements: Measurement[] = [];
  const calls = new Map<string, Counts>();
  try {
    await measureAll(wanted, { measurements, calls });
  } finally {
    const { nodeArgs, ...setup } = sizes;
    const report = {
      bench: 'aws',
      machine,
      measurements,
      caveats: CAVEATS,
      setup: { ...setup, nodeArgs: nodeArgs.join(' '), phases: only.join(' ') },
      calls: Object.fromEntries(calls),
    };
    if (calls.size > 0) console.log(`\n${operationsTable(calls).join('\n')}\n`);
    if (measurements.length > 0) await publish(report);
  }
}

interface Wanted {
  readonly sizes: AwsSizes;
  readonly only: readonly string[];
}

const OPTIONS = {
  services: { type: 'string' },
  nodes: { type: 'string' },
  only: { type: 'string' },
  quick: { type: 'boolean', default: false },
  'node-arg': { type: 'string', multiple: true, default: [] as string[] },
} as const;

/** @throws RangeError for arguments that make no sense. */
function runOf(values: Values<typeof OPTIONS>): Wanted {
  const { quick } = values;
  const only = phasesOf(values.only?.split(',') ?? [], Object.keys(PHASES));
  const services = count('--services', values.services ?? (quick ? '5' : '50'), { min: 2, max: 50 });
  const nodes = count('--nodes', values.nodes ?? (quick ? '4' : '20'), { min: 2, max: 400 });
  const sizes = {
    services,
    nodes,
    latencyMs: LATENCY_MS,
    changed: Math.max(1, Math.round(services / 5)),
    restMs: quick ? 2_000 : 10_000,
    nodeArgs: [...NODE_ARGS, ...values['node-arg']],
    judged: services === 50 && nodes === 20,
  };
  return { sizes, only };
}

interface Found {
  readonly measurements: Measurement[];
  readonly calls: Map<string, Counts>;
}

async function measureAll(wanted: Wanted, found: Found): Promise<void> {
  console.log('starting LocalStack ...');
  const cloud = await startLocalStack();
  const dir = await mkdtemp(joinPath(tmpdir(), 'berth-bench-aws-'));
  try {
    if (!cloud.isOurs)
      throw new Error('This benchmark needs a LocalStack of its own. Unset AWS_ENDPOINT_URL.');
    await inWorld(wanted, found, { cloud, dir });
  } finally {
    await cloud.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

async function inWorld(
  { sizes, only }: Wanted,
  { measurements, calls }: Found,
  { cloud, dir }: { readonly cloud: LocalStack; readonly dir: string },
): Promise<void> {
  const world = await AwsWorld.open({ cloud, nodes: sizes.nodes });
  await world.account.settings.set({ latencyMs: sizes.latencyMs });
  let told = true;
  const bench: AwsBench = {
    world,
    sizes,
    dir,
    signal: AbortSignal.timeout(TOTAL_LIMIT_MS),
    record: (measurement) => void (told && measurements.push(measurement)),
    keep: (phase, counts) => void (told && calls.set(phase, counts)),
  };
  let berth = await startBerth(bench);
  try {
    for (const [name, phase] of Object.entries(PHASES)) {
      told = only.includes(name);
      if (!told && !ALWAYS.includes(name)) continue;
      console.log(`${name} ...`);
      berth = (await phase(bench, berth)) ?? berth;
    }
  } finally {
    await berth.stop();
    await world.close();
  }
}
