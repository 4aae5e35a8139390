/**
 * Which counters belong to which address. An address keeps its counters when it is withdrawn, so that metrics do not
 * fall when it comes back; only when all are taken does a new address get those of the one that was withdrawn first.
 */
export class Slots {
  readonly #limit: number;
  readonly #clear: (slot: number) => void;
  readonly #slots = new Map<string, number>();
  readonly #released = new Set<string>();

  constructor(limit: number, clear: (slot: number) => void) {
    this.#limit = limit;
    this.#clear = clear;
  }

  /**
   * The slot of an address that is announced.
   *
   * @throws RangeError when that many addresses are announced at a time.
   */
  take(address: string): number {
    this.#released.delete(address);
    const known = this.#slots.get(address);
    if (known !== undefined) return known;
    const slot = this.#slots.size < this.#limit ? this.#slots.size : this.#reuse();
    this.#slots.set(address, slot);
    return slot;
  }

  /** The address is not announced any more. */
  release(address: string): void {
    if (this.#slots.has(address)) this.#released.add(address);
  }

  /** Every address that has counters. */
  entries(): IterableIterator<[address: string, slot: number]> {
    return this.#slots.entries();
  }

  #reuse(): number {
    const oldest = this.#released.keys().next();
    const slot = oldest.done === true ? undefined : this.#slots.get(oldest.value);
    if (oldest.done === true || slot === undefined) {
      throw new RangeError(
        `a node announces at most ${this.#limit} addresses. Remedy: spread them over more nodes`,
      );
    }
    this.#released.delete(oldest.value);
    this.#slots.delete(oldest.value);
    this.#clear(slot);
    return slot;
  }
}
