import { isIP } from 'node:net';
import { Address4, Address6 } from 'ip-address';

/** An IP family in the API's own words (`Service.spec.ipFamilies`). */
export type IpFamily = 'IPv4' | 'IPv6';

declare const brand: unique symbol;

/** A valid IP address in canonical text (RFC 5952 for IPv6). Only `parseIp` and `ipFromNumber` make one. */
export type IpAddress = string & { readonly [brand]: 'ip' };

/** A valid CIDR in canonical text with its host bits masked off. Only `parseCidr` makes one. */
export type Cidr = string & { readonly [brand]: 'cidr' };

/** An inclusive range of addresses of one family, as numbers, so that pools can be walked and compared. */
export interface IpRange {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly last: bigint;
}

/** Parses one address; surrounding spaces are ignored. Returns `undefined` when it is not an IP (zones are refused). */
export function parseIp(text: string): IpAddress | undefined {
  const trimmed = text.trim();
  const version = isIP(trimmed);
  if (version === 0 || trimmed.includes('%')) return undefined;
  return (version === 4 ? trimmed : new Address6(trimmed).correctForm()) as IpAddress;
}

/** The family of a parsed address or CIDR. */
export function familyOf(value: IpAddress | Cidr): IpFamily {
  return value.includes(':') ? 'IPv6' : 'IPv4';
}

/** The address as an unsigned number of 32 or 128 bits. */
export function ipToNumber(ip: IpAddress): bigint {
  return familyOf(ip) === 'IPv4' ? new Address4(ip).bigInt() : new Address6(ip).bigInt();
}

/** The canonical text of a number; the inverse of `ipToNumber`. */
export function ipFromNumber(value: bigint, family: IpFamily): IpAddress {
  return (
    family === 'IPv4' ? Address4.fromBigInt(value).correctForm() : Address6.fromBigInt(value).correctForm()
  ) as IpAddress;
}

/** Parses a CIDR; a prefix length is required and host bits are masked off. `undefined` when it is not one. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^\s*([^/\s]+)\/(\d{1,3})\s*$/.exec(text);
  const ip = match?.[1] === undefined ? undefined : parseIp(match[1]);
  const prefix = Number(match?.[2]);
  if (ip === undefined || prefix > bitsOf(familyOf(ip))) return undefined;
  const { first, family } = cidrBounds(ip, prefix);
  return `${ipFromNumber(first, family)}/${prefix}` as Cidr;
}

/** The first and last address of a CIDR. */
export function rangeOfCidr(cidr: Cidr): IpRange {
  const [ip, prefix] = cidr.split('/') as [IpAddress, string];
  return cidrBounds(ip, Number(prefix));
}

/**
 * Parses what a pool may list: a CIDR, `first-last`, or one address. `undefined` when it is none of these, mixes
 * families, or its first address is above its last.
 */
export function parseRange(text: string): IpRange | undefined {
  if (text.includes('/')) {
    const cidr = parseCidr(text);
    return cidr === undefined ? undefined : rangeOfCidr(cidr);
  }
  const parts = text.split('-');
  const first = parseIp(parts[0] ?? '');
  const last = parseIp(parts.at(-1) ?? '');
  if (parts.length > 2 || first === undefined || last === undefined) return undefined;
  if (familyOf(first) !== familyOf(last)) return undefined;
  const range = { family: familyOf(first), first: ipToNumber(first), last: ipToNumber(last) };
  return range.first > range.last ? undefined : range;
}

/** Whether the range holds the address. */
export function rangeHas(range: IpRange, ip: IpAddress): boolean {
  if (range.family !== familyOf(ip)) return false;
  const value = ipToNumber(ip);
  return range.first <= value && value <= range.last;
}

/** The range as people write it: one address, or `first-last`. */
export function rangeText(range: IpRange): string {
  const first = ipFromNumber(range.first, range.family);
  return range.first === range.last ? first : `${first}-${ipFromNumber(range.last, range.family)}`;
}

function bitsOf(family: IpFamily): number {
  return family === 'IPv4' ? 32 : 128;
}

function cidrBounds(ip: IpAddress, prefix: number): IpRange {
  const family = familyOf(ip);
  const hostBits = BigInt(bitsOf(family) - prefix);
  const first = (ipToNumber(ip) >> hostBits) << hostBits;
  return { family, first, last: first + (1n << hostBits) - 1n };
}
