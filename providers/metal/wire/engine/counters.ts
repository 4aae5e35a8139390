import type { RejectReason } from '../types.ts';

/** Counters that both threads see: the worker counts, the main thread reads, without a message between them. */
export const COUNTERS = [
  'framesReceived',
  'framesMalformed',
  'requestsDenied',
  'framesDropped',
  'sendErrors',
  'heartbeatsSent',
  'heartbeatsReceived',
  'messagesSent',
  'messagesReceived',
  'stalls',
] as const;
export type Counter = (typeof COUNTERS)[number];

/** Every reason for which a datagram is thrown away. */
export const REJECT_REASONS: readonly RejectReason[] = [
  'malformed',
  'version',
  'cluster',
  'wrongKey',
  'notForUs',
  'unknownNode',
  'replayed',
  'unchallenged',
  'retired',
];

/** Counters of one address: requests received, responses sent, gratuitous frames sent. */
export const PER_ADDRESS = { requests: 0, responses: 1, gratuitous: 2 } as const;
type PerAddress = (typeof PER_ADDRESS)[keyof typeof PER_ADDRESS];

/** Addresses that have counters of their own. */
export const MAX_SLOTS = 16_384;
const FIRST_ADDRESS = 32;
const FIELDS = 3;

/** Memory for all counters. Doubles count exactly up to 2^53, and one thread alone writes. */
export function counterMemory(): SharedArrayBuffer {
  return new SharedArrayBuffer((FIRST_ADDRESS + FIELDS * MAX_SLOTS) * 8);
}

/** A view of the counters. */
export class Counters {
  /** All of them, for who counts without JavaScript. */
  readonly values: Float64Array;
  readonly #index: Readonly<Record<Counter | RejectReason, number>>;

  constructor(memory: SharedArrayBuffer) {
    this.values = new Float64Array(memory);
    const names = [...COUNTERS, ...REJECT_REASONS];
    this.#index = Object.fromEntries(names.map((name, index) => [name, index])) as Record<
      Counter | RejectReason,
      number
    >;
  }

  /** Where a counter is in `values`. */
  cell(counter: Counter | RejectReason): number {
    return this.#index[counter];
  }

  /** Where a counter of an address is in `values`. */
  cellFor(slot: number, field: PerAddress): number {
    return FIRST_ADDRESS + slot * FIELDS + field;
  }

  add(counter: Counter | RejectReason, by = 1): void {
    const at = this.cell(counter);
    this.values[at] = (this.values[at] ?? 0) + by;
  }

  get(counter: Counter | RejectReason): number {
    return this.values[this.cell(counter)] ?? 0;
  }

  addFor(slot: number, field: PerAddress): void {
    const at = this.cellFor(slot, field);
    this.values[at] = (this.values[at] ?? 0) + 1;
  }

  getFor(slot: number, field: PerAddress): number {
    return this.values[this.cellFor(slot, field)] ?? 0;
  }

  /** For a slot that another address gets. */
  clear(slot: number): void {
    this.values.fill(0, FIRST_ADDRESS + slot * FIELDS, FIRST_ADDRESS + (slot + 1) * FIELDS);
  }
}
