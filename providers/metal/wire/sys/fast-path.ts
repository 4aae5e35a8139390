import { existsSync, readFileSync } from 'node:fs';
import koffi from 'koffi';
import { type Counters, PER_ADDRESS } from '../engine/counters.ts';
import type { Entry } from '../engine/table.ts';
import { LIBRARY } from '../fast-path/library.ts';
import type { Slot } from './receiver.ts';

/** Offsets in `struct fast_path` and its sizes, which `answer.c` asserts. */
const MAX_PORTS = 64;
const PORT_SIZE = 20;
const ADDRESS_WORDS = 2;
const FRAME_SIZE = 1536;
const AT = {
  woke: 0,
  stall: 8,
  counters: 16,
  addresses: 24,
  enabled: 32,
  ports: 36,
  framesCell: 40,
  errorsCell: 44,
  heldFd: 48,
  heldLength: 52,
  byClock: 56,
  slice: 60,
  port: 96,
  frame: 96 + MAX_PORTS * PORT_SIZE,
} as const;
const SIZE = AT.frame + FRAME_SIZE;
const NONE = -1;

/** Clock sources that Linux takes when the processor's counter is not to be trusted. */
const OTHER_CLOCKS = new Set(['hpet', 'acpi_pm', 'jiffies', 'refined-jiffies']);
const CLOCK_SOURCE = '/sys/devices/system/clocksource/clocksource0/current_clocksource';

type Bytes = Uint8Array;
type Wait = (
  ...args: [path: Bytes, epoll: number, events: Bytes, count: number, timeoutMs: number]
) => number;

/** An interface on which is answered: its ARP socket, and the addresses that are answered there. */
export interface AnsweringPort {
  readonly fd: number;
  readonly mac: Bytes;
  readonly entries: readonly Entry[];
}

/** What epoll_wait(2) is called with. */
export interface EpollSet {
  readonly epoll: number;
  /** Room for `count` events. */
  readonly events: Bytes;
  readonly count: number;
}

/** What the fast path works with. */
export interface FastPathParts {
  readonly counters: Counters;
  /** A longer gap between two turns is a stall, in milliseconds. */
  readonly stallMs: number;
  /** So often it looks whether there was one, in milliseconds. */
  readonly sliceMs: number;
  /** Milliseconds of a clock that runs like CLOCK_MONOTONIC. */
  readonly now: () => number;
  /** File of the library; absent: where the build leaves it. */
  readonly library?: string | undefined;
  /** Whether the processor's counter is not to be trusted; absent: as the kernel thinks of it. */
  readonly byClock?: boolean | undefined;
}

/**
 * The fast path of ARP (`fast-path/answer.c`): epoll_wait(2) that answers plain requests while it waits. It knows a copy
 * of what is announced; who changes that calls `drop` first and `use` afterwards.
 */
export class FastPath {
  readonly #wait: Wait;
  readonly #counters: Counters;
  /** Milliseconds from `now` to CLOCK_MONOTONIC. */
  readonly #offset: number;
  readonly #bytes = new Uint8Array(new ArrayBuffer(SIZE));
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #held: Slot;
  #addresses = new Uint32Array(0);

  /** @throws Error when the library cannot be loaded, or is of another version. */
  constructor(parts: FastPathParts) {
    const { counters, stallMs, sliceMs, now, library = LIBRARY, byClock = isClockUsed() } = parts;
    this.#wait = load(library);
    this.#counters = counters;
    this.#offset = Number(process.hrtime.bigint()) / 1e6 - now();
    const view = this.#view;
    view.setFloat64(AT.stall, stallMs, true);
    view.setUint32(AT.slice, sliceMs, true);
    view.setBigUint64(AT.counters, koffi.address(counters.values), true);
    view.setUint32(AT.framesCell, counters.cell('framesReceived'), true);
    view.setUint32(AT.errorsCell, counters.cell('sendErrors'), true);
    view.setInt32(AT.heldFd, NONE, true);
    view.setUint32(AT.byClock, byClock ? 1 : 0, true);
    this.#held = {
      bytes: this.#bytes.subarray(AT.frame),
      view: new DataView(this.#bytes.buffer, AT.frame),
      from: new DataView(new ArrayBuffer(0)),
      length: 0,
      truncated: false,
    };
  }

