/** A counting semaphore: at most `max` holders at a time, first come first served. */
export class Limiter {
  readonly #max: number;
  #held = 0;
  readonly #waiting: Set<() => void> = new Set();

  constructor(max: number) {
    this.#max = Math.max(1, max);
  }

  /** Runs `task` when there is room; rejects with the signal's reason when it aborts while waiting. */
  async run<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#acquire(signal);
    try {
      return await task();
    } finally {
      this.#release();
    }
  }

  #acquire(signal: AbortSignal): Promise<void> | undefined {
    signal.throwIfAborted();
    if (this.#held < this.#max) {
      this.#held += 1;
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(enter);
        reject(signal.reason);
      };
      const enter = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      this.#waiting.add(enter);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Hands the place to the longest waiting one, so that `#held` does not change hands through zero. */
  #release(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#held -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
