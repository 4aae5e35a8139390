import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasProgram } from '../../infra/packages.ts';
import { LabBerth } from '../harness/metal-berth.ts';
import { type MetalLab, startMetalLab, whyNoMetalLab } from '../harness/metal-lab.ts';
import { count, phasesOf, type Values, wantedOf } from './arguments.ts';
import { NODE_ARGS, shippedProgram } from './berth-process.ts';
import { failovers } from './metal-failover.ts';
import { latency } from './metal-latency.ts';
import { hundredSpeakers } from './metal-peers.ts';
import { atRest, auditPolicy } from './metal-rest.ts';
import {
  atOnce,
  firstAnswers,
  firstAnswersInACrowd,
  firstAnswersUnprobed,
  restarts,
} from './metal-services.ts';
import type { MetalBench, MetalSizes } from './metal-watch.ts';
import { machineFacts, type Measurement, publish } from './report.ts';

const USAGE = `npm run bench -- metal [--runs N] [--only PHASE ...] [--quick] [--node-arg=ARG ...]

  --runs N          runs of each way to fail (10)
  --only PHASE      only this phase; repeatable. Phases:
                    failover, services, rest, latency, peers
  --quick           2 runs, 40 Services, short rests: to see whether the benchmark works, not for figures
  --node-arg=ARG    further argument for Berth's node processes; repeatable

Needs root, iproute2, nftables, tcpdump and the Kubernetes control plane (as \`npm test\` does). Takes under 10 minutes.
Exit code 1: a target was missed, or the benchmark could not be finished.`;

/** The whole benchmark ends by then, in whatever state. */
const TOTAL_LIMIT_MS = 590_000;

const CAVEATS = [
  'Three nodes and a client are network namespaces on one bridge; etcd, kube-apiserver, Berth and this benchmark share the cores.',
  'Addresses are asked for every 10 ms (50 ms where there are many) by broadcast from the client; tcpdump there records with the',
  "  kernel's timestamps, so silence and two owners are known to within one interval.",
  'Two owners: requests answered by two nodes, times the interval. A move: another node than before answers alone for 250 ms.',
  'Restarts and failovers depend on free cores: a speaker needs 0.4 s of CPU to start. See the load before.',
  `Berth runs as it is shipped: built to JavaScript, ${hasProgram('cc') ? 'with' : 'without (no C compiler here)'} the fast path of ARP.`,
];

interface Arguments extends MetalSizes {
  readonly only: ReadonlySet<string>;
  readonly nodeArgs: readonly string[];
}

/** Runs the benchmark; prints its table, writes its JSON, sets the exit code. */
export async function run(args: readonly string[]): Promise<void> {
  const sizes = wantedOf(args, { usage: USAGE, options: OPTIONS, wanted: sizesOf });
  if (sizes === undefined) return;
  const why = await whyNoMetalLab();
  if (why !== undefined) {
    console.error(`bench metal ${why}`);
    process.exitCode = 3;
    return;
  }
  const machine = machineFacts();
  const measurements: Measurement[] = [];
  try {
    await measure(sizes, (measurement) => {
      measurements.push(measurement);
      console.log(`  ${measurement.what}: ${measurement.value} ${measurement.unit}`);
    });
  } finally {
    const { only, nodeArgs, ...setup } = sizes;
    const described = { ...setup, only: [...only].join(' '), nodeArgs: nodeArgs.join(' ') };
    if (measurements.length > 0)
      await publish({ bench: 'metal', machine, measurements, caveats: CAVEATS, setup: described });
  }
}

const PHASES = ['failover', 'services', 'rest', 'latency', 'peers'] as const;

const OPTIONS = {
  runs: { type: 'string' },
  only: { type: 'string', multiple: true, default: [] as string[] },
  quick: { type: 'boolean', default: false },
  'node-arg': { type: 'string', multiple: true, default: [] as string[] },
} as const;

/** @throws RangeError for arguments that make no sense. */
function sizesOf(values: Values<typeof OPTIONS>): Arguments {
  const { quick } = values;
  return {
    runs: count('--runs', values.runs ?? (quick ? '2' : '10'), { max: 100 }),
    only: new Set(phasesOf(values.only, PHASES)),
    services: quick ? 40 : 200,
    requests: quick ? 500 : 2_000,
    floodMs: quick ? 2_000 : 10_000,
    restMs: quick ? 5_000 : 30_000,
    withoutApiMs: quick ? 5_000 : 60_000,
    nodeArgs: [...NODE_ARGS, ...values['node-arg']],
  };
}

/** The phases that were asked for, one after another, in one lab. */
async function measure(sizes: Arguments, record: MetalBench['record']): Promise<void> {
  console.log('starting the lab ...');
  const dir = await mkdtemp(join(tmpdir(), 'berth-bench-metal-'));
  const [policy, auditLog] = [join(dir, 'policy.json'), join(dir, 'audit.log')];
  await writeFile(policy, JSON.stringify(auditPolicy));
  const lab = await startMetalLab({
    apiServerArgs: [`--audit-policy-file=${policy}`, `--audit-log-path=${auditLog}`],
  });
  try {
    await phases({ lab, sizes, record, auditLog });
  } finally {
    await lab.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

interface Run {
  readonly lab: MetalLab;
  readonly sizes: Arguments;
  readonly record: MetalBench['record'];
  readonly auditLog: string;
}

async function phases({ lab, sizes, record, auditLog }: Run): Promise<void> {
  const signal = AbortSignal.timeout(TOTAL_LIMIT_MS);
  const { nodeArgs, only } = sizes;
  const berth = await LabBerth.start(lab, { nodeArgs, asPods: true, program: await shippedProgram() });
  const bench: MetalBench = { lab, berth, sizes, signal, record };
  const phase = async (name: string, work: () => Promise<void>): Promise<void> => {
    if (!only.has(name)) return;
    console.log(`${name} ...`);
    try {
      await work();
    } catch (error) {
      // What else can be measured is; the table says that this could not.
      console.error(error, await berth.lastWords());
      record(unfinished(name, error));
      if (!berth.controller.alive) await berth.startController();
      berth.startMissing();
    }
  };
  await phase('services', async () => {
    await firstAnswers(bench);
    await firstAnswersUnprobed(bench);
  });
  await phase('failover', () => failovers(bench));
  let addresses: readonly string[] = [];
  await phase('services', async () => void (addresses = await atOnce(bench)));
  await phase('rest', async () => {
    if (addresses.length === 0) addresses = await atOnce(bench);
    await atRest(bench, auditLog);
  });
  // Not before the rest, which speakers have that have been there for a while.
  await phase('services', async () => {
    await firstAnswersInACrowd(bench, addresses.length);
    await restarts(bench, addresses);
  });
  await phase('latency', () => latency(bench));
  await phase('peers', () => hundredSpeakers(bench));
}

function unfinished(phase: string, error: unknown): Measurement {
  const [note = ''] = String(error).split('\n');
  return {
    id: `metal.${phase}.finished`,
    what: `${phase}: could not be finished`,
    value: Number.NaN,
    unit: '',
    target: { exactly: 0 },
    note,
  };
}
