import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Target } from './targets.ts';

/** Datagrams that wait while the session's socket connects: more than a client sends before its first answer. */
const MAX_PENDING = 16;

/** Whom a session reports to. */
export interface SessionOwner {
  answered(session: UdpSession, message: Buffer): void;
  /** The target's port is closed, or the target cannot be reached. */
  failed(session: UdpSession, error: Error): void;
}

/** A client's address and port. */
export interface UdpClient {
  readonly address: string;
  readonly port: number;
}

/**
 * One client's datagrams to one target. It has a socket of its own, so that answers find their client; connected, so
 * that only the target can answer and so that the system reports a closed port.
 */
export class UdpSession {
  readonly client: UdpClient;
  readonly target: Target;
  /** Rotation of the targets that this session was last compared with. */
  version: number;
  active = true;
  lastActiveMs: number;
  /** Set when it cannot be used; it may be so from the start. */
  broken = false;
  /** Whether the target has ever answered. */
  answered = false;
  readonly #owner: SessionOwner;
  readonly #socket: Socket;
  readonly #pending: Buffer[] = [];
  #connected = false;

  constructor(
    owner: SessionOwner,
    to: { client: UdpClient; target: Target; version: number; nowMs: number },
  ) {
    this.#owner = owner;
    this.client = to.client;
    this.target = to.target;
    this.version = to.version;
    this.lastActiveMs = to.nowMs;
    const socket = createDatagramSocket(to.target.host);
    this.#socket = socket;
    socket.on('error', this.#failed);
    socket.on('message', (message) => {
      this.active = true;
      this.answered = true;
      owner.answered(this, message);
    });
    socket.on('connect', () => this.#flush());
    socket.connect(to.target.port, to.target.host);
  }

  /** Passes a datagram to the target. */
  send(message: Buffer): void {
    this.active = true;
    if (this.#connected) this.#socket.send(message, this.#sent);
    else if (this.#pending.length < MAX_PENDING) this.#pending.push(message);
  }

  /** Ends the session. */
  close(): void {
    this.#pending.length = 0;
    this.#connected = false;
    this.#socket.removeAllListeners('message');
    this.#socket.close();
  }

  /** A closed port is reported to whichever call comes next, sending or receiving. */
  readonly #sent = (error: Error | null): void => {
    if (error !== null) this.#failed(error);
  };

  readonly #failed = (error: Error): void => {
    this.broken = true;
    this.#owner.failed(this, error);
  };

  #flush(): void {
    this.#connected = true;
    for (const message of this.#pending.splice(0)) this.#socket.send(message, this.#sent);
  }
}

/** A datagram socket for the family of an address, which never looks names up. */
export function createDatagramSocket(address: string): Socket {
  const family = isIPv6(address) ? 6 : 4;
  return createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    ipv6Only: family === 6,
    lookup: (host, _options, callback) => callback(null, host, family),
  });
}
