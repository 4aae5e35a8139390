/**
 * The part of rtnetlink that lists interfaces and their addresses (RFC 3549; linux/netlink.h, rtnetlink.h, if_link.h).
 * Numbers are in the byte order of the machine, which the libc layer requires to be little-endian.
 *
 *   nlmsghdr   0  4  length (with header)     ifinfomsg  0  1  family
 *              4  2  type                                2  2  ARPHRD type
 *              6  2  flags                               4  4  index
 *              8  4  sequence                            8  4  IFF_ flags
 *             12  4  port id                            12  4  change mask
 *   rtattr     0  2  length (with header)     ifaddrmsg  0  1  family
 *              2  2  type                                1  1  prefix length
 *              4  …  value, padded to 4                  2  1  IFA_F_ flags (8 bits)
 *                                                        4  4  index
 */
import { ipText, macText } from './address.ts';

/** Types of messages. */
export const NETLINK = {
  error: 2,
  done: 3,
  newLink: 16,
  getLink: 18,
  newAddress: 20,
  getAddress: 22,
} as const;
/** Multicast groups (bits of `nl_groups`) that tell of changes: links, IPv4 and IPv6 addresses. */
export const NETLINK_GROUPS: number = 0x1 | 0x10 | 0x100;

const REQUEST_DUMP = 0x1 | 0x300;
const HEADER = 16;
const ATTRIBUTE = { address: 1, name: 3, master: 10, linkInfo: 18, extMask: 29 } as const;
const LINK_INFO_KIND = 1;
/** RTEXT_FILTER_SKIP_STATS: the counters of hundreds of container links are not wanted. */
const SKIP_STATS = 1 << 3;
const IFA = { address: 1, local: 2, flags: 8 } as const;
/** An address that is not (or not yet) the interface's: IFA_F_TENTATIVE, IFA_F_DADFAILED. */
const NOT_USABLE = 0x40 | 0x08;

/** IFF_ flags (linux/if.h). */
export const IFF = {
  up: 0x1,
  broadcast: 0x2,
  loopback: 0x8,
  pointToPoint: 0x10,
  running: 0x40,
  noArp: 0x80,
  slave: 0x800,
} as const;
/** ARPHRD_ETHER (linux/if_arp.h). */
export const ETHERNET = 1;

/** An interface as the kernel describes it. */
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly flags: number;
  /** ARPHRD type; `ETHERNET` is 1. */
  readonly hardware: number;
  /** Text of the MAC; absent when there is none or it has another length. */
  readonly mac?: string;
  /** Index of the bridge, bond or VRF that it is a part of. */
  readonly master?: number;
  /** `veth`, `bridge`, `vxlan`, …; absent for hardware. */
  readonly kind?: string;
}

/** An address of an interface. */
export interface LinkAddress {
  readonly index: number;
  readonly ip: string;
  readonly prefixLength: number;
}

/** A request for all links or all addresses. */
export function dumpRequest(
  type: typeof NETLINK.getLink | typeof NETLINK.getAddress,
  sequence: number,
): Uint8Array {
  const link = type === NETLINK.getLink;
  const length = link ? HEADER + 16 + 8 : HEADER + 8;
  const view = new DataView(new ArrayBuffer(length));
  view.setUint32(0, length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, REQUEST_DUMP, true);
  view.setUint32(8, sequence, true);
  if (link) {
    view.setUint16(HEADER + 16, 8, true);
    view.setUint16(HEADER + 18, ATTRIBUTE.extMask, true);
    view.setUint32(HEADER + 20, SKIP_STATS, true);
  }
  return new Uint8Array(view.buffer);
}

/** What one message says: a link, an address, the end of the dump, or an error (a positive errno). */
export type NetlinkMessage =
  | { readonly link: Link }
  | { readonly address: LinkAddress }
  | { readonly done: true }
  | { readonly errno: number };

/** The messages in a datagram; others, and what is cut off, are left out. Never throws. */
export function* netlinkMessages(datagram: Uint8Array): Generator<NetlinkMessage> {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  let at = 0;
  while (at + HEADER <= view.byteLength) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > view.byteLength) return;
    const message = messageOf(view.getUint16(at + 4, true), part(view, at + HEADER, length - HEADER));
    if (message !== undefined) yield message;
    at += aligned(length);
  }
}

function messageOf(type: number, body: DataView): NetlinkMessage | undefined {
  if (type === NETLINK.done) return { done: true };
  if (type === NETLINK.error && body.byteLength >= 4) {
    const errno = -body.getInt32(0, true);
    return errno === 0 ? { done: true } : { errno };
  }
  if (type === NETLINK.newLink && body.byteLength >= 16) return linkOf(body);
  if (type === NETLINK.newAddress && body.byteLength >= 8) return addressOf(body);
  return undefined;
}

function linkOf(body: DataView): NetlinkMessage | undefined {
  let name: string | undefined;
  let mac: string | undefined;
  let master: number | undefined;
  let kind: string | undefined;
  for (const [type, value] of attributes(body, 16)) {
    if (type === ATTRIBUTE.name) name = textOf(value);
    if (type === ATTRIBUTE.address && value.byteLength === 6) mac = macText(bytesOf(value));
    if (type === ATTRIBUTE.master && value.byteLength >= 4) master = value.getUint32(0, true);
    if (type === ATTRIBUTE.linkInfo) kind = kindOf(value);
  }
  if (name === undefined) return undefined;
  const numbers = {
    index: body.getInt32(4, true),
    flags: body.getUint32(8, true),
    hardware: body.getUint16(2, true),
  };
  return {
    link: {
      ...numbers,
      name,
      ...(mac === undefined ? {} : { mac }),
      ...(master === undefined || master === 0 ? {} : { master }),
      ...(kind === undefined ? {} : { kind }),
    },
  };
}

function addressOf(body: DataView): NetlinkMessage | undefined {
  let peer: Uint8Array | undefined;
  let local: Uint8Array | undefined;
  let flags = body.getUint8(2);
  for (const [type, value] of attributes(body, 8)) {
    if (type === IFA.address) peer = bytesOf(value);
    if (type === IFA.local) local = bytesOf(value);
    if (type === IFA.flags && value.byteLength >= 4) flags = value.getUint32(0, true);
  }
  const ip = local ?? peer;
  if (ip === undefined || (ip.length !== 4 && ip.length !== 16) || (flags & NOT_USABLE) !== 0)
    return undefined;
  return {
    address: { index: body.getInt32(4, true), ip: ipText(ip), prefixLength: body.getUint8(1) },
  };
}

function kindOf(info: DataView): string | undefined {
  for (const [type, value] of attributes(info, 0)) if (type === LINK_INFO_KIND) return textOf(value);
  return undefined;
}

function* attributes(body: DataView, from: number): Generator<readonly [type: number, value: DataView]> {
  let at = from;
  while (at + 4 <= body.byteLength) {
    const length = body.getUint16(at, true);
    if (length < 4 || at + length > body.byteLength) return;
    // The two high bits say "nested" and "network byte order".
    yield [body.getUint16(at + 2, true) & 0x3fff, part(body, at + 4, length - 4)];
    at += aligned(length);
  }
}

function part(view: DataView, at: number, length: number): DataView {
  return new DataView(view.buffer, view.byteOffset + at, length);
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** Text up to its NUL. */
function textOf(view: DataView): string {
  const bytes = bytesOf(view);
  const end = bytes.indexOf(0);
  return String.fromCharCode(...bytes.subarray(0, end === -1 ? bytes.length : end));
}

function aligned(length: number): number {
  return (length + 3) & ~3;
}
