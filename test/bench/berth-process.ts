import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../harness/daemon.ts';
import { runBare, ship, type Shipped } from '../harness/shipped.ts';

/**
 * What V8 does by itself (and more so) where the container has a memory limit. Without one it lets garbage pile up in
 * a young generation of 67 MB and more before it looks, however little is in use.
 */
export const NODE_ARGS: readonly string[] = ['--max-semi-space-size=4'];

/** How to start `berth run`. */
export interface Launch {
  /** Where its configuration and its log go. */
  readonly dir: string;
  /** Its configuration file, but for `listen`. */
  readonly settings: object;
  /** Arguments of its node process. */
  readonly nodeArgs: readonly string[];
  /** Default: the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

let shipped: Promise<Shipped> | undefined;

/** Berth's program as it is shipped, built once for this process and removed when it ends. @throws as `ship`. */
export async function shippedProgram(): Promise<string> {
  shipped ??= ship().then(async (built) => {
    process.once('exit', () => built.remove());
    await compileAhead(built);
    return built;
  });
  return (await shipped).program;
}

/** As infra/image does: each ends for want of a kubeconfig, when it has loaded everything. */
async function compileAhead({ program, dir }: Shipped): Promise<void> {
  for (const args of [['speaker', '--node', 'none'], ['run']])
    await runBare(process.execPath, [program, ...args], dir);
}

/** How to wait for something that Berth does. */
export interface Waiting {
  readonly berth: BerthProcess;
  readonly signal?: AbortSignal;
  /** Default: 20. */
  readonly everyMs?: number;
  /** Default: a minute. */
  readonly limitMs?: number;
}

/** Waits until something holds. @throws Error with the end of Berth's log when it does not in time. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { berth, signal, everyMs = 20, limitMs = 60_000 }: Waiting,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await holds())) {
    if (!berth.alive || performance.now() > deadline) {
      throw new Error(
        `${berth.alive ? `After ${limitMs / 1000} s` : 'Berth has ended and'} it does not hold that ${what}. The end of Berth's log:\n${await berth.tail()}`,
      );
    }
    await sleep(everyMs, undefined, signal && { signal });
  }
}

/** One `berth run`, as it is shipped, in a process of its own. */
export class BerthProcess {
  /** `performance.now()` and `Date.now()` just before it was started. */
  readonly startedAt: number;
  readonly startedWallMs: number;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #port: number;
  readonly #log: string;
  readonly #ended: Promise<number | null>;

  protected constructor({ child, port, log, startedAt, startedWallMs }: Launched) {
    if (child.pid === undefined) throw new Error('berth run could not be started.');
    this.startedAt = startedAt;
    this.startedWallMs = startedWallMs;
    this.pid = child.pid;
    this.#child = child;
    this.#port = port;
    this.#log = log;
    this.#ended = new Promise((resolve) => child.once('exit', resolve));
  }

  /** Whether it has not ended. */
  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Whether `/readyz` says so. */
  async isReady(): Promise<boolean> {
    const answer = await this.get('/readyz').catch(() => undefined);
    await answer?.body?.cancel();
    return answer?.ok ?? false;
  }

  /** Waits until it serves; when that was seen, by `Date.now()`. @throws Error with the end of its log. */
  async ready(): Promise<number> {
    await until('Berth is ready', () => this.isReady(), { berth: this, everyMs: 10 });
    return Date.now();
  }

  /** Its whole log. */
  log(): Promise<string> {
    return readFile(this.#log, 'utf8');
  }

  /** The end of its log, for error messages. */
  async tail(): Promise<string> {
    return (await this.log()).trimEnd().split('\n').slice(-15).join('\n');
  }

  /** SIGTERM, then waits for the end; returns the exit code. */
  async stop(): Promise<number | null> {
    if (this.alive) this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    const code = await this.#ended;
    clearTimeout(late);
    return code;
  }

  /** Asks its HTTP server. */
  get(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.#port}${path}`, { signal: AbortSignal.timeout(20_000) });
  }
}

/** What `BerthProcess` is made of. */
export interface Launched {
  readonly child: ChildProcess;
  readonly port: number;
  readonly log: string;
  readonly startedAt: number;
  readonly startedWallMs: number;
}

/** Starts the process. */
export async function launch({ dir, settings, nodeArgs, env }: Launch): Promise<Launched> {
  const program = await shippedProgram();
  const port = await freePort();
  const [config, log] = [join(dir, `berth-${port}.yaml`), join(dir, `berth-${port}.log`)];
  // JSON is YAML.
  await writeFile(config, JSON.stringify({ ...settings, listen: `127.0.0.1:${port}` }));
  const out = openSync(log, 'a');
  const begun = { startedAt: performance.now(), startedWallMs: Date.now() };
  const child = spawn(process.execPath, [...nodeArgs, program, 'run', '--config', config], {
    stdio: ['ignore', out, out],
    // Not in the checkout: what is shipped would find the provider that may lie built there, and not its own.
    cwd: dir,
    ...(env === undefined ? {} : { env }),
  });
  closeSync(out);
  return { child, port, log, ...begun };
}
