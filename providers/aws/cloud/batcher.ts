import { sleep, type Clock } from '@berth/core';

/** How questions are put together. */
export interface BatchOptions<V> {
  readonly clock: Clock;
  /** How long a question waits for others, in milliseconds. */
  readonly windowMs: number;
  /** Questions in one call at most. */
  readonly size: number;
  /** Answers some questions in one call; one that is not in the answer gets `undefined`. */
  readonly load: (keys: readonly string[], signal: AbortSignal) => Promise<ReadonlyMap<string, V>>;
}

interface Batch<V> {
  readonly keys: Set<string>;
  readonly answer: Promise<ReadonlyMap<string, V>>;
}

/**
 * Puts questions that are asked at about the same time into one call. An answer is never older than its question: a
 * call that is under way takes no more questions.
 */
export class Batcher<V> {
  readonly #options: BatchOptions<V>;
  #open: Batch<V> | undefined;

  constructor(options: BatchOptions<V>) {
    this.#options = options;
  }

  /** The answer to one question. The call is made with the signal of whoever asked first. */
  async get(key: string, signal: AbortSignal): Promise<V | undefined> {
    const batch = this.#batchFor(key, signal);
    batch.keys.add(key);
    return (await batch.answer).get(key);
  }

  #batchFor(key: string, signal: AbortSignal): Batch<V> {
    const { size } = this.#options;
    const open = this.#open;
    if (open !== undefined && (open.keys.has(key) || open.keys.size < size)) return open;
    const keys = new Set<string>();
    const batch: Batch<V> = { keys, answer: this.#answer(keys, signal) };
    this.#open = batch;
    return batch;
  }

  async #answer(keys: Set<string>, signal: AbortSignal): Promise<ReadonlyMap<string, V>> {
    const { clock, windowMs, load } = this.#options;
    try {
      await sleep(clock, windowMs, signal);
    } finally {
      if (this.#open?.keys === keys) this.#open = undefined;
    }
    return await load([...keys], signal);
  }
}

/** Cuts a list into pieces of at most `size`. */
export function chunks<T>(list: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, index) =>
    list.slice(index * size, (index + 1) * size),
  );
}
