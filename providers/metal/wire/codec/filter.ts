/**
 * Kernel filters (classic BPF) for packet sockets, so that only frames about our addresses wake the worker.
 *
 * One instruction is a `struct sock_filter` (linux/filter.h), in the byte order of the machine:
 *
 *   offset  bytes  field
 *   0       2      code
 *   2       1      jt    instructions to skip when the comparison holds
 *   3       1      jf    … and when it does not
 *   4       4      k
 *
 * The filter lets through more than is wanted, never less: addresses are compared by one common mask, which gets wider
 * until the list is short. What it lets through is judged again by the responder.
 */

/** Instructions used here: opcode | size | mode (linux/bpf_common.h). */
const LOAD_WORD = 0x20;
const LOAD_HALF = 0x28;
const LOAD_BYTE = 0x30;
const AND = 0x54;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
const RETURN = 0x06;
/** Ancillary load (linux/filter.h): SKF_AD_OFF + SKF_AD_PKTTYPE. */
const PACKET_TYPE = 0xffff_f000 + 4;
/** PACKET_HOST 0, PACKET_BROADCAST 1, PACKET_MULTICAST 2; above: for others, and what this host sends. */
const PACKET_MULTICAST = 2;
const WHOLE = 0x0004_0000;
/** Values that one list compares with; the program stays below 300 instructions. */
const MAX_VALUES = 64;

/** One instruction. */
export type Instruction = readonly [code: number, jt: number, jf: number, k: number];

/** Lets nothing through: for an interface on which nothing is announced. */
export const DENY_ALL: readonly Instruction[] = [[RETURN, 0, 0, 0]];

/**
 * ARP packets whose sender or target address is one of these (as unsigned 32-bit numbers): requests for them, answers
 * to our probes, and claims of others.
 */
export function arpFilter(addresses: readonly number[]): readonly Instruction[] {
  if (addresses.length === 0) return DENY_ALL;
  return [
    ...notForOthers(),
    [LOAD_HALF, 0, 0, 12],
    [JUMP_EQUAL, 1, 0, 0x0806],
    [RETURN, 0, 0, 0],
    ...oneOf(28, addresses),
    ...oneOf(38, addresses),
    ...DENY_ALL,
  ];
}

/**
 * Neighbour solicitations and advertisements whose target ends like one of these addresses (their last four bytes as
 * unsigned numbers).
 */
export function ndpFilter(lastWords: readonly number[]): readonly Instruction[] {
  if (lastWords.length === 0) return DENY_ALL;
  return [
    ...notForOthers(),
    [LOAD_BYTE, 0, 0, 20],
    [JUMP_EQUAL, 1, 0, 58],
    [RETURN, 0, 0, 0],
    [LOAD_BYTE, 0, 0, 54],
    [JUMP_EQUAL, 2, 0, 135],
    [JUMP_EQUAL, 1, 0, 136],
    [RETURN, 0, 0, 0],
    ...oneOf(74, lastWords),
    ...DENY_ALL,
  ];
}

/** A program for SO_ATTACH_REUSEPORT_CBPF that gives every datagram to the first socket of the group. */
export const FIRST_SOCKET: readonly Instruction[] = [[RETURN, 0, 0, 0]];

/** The bytes of `struct sock_filter[]`, little-endian (the libc layer refuses other machines). */
export function assemble(program: readonly Instruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(program.length * 8));
  program.forEach(([code, jt, jf, k], index) => {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jt);
    view.setUint8(index * 8 + 3, jf);
    view.setUint32(index * 8 + 4, k, true);
  });
  return new Uint8Array(view.buffer);
}

/** The narrowest common mask under which the numbers are few enough, and what they look like under it. */
export function cover(
  numbers: readonly number[],
  limit: number = MAX_VALUES,
): { mask: number; values: readonly number[] } {
  for (let bits = 32; ; bits--) {
    const mask = bits === 0 ? 0 : (0xffff_ffff << (32 - bits)) >>> 0;
    const values = new Set(numbers.map((number) => (number & mask) >>> 0));
    if (values.size <= limit) return { mask, values: [...values].toSorted((a, b) => a - b) };
  }
}

function notForOthers(): readonly Instruction[] {
  return [
    [LOAD_WORD, 0, 0, PACKET_TYPE],
    [JUMP_GREATER, 0, 1, PACKET_MULTICAST],
    [RETURN, 0, 0, 0],
  ];
}

/** Lets the frame through when the word at `offset` is one of the numbers; goes on after these instructions if not. */
function oneOf(offset: number, numbers: readonly number[]): readonly Instruction[] {
  const { mask, values } = cover(numbers);
  const compare = values.flatMap((value): readonly Instruction[] => [
    [JUMP_EQUAL, 0, 1, value],
    [RETURN, 0, 0, WHOLE],
  ]);
  return [[LOAD_WORD, 0, 0, offset], [AND, 0, 0, mask], ...compare];
}
