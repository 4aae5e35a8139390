import { randomBytes } from 'node:crypto';
import { ipBytes } from '../codec/address.ts';
import { DatagramCodec, nonceText } from '../codec/datagram.ts';
import type { Counters } from '../engine/counters.ts';
import { type EmitPeerEvent, Peers } from '../engine/peers.ts';
import type { Timers } from '../engine/timers.ts';
import type { Poller } from '../sys/poller.ts';
import { type Receiver, senderText, type Slot } from '../sys/receiver.ts';
import { socketAddress, UdpSocket } from '../sys/udp-socket.ts';
import type { HeartbeatOptions, MessageKind, RejectReason } from '../types.ts';
import { Outbox } from './outbox.ts';
import { Relay, RELAY_MS, type RelayParts, type Role } from './relay.ts';

/** Port of the heartbeats. */
export const DEFAULT_PORT = 7947;
/** Milliseconds between heartbeats, and how many may be missed. */
export const DEFAULT_INTERVAL_MS = 200;
const DEFAULT_MISSED_LIMIT = 3;

const MAX_BATCHES = 8;
/** Messages sent in one turn of the loop. */
const SENT_PER_TURN = 32;

/** What the heart works with. */
export interface HeartParts {
  readonly options: HeartbeatOptions;
  readonly poller: Poller;
  readonly receiver: Receiver;
  readonly counters: Counters;
  readonly timers: Timers;
  readonly now: () => number;
  readonly emit: EmitPeerEvent;
  readonly onRejected: (reason: RejectReason, from: string) => void;
  /** After each heartbeat. */
  readonly onBeat: () => void;
  readonly relay: Pick<RelayParts, 'onState' | 'onSuccessor' | 'onSuperseded' | 'onOrphaned'>;
}

/** Heartbeats and messages on their sockets: the UDP port, and the relay between two speakers of this node. */
export class Heart {
  readonly peers: Peers;
  readonly relay: Relay;
  readonly #parts: HeartParts;
  readonly #socket: UdpSocket;
  readonly #outbox: Outbox;
  readonly #addresses = new Map<string, Uint8Array>();
  readonly #port: number;
  readonly #intervalMs: number;
  readonly #missedLimit: number;
  #silent = true;
  #open = true;

