/**
 * The calls of the C library that the wire needs, through koffi: no compiler on the node. Prototypes say `long` where C
 * says `ssize_t`. Layouts below are those of 64-bit little-endian Linux; `assertPlatform` refuses others.
 */
import { endianness } from 'node:os';
import koffi from 'koffi';

type Bytes = Uint8Array;

// The program's own symbols: whichever C library Node runs on (glibc, musl) is already there.
const libc = koffi.load(null);

/** socket(2). */
export const socket: (domain: number, type: number, protocol: number) => number = libc.func(
  'int socket(int domain, int type, int protocol)',
);
/** bind(2). */
export const bind: (fd: number, address: Bytes, length: number) => number = libc.func(
  'int bind(int fd, const void *address, uint length)',
);
/** close(2). */
export const close: (fd: number) => number = libc.func('int close(int fd)');
/** setsockopt(2), on one option packed as `SocketOption`. */
const setsockoptC: (
  ...args: [fd: number, level: number, name: number, value: Bytes, length: number]
) => number = libc.func('int setsockopt(int fd, int level, int name, const void *value, uint length)');
const getsockoptC: (
  ...args: [fd: number, level: number, name: number, value: Bytes, length: Bytes]
) => number = libc.func('int getsockopt(int fd, int level, int name, void *value, void *length)');
/** send(2). */
export const send: (...args: [fd: number, bytes: Bytes, length: number, flags: number]) => number = libc.func(
  'long send(int fd, const void *bytes, ulong length, int flags)',
);
const sendtoC: (
  ...args: [fd: number, bytes: Bytes, length: number, flags: number, address: Bytes, addressLength: number]
) => number = libc.func(
  'long sendto(int fd, const void *bytes, ulong length, int flags, const void *address, uint addressLength)',
);
/** recv(2). */
export const recv: (...args: [fd: number, bytes: Bytes, length: number, flags: number]) => number = libc.func(
  'long recv(int fd, void *bytes, ulong length, int flags)',
);
/** read(2). */
export const read: (...args: [fd: number, bytes: Bytes, length: number]) => number = libc.func(
  'long read(int fd, void *bytes, ulong length)',
);
/** recvmmsg(2); the vector is prepared by `Receiver`. */
export const recvmmsg: (
  ...args: [fd: number, vector: Bytes, length: number, flags: number, timeout: null]
) => number = libc.func('int recvmmsg(int fd, void *vector, uint length, int flags, void *timeout)');
/** epoll_create1(2). */
export const epollCreate: (flags: number) => number = libc.func('int epoll_create1(int flags)');
/** epoll_ctl(2). */
export const epollControl: (...args: [epoll: number, operation: number, fd: number, event: Bytes]) => number =
  libc.func('int epoll_ctl(int epoll, int operation, int fd, void *event)');
/** epoll_wait(2). */
export const epollWait: (
  ...args: [epoll: number, events: Bytes, count: number, timeoutMs: number]
) => number = libc.func('int epoll_wait(int epoll, void *events, int count, int timeout)');
/** eventfd(2). */
export const eventfd: (initial: number, flags: number) => number = libc.func(
  'int eventfd(uint initial, int flags)',
);
/** setns(2): moves the calling thread. */
export const setns: (fd: number, kind: number) => number = libc.func('int setns(int fd, int kind)');

/** Address families. */
export const AF = { unix: 1, inet: 2, inet6: 10, netlink: 16, packet: 17 } as const;
/** Socket types; every socket of ours is non-blocking unless it says otherwise, and closed on exec. */
export const SOCK = { dgram: 2, raw: 3, nonBlocking: 0o4000, closeOnExec: 0o2_000_000 } as const;
/** Flags of send and recv: MSG_DONTWAIT, MSG_NOSIGNAL. */
export const MSG = { dontWait: 0x40, noSignal: 0x4000 } as const;
/** Levels and names of socket options (asm-generic/socket.h, linux/if_packet.h, linux/in6.h). */
export const OPTION = {
  reuseAddress: [1, 2],
  receiveBuffer: [1, 8],
  reusePort: [1, 15],
  attachFilter: [1, 26],
  attachReusePortFilter: [1, 51],
  receiveTimeout: [1, 20],
  addMembership: [263, 1],
  dropMembership: [263, 2],
  statistics: [263, 6],
  ignoreOutgoing: [263, 23],
  joinGroup: [41, 20],
  leaveGroup: [41, 21],
} as const;

