/** Datagrams that may wait; beyond that the oldest are lost, as in any network. */
const MAX_WAITING = 20_000;

/** Sends a datagram to a node; `false` when the kernel refused it. */
export type SendTo = (node: string, datagram: Uint8Array) => boolean;

/**
 * Messages on their way out, a bounded number in each turn of the loop: claims of thousands of addresses for a hundred
 * peers neither delay an answer nor flood the receivers' buffers. What is urgent (heartbeats, challenges) goes first.
 */
export class Outbox {
  readonly #send: SendTo;
  readonly #onError: () => void;
  #waiting: { readonly node: string; readonly datagram: Uint8Array }[] = [];
  #from = 0;

  constructor(send: SendTo, onError: () => void) {
    this.#send = send;
    this.#onError = onError;
  }

  get size(): number {
    return this.#waiting.length - this.#from;
  }

  add(node: string, datagram: Uint8Array, urgent: boolean): void {
    if (urgent) return this.#now(node, datagram);
    this.#waiting.push({ node, datagram });
    if (this.size > MAX_WAITING) {
      this.#from++;
      this.#onError();
    }
  }

  /** Sends at most `limit` of those that wait. */
  flush(limit: number): void {
    const until = Math.min(this.#waiting.length, this.#from + limit);
    for (; this.#from < until; this.#from++) {
      const next = this.#waiting[this.#from];
      if (next !== undefined) this.#now(next.node, next.datagram);
    }
    if (this.#from < this.#waiting.length) return;
    this.#waiting = [];
    this.#from = 0;
  }

  /** Forgets what waits. */
  clear(): void {
    this.#waiting = [];
    this.#from = 0;
  }

  #now(node: string, datagram: Uint8Array): void {
    if (!this.#send(node, datagram)) this.#onError();
  }
}
