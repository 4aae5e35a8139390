import { spawn } from 'node:child_process';
import type { HarnessEnvironment } from '../test/harness/environment.ts';

/** A run of `go`. */
export interface GoRun {
  readonly args: readonly string[];
  /** The module's directory: Go may switch to the toolchain that go.mod names. */
  readonly cwd: string;
  readonly environment: HarnessEnvironment;
  readonly signal?: AbortSignal | undefined;
}

/** How it ended. */
export interface GoResult {
  readonly ok: boolean;
  /** There is no `go`. */
  readonly missing: boolean;
  /** stdout and stderr together. */
  readonly output: string;
}

/** Runs `go`; a missing one is a failed run. */
export async function runGo(run: GoRun): Promise<GoResult> {
  const { promise, resolve } = Promise.withResolvers<GoResult>();
  const child = spawn('go', run.args, {
    cwd: run.cwd,
    // No C compiler needed; a go.work or GOFLAGS of the user's must not change what the pins mean.
    env: { ...run.environment.forChildren, CGO_ENABLED: '0', GOWORK: 'off', GOFLAGS: '-buildvcs=false' },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(run.signal ? { signal: run.signal } : {}),
  });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  child.on('error', (error: NodeJS.ErrnoException) => {
    resolve({ ok: false, missing: error.code === 'ENOENT', output: error.message });
  });
  child.on('close', (code) => resolve({ ok: code === 0, missing: false, output }));
  return promise;
}

/** The end of an output: where a tool says what went wrong. */
export function lastLines(text: string, count: number): string {
  return text.trim().split('\n').slice(-count).join('\n');
}