/** One of `OPTION`. */
export type SocketOption = (typeof OPTION)[keyof typeof OPTION];

/** A call that failed; classified by `code`, the errno's name. */
export class SyscallError extends Error {
  readonly call: string;
  /** `EPERM`, `ENOBUFS`, … */
  readonly code: string;

  constructor(call: string, errno: number) {
    const code = errnoName(errno);
    super(`${call} failed: ${code}`);
    this.name = 'SyscallError';
    this.call = call;
    this.code = code;
  }
}

/** The errno's name of the call that failed last. */
export function lastErrno(): string {
  return errnoName(koffi.errno());
}

/**
 * The result of a call.
 *
 * @throws SyscallError when it is negative.
 */
export function checked(call: string, result: number): number {
  if (result < 0) throw new SyscallError(call, koffi.errno());
  return result;
}

/**
 * Sets an option.
 *
 * @throws SyscallError.
 */
export function setOption(fd: number, [level, name]: SocketOption, value: Bytes | number): void {
  const bytes = typeof value === 'number' ? new Uint8Array(Int32Array.of(value).buffer) : value;
  checked('setsockopt', setsockoptC(fd, level, name, bytes, bytes.length));
}

/** Sets an option that may be refused (an older kernel, a limit, a right); the errno's name when it was. */
export function trySetOption(fd: number, option: SocketOption, value: Bytes | number): string | undefined {
  try {
    setOption(fd, option, value);
    return undefined;
  } catch (error) {
    if (error instanceof SyscallError) return error.code;
    throw error;
  }
}

/**
 * Reads an option into `value`.
 *
 * @throws SyscallError.
 */
export function getOption(fd: number, [level, name]: SocketOption, value: Bytes): void {
  const length = new Uint8Array(Int32Array.of(value.length).buffer);
  checked('getsockopt', getsockoptC(fd, level, name, value, length));
}

/** sendto(2) without waiting; negative when it failed (`lastErrno`). */
export function sendTo(fd: number, bytes: Bytes, address: Bytes): number {
  return sendtoC(fd, bytes, bytes.length, MSG.dontWait | MSG.noSignal, address, address.length);
}

/** Memory that the kernel is told about stays here, so that it is never collected while a structure points at it. */
const pinned: Uint8Array[] = [];

/**
 * Memory with a fixed address, for structures that point at each other: an ArrayBuffer's own memory does not move, and
 * `pinned` keeps it. Ask once, keep it for the life of the thread.
 */
export function allocate(size: number): {
  readonly pointer: bigint;
  readonly bytes: Bytes;
  readonly view: DataView;
} {
  const memory = new ArrayBuffer(size);
  const bytes = new Uint8Array(memory);
  pinned.push(bytes);
  return { pointer: koffi.address(bytes), bytes, view: new DataView(memory) };
}

/**
 * Refuses machines whose structures are laid out otherwise.
 *
 * @throws Error.
 */
export function assertPlatform(): void {
  const wide = ['x64', 'arm64', 'riscv64', 'loong64'].includes(process.arch);
  if (process.platform === 'linux' && wide && endianness() === 'LE') return;
  throw new Error(
    `announcing addresses needs 64-bit little-endian Linux, this is ${process.platform}/${process.arch}. ` +
      'Remedy: run the speaker on such nodes (nodeSelector kubernetes.io/os and kubernetes.io/arch).',
  );
}

const names = new Map(Object.entries(koffi.os.errno).map(([name, errno]) => [errno, name]));

function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`;
}
