import { isBerthError, type Clock } from '@berth/core';

/** Calls of one service that may be under way at a time: what a burst can lose at most when it is too much. */
const IN_FLIGHT = 16;

/** The rate is halved at most this often, in milliseconds; and rises by one call a second each such time. */
const PERIOD_MS = 1_000;

/** From this many calls a second on there is no limit any more. */
const OPEN_AT = 100;

/** How long one call may be throttled again and again before its caller is told, in milliseconds. */
const PATIENCE_MS = 45_000;

/** Urgent calls in a row that may pass one that is not, so that nothing starves. */
const URGENT_IN_A_ROW = 3;

/** How a call is made. */
export interface CallOptions {
  readonly signal: AbortSignal;
  /** Deletions go first. */
  readonly urgent?: boolean | undefined;
}

interface Waiting {
  readonly start: () => void;
  readonly urgent: boolean;
}

/**
 * Keeps the calls of one AWS service below what the service takes. It starts open; when a call is throttled the rate
 * becomes half of what went through in the last second, at most once a second; each second without gives one call a
 * second more. A throttled call is made again, before those that wait behind it.
 */
export class Limiter {
  readonly #clock: Clock;
  readonly #queue: Waiting[] = [];
  #inFlight = 0;
  #urgentRow = 0;
  /** Calls a second at `#since`; `undefined`: open. */
  #rate: number | undefined;
  #since = 0;
  #nextAt = 0;
  #timer: (() => void) | undefined;
  /** When calls succeeded, of the last second. */
  #successes: number[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls a second that are let through now; infinite while open. */
  get rate(): number {
    if (this.#rate === undefined) return Infinity;
    return this.#rate + Math.floor((this.#clock.monotonic() - this.#since) / PERIOD_MS);
  }

  /**
   * Makes a call when its turn comes.
   *
   * @throws what the call throws; `Throttled` only after it was tried for a long time; the signal's reason.
   */
  async run<T>(work: () => Promise<T>, { signal, urgent = false }: CallOptions): Promise<T> {
    const begun = this.#clock.monotonic();
    for (let attempt = 0; ; attempt++) {
      await this.#turn(signal, { urgent, front: attempt > 0 });
      try {
        const result = await work();
        this.#succeeded();
        return result;
      } catch (error) {
        if (!isBerthError(error) || error.kind !== 'Throttled') throw error;
        this.#throttled();
        if (this.#clock.monotonic() - begun > PATIENCE_MS) throw error;
      } finally {
        this.#inFlight -= 1;
        this.#pump();
      }
    }
  }

  /** Lets go of the timer. */
  close(): void {
    this.#timer?.();
  }

  #turn(signal: AbortSignal, { urgent, front }: { urgent: boolean; front: boolean }): Promise<void> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        const at = this.#queue.indexOf(waiting);
        if (at < 0) return;
        this.#queue.splice(at, 1);
        reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
      };
      const waiting: Waiting = {
        urgent,
        start: () => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      if (front) this.#queue.unshift(waiting);
      else this.#queue.push(waiting);
      this.#pump();
    });
  }

  /** Starts as many calls as may be started now, and sees to it that the next one is started in time. */
  #pump(): void {
    while (this.#queue.length > 0 && this.#inFlight < IN_FLIGHT) {
      const now = this.#clock.monotonic();
      if (this.#rate !== undefined && this.rate >= OPEN_AT) this.#rate = undefined;
      if (this.#rate !== undefined) {
        if (now < this.#nextAt) return this.#later(this.#nextAt - now);
        this.#nextAt = Math.max(now, this.#nextAt) + PERIOD_MS / this.rate;
      }
      this.#inFlight += 1;
      this.#take()?.start();
    }
  }

  #later(ms: number): void {
    this.#timer ??= this.#clock.after(Math.ceil(ms), () => {
      this.#timer = undefined;
      this.#pump();
    });
  }

  /** Urgent ones first; after some of them one of the others. */
  #take(): Waiting | undefined {
    const other = this.#queue.findIndex(({ urgent }) => !urgent);
    const first = this.#queue.findIndex(({ urgent }) => urgent);
    const turnOfOthers = other >= 0 && (first < 0 || this.#urgentRow >= URGENT_IN_A_ROW);
    this.#urgentRow = turnOfOthers ? 0 : this.#urgentRow + 1;
    return this.#queue.splice(turnOfOthers ? other : first, 1)[0];
  }

  #succeeded(): void {
    const now = this.#clock.monotonic();
    this.#successes.push(now);
    if (this.#successes.length > OPEN_AT * 4) this.#forgetOld(now);
  }

  #throttled(): void {
    const now = this.#clock.monotonic();
    if (this.#rate !== undefined && now - this.#since < PERIOD_MS) return;
    this.#forgetOld(now);
    this.#rate = Math.max(1, Math.min(this.rate, this.#successes.length) / 2);
    this.#since = now;
    this.#nextAt = now + PERIOD_MS / this.#rate;
  }

  #forgetOld(now: number): void {
    this.#successes = this.#successes.filter((at) => now - at < PERIOD_MS);
  }
}
