import { count, type Values, wantedOf } from './arguments.ts';
import type { BackendPorts } from './local/backend.ts';
import type { ProxyJob } from './local/berth.ts';
import { machineSeconds, processorSeconds, start, type Helper } from './local/child.ts';
import { findHaProxy, startHaProxy } from './local/haproxy.ts';
import type { LoadJob, LoadKind, LoadResult } from './local/load.ts';
import { measurementsOf, type Run, type Scenario } from './local/results.ts';
import { machineFacts, publish } from './report.ts';

const USAGE = `npm run bench -- local [--rounds N] [--measure MS] [--quick]

  --rounds N     how often everything is measured (9)
  --measure MS   how long each measurement takes (350)
  --quick        one round of 200 ms: to see whether the benchmark works, not for figures

Measures the local proxy, HAProxy in TCP mode and no proxy at all in turn, so that all three see the same machine.
Needs the Debian package haproxy (installed if this runs as root). Takes under 2 minutes.
Exit code 1: a target was missed, or the benchmark could not be finished.`;

/** Everything stays in loopback, on addresses of its own. */
const ADDRESS = { backend: '127.81.0.1', berth: '127.81.0.2', haproxy: '127.81.0.3' } as const;

/** Milliseconds of load before each measurement. */
const WARM_UP_MS = 150;

const SCENARIOS: readonly Scenario[] = [
  { id: 'bulk1', what: 'one bulk stream to the client', kind: 'download', connections: 1, atLeast: 0.8 },
  { id: 'bulk8', what: 'eight bulk streams to clients', kind: 'download', connections: 8, atLeast: 0.7 },
  { id: 'upload1', what: 'one bulk stream from the client', kind: 'upload', connections: 1, atLeast: 0.8 },
  { id: 'upload8', what: 'eight bulk streams from clients', kind: 'upload', connections: 8, atLeast: 0.7 },
  {
    id: 'requests',
    what: 'requests over 32 kept connections',
    kind: 'requests',
    connections: 32,
    atLeast: 0.8,
  },
  {
    id: 'connections',
    what: 'new connections, 16 at once',
    kind: 'connections',
    connections: 16,
    atLeast: 0.8,
  },
  { id: 'latency', what: 'round trip at 1,000 requests/s', kind: 'paced', connections: 16 },
];

const PORT_OF: Readonly<Record<LoadKind, keyof BackendPorts>> = {
  download: 'source',
  upload: 'sink',
  requests: 'echo',
  connections: 'once',
  paced: 'echo',
};

const CAVEATS = [
  'Generator, backend and proxy share the cores, so a proxy that needs more processor time slows all three down.',
  'Ratios are medians of the ratio within a round: what disturbs the machine for longer than a round disturbs both.',
  'HAProxy runs with its default number of threads (one for each core); Berth’s proxy is one thread of its process.',
];

/** Runs the benchmark; prints its table, writes its JSON, sets the exit code. */
export async function run(args: readonly string[]): Promise<void> {
  const sizes = wantedOf(args, { usage: USAGE, options: OPTIONS, wanted: sizesOf });
  if (sizes === undefined) return;
  const machine = machineFacts();
  const version = findHaProxy();
  const caveats = [...CAVEATS];
  if (version === undefined)
    caveats.unshift('HAProxy is not installed, so nothing was compared: `apt-get install haproxy` as root.');
  const runs = await measured({ ...sizes, version });
  const { measurements, remarks } = measurementsOf(SCENARIOS, runs);
  const setup = { ...sizes, haproxy: version ?? 'missing' };
  await publish({ bench: 'local', machine, setup, measurements, caveats: [...caveats, ...remarks] });
}

interface Sizes {
  readonly rounds: number;
  readonly measureMs: number;
}

const OPTIONS = {
  rounds: { type: 'string' },
  measure: { type: 'string' },
  quick: { type: 'boolean', default: false },
} as const;

