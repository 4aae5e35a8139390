import { readEnvironment, type Environment } from './environment.ts';
import { verdictOf } from './errors.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { createLog } from './logging.ts';
import { parseCommandLine, type CommandLine } from './program.ts';
import type { Invocation } from './invocation.ts';
import { resolveSettings, type LogLevel } from './settings.ts';
import { stopSignals } from './stop-signals.ts';
import { processTerminal, type Terminal } from './terminal.ts';
import { packageVersion } from './version.ts';

/** What surrounds a command; tests give their own. */
export interface Surroundings {
  readonly terminal: Terminal;
  readonly environment: Environment;
  /** Aborts when the command is to stop. */
  readonly signal: AbortSignal;
  /** Where relative paths count from. */
  readonly directory: string;
}

/** Runs the command line of this process and sets its exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<void> {
  const environment = readEnvironment();
  const terminal = processTerminal(environment.noColor);
  // A reader that went away (`berth status | head -1`) has read what it wanted.
  process.stdout.on('error', () => process.exit(EXIT.ok));
  const stop = stopSignals(() => process.exit(EXIT.interrupted));
  process.on('uncaughtException', (error) =>
    process.exit(tellError(error, { terminal, debug: argv.includes('debug') })),
  );
  // Timers of the core keep no process alive, so a command that only waits for one would end in the middle.
  const alive = setInterval(() => {}, 2 ** 30);
  const { signal } = stop;
  process.exitCode = await runCommandLine(argv, { terminal, environment, signal, directory: process.cwd() });
  clearInterval(alive);
  stop.close();
}

/** Carries out one command line and returns its exit code. Never throws. */
export async function runCommandLine(argv: readonly string[], surroundings: Surroundings): Promise<ExitCode> {
  const version = packageVersion();
  const { terminal } = surroundings;
  const line = parseCommandLine(argv, { terminal, version });
  if ('exitCode' in line) return line.exitCode;
  try {
    return await dispatch(line, invocationOf(line, surroundings, version));
  } catch (error) {
    // What a signal cuts short is not a failure; a process that serves until it is told to stop has done its work.
    if (surroundings.signal.aborted) return SERVING.has(line.name) ? EXIT.ok : EXIT.interrupted;
    return tellError(error, { terminal, debug: line.flags.logLevel === 'debug' });
  }
}

/** Tells people of an error that ends the process, and returns the exit code. */
function tellError(
  error: unknown,
  { terminal, debug }: { readonly terminal: Terminal; readonly debug: boolean },
): ExitCode {
  const { lines, exitCode } = verdictOf(error);
  for (const text of lines) terminal.err.write(`berth: ${text}\n`);
  if (debug && error instanceof Error) terminal.err.write(`${error.stack}\n`);
  return exitCode;
}

/** Commands that go on until they are told to stop. */
const SERVING: ReadonlySet<CommandLine['name']> = new Set(['run', 'speaker', 'demo']);

function invocationOf({ name, flags }: CommandLine, surroundings: Surroundings, version: string): Invocation {
  const { terminal, environment } = surroundings;
  const settings = resolveSettings(flags, environment);
  const forPeople = terminal.err.isTTY && !environment.inPod;
  const log = createLog(settings.logLevel ?? LOG_LEVEL[name], {
    write: (text) => terminal.err.write(text),
    forPeople,
    colour: terminal.colour,
  });
  return { ...surroundings, settings, log, version, json: flags.output === 'json' };
}

/** A controller says what it does; a command's own output says all there is; trouble is told by both. */
const LOG_LEVEL: Readonly<Record<CommandLine['name'], LogLevel>> = {
  run: 'info',
  speaker: 'info',
  plan: 'error',
  explain: 'error',
  status: 'error',
  doctor: 'error',
  sweep: 'error',
  uninstall: 'error',
  'iam-policy': 'error',
  demo: 'error',
};

/** Each command is loaded when it is called: `run`, which stays, needs neither tables nor the sandbox in memory. */
async function dispatch(line: CommandLine, invocation: Invocation): Promise<ExitCode> {
  const { name, flags } = line;
  switch (name) {
    case 'run':
      return await (await import('./commands/run.ts')).runCommand(invocation);
    case 'plan':
      return await (await import('./commands/plan.ts')).planCommand(invocation, flags);
    case 'explain':
      return await (await import('./commands/explain.ts')).explainCommand(invocation, line);
    case 'status':
      return await (await import('./commands/status.ts')).statusCommand(invocation);
    case 'doctor':
      return await (await import('./commands/doctor.ts')).doctorCommand(invocation, flags);
    case 'sweep':
      return await (await import('./commands/sweep.ts')).sweepCommand(invocation, flags);
    case 'uninstall':
      return await (await import('./commands/uninstall.ts')).uninstallCommand(invocation, flags);
    case 'iam-policy':
      return await (await import('./commands/provider-command.ts')).providerCommand(invocation, name);
    case 'speaker':
      return await (await import('./commands/speaker.ts')).speakerCommand(invocation, flags);
    case 'demo':
      return await (await import('./demo/demo.ts')).demoCommand(invocation, flags);
  }
}
