/**
 * Neighbour solicitations and advertisements (RFC 4861 §4.3, §4.4) in IPv6 over Ethernet.
 *
 *   offset  bytes  field                 value
 *   0       14     Ethernet              EtherType 0x86dd
 *   14      4      version, class, flow  version 6
 *   18      2      payload length        32 with one option
 *   20      1      next header           58 (ICMPv6)
 *   21      1      hop limit             255: nobody beyond the link can send it (RFC 4861 §7.1)
 *   22      16     source
 *   38      16     destination
 *   54      1      type                  135 NS, 136 NA
 *   55      1      code                  0
 *   56      2      checksum              over pseudo-header and message (RFC 4443 §2.3)
 *   58      4      flags (NA)            R 0x80, S 0x40, O 0x20 in the first byte; reserved in an NS
 *   62      16     target
 *   78      …      options               type, length in units of 8 bytes, value; 1 source, 2 target link-layer address
 *
 * An extension header before ICMPv6 is not looked behind: neighbour discovery needs none, and RFC 6980 §5 forbids the
 * one (fragmentation) that was seen in attacks.
 */
import { multicastMac, solicitedNode } from './address.ts';
import { ETHERNET_HEADER, ETHERTYPE, type EthernetFault, ethernetFault, writeEthernet } from './ethernet.ts';

/** Bytes of a frame with one link-layer option. */
export const NDP_FRAME = 86;
/** ICMPv6 types. */
export const NDP_TYPE = { solicitation: 135, advertisement: 136 } as const;
/** Flags of an advertisement (RFC 4861 §4.4). */
export const NA_FLAG = { router: 0x80, solicited: 0x40, override: 0x20 } as const;
/** Option types (RFC 4861 §4.6.1). */
export const NDP_OPTION = { sourceLinkLayer: 1, targetLinkLayer: 2 } as const;

/** Offsets of the fields in a frame. */
export const NDP_AT = {
  payloadLength: 18,
  nextHeader: 20,
  hopLimit: 21,
  source: 22,
  destination: 38,
  type: 54,
  code: 55,
  checksum: 56,
  flags: 58,
  target: 62,
  options: 78,
} as const;

/** `::`, the source of duplicate address detection. */
export const UNSPECIFIED: Uint8Array = new Uint8Array(16);
/** `ff02::1`, all nodes of the link. */
export const ALL_NODES: Uint8Array = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

const IPV6_HEADER = 40;
const ICMPV6 = 58;
const SMALLEST = 24;
const IPV6_PSEUDO_END = 54;

/** Why bytes are no valid neighbour solicitation or advertisement (RFC 4861 §7.1.1, §7.1.2). */
export type NdpFault =
  | EthernetFault
  | 'notIpv6'
  | 'notIcmpv6'
  | 'notNeighbourDiscovery'
  | 'payloadLength'
  | 'hopLimit'
  | 'code'
  | 'checksum'
  | 'targetMulticast'
  | 'sourceMulticast'
  | 'option'
  | 'dadDestination'
  | 'dadSourceLinkLayer'
  | 'solicitedMulticast';

/** A neighbour discovery message in a frame. */
export interface NdpPacket {
  readonly ethernet: { readonly destination: Uint8Array; readonly source: Uint8Array };
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly type: number;
  readonly flags: number;
  readonly target: Uint8Array;
  /** Source link-layer address of an NS, target link-layer address of an NA. */
  readonly linkLayer?: Uint8Array;
}

/** Checks a received frame by the rules of RFC 4861 §7.1; `undefined` when it is valid. Never throws. */
export function ndpFault(view: DataView, length: number): NdpFault | undefined {
  const fault = ethernetFault(view, length) ?? ipv6Fault(view, length);
  if (fault !== undefined) return fault;
  const payload = view.getUint16(NDP_AT.payloadLength);
  const type = view.getUint8(NDP_AT.type);
  if (type !== NDP_TYPE.solicitation && type !== NDP_TYPE.advertisement) return 'notNeighbourDiscovery';
  // Longer frames carry Ethernet padding; shorter ones were cut.
  if (payload < SMALLEST || ETHERNET_HEADER + IPV6_HEADER + payload > length) return 'payloadLength';
  if (view.getUint8(NDP_AT.hopLimit) !== 255) return 'hopLimit';
  if (view.getUint8(NDP_AT.code) !== 0) return 'code';
  if (icmpv6Checksum(view, payload) !== 0) return 'checksum';
  if (view.getUint8(NDP_AT.target) === 0xff) return 'targetMulticast';
  if (view.getUint8(NDP_AT.source) === 0xff) return 'sourceMulticast';
  if (!optionsWhole(view, payload)) return 'option';
  return type === NDP_TYPE.solicitation ? solicitationFault(view) : advertisementFault(view);
}

