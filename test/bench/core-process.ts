import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../harness/daemon.ts';
import { BERTH_USER, type BenchCluster } from './core-cluster.ts';

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

/** A step in Berth's log. */
export interface LoggedStep {
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly verb: string;
  readonly resource: string;
}

/** How to start Berth. */
export interface StartOptions {
  /** Arguments of its node process. */
  readonly nodeArgs: readonly string[];
  /** A file with the load balancers that exist; without, there is none. */
  readonly cloudFile?: string;
}

/** One `berth run`, in a process of its own. */
export class BerthProcess {
  /** `performance.now()` and `Date.now()` just before it was started. */
  readonly startedAt: number = performance.now();
  readonly startedWallMs: number = Date.now();
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #port: number;
  readonly #log: string;
  readonly #ended: Promise<number | null>;

  private constructor(child: ChildProcess, port: number, log: string) {
    if (child.pid === undefined) throw new Error('berth run could not be started.');
    this.pid = child.pid;
    this.#child = child;
    this.#port = port;
    this.#log = log;
    this.#ended = new Promise((resolve) => child.once('exit', resolve));
  }

  /** Starts it with the provider `memory` and everything else as it is by default, leader election included. */
  static async start(cluster: BenchCluster, { nodeArgs, cloudFile }: StartOptions): Promise<BerthProcess> {
    const { dir } = cluster.plane;
    const port = await freePort();
    const [config, log] = [join(dir, `berth-${port}.yaml`), join(dir, `berth-${port}.log`)];
    await writeFile(config, JSON.stringify(configuration(cluster, port, cloudFile)));
    const out = openSync(log, 'a');
    const args = [...nodeArgs, PROGRAM, 'run', '--config', config];
    const child = spawn(process.execPath, args, { stdio: ['ignore', out, out] });
    closeSync(out);
    return new BerthProcess(child, port, log);
  }

  /** Whether it has not ended. */
  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Whether `/readyz` says so. */
  async ready(): Promise<boolean> {
    const answer = await this.#get('/readyz').catch(() => undefined);
    return answer?.ok ?? false;
  }

  /** One family of `/metrics`: label text to value. */
  async metric(name: string): Promise<ReadonlyMap<string, number>> {
    const text = await (await this.#get('/metrics')).text();
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    return new Map(
      lines.map((line) => {
        const space = line.lastIndexOf(' ');
        return [line.slice(name.length, space), Number(line.slice(space + 1))];
      }),
    );
  }

  /** How many steps have been carried out, by its own metric. */
  async steps(labels: RegExp): Promise<number> {
    let total = 0;
    for (const [label, value] of await this.metric('berth_plan_steps_total'))
      if (labels.test(label)) total += value;
    return total;
  }

  /** How many passes over Services have succeeded, by its own metric. */
  async passes(): Promise<number> {
    const syncs = await this.metric('service_controller_loadbalancer_sync_total');
    return syncs.get('{outcome="success"}') ?? 0;
  }

  /** Milliseconds until `/api/plan` has planned everything anew and answered. */
  async planMs(): Promise<number> {
    const begun = performance.now();
    const answer = await this.#get('/api/plan');
    if (!answer.ok) throw new Error(`/api/plan was answered ${answer.status}`);
    await answer.text();
    return performance.now() - begun;
  }

  /** What it logged since a moment, in milliseconds since the epoch. Not JSON: left out. */
  async logged(sinceWallMs: number): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const lines = (await readFile(this.#log, 'utf8')).split('\n');
    return lines.flatMap((line) => {
      if (!line.startsWith('{')) return [];
      const entry = JSON.parse(line) as Record<string, unknown>;
      return Date.parse(String(entry['time'])) >= sinceWallMs ? [entry] : [];
    });
  }

  /** The steps among what it logged. */
  async loggedSteps(sinceWallMs: number): Promise<readonly LoggedStep[]> {
    const entries = await this.logged(sinceWallMs);
    return entries
      .filter(({ message }) => message === 'step')
      .map(({ time, verb, resource }) => ({
        time: Date.parse(String(time)),
        verb: String(verb),
        resource: String(resource),
      }));
  }

  /** The end of its log, for error messages. */
  async tail(): Promise<string> {
    return (await readFile(this.#log, 'utf8')).trimEnd().split('\n').slice(-15).join('\n');
  }

  /** SIGTERM, then waits for the end; returns the exit code. */
  async stop(): Promise<number | null> {
    if (this.alive) this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    const code = await this.#ended;
    clearTimeout(late);
    return code;
  }

  #get(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.#port}${path}`, { signal: AbortSignal.timeout(20_000) });
  }
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

/** JSON, which is YAML. */
function configuration({ plane }: BenchCluster, port: number, file: string | undefined): object {
  const pools = [{ name: 'bench', addresses: ['198.18.0.0/16'] }];
  return {
    kubeconfig: plane.kubeconfig(BERTH_USER),
    clusterName: 'bench',
    providers: { memory: { config: { pools, file } } },
    leaderElection: { namespace: 'berth-system' },
    listen: `127.0.0.1:${port}`,
  };
}

/** `berth` itself. */
const PROGRAM = fileURLToPath(new URL('../../src/bin/berth.mjs', import.meta.url));
