import { ipBytes, macBytes } from '../codec/address.ts';
import { ETHERTYPE } from '../codec/ethernet.ts';
import { arpFilter, ndpFilter } from '../codec/filter.ts';
import type { Counters } from '../engine/counters.ts';
import { compareInterfaces, isLinkLocal, judgeInterfaces } from '../engine/interfaces.ts';
import type { Looker } from '../engine/looker.ts';
import type { Frame } from '../engine/responder.ts';
import { type AddressTable, answersOn, type Entry, type Port } from '../engine/table.ts';
import type { FastPath } from '../sys/fast-path.ts';
import { SolicitedNodeGroups } from '../sys/groups.ts';
import { SyscallError } from '../sys/libc.ts';
import { readLinkTable } from '../sys/netlink-socket.ts';
import { PacketSocket } from '../sys/packet-socket.ts';
import type { Poller } from '../sys/poller.ts';
import type { Receiver } from '../sys/receiver.ts';
import type { WireEvents, WireInterface } from '../types.ts';

/** Groups joined or left in one turn of the loop: each takes the kernel some 50 µs, and answers must not wait for thousands. */
const GROUPS_PER_TURN = 32;

/** What the ports work with. */
export interface PortsParts {
  readonly exclude: readonly RegExp[];
  readonly poller: Poller;
  readonly fastPath: FastPath | undefined;
  readonly receiver: Receiver;
  readonly counters: Counters;
  readonly table: AddressTable;
  readonly looker: Looker;
  readonly onArp: (port: Port, frame: Frame) => void;
  readonly onNdp: (port: Port, frame: Frame) => void;
  /** The usable interfaces are others than before. */
  readonly onPorts: (ports: readonly Port[]) => void;
  readonly onChange: (change: WireEvents['interfaces'][0]) => void;
  readonly onFault: (error: unknown) => void;
  /** Whether what has just been read may have waited through a stall. */
  readonly stale: () => boolean;
  /** A socket had an error: the interfaces have to be looked at soon. */
  readonly onSocketError: () => void;
}

interface OpenPort extends Port {
  readonly arp: PacketSocket;
  readonly ndp: PacketSocket | undefined;
  readonly groups: SolicitedNodeGroups | undefined;
  /** Addresses whose groups are joined, and those whose groups are to be, by their text. */
  readonly joined: Map<string, Uint8Array>;
  wanted: ReadonlyMap<string, Uint8Array>;
  /** `joined` may differ from `wanted`. */
  moving: boolean;
}

/** The sockets on the usable interfaces: opened and closed as interfaces come and go, filtered for what is announced. */
export class Ports {
  readonly #parts: PortsParts;
  #interfaces: readonly WireInterface[] = [];
  #ports: readonly OpenPort[] = [];
  #dirty = false;
  #answering = true;

  constructor(parts: PortsParts) {
    this.#parts = parts;
  }

  get interfaces(): readonly WireInterface[] {
    return this.#interfaces;
  }

  list(): readonly Port[] {
    return this.#ports;
  }

  /** The announced addresses, or those that are looked for, have changed; `apply` is due. */
  markDirty(): void {
    this.#dirty = true;
    this.#parts.fastPath?.drop();
  }

