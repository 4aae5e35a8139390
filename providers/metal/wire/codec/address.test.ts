import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseIp } from '@berth/core';
import {
  ipBytes,
  ipText,
  isStation,
  macBytes,
  macText,
  multicastMac,
  parseMac,
  samePrefix,
  solicitedNode,
} from './address.ts';

describe('MAC addresses', () => {
  it.each([
    ['02:FC:00:00:00:01', '02:fc:00:00:00:01'],
    ['02-fc-00-00-00-01', '02:fc:00:00:00:01'],
    [' aa:bb:cc:dd:ee:ff ', 'aa:bb:cc:dd:ee:ff'],
  ])('reads %s as %s', (text, expected) => {
    expect(parseMac(text)).toBe(expected);
  });

  it.each(['', '02:fc:00:00:00', '02:fc:00:00:00:01:02', '0g:00:00:00:00:00', '2:fc:0:0:0:1'])(
    'refuses %j',
    (text) => {
      expect(parseMac(text)).toBeUndefined();
    },
  );

  it('survive bytes and back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
        expect(macBytes(macText(bytes))).toEqual(bytes);
      }),
    );
  });

  it.each([
    ['02:fc:00:00:00:01', true],
    ['00:00:00:00:00:01', true],
    ['00:00:00:00:00:00', false],
    ['ff:ff:ff:ff:ff:ff', false],
    ['33:33:00:00:00:01', false],
    ['01:00:5e:00:00:01', false],
  ])('knows that %s belongs to a station: %s', (text, expected) => {
    expect(isStation(macBytes(parseMac(text)!))).toBe(expected);
  });
});

describe('IP addresses', () => {
  it.each([
    ['10.0.0.255', [10, 0, 0, 255]],
    ['::', Array.from({ length: 16 }, () => 0)],
    ['fe80::1', [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
    ['2001:db8:1:2:3:4:5:6', [0x20, 1, 0x0d, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6]],
    ['::ffff:10.1.2.3', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3]],
  ])('%s becomes its bytes', (text, bytes) => {
    expect([...ipBytes(text)]).toEqual(bytes);
  });

  it.each(['', '10.0.0', '10.0.0.256', 'fe80::1%eth0', '1::2::3', 'name'])('%j is refused', (text) => {
    expect(() => ipBytes(text)).toThrow(RangeError);
  });

  it('have the same text as the core gives them, and survive text and back', () => {
    const sized = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const sparse = fc.array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 });
    const any = fc.oneof(
      sized(4),
      sized(16),
      sparse.map((bytes) => Uint8Array.from(bytes)),
    );
    fc.assert(
      fc.property(any, (bytes) => {
        expect(ipBytes(ipText(bytes))).toEqual(bytes);
        expect(ipText(bytes)).toBe(parseIp(ipText(bytes)));
      }),
    );
  });

  it('map to their solicited-node group and its Ethernet address (RFC 4291 §2.7.1, RFC 2464 §7)', () => {
    const group = solicitedNode(ipBytes('4037::1:800:200e:8c6c'));
    expect(ipText(group)).toBe('ff02::1:ff0e:8c6c');
    expect(macText(multicastMac(group))).toBe('33:33:ff:0e:8c:6c');
  });

  it.each([
    { a: '10.0.0.1', b: '10.0.0.200', bits: 24, expected: true },
    { a: '10.0.0.1', b: '10.0.1.1', bits: 24, expected: false },
    { a: '10.0.0.1', b: '10.0.1.1', bits: 23, expected: true },
    { a: '10.0.0.1', b: '11.0.0.1', bits: 0, expected: true },
    { a: '10.0.0.1', b: '10.0.0.2', bits: 32, expected: false },
    { a: '2001:db8::1', b: '2001:db8::2', bits: 64, expected: true },
    { a: '2001:db8::1', b: '10.0.0.1', bits: 0, expected: false },
  ])('$a and $b share their first $bits bits: $expected', ({ a, b, bits, expected }) => {
    expect(samePrefix(ipBytes(a), ipBytes(b), bits)).toBe(expected);
  });
});
