/** A segment for tests of the wire: stations on one bridge, without anything of Kubernetes. Needs root. */
import type { ChildProcess } from 'node:child_process';
import { startGuard } from './guard.ts';
import { batch, runIn, spawnIn, sysctl } from './netns.ts';

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
  const guard = startGuard({ namespaces });
  try {
    await batch(
      undefined,
      namespaces.map((name) => `netns add ${name}`),
    );
    // Duplicate detection takes a second; here nobody else has the addresses.
    await Promise.all(stations.map(({ namespace }) => sysctl(namespace, QUIET)));
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

const QUIET = {
  'net.ipv6.conf.default.accept_dad': 0,
  'net.ipv6.conf.default.dad_transmits': 0,
  'net.ipv6.conf.default.accept_ra': 0,
};

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
    attempt: (...command) => attempt(spawnIn(namespace, command, { stdio: ['ignore', 'pipe', 'pipe'] })),
    spawn: (...command) => spawnIn(namespace, command, { stdio: ['pipe', 'pipe', 'pipe'] }),
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
