import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Linux counts CPU time in these (`sysconf(_SC_CLK_TCK)` is 100 on every architecture that Node supports). */
const TICK_MS = 10;

/** Memory of a process in MB (10^6 bytes), from `/proc/PID/status`. */
export interface Memory {
  readonly rss: number;
  /** The part of it that is the process's own, apart from mapped files such as the node binary. */
  readonly anonymous: number;
  readonly peak: number;
}

/** Reads the memory of a process. */
export async function memoryOf(pid: number): Promise<Memory> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number =>
    (Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024) / 1e6;
  return { rss: field('VmRSS'), anonymous: field('RssAnon'), peak: field('VmHWM') };
}

/** CPU time of a process so far in milliseconds, user and system (proc(5), fields 14 and 15 of `stat`). */
export async function cpuMsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  // The name in field 2 may hold spaces; what follows its closing bracket does not.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** CPU time of the whole machine so far in milliseconds, without idling and waiting for disks (proc(5), `stat`). */
export async function machineCpuMs(): Promise<number> {
  const [line = ''] = (await readFile('/proc/stat', 'utf8')).split('\n');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line.split(/ +/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) * TICK_MS;
}

/** RSS of a Node process that does nothing, in MB: what no program on Node can be below. */
export async function bareNode(): Promise<Memory> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' });
  try {
    await sleep(1_000);
    return await memoryOf(child.pid ?? 0);
  } finally {
    child.kill('SIGKILL');
  }
}
