import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cidr, ip, range } from '../../test/builders.ts';
import {
  familyOf,
  ipFromNumber,
  ipToNumber,
  parseCidr,
  parseIp,
  parseRange,
  rangeHas,
  rangeOfCidr,
  rangeText,
  type IpFamily,
} from './address.ts';

const anIp = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value) => ipFromNumber(value, 'IPv4')),
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value) => ipFromNumber(value, 'IPv6')),
);

describe('parseIp', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    [' 192.0.2.1\n', '192.0.2.1'],
    ['2001:DB8:0:0::0001', '2001:db8::1'],
    ['::', '::'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
  ])('reads %j as %s', (text, expected) => {
    expect(parseIp(text)).toBe(expected);
  });

  it.each([
    '',
    ' ',
    '192.0.2',
    '192.0.2.256',
    '010.0.0.1',
    '192.0.2.1/24',
    'fe80::1%eth0',
    '1::2::3',
    'localhost',
    '0x7f.1',
  ])('refuses %j', (text) => {
    expect(parseIp(text)).toBeUndefined();
  });

  it('and ipToNumber are the inverse of ipFromNumber, in one canonical form', () => {
    fc.assert(
      fc.property(anIp, (address) => {
        expect(parseIp(address)).toBe(address);
        expect(parseIp(address.toUpperCase())).toBe(address);
        expect(ipFromNumber(ipToNumber(address), familyOf(address))).toBe(address);
      }),
    );
  });
});

describe('parseCidr', () => {
  it.each([
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['10.1.2.3/8', '10.0.0.0/8'],
    [' 192.0.2.1/32 ', '192.0.2.1/32'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['2001:DB8::1/64', '2001:db8::/64'],
    ['::/0', '::/0'],
  ])('reads %j as %s', (text, expected) => {
    expect(parseCidr(text)).toBe(expected);
  });

  it.each([
    '',
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '2001:db8::/129',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    'all/0',
    '/8',
    '10.0.0.0/1e1',
  ])('refuses %j', (text) => {
    expect(parseCidr(text)).toBeUndefined();
  });

  it('gives a range that begins at the address it names and has a power of two of addresses', () => {
    fc.assert(
      fc.property(anIp, fc.nat({ max: 128 }), (address, length) => {
        const bits = familyOf(address) === 'IPv4' ? 32 : 128;
        const prefix = Math.min(length, bits);
        const parsed = cidr(`${address}/${prefix}`);
        const { first, last } = rangeOfCidr(parsed);
        expect(parsed).toBe(`${ipFromNumber(first, familyOf(address))}/${prefix}`);
        expect(last - first + 1n).toBe(2n ** BigInt(bits - prefix));
        expect(rangeHas(rangeOfCidr(parsed), address)).toBe(true);
      }),
    );
  });
});

describe('parseRange', () => {
  it.each([
    ['192.0.2.0/30', '192.0.2.0-192.0.2.3'],
    ['192.0.2.1-192.0.2.9', '192.0.2.1-192.0.2.9'],
    ['192.0.2.1 - 192.0.2.9', '192.0.2.1-192.0.2.9'],
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8::1-2001:db8::ff', '2001:db8::1-2001:db8::ff'],
    ['2001:db8::7/128', '2001:db8::7'],
  ])('reads %j as %s', (text, expected) => {
    expect(rangeText(range(text))).toBe(expected);
  });

  it.each([
    '',
    '-',
    '192.0.2.9-192.0.2.1',
    '192.0.2.1-',
    '-192.0.2.1',
    '192.0.2.1-2001:db8::1',
    '1.1.1.1-1.1.1.2-1.1.1.3',
    '192.0.2.0/24-192.0.3.0/24',
  ])('refuses %j', (text) => {
    expect(parseRange(text)).toBeUndefined();
  });

  it('has its ends and nothing beside them, and never an address of the other family', () => {
    const one = range('192.0.2.4-192.0.2.6');
    const has = ['192.0.2.3', '192.0.2.4', '192.0.2.6', '192.0.2.7', '::c000:204'].map((text) =>
      rangeHas(one, ip(text)),
    );
    expect(has).toEqual([false, true, true, false, false]);
  });
});

describe('familyOf', () => {
  it.each([
    ['192.0.2.1', 'IPv4'],
    ['::1', 'IPv6'],
  ] satisfies [string, IpFamily][])('of %s is %s', (text, family) => {
    expect(familyOf(ip(text))).toBe(family);
  });
});
