/**
 * Addresses as bytes and as text. The worker thread does not load the core (its memory would double), so what it needs
 * of addresses is here; the text is the core's canonical text (RFC 5952 for IPv6).
 */
import { isIPv4, isIPv6 } from 'node:net';
import type { IpAddress } from '@berth/core';
import type { Mac } from '../types.ts';

/** Bytes of a MAC address. */
export const MAC_BYTES = 6;
/** `ff:ff:ff:ff:ff:ff`. */
export const BROADCAST: Uint8Array = new Uint8Array(MAC_BYTES).fill(0xff);
/** The unspecified MAC, the target of ARP requests. */
export const NO_MAC: Uint8Array = new Uint8Array(MAC_BYTES);

/** Parses six pairs of hexadecimal digits with colons or hyphens; `undefined` when it is none. */
export function parseMac(text: string): Mac | undefined {
  const trimmed = text.trim();
  return /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(trimmed)
    ? (trimmed.toLowerCase().replaceAll('-', ':') as Mac)
    : undefined;
}

/** The six bytes of a MAC. */
export function macBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(':'), (pair) => Number.parseInt(pair, 16));
}

/** The text of the six bytes at `offset`. */
export function macText(bytes: Uint8Array, offset = 0): Mac {
  const pairs: string[] = [];
  for (let i = offset; i < offset + MAC_BYTES; i++) pairs.push((bytes[i] ?? 0).toString(16).padStart(2, '0'));
  return pairs.join(':') as Mac;
}

/** Whether the MAC at `offset` can belong to one station: not a group address, not all zeros. */
export function isStation(bytes: Uint8Array, offset = 0): boolean {
  if (((bytes[offset] ?? 1) & 1) !== 0) return false;
  for (let i = offset; i < offset + MAC_BYTES; i++) if (bytes[i] !== 0) return true;
  return false;
}

/** Whether `length` bytes of `a` at `at` and of `b` at `bAt` are equal. */
export function sameBytes(
  a: Uint8Array,
  b: Uint8Array,
  { at = 0, bAt = 0, length = b.length }: { at?: number; bAt?: number; length?: number } = {},
): boolean {
  for (let i = 0; i < length; i++) if (a[at + i] !== b[bAt + i]) return false;
  return true;
}

/**
 * The 4 or 16 bytes of an address in text.
 *
 * @throws RangeError when it is none.
 */
export function ipBytes(text: string): Uint8Array {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%'))
    throw new RangeError(`${JSON.stringify(text)} is not an IP address`);
  const [head = '', tail] = text.split('::');
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => 0);
  return Uint8Array.from([...before, ...zeros, ...after].flatMap((group) => [group >> 8, group & 0xff]));
}

/** The canonical text of 4 or 16 bytes (RFC 5952 §4: lower case, the first longest run of zero groups shortened). */
export function ipText(bytes: Uint8Array): IpAddress {
  if (bytes.length === 4) return bytes.join('.') as IpAddress;
  const words: number[] = [];
  for (let i = 0; i < 16; i += 2) words.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  const { at, length } = longestZeros(words);
  const hex = (part: readonly number[]): string => part.map((word) => word.toString(16)).join(':');
  if (length < 2) return hex(words) as IpAddress;
  return `${hex(words.slice(0, at))}::${hex(words.slice(at + length))}` as IpAddress;
}

/** The solicited-node multicast address of a unicast address: `ff02::1:ffXX:XXXX` (RFC 4291 §2.7.1). */
export function solicitedNode(address: Uint8Array): Uint8Array {
  const group = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0);
  group.set(address.subarray(13, 16), 13);
  return group;
}

/** The Ethernet address of an IPv6 group: `33:33` and its last four bytes (RFC 2464 §7). */
export function multicastMac(group: Uint8Array): Uint8Array {
  return Uint8Array.of(0x33, 0x33, ...group.subarray(12, 16));
}

/** Whether the addresses share their first `prefixLength` bits. */
export function samePrefix(a: Uint8Array, b: Uint8Array, prefixLength: number): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    const bits = Math.min(8, Math.max(0, prefixLength - i * 8));
    const mask = (0xff << (8 - bits)) & 0xff;
    if (((a[i] ?? 0) & mask) !== ((b[i] ?? 0) & mask)) return false;
  }
  return true;
}

/** The groups of one side of `::`; an embedded IPv4 address is two of them. */
function groups(part: string): number[] {
  if (part === '') return [];
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [(a << 8) | b, (c << 8) | d];
  });
}

function longestZeros(words: readonly number[]): { at: number; length: number } {
  let best = { at: 0, length: 0 };
  let run = 0;
  words.forEach((word, index) => {
    run = word === 0 ? run + 1 : 0;
    if (run > best.length) best = { at: index - run + 1, length: run };
  });
  return best;
}
