import { describe, expect, it } from 'vitest';
import { ipBytes, ipText } from '../codec/address.ts';
import { ARP_OP, arpAnnouncements, type ArpPacket, arpRequest, decodeArp, encodeArp } from '../codec/arp.ts';
import {
  decodeNdp,
  type NdpPacket,
  solicitation,
  UNSPECIFIED,
  unsolicitedAdvertisement,
} from '../codec/ndp.ts';
import type { AddressUser, Mac } from '../types.ts';
import { type Look, Looker } from './looker.ts';
import { aFrame, aMac, aPort, aWorkbench } from './testkit.ts';

const stranger = aMac('02:00:00:00:00:99');
const MAC = '02:00:00:00:00:99' as Mac;
const address = ipBytes('192.0.2.10');
const address6 = ipBytes('2001:db8::10');

function aLooker(look: Partial<Look> = {}) {
  const { time } = aWorkbench();
  const port = aPort();
  const answers: (AddressUser | undefined)[] = [];
  let changes = 0;
  const looker = new Looker({ timers: time.timers, now: time.read, onChange: () => changes++ });
  const forget = looker.look({
    address,
    mode: 'probe',
    ports: [port],
    ignore: new Set(),
    done: (user) => answers.push(user),
    ...look,
  });
  return { looker, time, port, answers, forget, changes: () => changes };
}

const reply = encodeArp({
  destination: aMac('02:00:00:00:00:01'),
  source: stranger,
  op: ARP_OP.reply,
  sha: stranger,
  spa: address,
  tha: aMac('02:00:00:00:00:01'),
  tpa: new Uint8Array(4),
});

describe('looking for an address', () => {
  it('probes three times, 100 ms apart, without a sender address (RFC 5227 §2.1.1), and then waits', () => {
    const { time, port, answers } = aLooker();
    const sent = [0, 99, 1, 100, 149].map((ms) => {
      time.pass(ms);
      return port.sent.length;
    });
    expect(sent).toEqual([1, 1, 2, 3, 3]);
    expect(port.sent.map((frame) => ipText((decodeArp(frame) as ArpPacket).spa))).toEqual(
      Array(3).fill('0.0.0.0'),
    );
    expect(answers).toEqual([]);
    time.pass(1);
    expect(answers).toEqual([undefined]);
  });

  it.each([
    ['a reply', reply],
    ['an announcement', arpAnnouncements(stranger, address)[0]],
    ['a request in the name of the address', arpRequest(stranger, address, ipBytes('192.0.2.1'))],
    ['a probe of somebody else for it', arpRequest(stranger, new Uint8Array(4), address)],
  ])('ends a probe with %s', (_what, frame) => {
    const { looker, time, port, answers } = aLooker();
    time.pass(0);
    looker.sawArp(port, aFrame(frame));
    expect(answers).toEqual([{ mac: MAC, interface: 'eth0' }]);
    expect(looker.active).toBe(false);
    time.pass(1000);
    expect([port.sent.length, answers.length]).toEqual([1, 1]);
  });

  it.each([
    ['frames about other addresses', arpAnnouncements(stranger, ipBytes('192.0.2.11'))[0]],
    ['a request for it that is no probe', arpRequest(stranger, ipBytes('192.0.2.2'), address)],
  ])('is not ended by %s', (_what, frame) => {
    const { looker, time, port, answers } = aLooker();
    looker.sawArp(port, aFrame(frame));
    time.pass(350);
    expect(answers).toEqual([undefined]);
  });

  it('overlooks our other speakers and interfaces that were not asked on', () => {
    const { looker, time, port, answers } = aLooker({ ignore: new Set([MAC]) });
    looker.sawArp(port, aFrame(reply));
    time.pass(350);
    expect(answers).toEqual([undefined]);
    const other = aLooker();
    other.looker.sawArp(aPort('eth1'), aFrame(reply));
    other.time.pass(350);
    expect(other.answers).toEqual([undefined]);
  });

  it('probes an IPv6 address as duplicate detection does (RFC 4862 §5.4.2)', () => {
    const { time, port, answers } = aLooker({ address: address6 });
    time.pass(350);
    expect(port.sent.map((frame) => decodeNdp(frame))).toMatchObject(
      [1, 2, 3].map(() => ({ source: UNSPECIFIED, target: address6 })),
    );
    expect(answers).toEqual([undefined]);
  });

  it.each([
    ['an advertisement', unsolicitedAdvertisement(stranger, address6), { mac: MAC, interface: 'eth0' }],
    [
      'another’s duplicate detection',
      solicitation(stranger, UNSPECIFIED, address6),
      { mac: MAC, interface: 'eth0' },
    ],
    ['an ordinary solicitation', solicitation(stranger, ipBytes('2001:db8::1'), address6), undefined],
    [
      'an advertisement of another address',
      unsolicitedAdvertisement(stranger, ipBytes('2001:db8::11')),
      undefined,
    ],
  ])('judges %s', (_what, frame, expected) => {
    const { looker, time, port, answers } = aLooker({ address: address6 });
    looker.sawNdp(port, aFrame(frame));
    time.pass(350);
    expect(answers).toEqual([expected]);
  });

  it('resolves with an address of the interface, and takes no probe for an answer', () => {
    const { looker, time, port, answers } = aLooker({ mode: 'resolve' });
    time.pass(0);
    expect(ipText((decodeArp(port.sent[0]!) as ArpPacket).spa)).toBe('192.0.2.1');
    looker.sawArp(port, aFrame(arpRequest(stranger, new Uint8Array(4), address)));
    expect(answers).toEqual([]);
    looker.sawArp(port, aFrame(reply));
    expect(answers).toEqual([{ mac: MAC, interface: 'eth0' }]);
  });

  it('resolves an IPv6 address from the link-local one', () => {
    const { time, port } = aLooker({ mode: 'resolve', address: address6 });
    time.pass(0);
    expect(ipText((decodeNdp(port.sent[0]!) as NdpPacket).source)).toBe('fe80::1');
  });

  it('keeps several questions apart, says which addresses are looked for, and can be told to forget one', () => {
    const { looker, time, answers, forget, changes } = aLooker();
    const second: unknown[] = [];
    const done = (user: unknown): number => second.push(user);
    looker.look({ address: address6, mode: 'probe', ports: [], ignore: new Set(), done });
    expect(looker.addresses()).toEqual([address, address6]);
    forget();
    expect(looker.addresses()).toEqual([address6]);
    time.pass(350);
    expect([answers, second, looker.active, changes()]).toEqual([[], [undefined], false, 4]);
  });
});
