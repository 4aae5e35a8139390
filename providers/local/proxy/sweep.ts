import type { Clock } from '@berth/core';

/** Milliseconds between two sweeps: never more often, never less often. */
const BOUNDS = { least: 20, most: 1_000 } as const;

/**
 * Calls `sweep` at intervals while there is something to sweep: one timer for all connections of a listener instead of
 * several for each. Time-outs are therefore late by up to a quarter, and by a second at most.
 */
export class Sweeper {
  readonly #clock: Clock;
  readonly #sweep: () => boolean;
  #intervalMs: number = BOUNDS.most;
  #cancel: (() => void) | undefined;

  /** `sweep` says whether anything is left. */
  constructor(clock: Clock, sweep: () => boolean) {
    this.#clock = clock;
    this.#sweep = sweep;
  }

  /** Sets the pace by the shortest of the time-outs that the sweep watches over. */
  pace(...timeoutsMs: readonly number[]): void {
    this.#intervalMs = Math.min(BOUNDS.most, Math.max(BOUNDS.least, Math.min(...timeoutsMs) / 4));
    if (this.#cancel === undefined) return;
    this.stop();
    this.start();
  }

  /** Begins, unless it is under way. */
  start(): void {
    this.#cancel ??= this.#clock.after(this.#intervalMs, () => {
      this.#cancel = undefined;
      if (this.#sweep()) this.start();
    });
  }

  /** Ends. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
