import {
  clusterId,
  DATAGRAM,
  type Datagram,
  type DatagramCodec,
  nodeId,
  nonceText,
} from '../codec/datagram.ts';
import { Assembler } from '../engine/parts.ts';
import type { Peers } from '../engine/peers.ts';
import type { Timers } from '../engine/timers.ts';
import { SyscallError } from '../sys/libc.ts';
import type { Poller } from '../sys/poller.ts';
import { abstractAddress, UnixSocket } from '../sys/unix-socket.ts';

/** Milliseconds between signs of life of a follower, and between attempts at anything. */
const INTERVAL_MS = 100;
/** Milliseconds without an answer after which the other side counts as gone. */
const PATIENCE_MS = 1000;
/** How long a superseded speaker goes on relaying, in milliseconds: what the peers ask the successor comes to its port. */
export const RELAY_MS = 1000;
/** Datagrams read before others have their turn. */
const MAX_READ = 256;

/** First byte of what passes between two speakers of a node: a signed datagram of theirs, or one of the network. */
const ENVELOPE = { control: 0, relayed: 1 } as const;

/**
 * - `alone`: nobody else is here, and nobody could come (another program has the name).
 * - `leader`: has the name; answers, and relays to a successor when there is one.
 * - `follower`: another speaker leads; hears what that relays.
 * - `superseded`: was the leader; relays for a little while and says nothing.
 */
export type Role = 'alone' | 'leader' | 'follower' | 'superseded';

/** What the relay works with. */
export interface RelayParts {
  readonly node: string;
  readonly cluster: string;
  readonly port: number;
  readonly codec: DatagramCodec;
  readonly peers: Peers;
  readonly poller: Poller;
  readonly timers: Timers;
  readonly now: () => number;
  /** A datagram of the network that the leader passed on. */
  readonly onRelayed: (datagram: Uint8Array) => void;
  readonly onState: (nonce: string, payload: Uint8Array) => void;
  readonly onSuccessor: (nonce: string) => void;
  readonly onSuperseded: (nonce: string) => void;
  readonly onOrphaned: () => void;
}

/**
 * Two speakers of one node during a rolling update: the identity is the node, so at no time may the peers miss it, and
 * never does an address move.
 *
 *   successor                                   predecessor (has the abstract name and the UDP port)
 *   hello, every 100 ms          ──────────>    the first time: event `successor`
 *                                <──────────    state: what `setHandover` left, again when it changes
 *                                <──────────    every datagram of the network, as it came
 *   takeOver() heartbeats and answers begin
 *   takeOver                     ──────────>    silent from now on: event `superseded`
 *                                <──────────    yielded; relays for another second, then closes the UDP port
 *   takes the name
 *
 * The name is abstract (unix(7)): it belongs to the network namespace and vanishes with its process. Anybody on the node
 * could open it, so all but the relayed datagrams, which carry their own tag, is signed with the shared key.
 */
export class Relay {
  readonly #parts: RelayParts;
  readonly #name: string;
  readonly #id: bigint;
  #role: Role = 'alone';
  #socket: UnixSocket | undefined;
  #handover = new Uint8Array(0);
  #state = new Assembler();
  #successor: { nonce: bigint; address: Uint8Array; heardAt: number } | undefined;
  /** When the leader was last heard; set while following. */
  #leaderHeardAt = 0;
  #whenYielded: (() => void) | undefined;

