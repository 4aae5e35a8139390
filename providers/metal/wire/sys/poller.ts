import type { EpollSet, FastPath } from './fast-path.ts';
import { checked, close, epollControl, epollCreate, epollWait, lastErrno } from './libc.ts';

const CLOSE_ON_EXEC = 0o2_000_000;
const CONTROL = { add: 1, remove: 2 } as const;
const EPOLLIN = 1;
/** `struct epoll_event`: events (4 bytes), data (8), which only x86-64 packs. */
const [SIZE, DATA] = process.arch === 'x64' ? [12, 4] : [16, 8];
/** Descriptors that one wait can tell of. */
const MAX_EVENTS = 32;

/**
 * Waits for several descriptors with epoll_wait(2). The wait blocks the thread: measured on a veth pair, an answer leaves
 * a third sooner than through the event loop, whose turn costs as much as the answer itself. poll(2) would look at every
 * descriptor at each wait, before and after.
 */
export class Poller {
  readonly #fd = checked('epoll_create1', epollCreate(CLOSE_ON_EXEC));
  /** By descriptor. */
  #handlers: readonly ((() => void) | undefined)[] = [];
  readonly #events = new DataView(new ArrayBuffer(MAX_EVENTS * SIZE));
  readonly #bytes = new Uint8Array(this.#events.buffer);
  readonly #epoll: EpollSet = { epoll: this.#fd, events: this.#bytes, count: MAX_EVENTS };
  readonly #fastPath: FastPath | undefined;
  #ready = 0;

  /** What the fast path answers is not told of. */
  constructor(fastPath?: FastPath) {
    this.#fastPath = fastPath;
  }

  /**
   * Calls the handler whenever the descriptor is readable or has an error, until `remove`.
   *
   * @throws SyscallError.
   */
  add(fd: number, handler: () => void): void {
    if (this.#handlers[fd] === undefined) this.#control(CONTROL.add, fd);
    this.#set(fd, handler);
  }

  /** To be called before the descriptor is closed. */
  remove(fd: number): void {
    if (this.#handlers[fd] === undefined) return;
    this.#control(CONTROL.remove, fd);
    this.#set(fd, undefined);
  }

  /**
   * Waits for at most `timeoutMs`; how many descriptors are ready. `since` is when the turn before woke.
   *
   * @throws SyscallError.
   */
  wait(timeoutMs: number, since = 0): number {
    const ready =
      this.#fastPath === undefined
        ? epollWait(this.#fd, this.#bytes, MAX_EVENTS, timeoutMs)
        : this.#fastPath.wait(this.#epoll, timeoutMs, since);
    if (ready < 0 && lastErrno() !== 'EINTR') checked('epoll_wait', ready);
    return (this.#ready = Math.max(0, ready));
  }

  /** Whether `wait` looks by itself for a time in which the process stood still, and ends with one. */
  get seesStalls(): boolean {
    return this.#fastPath !== undefined;
  }

  /** When the last turn woke that the fast path took in a wait; not after the wait's `since` when it took none. */
  get answeredAt(): number {
    return this.#fastPath?.woke ?? 0;
  }

  /**
   * Calls the handlers of what was ready when `wait` returned. A handler that adds or removes descriptors ends the round:
   * the others are ready again in the next.
   */
  dispatch(): void {
    const handlers = this.#handlers;
    for (let i = 0; i < this.#ready && this.#handlers === handlers; i++)
      handlers[this.#events.getInt32(i * SIZE + DATA, true)]?.();
  }

  /** Nothing can be waited for any more. */
  close(): void {
    this.#handlers = [];
    close(this.#fd);
  }

  #set(fd: number, handler: (() => void) | undefined): void {
    const handlers = [...this.#handlers];
    handlers[fd] = handler;
    this.#handlers = handlers;
  }

  #control(operation: number, fd: number): void {
    const event = new DataView(new ArrayBuffer(SIZE));
    event.setUint32(0, EPOLLIN, true);
    event.setInt32(DATA, fd, true);
    checked('epoll_ctl', epollControl(this.#fd, operation, fd, new Uint8Array(event.buffer)));
  }
}