/**
 * Offset of the six bytes of a link-layer option in a message that `ndpFault` accepted; 0 when it has none. An option
 * of another length (InfiniBand) is none.
 */
export function linkLayerAt(view: DataView, option: number): number {
  const end = IPV6_PSEUDO_END + view.getUint16(NDP_AT.payloadLength);
  for (let at = NDP_AT.options; at + 8 <= end; at += view.getUint8(at + 1) * 8) {
    if (view.getUint8(at) === option && view.getUint8(at + 1) === 1) return at + 2;
  }
  return 0;
}

/** Whether the 16 bytes at `offset` are `::`. */
export function isUnspecifiedAt(view: DataView, offset: number): boolean {
  return (
    view.getUint32(offset) === 0 &&
    view.getUint32(offset + 4) === 0 &&
    view.getUint32(offset + 8) === 0 &&
    view.getUint32(offset + 12) === 0
  );
}

/** Reads a frame into its fields; the fault when it is not valid. Never throws. */
export function decodeNdp(frame: Uint8Array): NdpPacket | { readonly fault: NdpFault } {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const fault = ndpFault(view, frame.byteLength);
  if (fault !== undefined) return { fault };
  const type = view.getUint8(NDP_AT.type);
  const solicitation = type === NDP_TYPE.solicitation;
  const at = linkLayerAt(view, solicitation ? NDP_OPTION.sourceLinkLayer : NDP_OPTION.targetLinkLayer);
  return {
    ethernet: { destination: frame.slice(0, 6), source: frame.slice(6, 12) },
    source: frame.slice(NDP_AT.source, NDP_AT.destination),
    destination: frame.slice(NDP_AT.destination, NDP_AT.type),
    type,
    flags: solicitation ? 0 : view.getUint8(NDP_AT.flags),
    target: frame.slice(NDP_AT.target, NDP_AT.options),
    ...(at === 0 ? {} : { linkLayer: frame.slice(at, at + 6) }),
  };
}

/** A frame of the message, with its checksum. */
export function encodeNdp(packet: NdpPacket): Uint8Array {
  const payload = SMALLEST + (packet.linkLayer === undefined ? 0 : 8);
  const frame = new Uint8Array(IPV6_PSEUDO_END + payload);
  const view = new DataView(frame.buffer);
  writeEthernet(frame, { ...packet.ethernet, type: ETHERTYPE.ipv6 });
  frame[ETHERNET_HEADER] = 0x60;
  view.setUint16(NDP_AT.payloadLength, payload);
  frame[NDP_AT.nextHeader] = ICMPV6;
  frame[NDP_AT.hopLimit] = 255;
  frame.set(packet.source, NDP_AT.source);
  frame.set(packet.destination, NDP_AT.destination);
  frame[NDP_AT.type] = packet.type;
  frame[NDP_AT.flags] = packet.flags;
  frame.set(packet.target, NDP_AT.target);
  if (packet.linkLayer !== undefined) {
    const solicitation = packet.type === NDP_TYPE.solicitation;
    frame[NDP_AT.options] = solicitation ? NDP_OPTION.sourceLinkLayer : NDP_OPTION.targetLinkLayer;
    frame[NDP_AT.options + 1] = 1;
    frame.set(packet.linkLayer, NDP_AT.options + 2);
  }
  view.setUint16(NDP_AT.checksum, icmpv6Checksum(view, payload));
  return frame;
}

/**
 * A multicast solicitation for `target`. From `::` it is a probe for duplicates (RFC 4862 §5.4.2), which must not carry
 * the source link-layer address.
 */
export function solicitation(mac: Uint8Array, source: Uint8Array, target: Uint8Array): Uint8Array {
  const destination = solicitedNode(target);
  const probe = source.every((byte) => byte === 0);
  return encodeNdp({
    ethernet: { destination: multicastMac(destination), source: mac },
    source,
    destination,
    type: NDP_TYPE.solicitation,
    flags: 0,
    target,
    ...(probe ? {} : { linkLayer: mac }),
  });
}

/**
 * The unsolicited advertisement of a takeover: to all nodes, with Override (RFC 4861 §7.2.6). Like the kernel's own it
 * comes from the address that it advertises; some tools and switches distrust any other.
 */
export function unsolicitedAdvertisement(mac: Uint8Array, target: Uint8Array): Uint8Array {
  return encodeNdp({
    ethernet: { destination: multicastMac(ALL_NODES), source: mac },
    source: target,
    destination: ALL_NODES,
    type: NDP_TYPE.advertisement,
    flags: NA_FLAG.override,
    target,
    linkLayer: mac,
  });
}

