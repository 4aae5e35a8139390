/** Time as this layer needs it: two clocks, an abortable pause, and a jittered exponential back-off. */

/** The two clocks. Decisions use the monotonic one; the other is only for time stamps that people read. */
export interface Clock {
  /** Milliseconds on a clock that never jumps; its origin means nothing. */
  monotonicMs(): number;
  /** Milliseconds since the epoch, as the machine believes; may jump. */
  wallMs(): number;
}

/** The machine's clocks. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** Resolves after `ms` milliseconds; rejects with the signal's reason as soon as the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** Limits of a back-off, in milliseconds, and where its randomness comes from. */
export interface BackoffOptions {
  readonly minMs: number;
  readonly maxMs: number;
  /** A number in [0, 1); `Math.random` unless a test says otherwise. */
  readonly random?: () => number;
}

/**
 * Delays that double from `minMs` to `maxMs`, each drawn from its upper half, so that clients which failed together
 * do not come back together and yet nobody comes back at once.
 */
export class Backoff {
  #failures = 0;
  readonly #options: BackoffOptions;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /** How many delays were handed out since the last `reset`. */
  get failures(): number {
    return this.#failures;
  }

  /** The next delay in milliseconds. */
  next(): number {
    const { minMs, maxMs, random = Math.random } = this.#options;
    const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return ceiling * (0.5 + random() / 2);
  }

  /** Starts again from `minMs`. */
  reset(): void {
    this.#failures = 0;
  }
}
