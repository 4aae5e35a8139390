/** Something to do at a time of the monotonic clock. */
export interface Timer {
  /** Milliseconds. */
  readonly at: number;
  cancel(): void;
}

interface Entry extends Timer {
  run: (() => void) | undefined;
  /** How much sooner it may run beside others, in milliseconds. */
  readonly early: number;
  readonly order: number;
}

/**
 * Timers of a thread whose event loop does not turn: a binary heap by time, then by the order in which they were set.
 * What is due is run by the loop between two polls, a bounded number at a time, so that answers are never late behind
 * thousands of announcements.
 */
export class Timers {
  readonly #heap: Entry[] = [];
  #order = 0;

  /**
   * Runs `run` at `at`, or as soon as `runDue` is called after that; up to `early` milliseconds sooner when `runDue` is
   * called anyway, so that what is not urgent wakes nobody by itself.
   */
  at(at: number, run: () => void, early = 0): Timer {
    const entry: Entry = { at, run, early, order: this.#order++, cancel: () => (entry.run = undefined) };
    this.#heap.push(entry);
    this.#up(this.#heap.length - 1);
    return entry;
  }

  /** When the next one is due; `undefined` when there is none. */
  get next(): number | undefined {
    this.#dropCancelled();
    return this.#heap[0]?.at;
  }

  /** Runs at most `limit` of those that are due; how many it ran. */
  runDue(now: number, limit = Number.POSITIVE_INFINITY): number {
    let count = 0;
    for (; count < limit; count++) {
      this.#dropCancelled();
      const first = this.#heap[0];
      if (first === undefined || first.at - first.early > now) break;
      this.#pop();
      first.run?.();
    }
    return count;
  }

  #dropCancelled(): void {
    while (this.#heap[0] !== undefined && this.#heap[0].run === undefined) this.#pop();
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#down();
  }

  #up(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfBefore(at, parent)) return;
      at = parent;
    }
  }

  #down(): void {
    let at = 0;
    for (;;) {
      const left = at * 2 + 1;
      const right = left + 1;
      const child = this.#before(right, left) ? right : left;
      if (!this.#swapIfBefore(child, at)) return;
      at = child;
    }
  }

  #swapIfBefore(a: number, b: number): boolean {
    if (!this.#before(a, b)) return false;
    const [first, second] = [this.#heap[a], this.#heap[b]];
    if (first === undefined || second === undefined) return false;
    this.#heap[a] = second;
    this.#heap[b] = first;
    return true;
  }

  #before(a: number, b: number): boolean {
    const [first, second] = [this.#heap[a], this.#heap[b]];
    if (first === undefined || second === undefined) return first !== undefined;
    return first.at === second.at ? first.order < second.order : first.at < second.at;
  }
}
