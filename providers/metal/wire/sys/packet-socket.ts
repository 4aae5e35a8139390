import { assemble, DENY_ALL, type Instruction } from '../codec/filter.ts';
import {
  AF,
  allocate,
  bind,
  checked,
  close,
  getOption,
  MSG,
  OPTION,
  send,
  setOption,
  SOCK,
  socket,
  trySetOption,
} from './libc.ts';

/** Memory for frames that wait while the worker is busy, in bytes; the kernel may allow less. */
const RECEIVE_BUFFER = 1024 * 1024;
/** Types of packet memberships (linux/if_packet.h). */
export const MEMBERSHIP = { multicast: 0, allMulticast: 2 } as const;

/**
 * A raw socket (packet(7)) on one interface for one EtherType. Bound to its EtherType it sees what arrives there,
 * without VLAN tags, and nothing of what is sent; frames of a VLAN that has no interface are marked as for others.
 */
export class PacketSocket {
  readonly fd: number;
  readonly #index: number;

  /**
   * Opens the socket; nothing is received until `filter` allows it.
   *
   * @throws SyscallError `EPERM` without CAP_NET_RAW; `ENODEV` when the interface is gone.
   */
  constructor(interfaceIndex: number, etherType: number) {
    this.#index = interfaceIndex;
    this.fd = checked('socket', socket(AF.packet, SOCK.raw | SOCK.nonBlocking | SOCK.closeOnExec, 0));
    try {
      this.filter(DENY_ALL);
      trySetOption(this.fd, OPTION.receiveBuffer, RECEIVE_BUFFER);
      // Linux 4.20; older kernels need not copy what we send because of the bound EtherType either.
      trySetOption(this.fd, OPTION.ignoreOutgoing, 1);
      const address = new DataView(new ArrayBuffer(20));
      address.setUint16(0, AF.packet, true);
      address.setUint16(2, etherType);
      address.setInt32(4, interfaceIndex, true);
      checked('bind', bind(this.fd, new Uint8Array(address.buffer), 20));
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  /**
   * Replaces the kernel's filter, at once for every later frame.
   *
   * @throws SyscallError.
   */
  filter(program: readonly Instruction[]): void {
    setOption(this.fd, OPTION.attachFilter, filterProgram(program));
  }

  /** Sends a frame; `false` when the kernel refused it (interface down, queue full). */
  send(frame: Uint8Array, length: number): boolean {
    return send(this.fd, frame, length, MSG.dontWait) === length;
  }

  /**
   * Makes the interface receive frames for a group address, or all groups where its own list is too small.
   *
   * @throws SyscallError.
   */
  join(type: number, mac?: Uint8Array): void {
    setOption(this.fd, OPTION.addMembership, this.#membership(type, mac));
  }

  /** The opposite of `join`; not having joined is no error. */
  leave(type: number, mac?: Uint8Array): void {
    trySetOption(this.fd, OPTION.dropMembership, this.#membership(type, mac));
  }

  /** Frames that were dropped because the buffer was full, since the last time this was asked. */
  drops(): number {
    const counters = new Uint8Array(8);
    getOption(this.fd, OPTION.statistics, counters);
    return new DataView(counters.buffer).getUint32(4, true);
  }

  close(): void {
    close(this.fd);
  }

  /** `struct packet_mreq`. */
  #membership(type: number, mac?: Uint8Array): Uint8Array {
    const view = new DataView(new ArrayBuffer(16));
    view.setInt32(0, this.#index, true);
    view.setUint16(4, type, true);
    view.setUint16(6, mac?.length ?? 0, true);
    const bytes = new Uint8Array(view.buffer);
    if (mac !== undefined) bytes.set(mac, 8);
    return bytes;
  }
}

/** Instructions on their way into the kernel: a small typed array could be moved by the garbage collector. */
let scratch: ReturnType<typeof allocate> | undefined;
const SCRATCH = 4096;

/**
 * `struct sock_fprog` (the number of instructions and where they are); to be used before the next one is made.
 *
 * @throws RangeError for a program of more than 512 instructions.
 */
export function filterProgram(program: readonly Instruction[]): Uint8Array {
  scratch ??= allocate(SCRATCH);
  scratch.bytes.set(assemble(program));
  const view = new DataView(new ArrayBuffer(16));
  view.setUint16(0, program.length, true);
  view.setBigUint64(8, scratch.pointer, true);
  return new Uint8Array(view.buffer);
}
