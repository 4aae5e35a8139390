import { AF, allocate, lastErrno, MSG, recv, recvmmsg } from './libc.ts';

/** Datagrams that one call brings. */
const BATCH = 32;
/** Bytes of a datagram that are kept: an Ethernet frame, or a datagram of a speaker. */
const SIZE = 1536;
/** Room for a `struct sockaddr_in6` or `sockaddr_ll`. */
const NAME = 28;
/** `struct mmsghdr` on 64-bit Linux: msghdr (56 bytes), length (4), padding. */
const HEADER = 64;
const AT = { name: 0, nameLength: 8, vector: 16, vectorLength: 24, flags: 48, received: 56 } as const;
const MSG_TRUNC = 0x20;

/** A received datagram; its memory is used again by the next `receive`. */
export interface Slot {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** `struct sockaddr_ll`, `sockaddr_in` or `sockaddr_in6` of the sender. */
  readonly from: DataView;
  length: number;
  /** Not told by `receiveOne`. */
  truncated: boolean;
}

/**
 * Receives in batches with recvmmsg(2) into memory that is allocated once, so that nothing is allocated for a frame.
 * One receiver serves all sockets of a thread, one after another.
 */
export class Receiver {
  readonly slots: readonly Slot[];
  readonly #first: Slot;
  readonly #vector: ReturnType<typeof allocate>;

  constructor() {
    const data = allocate(BATCH * SIZE);
    const names = allocate(BATCH * NAME);
    const parts = allocate(BATCH * 16);
    const vector = allocate(BATCH * HEADER);
    const slots: Slot[] = [];
    for (let i = 0; i < BATCH; i++) {
      parts.view.setBigUint64(i * 16, data.pointer + BigInt(i * SIZE), true);
      parts.view.setBigUint64(i * 16 + 8, BigInt(SIZE), true);
      vector.view.setBigUint64(i * HEADER + AT.name, names.pointer + BigInt(i * NAME), true);
      vector.view.setUint32(i * HEADER + AT.nameLength, NAME, true);
      vector.view.setBigUint64(i * HEADER + AT.vector, parts.pointer + BigInt(i * 16), true);
      vector.view.setBigUint64(i * HEADER + AT.vectorLength, 1n, true);
      slots.push({
        bytes: data.bytes.subarray(i * SIZE, (i + 1) * SIZE),
        view: new DataView(data.bytes.buffer, i * SIZE, SIZE),
        from: new DataView(names.bytes.buffer, i * NAME, NAME),
        length: 0,
        truncated: false,
      });
    }
    this.slots = slots;
    this.#first = slots[0] as Slot;
    this.#vector = vector;
  }

  /** Largest number that `receive` returns; as many as this: there may be more. */
  get batch(): number {
    return BATCH;
  }

  /**
   * Fills the first slot with one datagram, without its sender, if one waits: half the cost of a batch of one, and a
   * question is mostly alone. Whether there was one; `undefined` for an error on the socket.
   */
  receiveOne(fd: number): Slot | false | undefined {
    const slot = this.#first;
    const length = recv(fd, slot.bytes, SIZE, MSG.dontWait);
    if (length < 0) return lastErrno() === 'EAGAIN' ? false : undefined;
    slot.length = length;
    return slot;
  }

  /** Fills the first slots with what waits in the socket, without waiting; their number, -1 for an error on the socket. */
  receive(fd: number): number {
    const count = recvmmsg(fd, this.#vector.bytes, BATCH, MSG.dontWait, null);
    if (count < 0) return lastErrno() === 'EAGAIN' ? 0 : -1;
    const { view } = this.#vector;
    for (let i = 0; i < count; i++) {
      const slot = this.slots[i];
      if (slot === undefined) break;
      slot.length = Math.min(view.getUint32(i * HEADER + AT.received, true), SIZE);
      slot.truncated = (view.getUint32(i * HEADER + AT.flags, true) & MSG_TRUNC) !== 0;
      view.setUint32(i * HEADER + AT.nameLength, NAME, true);
    }
    return count;
  }
}

/** The sender's address of a datagram as text, for people; no more than its family when it is neither IPv4 nor IPv6. */
export function senderText(from: DataView): string {
  const family = from.getUint16(0, true);
  if (family === AF.inet) return [4, 5, 6, 7].map((at) => from.getUint8(at)).join('.');
  if (family !== AF.inet6) return `family ${family}`;
  const words = [8, 10, 12, 14, 16, 18, 20, 22].map((at) => from.getUint16(at).toString(16));
  return words.join(':');
}
