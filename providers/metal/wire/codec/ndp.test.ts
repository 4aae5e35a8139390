import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipBytes, macBytes, multicastMac, parseMac, solicitedNode } from './address.ts';
import {
  ALL_NODES,
  advertisementTemplate,
  decodeNdp,
  encodeNdp,
  icmpv6Checksum,
  NA_FLAG,
  NDP_TYPE,
  type NdpPacket,
  ndpFault,
  patchAdvertisement,
  solicitation,
  unsolicitedAdvertisement,
  UNSPECIFIED,
} from './ndp.ts';

const us = macBytes(parseMac('02:00:00:00:00:01')!);
const them = macBytes(parseMac('02:00:00:00:00:02')!);
const client = ipBytes('2001:db8::99');
const service = ipBytes('2001:db8::10');
/** Bytes in rows, one for each field or header. */
const rows = (...parts: readonly (readonly number[])[]): Uint8Array => Uint8Array.from(parts.flat());
const view = (frame: Uint8Array): DataView => new DataView(frame.buffer, frame.byteOffset, frame.byteLength);

/** A multicast solicitation of the client for the service's address, byte by byte. */
const asked = rows(
  [0x33, 0x33, 0xff, 0, 0, 0x10, 0x02, 0, 0, 0, 0, 0x02, 0x86, 0xdd], // Ethernet
  [0x60, 0, 0, 0, 0, 32, 58, 255], // version, payload length, next header, hop limit
  [...client],
  [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0x10], // ff02::1:ff00:10
  [135, 0, 0x28, 0x04, 0, 0, 0, 0], // type, code, checksum, reserved
  [...service],
  [1, 1, 0x02, 0, 0, 0, 0, 0x02], // source link-layer address
);

/** The solicitation with some bytes changed and its checksum made right again. */
const changed = (at: number, ...bytes: readonly number[]): Uint8Array => {
  const frame = asked.slice();
  frame.set(bytes, at);
  return summed(frame);
};

function summed(frame: Uint8Array): Uint8Array {
  view(frame).setUint16(56, 0);
  view(frame).setUint16(56, icmpv6Checksum(view(frame), frame.length - 54));
  return frame;
}

const answer = (to: Uint8Array): NdpPacket => {
  const template = advertisementTemplate(us);
  patchAdvertisement(template, view(to));
  return decodeNdp(new Uint8Array(template.buffer)) as NdpPacket;
};

