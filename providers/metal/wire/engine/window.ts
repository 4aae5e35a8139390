/** Sequence numbers that may arrive late and still count. */
const SIZE = 256n;
const MASK = (1n << SIZE) - 1n;

/** Which sequence numbers of a nonce have been seen: a sliding window (RFC 4303 §3.4.3), so that nothing counts twice. */
export class ReplayWindow {
  #highest: bigint;
  /** Bit n: `highest - n` was seen. What came before the first counts as seen: it was refused then, not forgotten. */
  #seen = MASK;

  /** Begins with the number of the datagram that proved the nonce. */
  constructor(first: bigint) {
    this.#highest = first;
  }

  /** Whether the number is new; it is not the next time. Numbers before the window count as seen. */
  accept(sequence: bigint): boolean {
    const ahead = sequence - this.#highest;
    if (ahead > 0n) {
      this.#seen = ahead >= SIZE ? 1n : ((this.#seen << ahead) | 1n) & MASK;
      this.#highest = sequence;
      return true;
    }
    // Before the shift: a hostile number would ask for more memory than there is.
    if (-ahead >= SIZE) return false;
    const bit = 1n << -ahead;
    if ((this.#seen & bit) !== 0n) return false;
    this.#seen |= bit;
    return true;
  }
}
