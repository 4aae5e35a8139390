import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipBytes, macBytes, parseMac } from './address.ts';
import { arpAnnouncements, arpRequest } from './arp.ts';
import { arpFilter, assemble, cover, DENY_ALL, type Instruction, ndpFilter } from './filter.ts';
import { solicitation, unsolicitedAdvertisement } from './ndp.ts';

const mac = macBytes(parseMac('02:00:00:00:00:01')!);
const number = (ip: string): number => new DataView(ipBytes(ip).buffer).getUint32(0);
const lastWord = (ip: string): number => new DataView(ipBytes(ip).buffer).getUint32(12);

/** Runs a program as the kernel would (Documentation/networking/filter.rst); the bytes let through, 0 for none. */
function run(program: readonly Instruction[], frame: Uint8Array, packetType = 0): number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  let a = 0;
  for (let at = 0; ; at++) {
    const [code, jt, jf, k] = program[at]!;
    if (code === 0x06) return k;
    if (code === 0x54) a = (a & k) >>> 0;
    else if (code === 0x15) at += a === k ? jt : jf;
    else if (code === 0x25) at += a > k ? jt : jf;
    else if (k >= 0xffff_f000) a = packetType;
    else {
      const size = { 0x20: 4, 0x28: 2, 0x30: 1 }[code]!;
      if (k + size > frame.length) return 0;
      a = size === 4 ? view.getUint32(k) : size === 2 ? view.getUint16(k) : view.getUint8(k);
    }
  }
}

describe('the ARP filter', () => {
  const program = arpFilter([number('192.0.2.10')]);
  const from = ipBytes('192.0.2.99');

  it.each([
    ['a request for our address', arpRequest(mac, from, ipBytes('192.0.2.10')), true],
    ['a request for another', arpRequest(mac, from, ipBytes('192.0.2.11')), false],
    ['a request of somebody with our address', arpRequest(mac, ipBytes('192.0.2.10'), from), true],
    ['an announcement of our address', arpAnnouncements(mac, ipBytes('192.0.2.10'))[1], true],
    ['an announcement of another', arpAnnouncements(mac, ipBytes('192.0.2.11'))[1], false],
    ['a frame that is cut', arpRequest(mac, from, ipBytes('192.0.2.10')).subarray(0, 30), false],
    ['IPv6', solicitation(mac, ipBytes('fe80::1'), ipBytes('fe80::2')), false],
  ])('decides on %s: %s', (_what, frame, expected) => {
    expect(run(program, frame) > 0).toBe(expected);
  });

  it.each([
    ['for this host', 0, true],
    ['broadcast', 1, true],
    ['for somebody else (a VLAN without an interface, a promiscuous one)', 3, false],
    ['sent by this host', 4, false],
  ])('decides on a frame %s: %s', (_what, packetType, expected) => {
    expect(run(program, arpRequest(mac, from, ipBytes('192.0.2.10')), packetType) > 0).toBe(expected);
  });

  it('without addresses lets nothing through', () => {
    expect(arpFilter([])).toEqual(DENY_ALL);
    expect(run(arpFilter([]), arpRequest(mac, from, from))).toBe(0);
  });
});

describe('the NDP filter', () => {
  const program = ndpFilter([lastWord('2001:db8::10')]);
  const asker = ipBytes('2001:db8::99');

  it.each([
    ['a solicitation for our address', solicitation(mac, asker, ipBytes('2001:db8::10')), true],
    ['a probe for our address', solicitation(mac, new Uint8Array(16), ipBytes('2001:db8::10')), true],
    ['an advertisement of our address', unsolicitedAdvertisement(mac, ipBytes('2001:db8::10')), true],
    ['a solicitation for another', solicitation(mac, asker, ipBytes('2001:db8::11')), false],
    ['an ARP request', arpRequest(mac, ipBytes('10.0.0.1'), ipBytes('10.0.0.2')), false],
  ])('decides on %s: %s', (_what, frame, expected) => {
    expect(run(program, frame) > 0).toBe(expected);
  });

  it('lets other ICMPv6 and other protocols pass by', () => {
    const frame = solicitation(mac, asker, ipBytes('2001:db8::10'));
    for (const [at, byte] of [
      [54, 128],
      [54, 134],
      [20, 6],
    ] as const) {
      const other = frame.slice();
      other[at] = byte;
      expect(run(program, other)).toBe(0);
    }
  });
});

describe('filters of many addresses', () => {
  it('stay short and miss none of them', () => {
    const addresses = fc.array(fc.nat(0xffff_ffff), { minLength: 1, maxLength: 400 });
    fc.assert(
      fc.property(addresses, fc.nat(), (numbers, pick) => {
        const program = arpFilter(numbers);
        const bytes = new Uint8Array(4);
        new DataView(bytes.buffer).setUint32(0, numbers[pick % numbers.length]!);
        expect(program.length).toBeLessThan(300);
        expect(run(program, arpRequest(mac, ipBytes('10.0.0.1'), bytes))).toBeGreaterThan(0);
      }),
    );
  });

  it('are exact while the addresses are few, and as narrow as the limit allows when they are 4,096', () => {
    expect(cover([1, 2, 3], 4)).toEqual({ mask: 0xffff_ffff, values: [1, 2, 3] });
    const { mask, values } = cover(Array.from({ length: 4096 }, (_, i) => number('10.1.0.0') + i));
    expect(mask).toBe(0xffff_ffc0);
    expect(values).toHaveLength(64);
  });

  it('become the kernel’s bytes', () => {
    expect([...assemble([[0x15, 1, 2, 0x0102_0304]])]).toEqual([0x15, 0, 1, 2, 4, 3, 2, 1]);
  });
});
