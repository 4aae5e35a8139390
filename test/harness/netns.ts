/** Network namespaces: whether the machine has them, and programs inside of them. Needs root. */
import { type ChildProcess, spawn } from 'node:child_process';
import { hasProgram, type Tool, TOOLS } from '../../infra/packages.ts';
import { describeUnless } from './describe.ts';
import { run, type RunOptions } from './run.ts';

/** Programs that the tests of the wire run. */
const ON_THE_WIRE: readonly Tool[] = ['ip', 'arping', 'ndisc6', 'tcpdump', 'setpriv'];

/**
 * Why this machine has no namespaces in which these programs run (default: those of the tests of the wire), with the
 * remedy; `undefined` when it has.
 */
export async function whyNoNamespaces(programs: readonly Tool[] = ON_THE_WIRE): Promise<string | undefined> {
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}. Run it on Linux.`;
  if (process.getuid?.() !== 0) {
    return 'needs root, for network namespaces and raw sockets. Run the tests as root.';
  }
  const missing = programs.find((program) => !hasProgram(program));
  if (missing !== undefined)
    return `needs ${missing}. Install it (Debian: apt-get install ${TOOLS[missing].debian}).`;
  try {
    await run('unshare', ['--net', 'true']);
    return undefined;
  } catch {
    return 'needs CAP_SYS_ADMIN for network namespaces, which this container lacks. Run it privileged.';
  }
}

/** A `describe` whose tests need root and network namespaces. Where the machine has none, see `describeUnless`. */
export async function describeAsRoot(name: string, define: () => void | Promise<void>): Promise<void> {
  await describeUnless(await whyNoNamespaces(), { name, part: 'network namespaces' }, define);
}

/** Runs a program inside of a namespace. @throws as `run`. */
export function runIn(
  namespace: string,
  command: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  return run('ip', ['netns', 'exec', namespace, ...command], options);
}

/** Starts a program inside of a namespace, or in this one; `ip netns exec` becomes it, so that the pid is its own. */
export function spawnIn(
  namespace: string | undefined,
  command: readonly string[],
  options: Pick<Parameters<typeof spawn>[2], 'stdio' | 'cwd'>,
): ChildProcess {
  const [program = '', ...args] =
    namespace === undefined ? command : ['ip', 'netns', 'exec', namespace, ...command];
  return spawn(program, args, options);
}

/** Runs commands of ip(8), of which the first failure ends the batch. */
export async function batch(namespace: string | undefined, lines: readonly string[]): Promise<void> {
  const where = namespace === undefined ? [] : ['-n', namespace];
  await run('ip', [...where, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

/** Sets kernel parameters of a namespace; those that it does not have are an error unless it `mayLack` them. */
export async function sysctl(
  namespace: string,
  values: Readonly<Record<string, number>>,
  mayLack = false,
): Promise<void> {
  const lines = Object.entries(values).map(
    ([key, value]) =>
      `echo ${value} > /proc/sys/${key.replaceAll('.', '/')}${mayLack ? ' 2>/dev/null || true' : ''}`,
  );
  await runIn(namespace, ['sh', '-ec', lines.join('\n')]);
}
