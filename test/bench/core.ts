import { count, type Values, wantedOf } from './arguments.ts';
import { NODE_ARGS } from './berth-process.ts';
import { Observer, startCluster } from './core-cluster.ts';
import { creation, deletion, firstServed } from './core-phases.ts';
import { CoreBerth } from './core-process.ts';
import { atRest, empty, nodesJoin, rebuild, restart, unrelatedEdits } from './core-steady.ts';
import type { Phases, Sizes } from './core-waiting.ts';
import { machineFacts, type Measurement, publish } from './report.ts';

const USAGE = `npm run bench -- core [--services N] [--nodes N] [--quick] [--node-arg=ARG ...]

  --services N      Services to create (1000)
  --nodes N         Nodes that are there from the start (100)
  --quick           100 Services, 10 Nodes, short rests: to see whether the benchmark works, not for figures
  --node-arg=ARG    further argument for Berth's node process, such as --node-arg=--cpu-prof; repeatable

Needs the Kubernetes control plane (as \`npm test\` does). Takes under 3 minutes.
Exit code 1: a target was missed, or the benchmark could not be finished.`;

/** The whole benchmark ends by then, in whatever state. */
const TOTAL_LIMIT_MS = 175_000;
/** Nodes that join at once. */
const CROWD = 50;
/** Two node ports each; the API server has 2,768 of them, and picks slowly among the last ones. */
const MAX_SERVICES = 1_200;
const CAVEATS = [
  'etcd, kube-apiserver, Berth and this benchmark share the cores; the notes say how much CPU time each of them took.',
  'Times end when a watch in the benchmark process shows the change, so its way through the API server is in them.',
  "API requests are counted by the API server (audit log of Berth's user), without renewals of the Lease.",
  `Berth's node gets ${NODE_ARGS.join(' ')}, as a container's memory limit would do; RSS without it is told apart.`,
  'Berth runs as it is shipped: built to JavaScript.',
];

/** Runs the benchmark; prints its table, writes its JSON, sets the exit code. */
export async function run(args: readonly string[]): Promise<void> {
  const sizes = wantedOf(args, { usage: USAGE, options: OPTIONS, wanted: sizesOf });
  if (sizes === undefined) return;
  const machine = machineFacts();
  const measurements: Measurement[] = [];
  const caveats = [...CAVEATS];
  try {
    await measure(sizes, measurements);
  } catch (error) {
    // What was measured up to here is worth telling; what is missing must not pass for met.
    caveats.push(`NOT FINISHED: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
  const setup = { ...sizes, nodeArgs: sizes.nodeArgs.join(' ') };
  await publish({ bench: 'core', machine, setup, measurements, caveats });
}

const OPTIONS = {
  services: { type: 'string' },
  nodes: { type: 'string' },
  quick: { type: 'boolean', default: false },
  'node-arg': { type: 'string', multiple: true, default: [] as string[] },
} as const;

/** @throws RangeError for arguments that make no sense. */
function sizesOf(values: Values<typeof OPTIONS>): Sizes {
  const { quick } = values;
  return {
    services: count('--services', values.services ?? (quick ? '100' : '1000'), { max: MAX_SERVICES }),
    nodes: count('--nodes', values.nodes ?? (quick ? '10' : '100'), { max: 5_000 }),
    starts: quick ? 1 : 3,
    settleMs: quick ? 1_000 : 10_000,
    restMs: quick ? 3_000 : 30_000,
    nodeArgs: [...NODE_ARGS, ...values['node-arg']],
  };
}

/** Every phase, one after another, on one control plane. */
async function measure(sizes: Sizes, measurements: Measurement[]): Promise<void> {
  console.log('starting the control plane ...');
  const cluster = await startCluster();
  try {
    await cluster.createNodes(0, sizes.nodes);
    const observer = await Observer.start(cluster);
    const signal = AbortSignal.timeout(TOTAL_LIMIT_MS);
    const record = (measurement: Measurement): void => void measurements.push(measurement);
    try {
      await phases({ cluster, observer, sizes, signal, record });
    } finally {
      observer.close();
    }
  } finally {
    await cluster.stop();
  }
}

async function phases(bench: Phases): Promise<void> {
  const { cluster, sizes } = bench;
  await firstServed(bench);
  const berth = await CoreBerth.start(cluster, sizes);
  try {
    const before = await empty(bench, berth);
    await creation(bench, berth);
    await atRest(bench, berth, before);
    await unrelatedEdits(bench, berth);
    await nodesJoin(bench, berth, { from: sizes.nodes, count: 1 });
    await nodesJoin(bench, berth, { from: sizes.nodes + 1, count: CROWD });
  } finally {
    await berth.stop();
  }
  await restart(bench);
  const again = await rebuild(bench);
  try {
    await deletion(bench, again);
  } finally {
    await again.stop();
  }
}