/** An advertisement whose other fields `patchAdvertisement` fills in for each solicitation. */
export function advertisementTemplate(mac: Uint8Array): DataView {
  return new DataView(unsolicitedAdvertisement(mac, UNSPECIFIED).buffer as ArrayBuffer);
}

/**
 * Makes the template the answer to a valid solicitation (RFC 4861 §7.2.4): unicast to the one who asked with Solicited
 * and Override (we are the holder, not a proxy), at the link-layer address it gave or else that of its frame; to all
 * nodes without Solicited when it probes for duplicates from `::`. No allocation.
 */
export function patchAdvertisement(advertisement: DataView, solicitation: DataView): void {
  const probe = isUnspecifiedAt(solicitation, NDP_AT.source);
  const given = probe ? 0 : linkLayerAt(solicitation, NDP_OPTION.sourceLinkLayer);
  const mac = given === 0 ? 6 : given;
  advertisement.setUint32(0, probe ? 0x3333_0000 : solicitation.getUint32(mac));
  advertisement.setUint16(4, probe ? 1 : solicitation.getUint16(mac + 4));
  for (let i = 0; i < 16; i += 4) {
    const asker = solicitation.getUint32(NDP_AT.source + i);
    const all = i === 0 ? 0xff02_0000 : i === 12 ? 1 : 0;
    advertisement.setUint32(NDP_AT.destination + i, probe ? all : asker);
    const target = solicitation.getUint32(NDP_AT.target + i);
    advertisement.setUint32(NDP_AT.source + i, target);
    advertisement.setUint32(NDP_AT.target + i, target);
  }
  advertisement.setUint8(NDP_AT.flags, probe ? NA_FLAG.override : NA_FLAG.override | NA_FLAG.solicited);
  advertisement.setUint16(NDP_AT.checksum, 0);
  advertisement.setUint16(NDP_AT.checksum, icmpv6Checksum(advertisement, NDP_FRAME - IPV6_PSEUDO_END));
}

/**
 * The checksum over pseudo-header and message (RFC 4443 §2.3, RFC 8200 §8.1); over a message with its checksum in
 * place the result is 0 when that is right.
 */
export function icmpv6Checksum(view: DataView, payload: number): number {
  let sum = payload + ICMPV6;
  const end = IPV6_PSEUDO_END + payload;
  let at: number = NDP_AT.source;
  for (; at + 1 < end; at += 2) sum += view.getUint16(at);
  if (at < end) sum += view.getUint8(at) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function ipv6Fault(view: DataView, length: number): NdpFault | undefined {
  if (view.getUint16(12) !== ETHERTYPE.ipv6) return 'notIpv6';
  if (length < IPV6_PSEUDO_END + SMALLEST) return 'truncated';
  if (view.getUint8(ETHERNET_HEADER) >> 4 !== 6) return 'notIpv6';
  return view.getUint8(NDP_AT.nextHeader) === ICMPV6 ? undefined : 'notIcmpv6';
}

/** Whether every option has a length and ends inside the message (RFC 4861 §7.1: "all included options"). */
function optionsWhole(view: DataView, payload: number): boolean {
  const end = IPV6_PSEUDO_END + payload;
  let at: number = NDP_AT.options;
  while (at < end) {
    if (at + 2 > end) return false;
    const bytes = view.getUint8(at + 1) * 8;
    if (bytes === 0 || at + bytes > end) return false;
    at += bytes;
  }
  return true;
}

function solicitationFault(view: DataView): NdpFault | undefined {
  if (!isUnspecifiedAt(view, NDP_AT.source)) return undefined;
  const solicitedNodeGroup =
    view.getUint32(NDP_AT.destination) === 0xff02_0000 &&
    view.getUint32(NDP_AT.destination + 4) === 0 &&
    view.getUint32(NDP_AT.destination + 8) === 1 &&
    view.getUint8(NDP_AT.destination + 12) === 0xff;
  if (!solicitedNodeGroup) return 'dadDestination';
  return linkLayerAt(view, NDP_OPTION.sourceLinkLayer) === 0 ? undefined : 'dadSourceLinkLayer';
}

function advertisementFault(view: DataView): NdpFault | undefined {
  const multicast = view.getUint8(NDP_AT.destination) === 0xff;
  const solicited = (view.getUint8(NDP_AT.flags) & NA_FLAG.solicited) !== 0;
  return multicast && solicited ? 'solicitedMulticast' : undefined;
}
