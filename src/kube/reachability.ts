import { pause } from './timing.ts';

/**
 * Whether a server can be reached is the same for everybody who talks to it: who waits out a back-off because it could
 * not, is woken by the first answer that anybody gets. Otherwise watches would come back one after another, long after
 * the server did.
 */
export class Reachability {
  readonly #waiting = new Set<() => void>();

  /** The server answered somebody. */
  answered(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /**
   * Resolves after `ms` milliseconds with `false`, or with `true` as soon as the server answers anybody. Rejects with the
   * signal's reason when it aborts.
   */
  async pause(ms: number, signal: AbortSignal): Promise<boolean> {
    const woken = new AbortController();
    const wake = (): void => woken.abort();
    this.#waiting.add(wake);
    try {
      await pause(ms, AbortSignal.any([signal, woken.signal]));
      return false;
    } catch (reason) {
      if (signal.aborted) throw reason;
      return true;
    } finally {
      this.#waiting.delete(wake);
    }
  }
}
