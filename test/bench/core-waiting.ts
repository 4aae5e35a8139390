import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchCluster, Observer } from './core-cluster.ts';
import type { CoreBerth } from './core-process.ts';
import { cpuMsOf, machineCpuMs } from './process-facts.ts';
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
export async function cpuClock({ plane }: BenchCluster, berth: CoreBerth): Promise<() => Promise<string>> {
  const { etcd = 0, apiServer = 0 } = plane.processes();
  const names = ['Berth', 'kube-apiserver', 'etcd', 'this benchmark'];
  const pids = [berth.pid, apiServer, etcd, process.pid];
  const read = (): Promise<readonly number[]> => Promise.all([machineCpuMs(), ...pids.map(cpuMsOf)]);
  const before = await read();
  return async () => {
    const spent = (await read()).map((ms, index) => (ms - (before[index] ?? 0)) / 1000);
    const [all = 0, ...ours] = spent;
    const others = Math.max(0, all - ours.reduce((sum, seconds) => sum + seconds, 0));
    const text = names.map((name, index) => `${name} ${rounded(ours[index] ?? 0)} s`).join(', ');
    // When that is much, the times say little about Berth.
    return `${text}, everybody else on this machine ${rounded(others)} s`;
  };
}

/** How to wait. */
export interface Waiting {
  readonly berth: CoreBerth;
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
