/** Settings of `TokenBuckets`. */
export interface BucketOptions {
  /** Tokens of a full bucket. */
  readonly burst: number;
  /** Milliseconds until one token comes back. */
  readonly refillMs: number;
  /** Keys remembered; the one used longest ago is forgotten first, and starts full when it comes back. */
  readonly max: number;
}

/** A token bucket for each key, with bounded memory. */
export class TokenBuckets {
  readonly #options: BucketOptions;
  readonly #buckets: Map<string, { tokens: number; at: number }> = new Map();

  constructor(options: BucketOptions) {
    this.#options = options;
  }

  /** Takes one token of the key's bucket; `false` if it is empty. `now` is on a monotonic clock, in milliseconds. */
  take(key: string, now: number): boolean {
    const { burst, refillMs, max } = this.#options;
    const known = this.#buckets.get(key);
    const tokens = known === undefined ? burst : Math.min(burst, known.tokens + (now - known.at) / refillMs);
    const allowed = tokens >= 1;
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: allowed ? tokens - 1 : tokens, at: now });
    if (this.#buckets.size > max) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    return allowed;
  }
}
