/**
 * Datagrams between speakers: UDP 7947 between nodes, and an abstract socket between two speakers of one node.
 *
 *   offset  bytes  field
 *   0       4      magic "BRTH"
 *   4       1      version 1
 *   5       1      kind (`DATAGRAM`)
 *   6       2      reserved, 0
 *   8       8      cluster: SHA-256 of its identity, cut
 *   16      8      sender: SHA-256 of the node's name, cut
 *   24      8      addressee, likewise; 0 for everybody (a heartbeat is signed once for all peers)
 *   32      8      boot nonce of the sender: random, new with each start
 *   40      8      sequence number of the nonce, from 1
 *   48      4      message id
 *   52      2      part of the message, from 0
 *   54      2      parts of the message
 *   56      …      payload, at most `MAX_PART` bytes
 *   end-16  16     HMAC-SHA256 over all before it (RFC 2104), cut to 128 bits (RFC 4868 §2.1.1)
 *
 * Numbers are big-endian. The cheap tests (size, magic, cluster, addressee) come before the HMAC.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/** Kinds of datagrams. Those from 16 on pass only between two speakers of one node. */
export const DATAGRAM = {
  heartbeat: 1,
  goodbye: 2,
  challenge: 3,
  response: 4,
  claims: 5,
  claimsRequest: 6,
  notice: 7,
  hello: 16,
  state: 17,
  takeOver: 18,
  yielded: 19,
} as const;
export type DatagramKind = (typeof DATAGRAM)[keyof typeof DATAGRAM];

/** Bytes of a payload in one datagram: with all headers it stays below 1,280, which every IPv6 link carries. */
export const MAX_PART = 1100;
/** Bytes before the payload. */
export const DATAGRAM_HEADER = 56;
/** Bytes of the tag. */
export const TAG = 16;
/** Largest datagram. */
export const MAX_DATAGRAM: number = DATAGRAM_HEADER + MAX_PART + TAG;
/** Bytes of a node's id, a cluster's id, a nonce. */
export const ID = 8;

const MAGIC = 0x4252_5448;
const VERSION = 1;
const BLOCK = 64;
const KINDS: ReadonlySet<number> = new Set(Object.values(DATAGRAM));
/** Smallest key in bytes. */
export const MIN_KEY = 16;

/** The fields of a datagram. `payload` of a decoded one is a view into what was received. */
export interface Datagram {
  readonly kind: DatagramKind;
  /** Node ids, as `nodeId` makes them. */
  readonly sender: bigint;
  /** 0n: everybody. */
  readonly addressee: bigint;
  readonly nonce: bigint;
  readonly sequence: bigint;
  readonly message: number;
  readonly part: number;
  readonly parts: number;
  readonly payload: Uint8Array;
}

/** Why a datagram was refused before its sender was looked at. */
export type DatagramFault = 'malformed' | 'version' | 'cluster' | 'notForUs' | 'wrongKey';

/** The id of a node's name. */
export function nodeId(node: string): bigint {
  return shortHash(`berth-node\0${node}`);
}

/** The id of a cluster's identity. */
export function clusterId(cluster: string): bigint {
  return shortHash(`berth-cluster\0${cluster}`);
}

/** A new boot nonce; never 0. */
export function newNonce(): bigint {
  return randomBytes(ID).readBigUInt64BE() || 1n;
}

/** A nonce as people see it. */
export function nonceText(nonce: bigint): string {
  return nonce.toString(16).padStart(ID * 2, '0');
}

/**
 * Signs and checks datagrams of one cluster. HMAC is made of two one-shot hashes over one buffer (RFC 2104 §2): an
 * order of magnitude cheaper than a HMAC object for each datagram.
 *
 * @throws RangeError when the key is shorter than `MIN_KEY`.
 */
export class DatagramCodec {
  readonly #cluster: bigint;
  /** Inner pad, then the datagram. */
  readonly #inner = Buffer.alloc(BLOCK + MAX_DATAGRAM);
  /** Outer pad, then the inner hash. */
  readonly #outer = Buffer.alloc(BLOCK + 32);

