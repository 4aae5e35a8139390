/** Bytes of the read buffer that every connection starts with: enough for most requests. */
export const SMALL_BUFFER = 4 * 1024;

/**
 * Bytes of the buffer that a stream gets once it fills the small one. 32 KiB was the best of 8, 16, 32 and 64 on the
 * bench: larger ones fall out of the processor's cache with eight streams at once.
 */
export const LARGE_BUFFER = 32 * 1024;

/**
 * Lends out read buffers of one size. A connection owns its buffer from `take` to `give`, so nothing that is still
 * being written is ever read over; buffers that come back are used again first, while they are in the cache.
 */
export class BufferPool {
  readonly #size: number;
  readonly #keep: number;
  readonly #free: Buffer[] = [];

  /** Buffers of `size` bytes, of which at most `keep` wait for their next use. */
  constructor(size: number, keep: number) {
    this.#size = size;
    this.#keep = keep;
  }

  /** A buffer with arbitrary content. */
  take(): Buffer {
    // Not from Node's shared slab: one connection that lasts would hold on to the slab's other parts.
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#size);
  }

  /** Takes a buffer back; nothing may read or write it any more. */
  give(buffer: Buffer): void {
    if (this.#free.length < this.#keep) this.#free.push(buffer);
  }

  /** Buffers that wait for their next use. */
  get idle(): number {
    return this.#free.length;
  }
}

/** The two pools that all flows of a process share: at rest they keep at most 4 MiB and 2 MiB. */
export const smallBuffers = new BufferPool(SMALL_BUFFER, 1024);
export const largeBuffers = new BufferPool(LARGE_BUFFER, 64);
