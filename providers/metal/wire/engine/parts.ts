import { DATAGRAM, type DatagramKind, MAX_PART } from '../codec/datagram.ts';
import { MAX_PAYLOAD, type MessageKind } from '../types.ts';

/** Messages of one peer that may be incomplete at a time; the oldest gives way. */
const MAX_OPEN = 8;

/** Which datagrams carry messages for the main thread. */
export const MESSAGE_KINDS: ReadonlyMap<DatagramKind, MessageKind> = new Map([
  [DATAGRAM.claims, 'claims'],
  [DATAGRAM.claimsRequest, 'claims-request'],
  [DATAGRAM.notice, 'notice'],
]);

/** The datagram kind of a message. */
export const DATAGRAM_OF: Readonly<Record<MessageKind, DatagramKind>> = {
  claims: DATAGRAM.claims,
  'claims-request': DATAGRAM.claimsRequest,
  notice: DATAGRAM.notice,
};

/**
 * The parts of a payload, at least one.
 *
 * @throws RangeError above `MAX_PAYLOAD`.
 */
export function split(payload: Uint8Array): readonly Uint8Array[] {
  if (payload.length > MAX_PAYLOAD) {
    throw new RangeError(`a message of ${payload.length} bytes; at most ${MAX_PAYLOAD} are possible`);
  }
  const count = Math.max(1, Math.ceil(payload.length / MAX_PART));
  return Array.from({ length: count }, (_, part) => payload.subarray(part * MAX_PART, (part + 1) * MAX_PART));
}

/** A part as it arrived. */
export interface Part {
  readonly kind: DatagramKind;
  readonly message: number;
  readonly part: number;
  readonly parts: number;
  readonly payload: Uint8Array;
}

interface Open {
  readonly kind: DatagramKind;
  readonly parts: (Uint8Array | undefined)[];
  missing: number;
}

/** Puts the messages of one peer together, whatever the order of their parts. Its memory is bounded. */
export class Assembler {
  readonly #open = new Map<number, Open>();

  /** Takes a part; the payload when it was the last one that was missing. The payload is a copy. */
  add({ kind, message, part, parts, payload }: Part): Uint8Array | undefined {
    if (parts === 1) return payload.slice();
    if (parts > Math.ceil(MAX_PAYLOAD / MAX_PART)) return undefined;
    const open = this.#open.get(message) ?? this.#begin(kind, message, parts);
    if (open.kind !== kind || open.parts.length !== parts || open.parts[part] !== undefined) return undefined;
    open.parts[part] = payload.slice();
    if (--open.missing > 0) return undefined;
    this.#open.delete(message);
    return Buffer.concat(open.parts.map((bytes) => bytes ?? new Uint8Array(0)));
  }

  #begin(kind: DatagramKind, message: number, parts: number): Open {
    const oldest = this.#open.keys().next();
    if (this.#open.size >= MAX_OPEN && oldest.done !== true) this.#open.delete(oldest.value);
    const open: Open = { kind, parts: Array.from({ length: parts }, () => undefined), missing: parts };
    this.#open.set(message, open);
    return open;
  }
}