describe('neighbour discovery messages', () => {
  it('have the bytes of RFC 4861 §4.3, checksum included', () => {
    // Independent of the code under test: the one's complement sum over pseudo-header and message.
    const words = [...client, ...asked.subarray(38, 54), 0, 32, 0, 58, 135, 0, 0, 0, ...asked.subarray(58)];
    let sum = 0;
    for (let i = 0; i < words.length; i += 2) sum += words[i]! * 256 + words[i + 1]!;
    const checksum = 0xffff - (sum % 0xffff);
    expect(solicitation(them, client, service)).toEqual(
      Uint8Array.from(asked, (byte, at) => (at === 56 ? checksum >> 8 : at === 57 ? checksum & 0xff : byte)),
    );
    expect(view(solicitation(them, client, service)).getUint16(56)).toBe(checksum);
  });

  it('are answered to the one who asked, with Solicited and Override, from the address itself', () => {
    expect(answer(summed(asked.slice()))).toEqual({
      ethernet: { destination: them, source: us },
      source: service,
      destination: client,
      type: NDP_TYPE.advertisement,
      flags: NA_FLAG.solicited | NA_FLAG.override,
      target: service,
      linkLayer: us,
    });
  });

  it('are answered at the address of their frame when they bring no link-layer option (unicast solicitation)', () => {
    const bare = encodeNdp({
      ethernet: { destination: us, source: them },
      source: client,
      destination: service,
      type: NDP_TYPE.solicitation,
      flags: 0,
      target: service,
    });
    expect(answer(bare)).toMatchObject({ ethernet: { destination: them }, destination: client, flags: 0x60 });
  });

  it('are answered to all nodes without Solicited when somebody probes for duplicates (RFC 4862 §5.4.3)', () => {
    const probe = solicitation(them, UNSPECIFIED, service);
    expect(decodeNdp(probe)).toMatchObject({ destination: solicitedNode(service) });
    expect(decodeNdp(probe)).not.toHaveProperty('linkLayer');
    expect(answer(probe)).toMatchObject({
      ethernet: { destination: multicastMac(ALL_NODES), source: us },
      destination: ALL_NODES,
      flags: NA_FLAG.override,
      target: service,
      linkLayer: us,
    });
  });

  it('reuse one template for answers of both kinds', () => {
    const template = advertisementTemplate(us);
    const read = (): NdpPacket => decodeNdp(new Uint8Array(template.buffer)) as NdpPacket;
    patchAdvertisement(template, view(solicitation(them, UNSPECIFIED, service)));
    patchAdvertisement(template, view(solicitation(them, client, service)));
    expect(read()).toEqual(answer(solicitation(them, client, service)));
    patchAdvertisement(template, view(solicitation(them, UNSPECIFIED, service)));
    expect(read()).toEqual(answer(solicitation(them, UNSPECIFIED, service)));
  });

  it('tell all nodes of a takeover with Override (RFC 4861 §7.2.6)', () => {
    expect(decodeNdp(unsolicitedAdvertisement(us, service))).toEqual({
      ethernet: { destination: Uint8Array.of(0x33, 0x33, 0, 0, 0, 1), source: us },
      source: service,
      destination: ALL_NODES,
      type: NDP_TYPE.advertisement,
      flags: NA_FLAG.override,
      target: service,
      linkLayer: us,
    });
  });

  it.each([
    ['nothing', new Uint8Array(0), 'truncated'],
    ['a header without a message', asked.subarray(0, 60), 'truncated'],
    ['an 802.1Q tag', changed(12, 0x81, 0x00), 'vlanTagged'],
    ['IPv4', changed(12, 0x08, 0x00), 'notIpv6'],
    ['IP version 4 under IPv6’s EtherType', changed(14, 0x45), 'notIpv6'],
    ['TCP', changed(20, 6), 'notIcmpv6'],
    ['a hop-by-hop header before ICMPv6', changed(20, 0), 'notIcmpv6'],
    ['a fragment (RFC 6980)', changed(20, 44), 'notIcmpv6'],
    ['an echo request', changed(54, 128), 'notNeighbourDiscovery'],
    ['a router advertisement', changed(54, 134), 'notNeighbourDiscovery'],
    ['a payload longer than the frame', changed(18, 0, 40), 'payloadLength'],
    ['a payload of 65,535 bytes', changed(18, 255, 255), 'payloadLength'],
    ['a payload too short for a target', changed(18, 0, 16), 'payloadLength'],
    ['a hop limit below 255', changed(21, 254), 'hopLimit'],
    ['another code', changed(55, 1), 'code'],
    [
      'a wrong checksum',
      Uint8Array.from(changed(0), (byte, at) => (at === 57 ? byte ^ 1 : byte)),
      'checksum',
    ],
    ['a group as its target', changed(62, 0xff, 2), 'targetMulticast'],
    ['a group as its source', changed(22, 0xff, 2), 'sourceMulticast'],
    ['an option of length 0', changed(79, 0), 'option'],
    ['an option that ends outside', changed(79, 2), 'option'],
    ['a duplicate probe to one node', dad(ipBytes('2001:db8::10'), false), 'dadDestination'],
    ['a duplicate probe with a link-layer option', dad(solicitedNode(service), true), 'dadSourceLinkLayer'],
    ['an advertisement to a group with Solicited', toGroup(), 'solicitedMulticast'],
  ])('refuses %s', (_what, frame, fault) => {
    expect(decodeNdp(frame)).toEqual({ fault });
  });

  it('ignores padding behind the message, and options that it does not know', () => {
    const padded = new Uint8Array(120);
    padded.set(summed(asked.slice()));
    expect(decodeNdp(padded)).toEqual(decodeNdp(summed(asked.slice())));
    const nonce = new Uint8Array(94);
    nonce.set(asked);
    nonce.set([14, 1, 1, 2, 3, 4, 5, 6], 78); // RFC 3971 nonce before the link-layer address
    nonce.set(asked.subarray(78), 86);
    nonce[19] = 40;
    expect(decodeNdp(summed(nonce))).toMatchObject({ linkLayer: them, target: service });
  });

  it('survive encoding and back', () => {
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const unicast = bytes(16).map((ip) => Uint8Array.of(0x20, ...ip.subarray(1)));
    const ethernet = fc.record({ destination: bytes(6), source: bytes(6) });
    const messages = fc.record({
      ethernet,
      source: unicast,
      destination: unicast,
      type: fc.constant(NDP_TYPE.advertisement),
      flags: fc.constantFrom(0, 0x20, 0x40, 0x60, 0x80, 0xe0),
      target: unicast,
      linkLayer: bytes(6),
    });
    fc.assert(
      fc.property(messages, (message) => {
        expect(decodeNdp(encodeNdp(message))).toEqual(message);
      }),
    );
  });

  it('never throws, whatever arrives', () => {
    const noise = fc.uint8Array({ maxLength: 200 });
    const almost = fc
      .tuple(fc.nat(85), fc.nat(255), fc.nat(100))
      .map(([at, byte, length]) => changed(at, byte).subarray(0, length));
    fc.assert(
      fc.property(fc.oneof(noise, almost), (frame) => {
        const message = decodeNdp(frame);
        expect('fault' in message ? message.fault.length : message.target.length).toBeGreaterThan(0);
        expect(ndpFault(view(frame), frame.length + 1)).toBeTypeOf('string');
      }),
      { numRuns: 2000 },
    );
  });
});

function dad(destination: Uint8Array, linkLayer: boolean): Uint8Array {
  return encodeNdp({
    ethernet: { destination: us, source: them },
    source: UNSPECIFIED,
    destination,
    type: NDP_TYPE.solicitation,
    flags: 0,
    target: service,
    ...(linkLayer ? { linkLayer: them } : {}),
  });
}

function toGroup(): Uint8Array {
  return encodeNdp({
    ethernet: { destination: multicastMac(ALL_NODES), source: them },
    source: client,
    destination: ALL_NODES,
    type: NDP_TYPE.advertisement,
    flags: NA_FLAG.solicited,
    target: service,
    linkLayer: them,
  });
}
