// Installs the LocalStack that the tests of the AWS provider run against, into a virtual environment in the cache.
//   node_modules/.bin/node --conditions=source infra/localstack/install.ts
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { produceOnce } from '../../test/harness/cache.ts';
import { harnessEnvironment, type HarnessEnvironment } from '../../test/harness/environment.ts';

/** Where LocalStack's Python is, or why there is none and what to do about it. */
export type LocalStackAvailability =
  | {
      readonly available: true;
      /** The virtual environment's interpreter; run it with `-m localstack.runtime.main`. */
      readonly python: string;
      /** What `PYTHONPATH` has to name for LocalStack to find our plug-in. */
      readonly plugin: string;
      /** LocalStack's index of AWS's services, to be linked to `usr/lib/localstack` below its FILESYSTEM_ROOT. */
      readonly index: string;
    }
  | { readonly available: false; readonly reason: string; readonly remedy: string };

/** What `ensureLocalStack` needs to know. */
export interface EnsureLocalStackOptions {
  /** Gets one line whenever something slow starts or ends. */
  readonly log: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Default: the environment of this process. */
  readonly environment?: HarnessEnvironment;
}

interface Interpreter {
  readonly command: string;
  /** As in `3.11`. */
  readonly version: string;
  /** Changes whenever a virtual environment made with it would have to be made anew. */
  readonly identity: string;
}

const here = import.meta.dirname;
const requirements = join(here, 'requirements.txt');
const plugin = join(here, 'plugin');
/** To be raised when `install` changes, so that environments made before are not taken for finished. */
const recipe = '2';
/** LocalStack's place for what is made when it is built. */
const indexBelow = join('filesystem', 'usr', 'lib', 'localstack');
/** What moto, LocalStack and the pins are known to run on; the oldest comes last. */
const versions = ['3.13', '3.12', '3.11'];

/**
 * Finds LocalStack in the cache or installs it there, once for all clones with the same pins and interpreter. Our
 * plug-in is not installed: it runs from this directory, so that a change of it needs no second installation. A machine
 * without Python or without a package index is an answer, not an error.
 *
 * @throws only when `signal` aborts.
 */
export async function ensureLocalStack(options: EnsureLocalStackOptions): Promise<LocalStackAvailability> {
  const environment = options.environment ?? harnessEnvironment();
  const interpreter = await findInterpreter(environment, options.signal);
  if (!interpreter)
    return {
      available: false,
      reason: 'there is no Python 3.11, 3.12 or 3.13 with the modules venv and ensurepip on the PATH',
      remedy: 'Install one (Debian: apt-get install python3 python3-venv).',
    };
  const pins = await readFile(requirements);
  const hash = createHash('sha256')
    .update(recipe + interpreter.identity)
    .update(pins)
    .digest('hex')
    .slice(0, 16);
  const path = join(environment.cacheDir, 'localstack', `${hash}-py${interpreter.version}`);
  try {
    await produceOnce({
      path,
      produce: (unfinished) => install({ unfinished, path, interpreter, environment, options }),
      signal: options.signal,
      onWait: () => options.log('localstack: another process is installing it, waiting for that ...'),
    });
  } catch (error) {
    options.signal?.throwIfAborted();
    return {
      available: false,
      reason: `LocalStack could not be installed with pip:\n${error instanceof Error ? error.message : String(error)}`,
      remedy: 'Give pip a package index that it can reach (PIP_INDEX_URL or pip.conf), and try again.',
    };
  }
  return { available: true, python: join(path, 'bin', 'python'), plugin, index: join(path, indexBelow) };
}

/** `python3` first: it is what the user means when there are several. */
async function findInterpreter(
  environment: HarnessEnvironment,
  signal?: AbortSignal,
): Promise<Interpreter | undefined> {
  const probe = [
    'import ensurepip, json, platform, sys, venv',
    'print(json.dumps({"version": "%d.%d" % sys.version_info[:2],',
    ' "identity": [sys.version, sys.base_prefix, platform.machine()]}))',
  ].join('\n');
  for (const command of ['python3', ...versions.map((version) => `python${version}`)]) {
    const run = await runProgram({ command, args: ['-c', probe], environment, signal });
    signal?.throwIfAborted();
    if (!run.ok) continue;
    const found = JSON.parse(run.output) as { version: string; identity: unknown };
    if (versions.includes(found.version))
      return { command, version: found.version, identity: JSON.stringify(found.identity) };
  }
  return undefined;
}

interface Installation {
  readonly unfinished: string;
  readonly path: string;
  readonly interpreter: Interpreter;
  readonly environment: HarnessEnvironment;
  readonly options: EnsureLocalStackOptions;
}

async function install(job: Installation): Promise<void> {
  const { unfinished, path, interpreter, environment, options } = job;
  const start = performance.now();
  options.log(`localstack: installing it with Python ${interpreter.version}, once; takes about 40 seconds`);
  const python = join(unfinished, 'bin', 'python');
  const pip = ['-m', 'pip', 'install', '--quiet', '--no-input', '--no-compile', '-r', requirements];
  // Compiled afterwards, because the byte code is to name the place where the environment will be.
  const compile = [
    '-m',
    'compileall',
    '-qq',
    '-j',
    '2',
    '-s',
    unfinished,
    '-p',
    path,
    join(unfinished, 'lib'),
  ];
  await mkdir(join(unfinished, indexBelow), { recursive: true });
  for (const { command, args, mayFail } of [
    { command: interpreter.command, args: ['-m', 'venv', unfinished] },
    { command: python, args: pip },
    // Some packages carry templates that are no Python.
    { command: python, args: compile, mayFail: true },
    // Without its index LocalStack reads the descriptions of all services whenever it starts.
    { command: python, args: ['-m', 'localstack.aws.spec'] },
  ]) {
    const own = { OVERRIDE_IN_DOCKER: '0', FILESYSTEM_ROOT: join(unfinished, 'filesystem') };
    const run = await runProgram({ command, args, environment, own, signal: options.signal });
    if (!run.ok && !mayFail) throw new Error(run.output.trim().split('\n').slice(-8).join('\n'));
  }
  options.log(
    `localstack: installed in ${Math.round((performance.now() - start) / 1000)} s, kept in ${path}`,
  );
}

interface Run {
  readonly command: string;
  readonly args: readonly string[];
  readonly environment: HarnessEnvironment;
  /** Variables beside those of the environment. */
  readonly own?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** Runs a program; its output is stdout, followed by stderr when it failed. A missing program is a failed run. */
async function runProgram(run: Run): Promise<{ ok: boolean; output: string }> {
  const { promise, resolve } = Promise.withResolvers<{ ok: boolean; output: string }>();
  const child = spawn(run.command, run.args, {
    env: {
      ...run.environment.forChildren,
      PIP_DISABLE_PIP_VERSION_CHECK: '1',
      PYTHONPATH: undefined,
      ...run.own,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(run.signal ? { signal: run.signal } : {}),
  });
  let [output, errors] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  child.on('error', (error) => resolve({ ok: false, output: error.message }));
  child.on('close', (code) => resolve({ ok: code === 0, output: code === 0 ? output : output + errors }));
  return promise;
}

async function main(): Promise<number> {
  const answer = await ensureLocalStack({ log: (line) => console.error(line) });
  if (answer.available) console.log(answer.python);
  else console.error(`${answer.reason}\n${answer.remedy}`);
  return answer.available ? 0 : 3;
}

if (import.meta.main) process.exitCode = await main();
