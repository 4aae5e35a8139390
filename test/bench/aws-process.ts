import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PROGRAM } from '../fixtures/command-line.ts';
import type { AwsWorld } from '../fixtures/aws-world.ts';
import { freePort } from '../harness/daemon.ts';

/** How Berth is started. */
export interface StartOptions {
  readonly world: AwsWorld;
  /** Where its configuration and its log go. */
  readonly dir: string;
  /** Arguments of its node process. */
  readonly nodeArgs: readonly string[];
  /** As in the configuration file; the default otherwise. */
  readonly sweepInterval?: string;
}

/** How long it may take to be ready, in milliseconds. */
const READY_MS = 60_000;

/** One `berth run --provider aws` in a process of its own, leader election included. */
export class AwsBerth {
  /** `Date.now()` just before it was started: the test cloud's record of calls goes by the same clock. */
  readonly startedAt = Date.now();
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

  /** Starts it; everything but the VPC and the API server is as it is by default. */
  static async start({ world, dir, nodeArgs, sweepInterval }: StartOptions): Promise<AwsBerth> {
    const port = await freePort();
    const [config, log, kubeconfig] = [`berth-${port}.yaml`, `berth-${port}.log`, 'kubeconfig'].map((name) =>
      join(dir, name),
    ) as [string, string, string];
    await world.sandbox.writeKubeconfig(kubeconfig);
    const settings = {
      kubeconfig,
      clusterName: world.vpc.clusterName,
      providers: { aws: { config: { vpcId: world.vpc.vpcId } } },
      listen: `127.0.0.1:${port}`,
      ...(sweepInterval === undefined ? {} : { sweepInterval }),
    };
    // JSON is YAML.
    await writeFile(config, JSON.stringify(settings));
    const out = openSync(log, 'a');
    const child = spawn(process.execPath, [...nodeArgs, PROGRAM, 'run', '--config', config], {
      stdio: ['ignore', out, out],
      env: { PATH: '/usr/bin:/bin', HOME: dir, ...world.account.env },
    });
    closeSync(out);
    return new AwsBerth(child, port, log);
  }

  /** Whether it has not ended. */
  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Waits until it serves, and returns when that was seen, by `Date.now()`. @throws Error with the end of its log. */
  async ready(): Promise<number> {
    const deadline = Date.now() + READY_MS;
    while (!(await this.#isReady())) {
      if (!this.alive || Date.now() > deadline)
        throw new Error(`berth run is not ready. The end of its log:\n${await this.tail()}`);
      await sleep(10);
    }
    return Date.now();
  }

  /** The end of its log, for error messages. */
  async tail(): Promise<string> {
    return (await readFile(this.#log, 'utf8')).trimEnd().split('\n').slice(-15).join('\n');
  }

  /** SIGTERM, then waits for the end. */
  async stop(): Promise<void> {
    if (this.alive) this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    await this.#ended;
    clearTimeout(late);
  }

  async #isReady(): Promise<boolean> {
    const answer = await fetch(`http://127.0.0.1:${this.#port}/readyz`, {
      signal: AbortSignal.timeout(5_000),
    }).catch(() => undefined);
    await answer?.body?.cancel();
    return answer?.ok ?? false;
  }
}