  /** Whether the build left a library for this machine. */
  static exists(): boolean {
    return existsSync(LIBRARY);
  }

  /** epoll_wait(2), at most; a stall counts from `since`, when the caller's last turn woke. Drops a frame that is still held. */
  wait({ epoll, events, count }: EpollSet, timeoutMs: number, since: number): number {
    this.#view.setFloat64(AT.woke, since + this.#offset, true);
    return this.#wait(this.#bytes, epoll, events, count, timeoutMs);
  }

  /** When the last turn woke that was taken here; the last wait's `since` when it took none. */
  get woke(): number {
    return this.#view.getFloat64(AT.woke, true) - this.#offset;
  }

  /** The frame that was taken off the socket and is left to the caller, once. */
  takeHeld(fd: number): Slot | undefined {
    const view = this.#view;
    if (view.getInt32(AT.heldFd, true) !== fd) return undefined;
    view.setInt32(AT.heldFd, NONE, true);
    this.#held.length = view.getUint32(AT.heldLength, true);
    return this.#held;
  }

  /** Answers nothing until `use`. */
  drop(): void {
    this.#view.setUint32(AT.enabled, 0, true);
  }

  /** Answers for these from the next wait on; interfaces above the 64th are left to the caller. */
  use(ports: readonly AnsweringPort[]): void {
    const view = this.#view;
    const some = ports.slice(0, MAX_PORTS);
    this.#makeRoom(some.reduce((sum, { entries }) => sum + entries.length, 0));
    let first = 0;
    for (const [index, { fd, mac, entries }] of some.entries()) {
      const count = this.#write(first, entries);
      const at = AT.port + index * PORT_SIZE;
      view.setInt32(at, fd, true);
      view.setUint32(at + 4, first, true);
      view.setUint32(at + 8, count, true);
      this.#bytes.set(mac, at + 12);
      first += count;
    }
    view.setUint32(AT.ports, some.length, true);
    view.setUint32(AT.enabled, 1, true);
  }

  /** Writes the IPv4 addresses among the entries in the order in which they are searched; their number. */
  #write(first: number, entries: readonly Entry[]): number {
    const words = entries
      .filter(({ bytes }) => bytes.length === 4)
      .map(({ bytes, slot }) => ({
        ip: new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true),
        slot,
      }))
      .toSorted((a, b) => a.ip - b.ip);
    for (const [index, { ip, slot }] of words.entries()) {
      const at = (first + index) * ADDRESS_WORDS;
      this.#addresses[at] = ip;
      this.#addresses[at + 1] = this.#counters.cellFor(slot, PER_ADDRESS.requests);
    }
    return words.length;
  }

  #makeRoom(addresses: number): void {
    if (this.#addresses.length >= addresses * ADDRESS_WORDS) return;
    // An ArrayBuffer's own memory does not move; twice as much, so that one more address seldom means new memory.
    this.#addresses = new Uint32Array(new ArrayBuffer(2 * addresses * ADDRESS_WORDS * 4));
    this.#view.setBigUint64(AT.addresses, koffi.address(this.#addresses), true);
  }
}

function isClockUsed(): boolean {
  try {
    return OTHER_CLOCKS.has(readFileSync(CLOCK_SOURCE, 'utf8').trim());
  } catch {
    return true;
  }
}

function load(library: string): Wait {
  try {
    const loaded = koffi.load(library);
    const size = loaded.func('int berth_fast_path_size()') as () => number;
    if (size() !== SIZE) throw new Error('it was built for another version of Berth');
    return loaded.func(
      'int berth_wait(void *path, int epoll, void *events, int count, int timeout_ms)',
    ) as Wait;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(
      `the fast path of ARP is not used: ${library}: ${why}. Answers are given without it, and take some 10 µs ` +
        'longer. Remedy: build Berth for this kind of machine (npm run build).',
      { cause: error },
    );
  }
}
