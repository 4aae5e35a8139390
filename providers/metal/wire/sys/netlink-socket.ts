import {
  dumpRequest,
  type Link,
  type LinkAddress,
  NETLINK,
  NETLINK_GROUPS,
  netlinkMessages,
} from '../codec/netlink.ts';
import {
  AF,
  bind,
  checked,
  close,
  MSG,
  OPTION,
  recv,
  send,
  setOption,
  SOCK,
  socket,
  SyscallError,
} from './libc.ts';

/** The kernel fills at most 32 KiB at a time (netlink(7)). */
const BUFFER = 32 * 1024;
/** A dump that takes longer than this has failed, in seconds. */
const TIMEOUT_SECONDS = 1;

/** What the kernel says about interfaces. */
export interface LinkTable {
  readonly links: readonly Link[];
  readonly addresses: readonly LinkAddress[];
}

/**
 * Reads all interfaces and addresses of the thread's network namespace, in about a millisecond. Not from /sys, which
 * shows the namespace that it was mounted in and knows no kinds.
 *
 * @throws SyscallError.
 */
export function readLinkTable(): LinkTable {
  const fd = open(0, 0);
  try {
    setOption(
      fd,
      OPTION.receiveTimeout,
      new Uint8Array(BigInt64Array.of(BigInt(TIMEOUT_SECONDS), 0n).buffer),
    );
    const links: Link[] = [];
    const addresses: LinkAddress[] = [];
    const requests = [NETLINK.getLink, NETLINK.getAddress] as const;
    requests.forEach((request, sequence) => {
      const bytes = dumpRequest(request, sequence + 1);
      checked('send', send(fd, bytes, bytes.length, MSG.noSignal));
      readDump(fd, links, addresses);
    });
    return { links, addresses };
  } finally {
    close(fd);
  }
}

/** Tells that interfaces or addresses changed; what changed is read as a whole with `readLinkTable`. */
export class LinkMonitor {
  readonly fd: number;
  readonly #buffer = new Uint8Array(BUFFER);

  /** @throws SyscallError. */
  constructor() {
    this.fd = open(SOCK.nonBlocking, NETLINK_GROUPS);
  }

  /** Empties the socket; an overflow (ENOBUFS) is a change too, so what is in it does not matter. */
  drain(): void {
    for (let i = 0; i < 64; i++) if (recv(this.fd, this.#buffer, BUFFER, MSG.dontWait) < 0) return;
  }

  close(): void {
    close(this.fd);
  }
}

function open(flags: number, groups: number): number {
  const fd = checked('socket', socket(AF.netlink, SOCK.raw | SOCK.closeOnExec | flags, 0));
  const address = new DataView(new ArrayBuffer(12));
  address.setUint16(0, AF.netlink, true);
  address.setUint32(8, groups, true);
  try {
    checked('bind', bind(fd, new Uint8Array(address.buffer), 12));
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

function readDump(fd: number, links: Link[], addresses: LinkAddress[]): void {
  const buffer = new Uint8Array(BUFFER);
  for (;;) {
    const length = checked('recv', recv(fd, buffer, BUFFER, 0));
    for (const message of netlinkMessages(buffer.subarray(0, length))) {
      if ('link' in message) links.push(message.link);
      else if ('address' in message) addresses.push(message.address);
      else if ('errno' in message) throw new SyscallError('netlink', message.errno);
      else return;
    }
  }
}
