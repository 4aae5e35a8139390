import { describe, expect, it } from 'vitest';
import { ipBytes, ipText, macText, NO_MAC } from '../codec/address.ts';
import { ARP_OP, arpAnnouncements, type ArpPacket, arpRequest, decodeArp, encodeArp } from '../codec/arp.ts';
import {
  decodeNdp,
  encodeNdp,
  NDP_TYPE,
  type NdpPacket,
  solicitation,
  UNSPECIFIED,
  unsolicitedAdvertisement,
} from '../codec/ndp.ts';
import { PER_ADDRESS } from './counters.ts';
import { type Claim, Responder } from './responder.ts';
import { aFrame, aMac, aPort, aWorkbench, type FakePort } from './testkit.ts';

const client = aMac('02:00:00:00:00:99');
const clientIp = ipBytes('192.0.2.99');
const service = ipBytes('192.0.2.10');
const clientIp6 = ipBytes('2001:db8::99');
const service6 = ipBytes('2001:db8::10');
const SLOT = 0;

/** A responder on one interface (or those given) that answers for the service's two addresses. */
function aResponder({ ports = [aPort()], interfaces }: { ports?: FakePort[]; interfaces?: string[] } = {}) {
  const { table, counters } = aWorkbench();
  const claims: Claim[] = [];
  const observer = { active: false, sawArp: () => undefined, sawNdp: () => undefined };
  const responder = new Responder({ table, counters, observer, onClaim: (claim) => claims.push(claim) });
  responder.setPorts(ports);
  table.put('192.0.2.10', SLOT, interfaces && new Set(interfaces));
  table.put('2001:db8::10', SLOT + 1, interfaces && new Set(interfaces));
  const port = ports[0]!;
  return {
    responder,
    counters,
    table,
    claims,
    port,
    arp: (frame: Uint8Array, on = port) => responder.arp(on, aFrame(frame)),
    ndp: (frame: Uint8Array, on = port) => responder.ndp(on, aFrame(frame)),
  };
}

const request = (fields: Partial<ArpPacket> = {}): Uint8Array =>
  encodeArp({ ...(decodeArp(arpRequest(client, clientIp, service)) as ArpPacket), ...fields });

describe('B91 the ARP responder', () => {
  it('answers a broadcast request with the MAC of the interface it came in on', () => {
    const { port, arp, counters } = aResponder();
    arp(request());
    expect(port.sent.map((frame) => decodeArp(frame))).toEqual([
      {
        destination: client,
        source: port.mac,
        op: ARP_OP.reply,
        sha: port.mac,
        spa: service,
        tha: client,
        tpa: clientIp,
      },
    ]);
    expect(counters.getFor(SLOT, PER_ADDRESS.requests)).toBe(1);
    expect(counters.getFor(SLOT, PER_ADDRESS.responses)).toBe(1);
  });

  it('answers a request to its own MAC, as a neighbour sends it to see whether we are still there', () => {
    const { port, arp } = aResponder();
    arp(request({ destination: port.mac }));
    expect(port.sent).toHaveLength(1);
  });

  it('answers a probe, which defends the address (RFC 5227 §2.1.1)', () => {
    const { port, arp, claims } = aResponder();
    arp(arpRequest(client, new Uint8Array(4), service));
    expect(decodeArp(port.sent[0]!)).toMatchObject({ tha: client, spa: service, tpa: new Uint8Array(4) });
    expect(claims).toEqual([]);
  });

  it.each([
    ['a request to another station', { destination: aMac('02:00:00:00:00:77') }],
    ['a request to a group', { destination: aMac('01:00:5e:00:00:01') }],
    ['a reply', { op: ARP_OP.reply, destination: aMac('02:00:00:00:00:01') }],
    ['an unknown address', { tpa: ipBytes('192.0.2.11') }],
    [
      'a frame of its own that came back',
      { source: aMac('02:00:00:00:00:01'), sha: aMac('02:00:00:00:00:01') },
    ],
  ])('does not answer %s', (_what, fields) => {
    const { port, arp } = aResponder();
    arp(request(fields));
    expect(port.sent).toEqual([]);
  });

  it('counts what it denies and what is malformed', () => {
    const { arp, counters } = aResponder();
    arp(request({ tpa: ipBytes('192.0.2.11') }));
    arp(request().subarray(0, 30));
    expect([
      counters.get('requestsDenied'),
      counters.get('framesMalformed'),
      counters.get('framesReceived'),
    ]).toEqual([1, 1, 2]);
  });

  it('B90 answers only on the interfaces of the address', () => {
    const ports = [aPort('eth0'), aPort('eth1', '02:00:00:00:00:02')];
    const { arp } = aResponder({ ports, interfaces: ['eth1'] });
    for (const port of ports) arp(request(), port);
    expect(ports.map(({ sent }) => sent.length)).toEqual([0, 1]);
  });

  it('stops when the address is withdrawn, and while it is muted', () => {
    const { port, arp, table, responder, counters } = aResponder();
    responder.muted = true;
    arp(request());
    expect(port.sent).toHaveLength(0);
    expect(counters.getFor(SLOT, PER_ADDRESS.requests)).toBe(1);
    responder.muted = false;
    arp(request());
    expect(port.sent).toHaveLength(1);
    table.remove('192.0.2.10');
    arp(request());
    expect(port.sent).toHaveLength(1);
  });

  it('counts an answer that the kernel refused as an error, not as a response', () => {
    const { port, arp, counters } = aResponder();
    port.down = true;
    arp(request());
    expect([counters.getFor(SLOT, PER_ADDRESS.responses), counters.get('sendErrors')]).toEqual([0, 1]);
  });

  it('finds each of 4,096 addresses', () => {
    const { port, arp, table } = aResponder();
    const address = (i: number): string => `10.8.${i >> 8}.${i & 255}`;
    for (let i = 0; i < 4096; i++) table.put(address(i), i, undefined);
    for (let i = 0; i < 4096; i++) arp(request({ tpa: ipBytes(address(i)) }));
    expect(port.sent).toHaveLength(4096);
    for (let i = 0; i < 4096; i += 2) table.remove(address(i));
    port.sent.length = 0;
    for (let i = 0; i < 4096; i++) arp(request({ tpa: ipBytes(address(i)) }));
    expect(port.sent).toHaveLength(2048);
  });
});

