/**
 * What only a node itself knows: its interfaces, its kernel's settings, what this process may do. The speaker of a node
 * answers GET /api/doctor with it; `berth doctor --node NAME` looks by itself. Pure but for the readers that it is given.
 */
import type { DoctorCheck } from '@berth/core';
import type { UnusableReason, WireInterface } from '../wire/types.ts';

/** Number of CAP_NET_RAW (capabilities(7)). */
const NET_RAW_BIT = 13n;
/** UDP port of the heartbeats, as the tables of proc(5) write it. */
const HEARTBEAT_PORT = 7947;
/** The interface that IPVS binds the Services' addresses to. */
const IPVS = 'kube-ipvs0';

/** How to look at this machine. */
export interface NodeReaders {
  /** Every interface with what the wire says about it. @throws Error */
  interfaces(): readonly WireInterface[];
  /** Text of a file of /proc; `undefined` when it cannot be read. */
  file(path: string): string | undefined;
}

/** What a speaker answers to GET /api/doctor. */
export interface NodeReport {
  readonly node: string;
  /** Its clock, RFC 3339. */
  readonly now: string;
  readonly checks: readonly DoctorCheck[];
}

/** All checks of the machine that this runs on. */
export function nodeChecks(node: string, readers: NodeReaders): readonly DoctorCheck[] {
  let interfaces: readonly WireInterface[];
  try {
    interfaces = readers.interfaces();
  } catch (error) {
    const message = `the interfaces cannot be listed: ${error instanceof Error ? error.message : String(error)}`;
    return [{ check: 'interfaces', subject: node, outcome: 'skipped', message }, capability(node, readers)];
  }
  const used = interfaces.filter(({ unusable }) => unusable === undefined);
  return [
    ...interfaceChecks(node, interfaces),
    capability(node, readers),
    reversePath(node, used, readers),
    kernelAnswers(node, interfaces, readers),
    heartbeatPort(node, readers),
  ];
}

const WHY: Readonly<Record<UnusableReason, string>> = {
  excluded: 'its name is one of a container link or tunnel (--exclude-interface)',
  down: 'it is down',
  noCarrier: 'it has no carrier: its cable or its other end is missing',
  slave: 'it belongs to a bridge or bond, which is used in its place',
  loopback: 'it is the loopback',
  pointToPoint: 'it is a point-to-point link',
  noArp: 'it does no ARP or no broadcast',
  noMac: 'it has no MAC address',
  notEthernet: 'it is no Ethernet',
  tunnel: 'it is a tunnel or a virtual device without neighbours',
  noSocket: 'no packet socket could be opened on it; the log of the speaker has the cause',
};

/** An interface with an address on a network is expected to work. */
const EXPECTED: ReadonlySet<UnusableReason> = new Set(['down', 'noCarrier', 'noSocket']);

function interfaceChecks(node: string, interfaces: readonly WireInterface[]): readonly DoctorCheck[] {
  const check = 'interface';
  const all = interfaces.map(({ name, unusable, ndp, addresses }): DoctorCheck => {
    const subject = `${node}/${name}`;
    if (unusable === undefined) {
      const how = ndp
        ? 'used for ARP and NDP'
        : 'used for ARP; not for NDP, as it has no IPv6 link-local address';
      return { check, subject, outcome: 'ok', message: how };
    }
    const message = `not used: ${WHY[unusable]}`;
    if (!EXPECTED.has(unusable) || addresses.length === 0)
      return { check, subject, outcome: 'skipped', message };
    const remedy = 'Bring the interface up, or take its addresses away if it is not to be used';
    return { check, subject, outcome: 'warning', message, remedy };
  });
  if (interfaces.some(({ unusable }) => unusable === undefined)) return all;
  const message = 'the node has no interface on which an address can be announced';
  const remedy = 'See the reasons of its interfaces; a speaker in a pod needs hostNetwork: true';
  return [...all, { check: 'interfaces', subject: node, outcome: 'failed', message, remedy }];
}

