import { checked, lastErrno, poll } from './libc.ts';

const POLLIN = 1;
/** `struct pollfd`: descriptor (4 bytes), events (2), what happened (2). */
const SIZE = 8;
const HAPPENED = 6;

/**
 * Waits for several descriptors with poll(2). The wait blocks the thread: measured on a veth pair, an answer leaves a
 * third sooner than through the event loop, whose turn costs as much as the answer itself.
 */
export class Poller {
  readonly #handlers = new Map<number, () => void>();
  #fds = new DataView(new ArrayBuffer(0));
  #bytes = new Uint8Array(0);
  #order: readonly (() => void)[] = [];

  /** Calls the handler whenever the descriptor is readable or has an error, until `remove`. */
  add(fd: number, handler: () => void): void {
    this.#handlers.set(fd, handler);
    this.#rebuild();
  }

  remove(fd: number): void {
    this.#handlers.delete(fd);
    this.#rebuild();
  }

  /**
   * Waits for at most `timeoutMs`; how many descriptors are ready.
   *
   * @throws SyscallError.
   */
  wait(timeoutMs: number): number {
    const ready = poll(this.#bytes, this.#order.length, timeoutMs);
    if (ready >= 0) return ready;
    if (lastErrno() !== 'EINTR') checked('poll', ready);
    return 0;
  }

  /**
   * Calls the handlers of what was ready when `wait` returned. A handler that adds or removes descriptors ends the round:
   * the others are ready again in the next.
   */
  dispatch(): void {
    const fds = this.#fds;
    const order = this.#order;
    for (let i = 0; i < order.length && this.#fds === fds; i++) {
      if (fds.getUint16(i * SIZE + HAPPENED, true) !== 0) order[i]?.();
    }
  }

  #rebuild(): void {
    const view = new DataView(new ArrayBuffer(this.#handlers.size * SIZE));
    let at = 0;
    for (const fd of this.#handlers.keys()) {
      view.setInt32(at, fd, true);
      view.setUint16(at + 4, POLLIN, true);
      at += SIZE;
    }
    this.#fds = view;
    this.#bytes = new Uint8Array(view.buffer);
    this.#order = [...this.#handlers.values()];
  }
}
