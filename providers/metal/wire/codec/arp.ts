/**
 * ARP for IPv4 over Ethernet (RFC 826), with the probes and announcements of RFC 5227.
 *
 *   offset  bytes  field     value
 *   0       14     Ethernet  EtherType 0x0806
 *   14      2      ar$hrd    1 (Ethernet)
 *   16      2      ar$pro    0x0800 (IPv4)
 *   18      1      ar$hln    6
 *   19      1      ar$pln    4
 *   20      2      ar$op     1 request, 2 reply
 *   22      6      ar$sha    sender hardware address
 *   28      4      ar$spa    sender protocol address
 *   32      6      ar$tha    target hardware address
 *   38      4      ar$tpa    target protocol address
 *
 * | packet (RFC 5227 §1.1, §2.1.1, §2.3) | ar$op | ar$spa | ar$tpa |
 * |---|---|---|---|
 * | probe | request | 0.0.0.0 | the address |
 * | announcement, as a request or a reply | either | the address | the address |
 *
 * Frames are read in place, at offset 0 of a view: nothing is allocated for a request that is answered.
 */
import { BROADCAST, NO_MAC } from './address.ts';
import { ETHERTYPE, type EthernetFault, ethernetFault, writeEthernet } from './ethernet.ts';

/** Bytes of a frame without padding. Shorter than Ethernet's minimum: the driver pads. */
export const ARP_FRAME = 42;
/** Operations (RFC 826; others, such as RARP's, are not ours to answer). */
export const ARP_OP = { request: 1, reply: 2 } as const;

/** Offsets of the fields in a frame. */
export const ARP_AT = {
  hrd: 14,
  pro: 16,
  hln: 18,
  pln: 19,
  op: 20,
  sha: 22,
  spa: 28,
  tha: 32,
  tpa: 38,
} as const;

/** Why bytes are no ARP packet that we understand. */
export type ArpFault = EthernetFault | 'notArp' | 'notIpv4OverEthernet' | 'operation' | 'senderNotAStation';

/** An ARP packet in a frame. */
export interface ArpPacket {
  readonly destination: Uint8Array;
  readonly source: Uint8Array;
  readonly op: number;
  readonly sha: Uint8Array;
  readonly spa: Uint8Array;
  readonly tha: Uint8Array;
  readonly tpa: Uint8Array;
}

/** What a valid packet is about. */
export type ArpMeaning = 'request' | 'reply' | 'probe' | 'announcement';

/**
 * Checks a received frame; `undefined` when it holds an ARP request or reply whose sender is a station (answers go to
 * ar$sha: a group address there would make us an amplifier). Never throws; `view` may be longer than `length`.
 */
export function arpFault(view: DataView, length: number): ArpFault | undefined {
  const fault = ethernetFault(view, length);
  if (fault !== undefined) return fault;
  if (view.getUint16(12) !== ETHERTYPE.arp) return 'notArp';
  if (length < ARP_FRAME) return 'truncated';
  const header = view.getUint32(ARP_AT.hrd) === 0x0001_0800 && view.getUint16(ARP_AT.hln) === 0x0604;
  if (!header) return 'notIpv4OverEthernet';
  const op = view.getUint16(ARP_AT.op);
  if (op !== ARP_OP.request && op !== ARP_OP.reply) return 'operation';
  return isStationAt(view, ARP_AT.sha) ? undefined : 'senderNotAStation';
}

/** What a packet that `arpFault` accepted is about. */
export function arpMeaning(view: DataView): ArpMeaning {
  const sender = view.getUint32(ARP_AT.spa);
  if (sender === view.getUint32(ARP_AT.tpa)) return 'announcement';
  if (view.getUint16(ARP_AT.op) === ARP_OP.reply) return 'reply';
  return sender === 0 ? 'probe' : 'request';
}

/** Reads a frame into its fields; the fault when it is not one. Never throws. */
export function decodeArp(frame: Uint8Array): ArpPacket | { readonly fault: ArpFault } {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const fault = arpFault(view, frame.byteLength);
  if (fault !== undefined) return { fault };
  return {
    destination: frame.slice(0, 6),
    source: frame.slice(6, 12),
    op: view.getUint16(ARP_AT.op),
    sha: frame.slice(ARP_AT.sha, ARP_AT.spa),
    spa: frame.slice(ARP_AT.spa, ARP_AT.tha),
    tha: frame.slice(ARP_AT.tha, ARP_AT.tpa),
    tpa: frame.slice(ARP_AT.tpa, ARP_FRAME),
  };
}

/** A frame of the packet. */
export function encodeArp(packet: ArpPacket): Uint8Array {
  const frame = new Uint8Array(ARP_FRAME);
  writeEthernet(frame, { ...packet, type: ETHERTYPE.arp });
  frame.set([0, 1, 8, 0, 6, 4, packet.op >> 8, packet.op & 0xff], ARP_AT.hrd);
  frame.set(packet.sha, ARP_AT.sha);
  frame.set(packet.spa, ARP_AT.spa);
  frame.set(packet.tha, ARP_AT.tha);
  frame.set(packet.tpa, ARP_AT.tpa);
  return frame;
}

/** A broadcast request for `address` from `sender` (an address of ours; 0.0.0.0 makes it a probe, RFC 5227 §2.1.1). */
export function arpRequest(mac: Uint8Array, sender: Uint8Array, address: Uint8Array): Uint8Array {
  return encodeArp({
    destination: BROADCAST,
    source: mac,
    op: ARP_OP.request,
    sha: mac,
    spa: sender,
    tha: NO_MAC,
    tpa: address,
  });
}

/**
 * The two broadcast announcements of an address: as a request, which RFC 5227 §2.3 asks for, and as a reply, which
 * some stacks and switches heed instead (RFC 5227 §3 explains both).
 */
export function arpAnnouncements(mac: Uint8Array, address: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const common = { destination: BROADCAST, source: mac, sha: mac, spa: address, tpa: address };
  return [
    encodeArp({ ...common, op: ARP_OP.request, tha: NO_MAC }),
    encodeArp({ ...common, op: ARP_OP.reply, tha: BROADCAST }),
  ];
}

/** A reply from `mac` whose other fields `patchArpReply` fills in for each request. */
export function arpReplyTemplate(mac: Uint8Array): DataView {
  const none = new Uint8Array(4);
  const frame = encodeArp({
    destination: NO_MAC,
    source: mac,
    op: ARP_OP.reply,
    sha: mac,
    spa: none,
    tha: NO_MAC,
    tpa: none,
  });
  return new DataView(frame.buffer);
}

/** Makes the template the unicast answer to the request: sender and target swapped (RFC 826), no allocation. */
export function patchArpReply(reply: DataView, request: DataView): void {
  const high = request.getUint32(ARP_AT.sha);
  const low = request.getUint16(ARP_AT.sha + 4);
  reply.setUint32(0, high);
  reply.setUint16(4, low);
  reply.setUint32(ARP_AT.spa, request.getUint32(ARP_AT.tpa));
  reply.setUint32(ARP_AT.tha, high);
  reply.setUint16(ARP_AT.tha + 4, low);
  reply.setUint32(ARP_AT.tpa, request.getUint32(ARP_AT.spa));
}

function isStationAt(view: DataView, offset: number): boolean {
  const first = view.getUint8(offset);
  return (
    (first & 1) === 0 && (first !== 0 || view.getUint32(offset) !== 0 || view.getUint16(offset + 4) !== 0)
  );
}
