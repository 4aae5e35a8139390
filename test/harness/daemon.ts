import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * One child process that can be started again, with its log (`NAME.log`) and its process id
 * (`NAME.pid`) in the directory that it is given.
 */
export class Daemon {
  readonly #dir: string;
  readonly #binary: string;
  readonly #args: readonly string[];
  readonly #name: string;
  #child: ChildProcess | undefined;
  #gone: Promise<void> = Promise.resolve();

  constructor(dir: string, binary: string, args: readonly string[]) {
    this.#dir = dir;
    this.#binary = binary;
    this.#args = args;
    this.#name = binary.split('/').at(-1) ?? binary;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the process and polls `isReady` until it holds; ends the wait when the process dies or after 60 s. */
  async start(isReady: () => Promise<boolean>): Promise<void> {
    if (this.#child) throw new Error(`${this.#name} is running already. Stop it first.`);
    const ended = this.#spawn();
    const deadline = performance.now() + 60_000;
    for (;;) {
      if (await isReady()) return;
      const why = await Promise.race([
        ended,
        sleep(25, performance.now() > deadline ? 'is not ready after 60 s' : ''),
      ]);
      if (why === '') continue;
      await this.kill();
      throw new Error(`${this.#name} ${why}. The end of its log:\n${await this.#tail()}`);
    }
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#gone;
  }

  /** Resolves with the reason when the process ends. */
  #spawn(): Promise<string> {
    const log = openSync(join(this.#dir, `${this.#name}.log`), 'a');
    const pidFile = join(this.#dir, `${this.#name}.pid`);
    const child = spawn(this.#binary, this.#args, { stdio: ['ignore', log, log] });
    closeSync(log);
    if (child.pid !== undefined) writeFileSync(pidFile, String(child.pid));
    this.#child = child;
    const { promise, resolve } = Promise.withResolvers<string>();
    const over = (why: string): void => {
      this.#child = undefined;
      rmSync(pidFile, { force: true });
      resolve(why);
    };
    child.on('exit', (code, signal) => over(`ended (${signal ?? `exit code ${code}`})`));
    child.on('error', (error) => over(`could not be started: ${error.message}`));
    this.#gone = promise.then(() => undefined);
    return promise;
  }

  async #tail(): Promise<string> {
    const log = await readFile(join(this.#dir, `${this.#name}.log`), 'utf8').catch(() => '');
    return log.trimEnd().split('\n').slice(-20).join('\n');
  }
}

/**
 * A TCP port that is free on loopback. Below the range that outgoing connections take their
 * ports from, and below the node ports.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 19_000);
    if (await canListen(port)) return port;
  }
}

function canListen(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.on('error', () => resolve(false));
  server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  return promise;
}