  constructor(parts: RelayParts) {
    this.#parts = parts;
    this.#id = nodeId(parts.node);
    this.#name = ['berth-speaker', nonceText(clusterId(parts.cluster)), nonceText(this.#id), parts.port].join(
      '/',
    );
  }

  get role(): Role {
    return this.#role;
  }

  /** Becomes leader when nobody has the name, else follower. */
  start(): Role {
    if (this.#lead()) return this.#role;
    this.#role = 'follower';
    this.#leaderHeardAt = this.#parts.now();
    this.#listen(new UnixSocket(`${this.#name}/${nonceText(this.#parts.peers.nonce)}`));
    this.#hello();
    return this.#role;
  }

  /** Nobody answers under the name: goes on without it. */
  giveUp(): void {
    this.#role = 'alone';
    this.#claimName();
  }

  /** What a successor is told. */
  setHandover(payload: Uint8Array): void {
    this.#handover = Uint8Array.from(payload);
    if (this.#successor !== undefined) this.#sendState();
  }

  /** Passes a datagram of the network on to the successor, if there is one. */
  pass(datagram: Uint8Array): void {
    const successor = this.#successor;
    if (successor === undefined) return;
    const refused = this.#socket?.send(enveloped(ENVELOPE.relayed, datagram), successor.address);
    const gone = refused === 'ECONNREFUSED' || this.#parts.now() - successor.heardAt > PATIENCE_MS;
    if (gone && this.#role === 'leader') this.#successor = undefined;
  }

  /** Tells the leader to fall silent, and calls `done` when it has or is gone. */
  takeOver(done: () => void): void {
    if (this.#role !== 'follower') return done();
    const end = (): void => {
      if (this.#whenYielded === undefined) return;
      this.#whenYielded = undefined;
      this.#role = 'alone';
      // Not at once: until then the predecessor relays to the name that we have.
      this.#later(() => this.#claimName(), RELAY_MS * 1.5);
      done();
    };
    this.#whenYielded = end;
    const until = this.#parts.now() + PATIENCE_MS;
    const ask = (): void => {
      if (this.#whenYielded === undefined) return;
      const gone = this.#toLeader(DATAGRAM.takeOver) === 'ECONNREFUSED';
      if (gone || this.#parts.now() > until) return end();
      this.#later(ask);
    };
    ask();
  }

  close(): void {
    if (this.#socket === undefined) return;
    this.#parts.poller.remove(this.#socket.fd);
    this.#socket.close();
    this.#socket = undefined;
  }

  /** Tries to take the name. */
  #lead(): boolean {
    try {
      this.#listen(new UnixSocket(this.#name));
      this.#role = 'leader';
      return true;
    } catch (error) {
      if (error instanceof SyscallError && error.code === 'EADDRINUSE') return false;
      throw error;
    }
  }

  /** Takes the name as soon as it is free, so that the next update finds us. */
  #claimName(): void {
    if (this.#role === 'alone' && !this.#lead()) this.#later(() => this.#claimName());
  }

  #listen(socket: UnixSocket): void {
    this.close();
    this.#socket = socket;
    this.#parts.poller.add(socket.fd, () => {
      for (let i = 0; i < MAX_READ && this.#socket === socket; i++) {
        const bytes = socket.receive();
        if (bytes === undefined) return;
        this.#receive(bytes);
      }
    });
  }

  #receive(bytes: Uint8Array): void {
    const body = bytes.subarray(1);
    if (bytes[0] === ENVELOPE.relayed) {
      if (this.#role === 'follower' || this.#role === 'alone') this.#parts.onRelayed(body);
      return;
    }
    const datagram = this.#parts.codec.decode(body, this.#id);
    if ('fault' in datagram || datagram.sender !== this.#id) return;
    if (this.#role === 'follower') this.#fromLeader(datagram);
    else if (this.#role === 'leader') this.#fromFollower(datagram);
  }

  #fromLeader(datagram: Datagram): void {
    this.#leaderHeardAt = this.#parts.now();
    if (datagram.kind === DATAGRAM.yielded) this.#whenYielded?.();
    if (datagram.kind !== DATAGRAM.state) return;
    const payload = this.#state.add(datagram);
    if (payload !== undefined) this.#parts.onState(nonceText(datagram.nonce), payload);
  }

  #fromFollower(datagram: Datagram): void {
    const { nonce, kind } = datagram;
    const address = abstractAddress(`${this.#name}/${nonceText(nonce)}`);
    if (kind === DATAGRAM.hello) {
      const known = this.#successor?.nonce === nonce;
      this.#successor = { nonce, address, heardAt: this.#parts.now() };
      if (known) return;
      this.#sendState();
      this.#parts.onSuccessor(nonceText(nonce));
    }
    if (kind === DATAGRAM.takeOver) this.#yield(nonce, address);
  }

  #yield(nonce: bigint, address: Uint8Array): void {
    this.#successor = { nonce, address, heardAt: this.#parts.now() };
    this.#role = 'superseded';
    this.#parts.onSuperseded(nonceText(nonce));
    this.#control(DATAGRAM.yielded, address);
    // Frees the name; what is still relayed leaves from a socket that has only a name of its own.
    this.close();
    this.#socket = new UnixSocket(`${this.#name}/${nonceText(this.#parts.peers.nonce)}/relay`);
    this.#parts.poller.add(this.#socket.fd, () => this.#socket?.receive());
  }

  #hello(): void {
    if (this.#role !== 'follower' || this.#whenYielded !== undefined) return;
    const refused = this.#toLeader(DATAGRAM.hello);
    const silent = this.#parts.now() - this.#leaderHeardAt > PATIENCE_MS;
    if (refused === 'ECONNREFUSED' || (silent && this.#lead())) return this.#parts.onOrphaned();
    this.#later(() => this.#hello());
  }

  #sendState(): void {
    const address = this.#successor?.address;
    if (address === undefined) return;
    const datagrams = this.#parts.peers.encodeMessage(DATAGRAM.state, this.#id, this.#handover);
    for (const datagram of datagrams) this.#socket?.send(enveloped(ENVELOPE.control, datagram), address);
  }

  #toLeader(kind: typeof DATAGRAM.hello | typeof DATAGRAM.takeOver): string | undefined {
    return this.#control(kind, abstractAddress(this.#name));
  }

  #control(kind: (typeof DATAGRAM)[keyof typeof DATAGRAM], to: Uint8Array): string | undefined {
    const [datagram] = this.#parts.peers.encodeMessage(kind, this.#id, new Uint8Array(0));
    return datagram === undefined ? undefined : this.#socket?.send(enveloped(ENVELOPE.control, datagram), to);
  }

  #later(run: () => void, afterMs: number = INTERVAL_MS): void {
    this.#parts.timers.at(this.#parts.now() + afterMs, run);
  }
}

function enveloped(kind: number, datagram: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(datagram.length + 1);
  bytes[0] = kind;
  bytes.set(datagram, 1);
  return bytes;
}
