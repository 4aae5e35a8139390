import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BROADCAST, ipBytes, macBytes, NO_MAC, parseMac } from './address.ts';
import {
  ARP_FRAME,
  ARP_OP,
  arpAnnouncements,
  arpFault,
  arpMeaning,
  arpReplyTemplate,
  arpRequest,
  decodeArp,
  encodeArp,
  patchArpReply,
} from './arp.ts';

const us = macBytes(parseMac('02:00:00:00:00:01')!);
const them = macBytes(parseMac('02:00:00:00:00:02')!);
const service = ipBytes('192.0.2.10');
const client = ipBytes('192.0.2.99');
/** Bytes in rows, one for each field or header. */
const rows = (...parts: readonly (readonly number[])[]): Uint8Array => Uint8Array.from(parts.flat());
const view = (frame: Uint8Array): DataView => new DataView(frame.buffer, frame.byteOffset, frame.byteLength);

/** A request of the client for the service's address, byte by byte. */
const request = rows(
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff], // destination
  [0x02, 0, 0, 0, 0, 0x02], // source
  [0x08, 0x06], // EtherType
  [0, 1, 0x08, 0, 6, 4], // hrd, pro, hln, pln
  [0, 1], // op
  [0x02, 0, 0, 0, 0, 0x02], // sha
  [192, 0, 2, 99], // spa
  [0, 0, 0, 0, 0, 0], // tha
  [192, 0, 2, 10], // tpa
);

/** The request with some bytes changed. */
const changed = (at: number, ...bytes: readonly number[]): Uint8Array => {
  const frame = request.slice();
  frame.set(bytes, at);
  return frame;
};

describe('ARP packets', () => {
  it('have the bytes of RFC 826', () => {
    expect(arpRequest(them, client, service)).toEqual(request);
    expect(decodeArp(request)).toEqual({
      destination: BROADCAST,
      source: them,
      op: ARP_OP.request,
      sha: them,
      spa: client,
      tha: NO_MAC,
      tpa: service,
    });
  });

  it('are answered from a template: sender and target swapped, to the hardware address that asked', () => {
    const reply = arpReplyTemplate(us);
    patchArpReply(reply, view(request));
    expect(decodeArp(new Uint8Array(reply.buffer))).toEqual({
      destination: them,
      source: us,
      op: ARP_OP.reply,
      sha: us,
      spa: service,
      tha: them,
      tpa: client,
    });
  });

  it('announce an address as a request and as a reply, both to everybody', () => {
    const [asRequest, asReply] = arpAnnouncements(us, service).map((frame) => decodeArp(frame));
    const common = { destination: BROADCAST, source: us, sha: us, spa: service, tpa: service };
    expect(asRequest).toEqual({ ...common, op: ARP_OP.request, tha: NO_MAC });
    expect(asReply).toEqual({ ...common, op: ARP_OP.reply, tha: BROADCAST });
  });

  it.each([
    ['a request', request, 'request'],
    ['a reply', changed(20, 0, 2), 'reply'],
    ['a probe: no sender (RFC 5227 §1.1)', changed(28, 0, 0, 0, 0), 'probe'],
    ['an announcement as a request', changed(28, 192, 0, 2, 10), 'announcement'],
    ['an announcement as a reply', arpAnnouncements(us, service)[1], 'announcement'],
  ])('are told apart: %s', (_what, frame, meaning) => {
    expect(arpFault(view(frame), frame.length)).toBeUndefined();
    expect(arpMeaning(view(frame))).toBe(meaning);
  });

  it.each([
    ['nothing', new Uint8Array(0), 'truncated'],
    ['half an Ethernet header', request.subarray(0, 13), 'truncated'],
    ['a packet that ends in its target', request.subarray(0, ARP_FRAME - 1), 'truncated'],
    ['an 802.1Q tag', changed(12, 0x81, 0x00), 'vlanTagged'],
    ['an 802.1ad tag', changed(12, 0x88, 0xa8), 'vlanTagged'],
    ['an 802.3 length', changed(12, 0, 28), 'notEthernet2'],
    ['another EtherType', changed(12, 0x08, 0x00), 'notArp'],
    ['hardware that is not Ethernet', changed(14, 0, 6), 'notIpv4OverEthernet'],
    ['a protocol that is not IPv4', changed(16, 0x86, 0xdd), 'notIpv4OverEthernet'],
    ['hardware addresses of another size', changed(18, 8), 'notIpv4OverEthernet'],
    ['protocol addresses of another size', changed(19, 16), 'notIpv4OverEthernet'],
    ['a RARP operation', changed(20, 0, 3), 'operation'],
    ['operation 0', changed(20, 0, 0), 'operation'],
    [
      'a sender that is the broadcast address',
      changed(22, 255, 255, 255, 255, 255, 255),
      'senderNotAStation',
    ],
    ['a sender that is a group', changed(22, 0x01, 0, 0x5e, 0, 0, 1), 'senderNotAStation'],
    ['a sender that is nobody', changed(22, 0, 0, 0, 0, 0, 0), 'senderNotAStation'],
  ])('refuses %s', (_what, frame, fault) => {
    expect(decodeArp(frame)).toEqual({ fault });
  });

  it('ignores the padding that Ethernet adds', () => {
    const padded = new Uint8Array(60);
    padded.set(request);
    expect(decodeArp(padded)).toEqual(decodeArp(request));
  });

  it('believes the length it is told, not what lies behind it in the buffer', () => {
    expect(arpFault(view(request), ARP_FRAME - 1)).toBe('truncated');
    expect(arpFault(view(request.subarray(0, 20)), ARP_FRAME)).toBe('truncated');
  });

  it('survive encoding and back', () => {
    const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const station = bytes(6).map((mac) => Uint8Array.of(0x02, ...mac.subarray(1)));
    const packets = fc.record({
      destination: bytes(6),
      source: bytes(6),
      op: fc.constantFrom(1, 2),
      sha: station,
      spa: bytes(4),
      tha: bytes(6),
      tpa: bytes(4),
    });
    fc.assert(
      fc.property(packets, (packet) => {
        expect(decodeArp(encodeArp(packet))).toEqual(packet);
      }),
    );
  });

  it('never throws, whatever arrives', () => {
    const noise = fc.uint8Array({ maxLength: 80 });
    const almost = fc
      .tuple(fc.nat(60), fc.nat(255), fc.nat(60))
      .map(([at, byte, length]) => changed(Math.min(at, ARP_FRAME - 1), byte).subarray(0, length));
    fc.assert(
      fc.property(fc.oneof(noise, almost), (frame) => {
        const packet = decodeArp(frame);
        expect('fault' in packet ? packet.fault.length : packet.sha.length).toBeGreaterThan(0);
      }),
      { numRuns: 2000 },
    );
  });
});
