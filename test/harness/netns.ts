/** Network namespaces for tests of the wire: stations on one bridge, without anything of Kubernetes. Needs root. */
import { type ChildProcess, spawn } from 'node:child_process';
import { hasProgram } from '../../infra/packages.ts';
import { harnessEnvironment } from './environment.ts';
import { batch, run, runIn, spawnIn } from './metal-net.ts';

/** Programs that the tests of the wire run, with their Debian packages. */
const PROGRAMS = {
  ip: 'iproute2',
  arping: 'iputils-arping',
  ndisc6: 'ndisc6',
  tcpdump: 'tcpdump',
  setpriv: 'util-linux',
} as const;

/** A host on the segment: a namespace with one interface, `eth0`. */
export interface Station {
  readonly name: string;
  readonly namespace: string;
  /** For `WireOptions.netns`. */
  readonly path: string;
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** The port of the bridge that leads to it. */
  readonly port: string;
  /** Runs a program and gives what it wrote. @throws Error with its complaint when it fails. */
  exec(...command: readonly string[]): Promise<string>;
  /** Runs a program that may fail; its exit code and what it wrote. */
  attempt(...command: readonly string[]): Promise<{ readonly code: number; readonly output: string }>;
  /** Starts a program that goes on; it is killed with the segment. */
  spawn(...command: readonly string[]): ChildProcess;
  /** Commands of ip(8). */
  ip(...lines: readonly string[]): Promise<void>;
}

/** A segment and its stations. */
export interface Segment {
  readonly stations: readonly Station[];
  /** Namespace with the bridge `br0`. */
  readonly fabric: string;
  station(name: string): Station;
  /** Deletes everything, with what runs there. Safe to call twice. */
  remove(): Promise<void>;
}

/** Why this machine has no namespaces for tests, with the remedy; `undefined` when it has. */
export async function whyNoNamespaces(): Promise<string | undefined> {
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}. Run it on Linux.`;
  if (process.getuid?.() !== 0) {
    return 'needs root, for network namespaces and raw sockets. Run the tests as root.';
  }
  for (const [program, debian] of Object.entries(PROGRAMS)) {
    if (!hasProgram(program)) return `needs ${program}. Install it (Debian: apt-get install ${debian}).`;
  }
  try {
    await run('unshare', ['--net', 'true']);
    return undefined;
  } catch {
    return 'needs CAP_SYS_ADMIN for network namespaces, which this container lacks. Run it privileged.';
  }
}

/**
 * A `describe` whose tests need root and network namespaces; to be awaited at the top level of a test file. Where the
 * machine cannot give them, the tests are counted as skipped with reason and remedy in the title, or fail under `CI=true`.
 */
export async function describeAsRoot(name: string, define: () => void | Promise<void>): Promise<void> {
  // Not imported at the top, because the benchmarks make segments outside vitest.
  const { describe, it } = await import('vitest');
  const why = await whyNoNamespaces();
  if (why === undefined) {
    describe(name, define);
    return;
  }
  if (!harnessEnvironment().ci) {
    describe.skip(`${name} [${why}]`, define);
    return;
  }
  describe(name, () => {
    it('has the network namespaces that CI=true demands', () => {
      throw new Error(`${name} ${why}`);
    });
  });
}

let segments = 0;

/**
 * Makes a segment: a bridge in a namespace of its own, and a namespace for each station with `eth0`, an IPv4 and an IPv6
 * address of documentation ranges, and a link-local address that follows from its MAC. Segments do not see each other.
 * Nothing outlives the calling process.
 */
export async function makeSegment(...names: readonly string[]): Promise<Segment> {
  const prefix = `berth-wire-${process.pid}-${++segments}`;
  const fabric = `${prefix}-fabric`;
  const stations = names.map((name, index) => aStation(name, index + 1, prefix));
  const namespaces = [fabric, ...stations.map(({ namespace }) => namespace)];
  const guard = startGuard(namespaces);
  try {
    await batch(
      undefined,
      namespaces.map((name) => `netns add ${name}`),
    );
    // Duplicate detection takes a second; here nobody else has the addresses.
    await Promise.all(stations.map(({ namespace }) => runIn(namespace, ['sh', '-ec', QUIET])));
    await batch(fabric, [
      'link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
      'link set br0 up',
      ...stations.flatMap(({ port, mac, namespace }) => [
        `link add ${port} type veth peer name eth0 address ${mac} netns ${namespace}`,
        `link set ${port} master br0 up`,
      ]),
    ]);
    await Promise.all(
      stations.map(({ ip, ipv4, ipv6 }) =>
        ip(
          'link set lo up',
          'link set eth0 up',
          `addr add ${ipv4}/24 dev eth0`,
          `addr add ${ipv6}/64 dev eth0 nodad`,
        ),
      ),
    );
  } catch (error) {
    await guard.remove();
    throw error;
  }
  const station = (name: string): Station => {
    const found = stations.find((one) => one.name === name);
    if (found === undefined) throw new Error(`the segment has no station ${name}`);
    return found;
  };
  return { stations, fabric, station, remove: guard.remove };
}

const QUIET = ['accept_dad', 'dad_transmits', 'accept_ra']
  .map((key) => `echo 0 > /proc/sys/net/ipv6/conf/default/${key}`)
  .join('\n');

function aStation(name: string, index: number, prefix: string): Station {
  const namespace = `${prefix}-${name}`;
  const exec = (...command: readonly string[]): Promise<string> => runIn(namespace, command);
  return {
    name,
    namespace,
    path: `/run/netns/${namespace}`,
    mac: `02:00:5e:10:00:${index.toString(16).padStart(2, '0')}`,
    ipv4: `192.0.2.${index}`,
    ipv6: `2001:db8::${index.toString(16)}`,
    port: `p-${name}`,
    exec,
    attempt: (...command) => attempt(spawnIn(namespace, command, ['ignore', 'pipe', 'pipe'])),
    spawn: (...command) => spawnIn(namespace, command, ['pipe', 'pipe', 'pipe']),
    ip: (...lines) => batch(namespace, lines),
  };
}

async function attempt(child: ChildProcess): Promise<{ code: number; output: string }> {
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const { promise, resolve } = Promise.withResolvers<number>();
  child.once('close', (code) => resolve(code ?? -1));
  return { code: await promise, output };
}

const CLEAN_UP = `
for ns in $1; do
  [ -e "/run/netns/$ns" ] || continue
  ip netns pids "$ns" 2>/dev/null | xargs -r kill -9 2>/dev/null
  ip netns del "$ns"
done
true`;

/** Deletes the namespaces when asked to, or when this process ends in whatever way. */
function startGuard(namespaces: readonly string[]): { readonly remove: () => Promise<void> } {
  const names = namespaces.join(' ');
  const script = `while read -r line; do [ "$line" = done ] && exit 0; done\n${CLEAN_UP}`;
  const guard = spawn('sh', ['-c', script, 'berth-wire-guard', names], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.unref();
  guard.stdin.on('error', () => undefined);
  (guard.stdin as unknown as { unref?: () => void }).unref?.();
  let removed: Promise<void> | undefined;
  const remove = async (): Promise<void> => {
    await run('sh', ['-c', CLEAN_UP, 'berth-wire', names]);
    guard.stdin.end('done\n');
  };
  return { remove: () => (removed ??= remove()) };
}
