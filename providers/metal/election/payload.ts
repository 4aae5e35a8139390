/**
 * What speakers tell each other, as bytes: JSON, because it is sent only when something changed, is authenticated by
 * the wire, and can be read in a packet capture. Pure.
 */
import { createHash } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { parseIp, type IpAddress } from '@berth/core';
import type { Claim, Claims } from './types.ts';

/** An interface of a speaker that can announce. */
export interface InterfaceFact {
  readonly name: string;
  readonly arp: boolean;
  readonly ndp: boolean;
}

/** What a speaker says about its node. */
export interface Facts {
  readonly interfaces: readonly InterfaceFact[];
  /** Its MACs: frames from them are ours. */
  readonly macs: readonly string[];
}

/** All that a speaker tells. */
export interface Told extends Facts {
  /** Grows with every change, so that what arrives late is known to be old. */
  readonly sequence: number;
  readonly claims: Claims;
  /** Addresses that a stranger uses. */
  readonly conflicts: ReadonlySet<IpAddress>;
}

/** Version of the form; another one is not understood and counts as nothing told. */
const VERSION = 1;
/** More than this many addresses are no honest speaker's. */
const MAX_ADDRESSES = 16_384;
/** Above this it is compressed: thousands of addresses of a pool have most of their digits in common. */
const PLAIN_BYTES = 16 * 1024;
/** What compressed bytes begin with; JSON cannot. */
const DEFLATED = 0;
/** Nothing honest is larger when it is unpacked. */
const MAX_BYTES = 2 * 1024 * 1024;
/** Bits of a claim's flags. */
const CEDING = 1;
const PROBING = 2;

/** The bytes of what is told; the same for the same content. */
export function encodeTold({ sequence, claims, conflicts, interfaces, macs }: Told): Uint8Array {
  const byClaim = new Map<string, IpAddress[]>();
  for (const [address, { epoch, seen, ceding, probing }] of claims) {
    const key = JSON.stringify([epoch, seen, (ceding ? CEDING : 0) + (probing ? PROBING : 0)]);
    const addresses = byClaim.get(key);
    if (addresses === undefined) byClaim.set(key, [address]);
    else addresses.push(address);
  }
  const c = [...byClaim]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, addresses]) => [...(JSON.parse(key) as number[]), addresses.toSorted()]);
  const i = interfaces.map(({ name, arp, ndp }) => [name, arp ? 1 : 0, ndp ? 1 : 0]);
  const json = JSON.stringify({ v: VERSION, n: sequence, c, x: [...conflicts].toSorted(), i, m: macs });
  const plain = Buffer.from(json);
  if (plain.length <= PLAIN_BYTES) return plain;
  return Buffer.concat([Buffer.of(DEFLATED), deflateRawSync(plain, { level: 1 })]);
}

/** The digest that heartbeats carry: whoever has other bytes asks for these. */
export function digestOf(payload: Uint8Array): Uint8Array {
  return createHash('sha256').update(payload).digest().subarray(0, 16);
}

/** What the bytes say; `undefined` when they are not of this form in every detail. */
export function decodeTold(payload: Uint8Array): Told | undefined {
  const raw = parsed(payload);
  if (raw === undefined || raw['v'] !== VERSION || !isCount(raw['n'])) return undefined;
  const claims = claimsIn(raw['c']);
  const conflicts = addressesIn(raw['x']);
  const interfaces = interfacesIn(raw['i']);
  const macs = raw['m'];
  if (claims === undefined || conflicts === undefined || interfaces === undefined) return undefined;
  if (!Array.isArray(macs) || !macs.every((mac) => typeof mac === 'string')) return undefined;
  return { sequence: raw['n'], claims, conflicts: new Set(conflicts), interfaces, macs: macs as string[] };
}

function parsed(payload: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const deflated = payload[0] === DEFLATED;
    const plain = deflated ? inflateRawSync(payload.subarray(1), { maxOutputLength: MAX_BYTES }) : payload;
    const value = JSON.parse(Buffer.from(plain).toString('utf8')) as unknown;
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function claimsIn(value: unknown): Claims | undefined {
  if (!Array.isArray(value)) return undefined;
  const claims = new Map<IpAddress, Claim>();
  for (const entry of value as readonly unknown[]) {
    if (!Array.isArray(entry) || entry.length !== 4) return undefined;
    const [epoch, seen, flags, list] = entry as readonly unknown[];
    const addresses = addressesIn(list);
    if (!isCount(epoch) || !isCount(seen) || !isCount(flags) || flags > 3) return undefined;
    if (addresses === undefined) return undefined;
    const [ceding, probing] = [(flags & CEDING) !== 0, (flags & PROBING) !== 0];
    for (const address of addresses) claims.set(address, { epoch, seen, ceding, probing });
    if (claims.size > MAX_ADDRESSES) return undefined;
  }
  return claims;
}

function addressesIn(value: unknown): readonly IpAddress[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_ADDRESSES) return undefined;
  const addresses = value.map((text) => (typeof text === 'string' ? parseIp(text) : undefined));
  return addresses.every((address) => address !== undefined) ? addresses : undefined;
}

function interfacesIn(value: unknown): readonly InterfaceFact[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const facts: InterfaceFact[] = [];
  for (const entry of value as readonly unknown[]) {
    const [name, arp, ndp] = Array.isArray(entry) ? (entry as readonly unknown[]) : [];
    if (typeof name !== 'string' || !isFlag(arp) || !isFlag(ndp)) return undefined;
    facts.push({ name, arp: arp === 1, ndp: ndp === 1 });
  }
  return facts;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isFlag(value: unknown): value is 0 | 1 {
  return value === 0 || value === 1;
}