  /**
   * Opens the port; nothing is sent until `start`.
   *
   * @throws SyscallError when the address is not this node's or the port is taken; RangeError for a short key.
   */
  constructor(parts: HeartParts) {
    const { options, counters } = parts;
    this.#parts = parts;
    this.#port = options.port ?? DEFAULT_PORT;
    this.#intervalMs = options.intervalMs ?? DEFAULT_INTERVAL_MS;
    this.#missedLimit = options.missedLimit ?? DEFAULT_MISSED_LIMIT;
    const codec = new DatagramCodec(options.cluster, options.key);
    this.#socket = new UdpSocket(ipBytes(options.address), this.#port);
    this.#outbox = new Outbox(
      (node, datagram) => this.#transmit(node, datagram),
      () => counters.add('sendErrors'),
    );
    this.peers = new Peers({
      node: options.node,
      codec,
      intervalMs: this.#intervalMs,
      missedLimit: this.#missedLimit,
      random: randomBytes,
      emit: parts.emit,
      transmit: (node, datagram, urgent) => this.#outbox.add(node, datagram, urgent),
    });
    const { poller, timers, now } = parts;
    const { node, cluster } = options;
    const shared = { node, cluster, port: this.#port, codec, peers: this.peers, poller, timers, now };
    this.relay = new Relay({
      ...shared,
      ...parts.relay,
      onRelayed: (datagram) => this.#receive(datagram, 'the predecessor'),
    });
    poller.add(this.#socket.fd, () => this.#drain());
  }

  /** How long a silent peer may still count as alive, in milliseconds: after a longer stall of ours we may be replaced. */
  get patienceMs(): number {
    return this.#intervalMs * this.#missedLimit;
  }

  /** Looks for a predecessor, unless told that there is none; heartbeats begin when there is none. */
  start(): Role {
    const role = this.#parts.options.alone === true ? 'alone' : this.relay.start();
    if (role !== 'follower') this.speak();
    return role;
  }

  /** Heartbeats from now on. */
  speak(): void {
    if (!this.#silent) return;
    this.#silent = false;
    this.#beat(this.#parts.now());
  }

  /** No heartbeats and no messages from now on; what arrives is still read. */
  hush(): void {
    this.#silent = true;
    this.#outbox.clear();
  }

  /** Says goodbye now, and again in place of every heartbeat. */
  leave(payload: Uint8Array): void {
    this.peers.leave(payload);
    if (!this.#silent) this.#count(this.peers.beat());
  }

  /** Lives again after a goodbye, under another nonce; its text. */
  renew(): string {
    this.peers.renew();
    return nonceText(this.peers.nonce);
  }

  /** The nodes to talk with. Those whose address is of the other family cannot be reached, and are given back. */
  setPeers(peers: readonly { readonly node: string; readonly address: string }[]): readonly string[] {
    const family = ipBytes(this.#parts.options.address).length;
    const unreachable: string[] = [];
    this.#addresses.clear();
    for (const { node, address } of peers) {
      const bytes = ipBytes(address);
      if (bytes.length === family) this.#addresses.set(node, socketAddress(bytes, this.#port));
      else unreachable.push(node);
    }
    this.peers.setNodes([...this.#addresses.keys()]);
    return unreachable;
  }

  /** Sends a message, unless silent. */
  send(kind: MessageKind, payload: Uint8Array, node?: string): void {
    if (!this.#silent) this.#parts.counters.add('messagesSent', this.peers.send(kind, payload, node));
  }

  /** Whether there is something to send in the next turn. */
  get busy(): boolean {
    return this.#outbox.size > 0;
  }

  /** Sends some of what waits. */
  flush(): void {
    this.#outbox.flush(SENT_PER_TURN);
  }

  /** Closes the port when what is relayed to the successor has become superfluous. */
  closeAfterRelay(): void {
    this.#parts.timers.at(this.#parts.now() + RELAY_MS, () => this.#closeSocket());
  }

  close(): void {
    this.#silent = true;
    this.relay.close();
    this.#closeSocket();
  }

  #closeSocket(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#parts.poller.remove(this.#socket.fd);
    this.#socket.close();
  }

  /** Beats keep their rhythm though a timer is late; those that a stall swallowed are not made up for. */
  #beat(due: number): void {
    if (this.#silent) return;
    this.#count(this.peers.beat());
    this.#parts.onBeat();
    const next = Math.max(due + this.#intervalMs, this.#parts.now() + this.#intervalMs / 2);
    this.#parts.timers.at(next, () => this.#beat(next));
  }

  #count(sent: number): void {
    this.#parts.counters.add('heartbeatsSent', sent);
  }

  #transmit(node: string, datagram: Uint8Array): boolean {
    const address = this.#addresses.get(node);
    return this.#open && address !== undefined && this.#socket.send(datagram, address);
  }

  #drain(): void {
    const { receiver } = this.#parts;
    for (let batch = 0; batch < MAX_BATCHES && this.#open; batch++) {
      const count = receiver.receive(this.#socket.fd);
      for (let i = 0; i < count; i++) {
        const slot = receiver.slots[i];
        if (slot !== undefined) this.#fromNetwork(slot);
      }
      if (count < receiver.batch) return;
    }
  }

  #fromNetwork(slot: Slot): void {
    const datagram = slot.bytes.subarray(0, slot.length);
    this.relay.pass(datagram);
    this.#receive(datagram, slot);
  }

  #receive(datagram: Uint8Array, from: Slot | string): void {
    const outcome = this.peers.receive(datagram, this.#parts.now());
    if (outcome === 'heartbeat') this.#parts.counters.add('heartbeatsReceived');
    else if (outcome === 'message') this.#parts.counters.add('messagesReceived');
    else if (typeof outcome !== 'string') {
      this.#parts.onRejected(outcome.rejected, typeof from === 'string' ? from : senderText(from.from));
    }
  }
}