  /** Whether what is announced may be answered for at the moment. */
  set answering(answering: boolean) {
    if (answering === this.#answering) return;
    this.#answering = answering;
    this.#useFastPath();
  }

  /** Whether `apply` has something to do: filters do not fit, or groups are still to be joined or left. */
  get busy(): boolean {
    if (this.#dirty) return true;
    for (const port of this.#ports) if (port.moving) return true;
    return false;
  }

  /** Filters follow the addresses at once, groups a bounded number at a time. */
  apply(): void {
    const filters = this.#dirty;
    this.#dirty = false;
    for (const port of this.#ports) {
      try {
        if (filters) this.#filter(port);
        if (port.moving) port.moving = !moveGroups(port, GROUPS_PER_TURN);
      } catch (error) {
        port.moving = false;
        this.#parts.onFault(error);
      }
    }
    if (filters) this.#useFastPath();
  }

  /**
   * Looks at all interfaces, opens and closes sockets accordingly, and tells what differs.
   *
   * @throws SyscallError `EPERM` without CAP_NET_RAW; others become faults of their interface.
   */
  scan(): void {
    const { links, addresses } = readLinkTable();
    const judged = judgeInterfaces(links, addresses, this.#parts.exclude);
    const ports: OpenPort[] = [];
    const interfaces = judged.map((item): WireInterface => {
      if (item.unusable !== undefined) return item;
      const port = this.#keep(item) ?? this.#open(item);
      if (port === undefined) return { ...item, unusable: 'noSocket', arp: false, ndp: false };
      ports.push(port);
      return item;
    });
    for (const port of this.#ports) if (!ports.includes(port)) this.#close(port);
    const same = ports.length === this.#ports.length && ports.every((port) => this.#ports.includes(port));
    this.#ports = ports;
    if (!same) {
      this.markDirty();
      this.#parts.onPorts(ports);
    }
    const { differs, ...change } = compareInterfaces(this.#interfaces, interfaces);
    this.#interfaces = interfaces;
    if (differs) this.#parts.onChange({ interfaces, ...change });
  }

  /** Adds what the kernel dropped to the counters; reading it resets it. */
  countDrops(): void {
    for (const { arp, ndp } of this.#ports) {
      this.#parts.counters.add('framesDropped', arp.drops() + (ndp?.drops() ?? 0));
    }
  }

  close(): void {
    for (const port of this.#ports) this.#close(port);
    this.#ports = [];
  }

  /** The open port of an interface that has not changed. */
  #keep(item: WireInterface): OpenPort | undefined {
    return this.#ports.find(
      (port) =>
        port.index === item.index &&
        port.name === item.name &&
        fingerprint(port.mac, port.linkLocal, port.ipv4) === fingerprint(...ownAddresses(item)),
    );
  }

  #open(item: WireInterface): OpenPort | undefined {
    let arp: PacketSocket | undefined;
    try {
      arp = new PacketSocket(item.index, ETHERTYPE.arp);
      const ndp = item.ndp ? new PacketSocket(item.index, ETHERTYPE.ipv6) : undefined;
      const port = openPort(item, arp, ndp);
      this.#parts.poller.add(arp.fd, () => this.#take(port, port.arp, this.#parts.onArp));
      if (ndp !== undefined) this.#parts.poller.add(ndp.fd, () => this.#take(port, ndp, this.#parts.onNdp));
      return port;
    } catch (error) {
      arp?.close();
      if (error instanceof SyscallError && error.code === 'EPERM') throw error;
      this.#parts.onFault(error);
      return undefined;
    }
  }

  #close(port: OpenPort): void {
    for (const socket of [port.arp, port.ndp]) {
      if (socket === undefined) continue;
      this.#parts.poller.remove(socket.fd);
      socket.close();
    }
    port.groups?.close();
  }

  /** One frame a turn: whether more wait is the next wait's to tell, and who is answered waits for nothing else. */
  #take(port: OpenPort, socket: PacketSocket, handle: (port: Port, frame: Frame) => void): void {
    const frame = this.#parts.fastPath?.takeHeld(socket.fd) ?? this.#parts.receiver.receiveOne(socket.fd);
    if (frame === undefined) return this.#parts.onSocketError();
    if (frame !== false && !this.#parts.stale()) handle(port, frame);
  }

  /** Plain requests are answered without a turn through here, unless somebody has to see every frame. */
  #useFastPath(): void {
    const { fastPath, looker } = this.#parts;
    if (fastPath === undefined) return;
    if (this.#dirty || looker.active || !this.#answering) return fastPath.drop();
    fastPath.use(
      this.#ports.map((port) => ({ fd: port.arp.fd, mac: port.mac, entries: this.#announcedOn(port) })),
    );
  }

  #announcedOn(port: OpenPort): readonly Entry[] {
    return [...this.#parts.table.entries()].filter((entry) => answersOn(entry, port));
  }

  #filter(port: OpenPort): void {
    const wanted = [...this.#announcedOn(port).map(({ bytes }) => bytes), ...this.#parts.looker.addresses()];
    const words = (length: number): number[] =>
      wanted.filter((bytes) => bytes.length === length).map((bytes) => lastWord(bytes));
    port.arp.filter(arpFilter(words(4)));
    if (port.ndp === undefined || port.groups === undefined) return;
    port.ndp.filter(ndpFilter(words(16)));
    port.wanted = new Map(
      wanted.filter((bytes) => bytes.length === 16).map((bytes) => [bytes.join('.'), bytes]),
    );
    port.moving = true;
  }
}

/** Leaves and joins groups until `joined` is what is wanted, or the limit is reached; whether it is. */
function moveGroups({ groups, joined, wanted }: OpenPort, limit: number): boolean {
  if (groups === undefined) return true;
  let moved = 0;
  for (const [key, bytes] of joined) {
    if (wanted.has(key)) continue;
    if (moved++ === limit) return false;
    groups.leave(bytes);
    joined.delete(key);
  }
  for (const [key, bytes] of wanted) {
    if (joined.has(key)) continue;
    if (moved++ === limit) return false;
    groups.join(bytes);
    joined.set(key, bytes);
  }
  return true;
}

type OwnAddresses = readonly [mac: Uint8Array, linkLocal: Uint8Array | undefined, ipv4: Port['ipv4']];

function ownAddresses(item: WireInterface): OwnAddresses {
  const linkLocal = item.addresses.find(({ ip }) => isLinkLocal(ip));
  const ipv4 = item.addresses
    .filter(({ ip }) => !ip.includes(':'))
    .map(({ ip, prefixLength }) => ({ ip: ipBytes(ip), prefixLength }));
  return [macBytes(item.mac), linkLocal && ipBytes(linkLocal.ip), ipv4];
}

function fingerprint(...[mac, linkLocal, ipv4]: OwnAddresses): string {
  const own = ipv4.map(({ ip, prefixLength }) => `${ip.join('.')}/${prefixLength}`);
  return [mac.join('.'), linkLocal?.join('.') ?? '', ...own].join(' ');
}

function openPort(item: WireInterface, arp: PacketSocket, ndp: PacketSocket | undefined): OpenPort {
  const [mac, linkLocal, ipv4] = ownAddresses(item);
  return {
    name: item.name,
    index: item.index,
    mac,
    linkLocal: ndp && linkLocal,
    ipv4,
    arp,
    ndp,
    groups: ndp && new SolicitedNodeGroups(item.index, ndp),
    joined: new Map(),
    wanted: new Map(),
    moving: false,
    sendArp: (frame) => arp.send(frame, frame.length),
    sendNdp: (frame) => ndp?.send(frame, frame.length) ?? false,
  };
}

function lastWord(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(bytes.length - 4);
}
