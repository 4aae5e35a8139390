import { nonceText } from '../codec/datagram.ts';
import { sameBytes } from '../codec/address.ts';
import type { PeerState } from '../types.ts';
import { Assembler } from './parts.ts';
import { ReplayWindow } from './window.ts';

/** Nonces of a peer that are remembered as used up, and challenges that may be open at a time. */
const MAX_RETIRED = 16;
const MAX_CHALLENGES = 4;

/** What is known of one peer. */
export class Peer {
  readonly node: string;
  readonly id: bigint;
  state: PeerState['state'] = 'unheard';
  /** Monotonic time of the last datagram that counted. */
  lastHeard = 0;
  digest = new Uint8Array(0);
  nonce = 0n;
  window = new ReplayWindow(0n);
  assembler = new Assembler();
  readonly #retired = new Set<bigint>();
  readonly #challenges = new Map<bigint, Uint8Array>();

  constructor(node: string, id: bigint) {
    this.node = node;
    this.id = id;
  }

  isRetired(nonce: bigint): boolean {
    return this.#retired.has(nonce);
  }

  /** The token that a nonce has to answer; the same until it did, because an answer may be under way. */
  challenge(nonce: bigint, token: () => Uint8Array): Uint8Array {
    const open = this.#challenges.get(nonce);
    if (open !== undefined) return open;
    const oldest = this.#challenges.keys().next();
    if (this.#challenges.size >= MAX_CHALLENGES && oldest.done !== true)
      this.#challenges.delete(oldest.value);
    const made = token();
    this.#challenges.set(nonce, made);
    return made;
  }

  /** Whether this is what the nonce was asked to answer. */
  answered(nonce: bigint, response: Uint8Array): boolean {
    const token = this.#challenges.get(nonce);
    return token !== undefined && token.length === response.length && sameBytes(token, response);
  }

  /** The nonce counts from now on, and the one before it never again. */
  adopt(nonce: bigint, sequence: bigint): void {
    if (this.nonce !== 0n) this.#retire(this.nonce);
    this.#challenges.delete(nonce);
    this.nonce = nonce;
    this.window = new ReplayWindow(sequence);
    this.assembler = new Assembler();
  }

  snapshot(): PeerState {
    const heard = this.nonce === 0n ? {} : { nonce: nonceText(this.nonce), digest: this.digest };
    return { node: this.node, state: this.state, ...heard };
  }

  #retire(nonce: bigint): void {
    const oldest = this.#retired.keys().next();
    if (this.#retired.size >= MAX_RETIRED && oldest.done !== true) this.#retired.delete(oldest.value);
    this.#retired.add(nonce);
  }
}
