import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { spawnIn } from './netns.ts';

/** A program to start in the lab. */
export interface LabProgram {
  /** Name of its log: `NAME.log` in `dir`. */
  readonly name: string;
  readonly dir: string;
  /** Network namespace; absent: the one of this process. */
  readonly namespace?: string;
  readonly command: readonly string[];
}

/** A file with the id for as long as the process runs: what is left is somebody else's by then. */
function trackPid(file: string, { pid, ended }: Pick<LabProcess, 'pid' | 'ended'>): void {
  writeFileSync(file, String(pid));
  void ended.then(() => rmSync(file, { force: true }));
}

/** A running program of the lab. Whatever happens to this process, the lab's guard ends it. */
export class LabProcess {
  readonly pid: number;
  readonly name: string;
  readonly logFile: string;
  /** How it ended: a signal's name or `exit CODE`. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, name: string, logFile: string) {
    if (child.pid === undefined) throw new Error(`${name} could not be started`);
    this.pid = child.pid;
    this.name = name;
    this.logFile = logFile;
    this.#child = child;
    const { promise, resolve } = Promise.withResolvers<string>();
    child.on('exit', (code, signal) => resolve(signal ?? `exit ${code}`));
    child.on('error', (error) => resolve(error.message));
    this.ended = promise;
  }

  /** Starts it; its output is appended to its log. */
  static start({ name, dir, namespace, command }: LabProgram): LabProcess {
    const logFile = join(dir, `${name}.log`);
    const log = openSync(logFile, 'a');
    // What waits for the end of its standard input ends with this process.
    // Not in the checkout: what is shipped would find the provider that may lie built there, and not its own.
    const child = spawnIn(namespace, command, { stdio: ['pipe', log, log], cwd: dir });
    closeSync(log);
    child.stdin?.on('error', () => undefined);
    const started = new LabProcess(child, name, logFile);
    // For the guard, which finds those in namespaces by itself.
    if (namespace === undefined) trackPid(join(dir, `${name}-${started.pid}.pid`), started);
    return started;
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** A line on its standard input. */
  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** SIGKILL; returns when it is gone. */
  async kill(): Promise<void> {
    if (this.alive) this.#child.kill('SIGKILL');
    await this.ended;
  }

  /** SIGTERM, after 10 s SIGKILL; returns how it ended. */
  async stop(): Promise<string> {
    if (this.alive) this.#child.kill('SIGTERM');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
    try {
      return await this.ended;
    } finally {
      clearTimeout(late);
    }
  }

  async log(): Promise<string> {
    return await readFile(this.logFile, 'utf8').catch(() => '');
  }

  /** Waits until something holds. @throws Error with the end of the log when it does not within `limitMs` (30 s). */
  async until(what: string, holds: () => boolean | Promise<boolean>, limitMs = 30_000): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!(await holds())) {
      if (this.alive && performance.now() < deadline) {
        await sleep(20);
        continue;
      }
      const why = this.alive ? `after ${limitMs / 1000} s` : `it ended (${await this.ended})`;
      const tail = (await this.log()).trimEnd().split('\n').slice(-20).join('\n');
      throw new Error(`${this.name}: ${why}, and ${what} does not hold. The end of its log:\n${tail}`);
    }
  }
}
