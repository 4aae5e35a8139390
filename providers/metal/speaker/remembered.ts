/**
 * Keeps what was made of what: the same parts, by identity, give the same object again. A round is a look at everything;
 * what a round did not ask for is forgotten with the next one.
 */
export class Remembered<V> {
  #before: ReadonlyMap<string, Made<V>> = new Map();
  #now = new Map<string, Made<V>>();

  /** What was made of these parts the last time, or what `make` gives. */
  of(key: string, parts: readonly unknown[], make: () => V): V {
    const known = this.#now.get(key) ?? this.#before.get(key);
    const made =
      known !== undefined && isSame(known.parts, parts) ? known : { parts: [...parts], value: make() };
    this.#now.set(key, made);
    return made.value;
  }

  endRound(): void {
    this.#before = this.#now;
    this.#now = new Map();
  }
}

interface Made<V> {
  readonly parts: readonly unknown[];
  readonly value: V;
}

function isSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((one, at) => one === b[at]);
}
