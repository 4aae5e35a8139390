import type { Timers } from '../engine/timers.ts';
import type { Poller } from '../sys/poller.ts';

/** Longest wait for the sockets, in milliseconds: how late a stall may be noticed. */
export const MAX_WAIT_MS = 50;
/** Longest time without a turn, in milliseconds, where the poller cuts it into waits by itself. */
const MAX_IDLE_MS = 250;
/** How long Node's event loop goes without a turn, in milliseconds: only its finalizers and an end from outside need one. */
const EVENT_LOOP_MS = 500;
/** A longer gap between two turns is a stall: somebody stopped us (a signal, a debugger, a starved machine). */
export const STALL_MS = 200;
/** Rounds of reading after a stall; a round takes a frame of each socket, and their memory holds a few thousand. */
const DRAIN_ROUNDS = 20_000;
/** Timers run in one turn. */
const TIMERS_PER_TURN = 64;

/** What the loop works with. */
export interface LoopParts {
  readonly poller: Poller;
  readonly timers: Timers;
  readonly now: () => number;
  /** Whether there is something to do without waiting. */
  readonly busy: () => boolean;
  /** Does it. */
  readonly work: () => void;
  /** Called in place of the handlers after a stall, when they are still to be called. */
  readonly onStall: (gapMs: number) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * The worker's loop: wait for the sockets, handle them, run what is due. The wait blocks the thread, so timers are the
 * loop's own; between waits, now and then, Node's event loop gets a turn, for its finalizers and for ending.
 *
 * A stall is noticed before anything is handled: what waits in the sockets is old then, and what is due (a peer that
 * seems silent) is our own fault.
 */
export class Loop {
  readonly #parts: LoopParts;
  #last: number;
  #running = true;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.#last = parts.now();
  }

  start(): void {
    setImmediate(() => this.#turns());
  }

  stop(): void {
    this.#running = false;
  }

  /**
   * Whether this thread stood still since the turn began: between the look at the clock and the reading of a socket.
   * What was read then is old, and the next turn will see the stall.
   */
  get stale(): boolean {
    return this.#parts.now() - this.#last > STALL_MS;
  }

  /** Reads everything that waits in the sockets. */
  drain(): void {
    const { poller } = this.#parts;
    for (let round = 0; round < DRAIN_ROUNDS && poller.wait(0, this.#last) > 0; round++) poller.dispatch();
  }

  #turns(): void {
    const until = this.#parts.now() + EVENT_LOOP_MS;
    try {
      do this.#turn();
      while (this.#running && this.#last < until);
    } catch (error) {
      this.#running = false;
      this.#parts.onError(error);
      return;
    }
    if (this.#running) setImmediate(() => this.#turns());
  }

  /** Who was answered often runs only when this thread waits again, so a turn looks at the clock once. */
  #turn(): void {
    const { poller, timers, now, busy, work, onStall } = this.#parts;
    const ready = poller.wait(busy() ? 0 : this.#timeout(), this.#last);
    const woke = now();
    const gap = woke - Math.max(this.#last, poller.answeredAt);
    this.#last = woke;
    if (gap > STALL_MS) onStall(gap);
    else if (ready > 0) poller.dispatch();
    // Before the timers: a question may only go out when the kernel's filter lets its answer in.
    if (busy()) work();
    const { next } = timers;
    if (next !== undefined && next <= woke) timers.runDue(now(), TIMERS_PER_TURN);
  }

  /** Counted from when the turn before woke, so what is due comes later by as long as that turn took. */
  #timeout(): number {
    const { timers, poller } = this.#parts;
    const { next } = timers;
    const longest = poller.seesStalls ? MAX_IDLE_MS : MAX_WAIT_MS;
    if (next === undefined) return longest;
    return Math.min(longest, Math.max(0, Math.ceil(next - this.#last)));
  }
}
