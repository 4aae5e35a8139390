/** Keys that are remembered; a flood of new ones beyond that goes unreported for a moment, and memory stays bounded. */
const MAX_KEYS = 1024;

/** Lets one event of each key through in an interval, with how many there were since the last. */
export class Throttle {
  readonly #intervalMs: number;
  readonly #keys = new Map<string, { at: number; count: number }>();

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** Counts one; how many are to be reported now, or `undefined`. */
  hit(key: string, now: number): number | undefined {
    const known = this.#keys.get(key);
    if (known === undefined) {
      if (this.#keys.size >= MAX_KEYS) this.#forget(now);
      if (this.#keys.size >= MAX_KEYS) return undefined;
      this.#keys.set(key, { at: now, count: 0 });
      return 1;
    }
    known.count++;
    if (now - known.at < this.#intervalMs) return undefined;
    const { count } = known;
    known.at = now;
    known.count = 0;
    return count;
  }

  #forget(now: number): void {
    for (const [key, { at }] of this.#keys) if (now - at >= this.#intervalMs) this.#keys.delete(key);
  }
}