/** @throws RangeError for arguments that make no sense. */
function sizesOf({ rounds, measure, quick }: Values<typeof OPTIONS>): Sizes {
  return {
    rounds: count('--rounds', rounds ?? (quick ? '1' : '9'), { max: 1_000 }),
    measureMs: count('--measure', measure ?? (quick ? '200' : '350'), { max: 60_000 }),
  };
}

interface Plan extends Sizes {
  readonly version: string | undefined;
}

/** Starts everything, measures, and stops everything. */
async function measured({ rounds, measureMs, version }: Plan): Promise<readonly Run[]> {
  const stops: (() => void)[] = [];
  const started = <Ask extends object, Result>(name: string): Helper<Ask, Result> => {
    const helper = start<Ask, Result>(name);
    stops.push(helper.stop);
    return helper;
  };
  try {
    const backend = started<{ host: string }, BackendPorts>('backend');
    const ports = await backend.ask({ host: ADDRESS.backend });
    const berth = started<ProxyJob, string>('berth');
    await berth.ask({ address: ADDRESS.berth, backend: ADDRESS.backend, ports });
    const subjects: Subject[] = [
      { name: 'direct', address: ADDRESS.backend, pid: undefined },
      { name: 'berth', address: ADDRESS.berth, pid: berth.pid },
    ];
    if (version !== undefined) {
      const haproxy = await startHaProxy(version, {
        address: ADDRESS.haproxy,
        backend: ADDRESS.backend,
        ports,
      });
      stops.push(haproxy.stop);
      subjects.push({ name: 'haproxy', address: ADDRESS.haproxy, pid: haproxy.pid });
    }
    const load = started<LoadJob, LoadResult>('load');
    return await inTurn({ rounds, measureMs, subjects, ports, load, backendPid: backend.pid });
  } finally {
    for (const stop of stops) stop();
  }
}

interface Subject {
  readonly name: Run['subject'];
  readonly address: string;
  readonly pid: number | undefined;
}

interface Session {
  readonly rounds: number;
  readonly measureMs: number;
  readonly subjects: readonly Subject[];
  readonly ports: BackendPorts;
  readonly load: Helper<LoadJob, LoadResult>;
  readonly backendPid: number;
}

/** Every scenario for every subject, one after another, again and again; each round begins with another subject. */
async function inTurn(session: Session): Promise<readonly Run[]> {
  const runs: Run[] = [];
  for (let round = 0; round < session.rounds; round++) {
    for (const scenario of SCENARIOS) {
      const { subjects } = session;
      const order = subjects.map((_, index) => subjects[(index + round) % subjects.length]);
      for (const subject of order) {
        if (subject !== undefined) runs.push(await once(session, scenario, { subject, round }));
      }
    }
    process.stdout.write(`round ${round + 1} of ${session.rounds} is done\n`);
  }
  return runs;
}

async function once(
  session: Session,
  scenario: Scenario,
  { subject, round }: { readonly subject: Subject; readonly round: number },
): Promise<Run> {
  const { load, ports, measureMs, backendPid } = session;
  const { kind, connections } = scenario;
  const used = (): readonly number[] => [
    ...[subject.pid ?? -1, load.pid, backendPid].map(processorSeconds),
    machineSeconds(),
  ];
  const [before, beganAt] = [used(), performance.now()];
  const result = await load.ask({
    kind,
    host: subject.address,
    port: ports[PORT_OF[kind]],
    connections,
    warmUpMs: WARM_UP_MS,
    measureMs,
  });
  const seconds = (performance.now() - beganAt) / 1_000;
  const [proxy = Number.NaN, generator = Number.NaN, backend = Number.NaN, all = Number.NaN] = used().map(
    (value, index) => value - (before[index] ?? 0),
  );
  const others = all - generator - backend - (subject.pid === undefined ? 0 : proxy);
  const processor = { proxy, generator, backend, others };
  return { scenario: scenario.id, subject: subject.name, round, result, seconds, processor };
}
