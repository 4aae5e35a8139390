import { sameBytes } from '../codec/address.ts';
import {
  DATAGRAM,
  type Datagram,
  type DatagramCodec,
  type DatagramKind,
  ID,
  newNonce,
  nodeId,
  nonceText,
} from '../codec/datagram.ts';
import type { MessageKind, RejectReason, WireEvents } from '../types.ts';
import { DATAGRAM_OF, MESSAGE_KINDS, split } from './parts.ts';
import { Peer } from './peer.ts';

/** Bytes of a challenge's token. */
const TOKEN = 16;

/** Events that come from peers. */
type PeerEvent = 'heard' | 'gone' | 'goodbye' | 'digest' | 'message';
/** Takes an event. */
export type EmitPeerEvent = <E extends PeerEvent>(event: E, detail: WireEvents[E][0]) => void;

/** What the peers' state machine works with. */
export interface PeersParts {
  readonly node: string;
  readonly codec: DatagramCodec;
  readonly intervalMs: number;
  readonly missedLimit: number;
  /** Random bytes that nobody can guess. */
  readonly random: (bytes: number) => Uint8Array;
  readonly emit: EmitPeerEvent;
  /** Sends a datagram to a node; what is lost is lost. `urgent`: not behind others that wait. */
  readonly transmit: (node: string, datagram: Uint8Array, urgent: boolean) => void;
}

/** What came of a datagram. */
export type Outcome = 'heartbeat' | 'message' | 'control' | 'ignored' | { readonly rejected: RejectReason };

/**
 * Heartbeats and messages between speakers: who is alive, and who says so. It has no clock, no socket and no timer: the
 * caller says when it is (monotonic milliseconds), passes in what arrives, and asks for the next heartbeat.
 *
 * - A datagram counts when its tag is right, its sender is a known node, its nonce is the one that the node proved, and
 *   its sequence number is new.
 * - A nonce is proved by answering a challenge: 16 random bytes that only a running process with the key sends back.
 *   A recorded heartbeat of an earlier start therefore never counts, and neither does one of a nonce that was replaced.
 * - A peer is gone when the limit of heartbeats was missed, or at once with a goodbye.
 */
export class Peers {
  readonly #parts: PeersParts;
  readonly #self: bigint;
  readonly #peers = new Map<bigint, Peer>();
  readonly #byNode = new Map<string, Peer>();
  #nonce = newNonce();
  #sequence = 0n;
  #messages = 0;
  #digest = new Uint8Array(0);
  #goodbye: Uint8Array | undefined;

  constructor(parts: PeersParts) {
    this.#parts = parts;
    this.#self = nodeId(parts.node);
  }

  get nonce(): bigint {
    return this.#nonce;
  }

  /** A new identity: after a goodbye the old one never counts again. */
  renew(): void {
    this.#nonce = newNonce();
    this.#sequence = 0n;
    this.#goodbye = undefined;
  }