function capability(node: string, { file }: NodeReaders): DoctorCheck {
  const check = 'cap-net-raw';
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(file('/proc/self/status') ?? '')?.[1];
  if (effective === undefined)
    return { check, subject: node, outcome: 'skipped', message: '/proc/self/status says nothing about it' };
  if (((BigInt(`0x${effective}`) >> NET_RAW_BIT) & 1n) === 1n)
    return { check, subject: node, outcome: 'ok', message: 'this process has CAP_NET_RAW' };
  return {
    check,
    subject: node,
    outcome: 'failed',
    message:
      'this process lacks CAP_NET_RAW; a speaker that is started like it can answer neither ARP nor NDP',
    remedy:
      "In the DaemonSet's container set securityContext.capabilities.add to [NET_RAW], or run it as root",
  };
}

/** A setting of `net.ipv4.conf`, of which the kernel uses the larger of `all` and the interface's own. */
function effective({ file }: NodeReaders, name: string, setting: string): number {
  const read = (which: string): number =>
    Number(file(`/proc/sys/net/ipv4/conf/${which}/${setting}`)?.trim() ?? '0');
  return Math.max(read('all'), read(name));
}

/**
 * Strict reverse-path filtering (1; kernel documentation, ip-sysctl `rp_filter`) throws away what comes in on another
 * interface than the one the answer would leave by.
 */
function reversePath(node: string, used: readonly WireInterface[], readers: NodeReaders): DoctorCheck {
  const check = 'rp-filter';
  const strict = used
    .filter(({ name }) => effective(readers, name, 'rp_filter') === 1)
    .map(({ name }) => name);
  if (strict.length === 0 || used.length < 2) {
    const message =
      strict.length === 0 ? 'not strict' : 'strict, and there is only one interface to come in by';
    return { check, subject: node, outcome: 'ok', message };
  }
  return {
    check,
    subject: node,
    outcome: 'warning',
    message: `rp_filter is strict on ${strict.join(', ')}: clients whose answers leave by another interface are not heard`,
    remedy: `Set net.ipv4.conf.all.rp_filter and that of the interfaces to 2 (loose) or 0, or name the clients' interface in L2Advertisements`,
  };
}

/** With IPVS the kernel has the Services' addresses itself, and answers for them unless it is told not to. */
function kernelAnswers(
  node: string,
  interfaces: readonly WireInterface[],
  readers: NodeReaders,
): DoctorCheck {
  const check = 'arp-sysctl';
  const subject = node;
  if (!interfaces.some(({ name }) => name === IPVS))
    return {
      check,
      subject,
      outcome: 'ok',
      message: `no ${IPVS}: the kernel has no Service's address to answer for`,
    };
  const wrong = interfaces
    .filter(({ unusable }) => unusable === undefined)
    .map(({ name }) => name)
    .filter(
      (name) => effective(readers, name, 'arp_ignore') < 1 || effective(readers, name, 'arp_announce') < 2,
    );
  if (wrong.length === 0)
    return { check, subject, outcome: 'ok', message: 'arp_ignore and arp_announce keep the kernel quiet' };
  return {
    check,
    subject,
    outcome: 'failed',
    message: `the kernel answers ARP on ${wrong.join(', ')} for the addresses on ${IPVS}, beside the speaker`,
    remedy: 'Set ipvs.strictARP of kube-proxy to true, which sets arp_ignore to 1 and arp_announce to 2',
  };
}

/** Whether the port of the heartbeats is free, or has a speaker behind it (whose abstract socket is in net/unix). */
function heartbeatPort(node: string, { file }: NodeReaders): DoctorCheck {
  const check = 'heartbeat-port';
  const hex = HEARTBEAT_PORT.toString(16).toUpperCase().padStart(4, '0');
  const taken = ['/proc/net/udp', '/proc/net/udp6'].some((path) =>
    (file(path) ?? '').split('\n').some((line) => line.trim().split(/\s+/)[1]?.endsWith(`:${hex}`) === true),
  );
  const speaker = /\s@berth-speaker/.test(file('/proc/net/unix') ?? '');
  const port = `UDP port ${HEARTBEAT_PORT}`;
  if (!taken && !speaker)
    return { check, subject: node, outcome: 'ok', message: `${port} is free, and no speaker runs` };
  if (taken && speaker) return { check, subject: node, outcome: 'ok', message: `${port} is the speaker's` };
  if (!taken)
    return { check, subject: node, outcome: 'skipped', message: 'a speaker runs, with another port' };
  return {
    check,
    subject: node,
    outcome: 'failed',
    message: `${port} is taken by another program, so no speaker can start`,
    remedy: `Find it with \`ss -ulpn sport = :${HEARTBEAT_PORT}\` and stop it`,
  };
}
