/** Virtual time and chance of the simulated network. */

/** A small generator of numbers from 0 to 1 (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Timer {
  readonly atMs: number;
  readonly run: () => void;
}

/** Virtual time: callbacks in order of their time; of those at one time in the order in which they were asked for. */
export class Timeline {
  nowMs = 0;
  /** By time; each list is in order. */
  readonly #due = new Map<number, Timer[]>();
  readonly #heap: number[] = [];

  at(atMs: number, run: () => void): void {
    const at = Math.max(atMs, this.nowMs);
    const list = this.#due.get(at);
    if (list !== undefined) {
      list.push({ atMs: at, run });
      return;
    }
    this.#due.set(at, [{ atMs: at, run }]);
    this.#push(at);
  }

  runUntil(ms: number): void {
    for (let next = this.#heap[0]; next !== undefined && next <= ms; next = this.#heap[0]) {
      this.nowMs = next;
      const list = this.#due.get(next) ?? [];
      // What is asked for at this very time joins the list while it is worked off.
      for (const { run } of list) run();
      this.#due.delete(next);
      this.#pop();
    }
    this.nowMs = ms;
  }

  #at(index: number): number {
    return this.#heap[index] ?? Infinity;
  }

  #swap(a: number, b: number): void {
    const [first, second] = [this.#at(a), this.#at(b)];
    this.#heap[a] = second;
    this.#heap[b] = first;
  }

  #push(at: number): void {
    this.#heap.push(at);
    let index = this.#heap.length - 1;
    while (index > 0 && this.#at(index) < this.#at((index - 1) >> 1)) {
      this.#swap(index, (index - 1) >> 1);
      index = (index - 1) >> 1;
    }
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    for (let index = 0; ;) {
      const [left, right] = [2 * index + 1, 2 * index + 2];
      const least = this.#at(right) < this.#at(left) ? right : left;
      if (this.#at(least) >= this.#at(index)) return;
      this.#swap(index, least);
      index = least;
    }
  }
}