  /** The nodes to talk with; what is known of those that stay is kept. */
  setNodes(nodes: readonly string[]): void {
    const wanted = new Set(nodes);
    for (const peer of this.#peers.values()) {
      if (wanted.has(peer.node)) continue;
      this.#peers.delete(peer.id);
      this.#byNode.delete(peer.node);
    }
    for (const node of wanted) {
      if (this.#byNode.has(node) || node === this.#parts.node) continue;
      const peer = new Peer(node, nodeId(node));
      this.#peers.set(peer.id, peer);
      this.#byNode.set(node, peer);
    }
  }

  list(): readonly Peer[] {
    return [...this.#peers.values()];
  }

  setDigest(digest: Uint8Array): void {
    this.#digest = Uint8Array.from(digest);
  }

  /** From the next `beat` on, a goodbye takes the heartbeat's place. */
  leave(payload: Uint8Array): void {
    this.#goodbye = Uint8Array.from(payload);
  }

  /** Sends a heartbeat, or the goodbye, to every peer: one datagram, signed once. How many were sent. */
  beat(): number {
    const kind = this.#goodbye === undefined ? DATAGRAM.heartbeat : DATAGRAM.goodbye;
    const bytes = this.#encode(kind, 0n, this.#goodbye ?? this.#digest);
    for (const { node } of this.#peers.values()) this.#parts.transmit(node, bytes, true);
    return this.#peers.size;
  }

  /**
   * Sends a message to a node, or to all when `node` is absent. How many datagrams it took.
   *
   * @throws RangeError when it is too large.
   */
  send(kind: MessageKind, payload: Uint8Array, node?: string): number {
    const to = node === undefined ? [...this.#byNode.keys()] : this.#byNode.has(node) ? [node] : [];
    const addressee = node === undefined ? 0n : nodeId(node);
    const datagrams = this.encodeMessage(DATAGRAM_OF[kind], addressee, payload);
    for (const one of to) for (const bytes of datagrams) this.#parts.transmit(one, bytes, false);
    return to.length * datagrams.length;
  }

  /** The signed datagrams of a message. */
  encodeMessage(kind: DatagramKind, addressee: bigint, payload: Uint8Array): readonly Uint8Array[] {
    const message = this.#messages++ >>> 0;
    const parts = split(payload);
    return parts.map((bytes, part) =>
      this.#sign({ kind, addressee, payload: bytes, message, part, parts: parts.length }),
    );
  }

  /** Reads a datagram. Never throws. */
  receive(bytes: Uint8Array, now: number): Outcome {
    const datagram = this.#parts.codec.decode(bytes, this.#self);
    if ('fault' in datagram) return { rejected: datagram.fault };
    if (datagram.sender === this.#self) return 'ignored';
    const peer = this.#peers.get(datagram.sender);
    if (peer === undefined) return { rejected: 'unknownNode' };
    if (datagram.kind === DATAGRAM.challenge) return this.#respond(peer, datagram);
    if (datagram.nonce === peer.nonce) return this.#fromKnown(peer, datagram, now);
    if (peer.isRetired(datagram.nonce)) return { rejected: 'retired' };
    if (datagram.kind === DATAGRAM.response) return this.#proved(peer, datagram, now);
    this.#challenge(peer, datagram.nonce);
    return { rejected: 'unchallenged' };
  }

  /**
   * Declares gone whoever was silent for too long; when to look again. A quarter of an interval is allowed for timers
   * that are late.
   */
  judge(now: number): number {
    const { intervalMs, missedLimit } = this.#parts;
    const limitMs = intervalMs * (missedLimit + 0.25);
    // Whoever is heard after this has as long from then.
    let next = now + limitMs;
    for (const peer of this.#peers.values()) {
      if (peer.state !== 'alive') continue;
      const silentMs = now - peer.lastHeard;
      if (silentMs <= limitMs) next = Math.min(next, peer.lastHeard + limitMs);
      else {
        peer.state = 'gone';
        this.#parts.emit('gone', { node: peer.node, silentMs: Math.round(silentMs) });
      }
    }
    return next;
  }

  /** Everybody who is alive counts as heard now: it was we who were away. */
  restart(now: number): void {
    for (const peer of this.#peers.values()) if (peer.state === 'alive') peer.lastHeard = now;
  }

  /** A challenge is answered by whoever has the nonce that it asks; it proves us, not the challenger. */
  #respond(peer: Peer, { payload }: Datagram): Outcome {
    if (payload.length !== ID + TOKEN || Buffer.from(payload).readBigUInt64BE() !== this.#nonce)
      return 'ignored';
    this.#parts.transmit(peer.node, this.#encode(DATAGRAM.response, peer.id, payload.slice(ID)), true);
    return 'control';
  }

  #challenge(peer: Peer, nonce: bigint): void {
    const payload = Buffer.alloc(ID + TOKEN);
    payload.writeBigUInt64BE(nonce);
    payload.set(
      peer.challenge(nonce, () => this.#parts.random(TOKEN)),
      ID,
    );
    this.#parts.transmit(peer.node, this.#encode(DATAGRAM.challenge, peer.id, payload), true);
  }

  #proved(peer: Peer, datagram: Datagram, now: number): Outcome {
    if (!peer.answered(datagram.nonce, datagram.payload)) return { rejected: 'unchallenged' };
    const restarted = peer.nonce !== 0n;
    peer.adopt(datagram.nonce, datagram.sequence);
    this.#alive(peer, now, restarted);
    return 'control';
  }

  #fromKnown(peer: Peer, datagram: Datagram, now: number): Outcome {
    if (!peer.window.accept(datagram.sequence)) return { rejected: 'replayed' };
    if (datagram.kind === DATAGRAM.goodbye) return this.#left(peer, datagram);
    if (peer.state === 'gone') this.#alive(peer, now, false);
    peer.lastHeard = now;
    const kind = MESSAGE_KINDS.get(datagram.kind);
    if (kind !== undefined) return this.#fromMessage(peer, kind, datagram);
    if (datagram.kind !== DATAGRAM.heartbeat) return 'control';
    this.#seeDigest(peer, datagram.payload);
    return 'heartbeat';
  }

  #left(peer: Peer, { payload }: Datagram): Outcome {
    if (peer.state !== 'left') {
      peer.state = 'left';
      this.#parts.emit('goodbye', { node: peer.node, payload: payload.slice() });
    }
    return 'heartbeat';
  }

  #fromMessage(peer: Peer, kind: MessageKind, datagram: Datagram): Outcome {
    const payload = peer.assembler.add(datagram);
    if (payload !== undefined) this.#parts.emit('message', { node: peer.node, kind, payload });
    return 'message';
  }

  #alive(peer: Peer, now: number, restarted: boolean): void {
    peer.state = 'alive';
    peer.lastHeard = now;
    this.#parts.emit('heard', { node: peer.node, nonce: nonceText(peer.nonce), restarted });
  }

  #seeDigest(peer: Peer, digest: Uint8Array): void {
    if (digest.length === peer.digest.length && sameBytes(digest, peer.digest)) return;
    peer.digest = digest.slice();
    this.#parts.emit('digest', { node: peer.node, digest: peer.digest });
  }

  /** A signed datagram of one part. */
  #encode(kind: DatagramKind, addressee: bigint, payload: Uint8Array): Uint8Array {
    return this.#sign({ kind, addressee, payload, message: 0, part: 0, parts: 1 });
  }

  #sign(fields: Omit<Datagram, 'sender' | 'nonce' | 'sequence'>): Uint8Array {
    return this.#parts.codec.encode({
      ...fields,
      sender: this.#self,
      nonce: this.#nonce,
      sequence: ++this.#sequence,
    });
  }
}
