import { multicastMac, solicitedNode } from '../codec/address.ts';
import { AF, close, OPTION, SOCK, socket, SyscallError, trySetOption } from './libc.ts';
import { MEMBERSHIP, type PacketSocket } from './packet-socket.ts';

/** Why a socket takes no further group: its option memory (net.core.optmem_max) or a limit is used up. */
const FULL: ReadonlySet<string> = new Set(['ENOBUFS', 'ENOMEM', 'E2BIG']);

interface Membership {
  references: number;
  readonly request: Uint8Array;
  readonly mac: Uint8Array;
  /** The socket that joined; absent: the packet socket did. */
  readonly fd?: number;
}

/**
 * The solicited-node groups of one interface, by reference count: addresses that end alike share a group. The kernel
 * joins for us, so that switches that watch MLD learn of it (RFC 4861 §7.2.1, RFC 4541); several sockets share the work
 * because one socket's option memory holds some hundreds. Where the kernel refuses, the packet socket joins the group's
 * Ethernet address, and where that is refused, all groups.
 */
export class SolicitedNodeGroups {
  readonly #index: number;
  readonly #packets: PacketSocket;
  readonly #groups = new Map<number, Membership>();
  readonly #sockets: number[] = [];
  #all = false;

  constructor(interfaceIndex: number, packets: PacketSocket) {
    this.#index = interfaceIndex;
    this.#packets = packets;
  }

  /** Groups that are joined. */
  get size(): number {
    return this.#groups.size;
  }

  /** Sockets that hold them. */
  get sockets(): number {
    return this.#sockets.length;
  }

  /** Joins the group of an address, or counts one more user of it. */
  join(address: Uint8Array): void {
    const key = groupKey(address);
    const existing = this.#groups.get(key);
    if (existing !== undefined) {
      existing.references++;
      return;
    }
    const group = solicitedNode(address);
    const request = new Uint8Array(20);
    request.set(group);
    new DataView(request.buffer).setInt32(16, this.#index, true);
    const membership = { references: 1, request, mac: multicastMac(group) };
    const fd = this.#joinByKernel(request);
    if (fd === undefined) this.#joinByPackets(membership.mac);
    this.#groups.set(key, fd === undefined ? membership : { ...membership, fd });
  }

  /** Counts one user of the group less, and leaves it after the last one. */
  leave(address: Uint8Array): void {
    const key = groupKey(address);
    const membership = this.#groups.get(key);
    if (membership === undefined || --membership.references > 0) return;
    this.#groups.delete(key);
    if (membership.fd === undefined) this.#packets.leave(MEMBERSHIP.multicast, membership.mac);
    else trySetOption(membership.fd, OPTION.leaveGroup, membership.request);
  }

  /** Lets go of every group. */
  close(): void {
    for (const fd of this.#sockets) close(fd);
    this.#sockets.length = 0;
    this.#groups.clear();
  }

  /** The socket that joined; `undefined` when the kernel refuses. */
  #joinByKernel(request: Uint8Array): number | undefined {
    const last = this.#sockets.at(-1);
    const refused = last === undefined ? 'ENOBUFS' : trySetOption(last, OPTION.joinGroup, request);
    if (refused === undefined) return last;
    if (!FULL.has(refused)) return undefined;
    const fd = socket(AF.inet6, SOCK.dgram | SOCK.closeOnExec, 0);
    if (fd < 0) return undefined;
    if (trySetOption(fd, OPTION.joinGroup, request) !== undefined) {
      close(fd);
      return undefined;
    }
    this.#sockets.push(fd);
    return fd;
  }

  #joinByPackets(mac: Uint8Array): void {
    if (this.#all) return;
    try {
      this.#packets.join(MEMBERSHIP.multicast, mac);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      this.#packets.join(MEMBERSHIP.allMulticast);
      this.#all = true;
    }
  }
}

/** The three bytes that make the group. */
function groupKey(address: Uint8Array): number {
  return ((address[13] ?? 0) << 16) | ((address[14] ?? 0) << 8) | (address[15] ?? 0);
}