describe('claims of others for an announced address', () => {
  it.each([
    [
      'a reply',
      request({ op: ARP_OP.reply, spa: service, tpa: clientIp, destination: aMac('02:00:00:00:00:01') }),
      'arp-reply',
    ],
    ['a request in its name', request({ spa: service, tpa: ipBytes('192.0.2.1') }), 'arp-request'],
    ['an announcement as a request', arpAnnouncements(client, service)[0], 'arp-announcement'],
    ['an announcement as a reply', arpAnnouncements(client, service)[1], 'arp-announcement'],
  ])('show in %s', (_what, frame, by) => {
    const { arp, claims, port } = aResponder();
    arp(frame);
    expect(claims.map((claim) => [claim.entry.address, claim.mac, claim.by])).toEqual([
      ['192.0.2.10', '02:00:00:00:00:99', by],
    ]);
    expect(port.sent).toEqual([]);
  });

  it('show in an advertisement, with the MAC that it gives', () => {
    const { ndp, claims } = aResponder();
    ndp(unsolicitedAdvertisement(client, service6));
    expect(claims.map(({ mac, by }) => [mac, by])).toEqual([['02:00:00:00:00:99', 'na']]);
  });

  it('are not seen in our own announcements that a switch sends back, nor in those of other addresses', () => {
    const { arp, ndp, claims, port } = aResponder();
    arp(arpAnnouncements(port.mac, service)[0]);
    ndp(unsolicitedAdvertisement(port.mac, service6));
    arp(arpAnnouncements(client, ipBytes('192.0.2.11'))[0]);
    expect(claims).toEqual([]);
  });

  it('are not seen in announcements that arrive on another of our interfaces', () => {
    const ports = [aPort('eth0'), aPort('eth1', '02:00:00:00:00:02')];
    const { arp, claims } = aResponder({ ports });
    arp(arpAnnouncements(ports[0]!.mac, service)[0], ports[1]!);
    expect(claims).toEqual([]);
  });
});

describe('the NDP responder', () => {
  it('answers a multicast solicitation to the one who asked', () => {
    const { ndp, port, counters } = aResponder();
    ndp(solicitation(client, clientIp6, service6));
    const [answer] = port.sent.map((frame) => decodeNdp(frame) as NdpPacket);
    expect([macText(answer!.ethernet.destination), ipText(answer!.destination), answer!.flags]).toEqual([
      '02:00:00:00:00:99',
      '2001:db8::99',
      0x60,
    ]);
    expect(answer!.linkLayer).toEqual(port.mac);
    expect(counters.getFor(SLOT + 1, PER_ADDRESS.responses)).toBe(1);
  });

  it('answers a probe for duplicates to all nodes', () => {
    const { ndp, port } = aResponder();
    ndp(solicitation(client, UNSPECIFIED, service6));
    expect(port.sent.map((frame) => decodeNdp(frame))).toMatchObject([{ flags: 0x20 }]);
  });

  it.each([
    ['an unknown address', solicitation(client, clientIp6, ipBytes('2001:db8::11'))],
    [
      'one that differs only in what the table sorts by',
      solicitation(client, clientIp6, ipBytes('0:10:2001:db8::')),
    ],
    ['a solicitation to another station', toStation('02:00:00:00:00:77')],
    ['a solicitation that asks to answer to a group', amplified()],
  ])('does not answer %s', (_what, frame) => {
    const { ndp, port } = aResponder();
    ndp(frame);
    expect(port.sent).toEqual([]);
  });

  it('answers a solicitation to its own MAC', () => {
    const { ndp, port } = aResponder();
    ndp(toStation('02:00:00:00:00:01'));
    expect(port.sent).toHaveLength(1);
  });

  it('says nothing where IPv6 is not up', () => {
    const { ndp, port } = aResponder({ ports: [aPort('eth0', '02:00:00:00:00:01', '')] });
    ndp(solicitation(client, clientIp6, service6));
    expect(port.sent).toEqual([]);
  });
});

function toStation(mac: string): Uint8Array {
  return encodeNdp({
    ethernet: { destination: aMac(mac), source: client },
    source: clientIp6,
    destination: service6,
    type: NDP_TYPE.solicitation,
    flags: 0,
    target: service6,
  });
}

/** A hostile one: its source link-layer address is the broadcast address. */
function amplified(): Uint8Array {
  const frame = solicitation(client, clientIp6, service6);
  return encodeNdp({ ...(decodeNdp(frame) as NdpPacket), linkLayer: NO_MAC.map(() => 0xff) });
}
