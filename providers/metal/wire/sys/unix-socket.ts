import {
  AF,
  bind,
  checked,
  close,
  lastErrno,
  OPTION,
  recv,
  sendTo,
  SOCK,
  socket,
  trySetOption,
} from './libc.ts';

const BUFFER = 1024 * 1024;
/** Largest datagram that is read: one of UDP, with its envelope. */
const SIZE = 2048;

/**
 * A datagram socket in the abstract name space (unix(7)), which belongs to the network namespace: two speakers of one
 * node find each other there, whatever file systems their containers have, and a killed one leaves nothing behind.
 */
export class UnixSocket {
  readonly fd: number;
  readonly #buffer = new Uint8Array(SIZE);

  /**
   * @throws SyscallError `EADDRINUSE` when another process has the name.
   */
  constructor(name: string) {
    this.fd = checked('socket', socket(AF.unix, SOCK.dgram | SOCK.nonBlocking | SOCK.closeOnExec, 0));
    trySetOption(this.fd, OPTION.receiveBuffer, BUFFER);
    try {
      const address = abstractAddress(name);
      checked('bind', bind(this.fd, address, address.length));
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  /** Sends to another name; the errno's name when it failed (`ECONNREFUSED`: nobody has the name). */
  send(datagram: Uint8Array, to: Uint8Array): string | undefined {
    return sendTo(this.fd, datagram, to) === datagram.length ? undefined : lastErrno();
  }

  /** The next datagram, valid until the next call; `undefined` when none waits. */
  receive(): Uint8Array | undefined {
    const length = recv(this.fd, this.#buffer, SIZE, 0);
    return length < 0 ? undefined : this.#buffer.subarray(0, length);
  }

  close(): void {
    close(this.fd);
  }
}

/** `struct sockaddr_un` of an abstract name: a leading NUL, no trailing one. */
export function abstractAddress(name: string): Uint8Array {
  return Uint8Array.of(AF.unix, 0, 0, ...Buffer.from(name));
}