  constructor(cluster: string, key: Uint8Array) {
    if (key.length < MIN_KEY)
      throw new RangeError(`the key has ${key.length} bytes, it needs ${MIN_KEY} or more`);
    this.#cluster = clusterId(cluster);
    const block = Buffer.alloc(BLOCK);
    block.set(key.length > BLOCK ? hash('sha256', key, 'buffer') : key);
    for (let i = 0; i < BLOCK; i++) {
      this.#inner[i] = (block[i] ?? 0) ^ 0x36;
      this.#outer[i] = (block[i] ?? 0) ^ 0x5c;
    }
  }

  /**
   * The bytes of a datagram.
   *
   * @throws RangeError when the payload is larger than `MAX_PART`.
   */
  encode(datagram: Datagram): Uint8Array {
    const { payload } = datagram;
    if (payload.length > MAX_PART)
      throw new RangeError(`a part of ${payload.length} bytes, at most ${MAX_PART}`);
    const length = DATAGRAM_HEADER + payload.length;
    const bytes = new Uint8Array(length + TAG);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, MAGIC);
    view.setUint8(4, VERSION);
    view.setUint8(5, datagram.kind);
    view.setBigUint64(8, this.#cluster);
    view.setBigUint64(16, datagram.sender);
    view.setBigUint64(24, datagram.addressee);
    view.setBigUint64(32, datagram.nonce);
    view.setBigUint64(40, datagram.sequence);
    view.setUint32(48, datagram.message);
    view.setUint16(52, datagram.part);
    view.setUint16(54, datagram.parts);
    bytes.set(payload, DATAGRAM_HEADER);
    bytes.set(this.#tag(bytes.subarray(0, length)), length);
    return bytes;
  }

  /** Reads a datagram that is for everybody or for one of `addressees`; the fault when it is refused. Never throws. */
  decode(bytes: Uint8Array, addressee: bigint): Datagram | { readonly fault: DatagramFault } {
    const fault = this.#fault(bytes, addressee);
    if (fault !== undefined) return { fault };
    const end = bytes.length - TAG;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (!timingSafeEqual(this.#tag(bytes.subarray(0, end)), bytes.subarray(end)))
      return { fault: 'wrongKey' };
    return {
      kind: view.getUint8(5) as DatagramKind,
      sender: view.getBigUint64(16),
      addressee: view.getBigUint64(24),
      nonce: view.getBigUint64(32),
      sequence: view.getBigUint64(40),
      message: view.getUint32(48),
      part: view.getUint16(52),
      parts: view.getUint16(54),
      payload: bytes.subarray(DATAGRAM_HEADER, end),
    };
  }

  #fault(bytes: Uint8Array, us: bigint): DatagramFault | undefined {
    if (bytes.length < DATAGRAM_HEADER + TAG || bytes.length > MAX_DATAGRAM) return 'malformed';
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (view.getUint32(0) !== MAGIC) return 'malformed';
    if (view.getUint8(4) !== VERSION) return 'version';
    if (view.getBigUint64(8) !== this.#cluster) return 'cluster';
    const wellFormed = KINDS.has(view.getUint8(5)) && view.getUint16(52) < view.getUint16(54);
    if (!wellFormed || view.getBigUint64(32) === 0n || view.getBigUint64(40) === 0n) return 'malformed';
    const addressee = view.getBigUint64(24);
    return addressee === 0n || addressee === us ? undefined : 'notForUs';
  }

  /** The tag of what is at most `MAX_DATAGRAM` bytes. */
  #tag(bytes: Uint8Array): Uint8Array {
    this.#inner.set(bytes, BLOCK);
    this.#outer.set(hash('sha256', this.#inner.subarray(0, BLOCK + bytes.length), 'buffer'), BLOCK);
    return hash('sha256', this.#outer, 'buffer').subarray(0, TAG);
  }
}

function shortHash(text: string): bigint {
  return hash('sha256', Buffer.from(text), 'buffer').readBigUInt64BE();
}
