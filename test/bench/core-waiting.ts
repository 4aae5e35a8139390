import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchCluster, Observer } from './core-cluster.ts';
import { type BerthProcess, cpuMsOf } from './core-process.ts';
import { type Measurement, rounded } from './report.ts';

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

/** Starts to measure who uses the cores; the answer says who did, in seconds of CPU time. */
export async function cpuClock({ plane }: BenchCluster, berth: BerthProcess): Promise<() => Promise<string>> {
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

/** How to wait. */
export interface Waiting {
  readonly berth: BerthProcess;
  readonly signal: AbortSignal;
  readonly everyMs?: number;
}

/** Waits until something holds. @throws Error with the end of Berth's log when it does not in time. */
export async function until(
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
