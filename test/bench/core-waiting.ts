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
