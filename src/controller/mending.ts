import type { Clock } from '../provider/spi.ts';
import { backoffMs } from './backoff.ts';

/** How often what Berth wrote is put right at once before somebody else counts as writing it, too. */
export const PATIENCE = 5;

/** After this long without an edit of what Berth wrote, the count begins anew. In milliseconds; longer than any back-off. */
export const QUIET_MS = 600_000;

/** What a `Mending` works with. */
export interface MendingOptions {
  readonly clock: Clock;
  /** From 0 (inclusive) to 1. */
  readonly random: () => number;
  /** Plans the key again. */
  readonly due: (key: string) => void;
  /** Told once for each contest: somebody else keeps changing what Berth writes into this Service. */
  readonly onContest: (key: string) => void;
}

interface Edits {
  count: number;
  lastMs: number;
  cancelTimer: (() => void) | undefined;
}

/**
 * When what somebody else changed of Berth's finalizer, ingress or condition is put right. The first few times that is
 * at once; whoever writes it again and again is another controller that serves the same Service, and two that answer
 * each other at once would keep the API server busy for ever. So from then on it is put right after a back-off that
 * grows to 5 min; edits that come meanwhile are seen then.
 */
export class Mending {
  readonly #options: MendingOptions;
  readonly #edits = new Map<string, Edits>();

  constructor(options: MendingOptions) {
    this.#options = options;
  }

  /** Takes an edit of Berth's traces in. */
  edited(key: string): void {
    const { clock, random, due, onContest } = this.#options;
    const nowMs = clock.monotonic();
    const edits = this.#current(key, nowMs);
    edits.lastMs = nowMs;
    if (edits.cancelTimer !== undefined) return;
    edits.count += 1;
    if (edits.count <= PATIENCE) return due(key);
    if (edits.count === PATIENCE + 1) onContest(key);
    edits.cancelTimer = clock.after(backoffMs(edits.count - PATIENCE, random), () => {
      edits.cancelTimer = undefined;
      due(key);
    });
  }

  /** Forgets a Service that is gone. */
  forget(key: string): void {
    this.#edits.get(key)?.cancelTimer?.();
    this.#edits.delete(key);
  }

  /** Puts nothing right any more. */
  close(): void {
    for (const key of this.#edits.keys()) this.forget(key);
  }

  #current(key: string, nowMs: number): Edits {
    const known = this.#edits.get(key);
    if (known !== undefined && (known.cancelTimer !== undefined || nowMs - known.lastMs < QUIET_MS))
      return known;
    const fresh: Edits = { count: 0, lastMs: nowMs, cancelTimer: undefined };
    this.#edits.set(key, fresh);
    return fresh;
  }
}
