import type { OnReadOpts, Socket } from 'node:net';
import { largeBuffers, smallBuffers, SMALL_BUFFER } from './buffers.ts';

/** Reads that fit the small buffer, in a row, after which a large one is given back. */
const SHRINK_AFTER = 16;

/** What Node's streams pass as the encoding of a chunk that is not text; the published types do not know it. */
const BYTES = 'buffer' as BufferEncoding;

/** Whom a flow reports to. */
export interface FlowOwner {
  /** Set by the flow whenever bytes move; the owner's sweep clears it. Cheaper than a clock or a timer per chunk. */
  active: boolean;
  /** The source sent FIN, and all it sent has been handed to the kernel of the sink's side. */
  flowEnded(flow: Flow): void;
  /** The sink does not take what it is given. */
  flowFailed(): void;
}

/**
 * One direction of a proxied connection: what the source sends is written to the sink. At most one write is under way;
 * while it waits for the sink, the source is not read (back-pressure reaches the sender through its TCP window).
 *
 * This is the hot path, so it uses Node's sockets but not their streams: bytes arrive through `onread` in a buffer that
 * is used again, and go out through `_write`, which calls back at once when the kernel took everything. Against
 * `socket.pipe` that halves the processor time of a bulk stream.
 */
export class Flow {
  /** For the constructor of the source socket. */
  readonly reads: OnReadOpts = {
    buffer: () => this.#nextBuffer(),
    callback: (length) => this.#received(length),
  };
  ended = false;
  readonly #owner: FlowOwner;
  #source: Socket | undefined;
  #sink: Socket | undefined;
  #buffer: Buffer | undefined;
  #lastLength = 0;
  #smallReads = 0;
  #writing = false;
  #inWrite = false;

  constructor(owner: FlowOwner) {
    this.#owner = owner;
  }

  /**
   * Starts moving bytes. `first` goes out ahead of them. `_read` starts the handle; `push` is where Node reports the
   * end (and the bytes of a socket that was made without `reads`): replacing it keeps the stream's own state machine
   * out of the way, which would copy, buffer and destroy on its own account.
   */
  start(source: Socket, sink: Socket, first?: Uint8Array): void {
    this.#source = source;
    this.#sink = sink;
    source.push = (chunk: Uint8Array | null) => (chunk === null ? this.#end() : this.#send(chunk));
    if (first === undefined || this.#send(first)) source._read(0);
  }

  /** Lets go of the buffer. Both sockets must be destroyed, so that nothing reads or writes it any more. */
  release(): void {
    const buffer = this.#buffer;
    this.#buffer = undefined;
    if (buffer !== undefined) (buffer.length === SMALL_BUFFER ? smallBuffers : largeBuffers).give(buffer);
  }

  #received(length: number): boolean {
    const buffer = this.#buffer;
    if (buffer === undefined) return false;
    this.#lastLength = length;
    return this.#send(length === buffer.length ? buffer : buffer.subarray(0, length));
  }

  #send(chunk: Uint8Array): boolean {
    this.#owner.active = true;
    this.#writing = true;
    this.#inWrite = true;
    this.#sink?._write(chunk, BYTES, this.#written);
    this.#inWrite = false;
    return !this.#writing;
  }

  readonly #written = (error?: Error | null): void => {
    if (error !== undefined && error !== null) {
      this.#owner.flowFailed();
      return;
    }
    this.#writing = false;
    if (this.#inWrite) return;
    this.#owner.active = true;
    this.#source?._read(0);
  };

  /** Reading stops while a write waits, so at the end everything has been written. */
  #end(): boolean {
    if (!this.ended) {
      this.ended = true;
      this.#owner.flowEnded(this);
    }
    return false;
  }

  /** The buffer of the next read: a stream that fills the small one gets a large one, until its chunks are small again. */
  #nextBuffer(): Buffer {
    const buffer = (this.#buffer ??= smallBuffers.take());
    if (this.#writing) return buffer;
    if (buffer.length === SMALL_BUFFER) {
      if (this.#lastLength < SMALL_BUFFER) return buffer;
      smallBuffers.give(buffer);
      this.#smallReads = 0;
      return (this.#buffer = largeBuffers.take());
    }
    if (this.#lastLength > SMALL_BUFFER) this.#smallReads = 0;
    else if (++this.#smallReads >= SHRINK_AFTER) {
      largeBuffers.give(buffer);
      this.#lastLength = 0;
      return (this.#buffer = smallBuffers.take());
    }
    return buffer;
  }
}
