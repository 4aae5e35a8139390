import { deflateRawSync } from 'node:zlib';
import { assert, json, oneof, property, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeTold, digestOf, encodeTold, type Told } from './payload.ts';
import { MAX_PAYLOAD } from '../wire/types.ts';
import { ip } from './testkit.ts';

const told: Told = {
  sequence: 7,
  claims: new Map([
    [ip('192.0.2.1'), { epoch: 3, seen: 2, ceding: false, probing: false }],
    [ip('2001:db8::1'), { epoch: 3, seen: 2, ceding: false, probing: false }],
    [ip('192.0.2.9'), { epoch: 4, seen: 3, ceding: true, probing: false }],
    [ip('192.0.2.8'), { epoch: 4, seen: 3, ceding: false, probing: true }],
  ]),
  conflicts: new Set([ip('192.0.2.7')]),
  interfaces: [{ name: 'eth0', arp: true, ndp: false }],
  macs: ['02:fc:00:00:00:01'],
};

/** The bytes with one member replaced. */
function withMember(name: string, value: unknown): Uint8Array {
  const raw = JSON.parse(Buffer.from(encodeTold(told)).toString()) as Record<string, unknown>;
  return Buffer.from(JSON.stringify({ ...raw, [name]: value }));
}

describe('what speakers tell each other', () => {
  it('is read as it was written', () => {
    expect(decodeTold(encodeTold(told))).toEqual(told);
  });

  it('has the same bytes, and so the same digest, in whatever order the claims are', () => {
    const turned = { ...told, claims: new Map([...told.claims].toReversed()) };
    expect(digestOf(encodeTold(turned))).toEqual(digestOf(encodeTold(told)));
    expect(digestOf(encodeTold({ ...told, sequence: 8 }))).not.toEqual(digestOf(encodeTold(told)));
    expect(digestOf(encodeTold(told))).toHaveLength(16);
  });

  it('fits into a message also for thousands of addresses', () => {
    const claims = new Map(
      Array.from({ length: 8_192 }, (_, index) => [
        ip(`2001:db8:1111:2222:3333:4444:${index.toString(16)}:ffff`),
        { epoch: 12, seen: 100, ceding: false, probing: false },
      ]),
    );
    const bytes = encodeTold({ ...told, claims });
    expect(bytes.length).toBeLessThan(MAX_PAYLOAD);
    expect(decodeTold(bytes)?.claims).toEqual(claims);
  });

  it('is not unpacked beyond any bound', () => {
    const bomb = Buffer.concat([Buffer.of(0), deflateRawSync(Buffer.alloc(50_000_000, 32))]);
    expect(bomb.length).toBeLessThan(MAX_PAYLOAD);
    expect(decodeTold(bomb)).toBeUndefined();
  });

  it.each([
    ['no JSON', Buffer.from('{')],
    ['no object', Buffer.from('7')],
    ['null', Buffer.from('null')],
    ['another version', withMember('v', 2)],
    ['a sequence that is no number', withMember('n', '7')],
    ['a negative sequence', withMember('n', -1)],
    ['claims that are no list', withMember('c', {})],
    ['a claim that is too short', withMember('c', [[1, 2, 0]])],
    ['a claim without an epoch', withMember('c', [[null, 2, 0, ['192.0.2.1']]])],
    ['a claim with a fraction as its epoch', withMember('c', [[1.5, 2, 0, ['192.0.2.1']]])],
    ['a claim with unknown flags', withMember('c', [[1, 2, 4, ['192.0.2.1']]])],
    ['a claim for what is no address', withMember('c', [[1, 2, 0, ['192.0.2.256']]])],
    ['a claim for a number', withMember('c', [[1, 2, 0, [1]]])],
    ['conflicts that are no addresses', withMember('x', ['x'])],
    ['interfaces without flags', withMember('i', [['eth0']])],
    ['an interface that is null', withMember('i', [null])],
    ['MACs that are numbers', withMember('m', [1])],
    [
      'more addresses than there can be',
      withMember('c', [[1, 2, 0, Array.from({ length: 16_385 }, () => '192.0.2.1')]]),
    ],
  ])('counts as nothing: %s', (_what, bytes) => {
    expect(decodeTold(bytes)).toBeUndefined();
  });

  it('never throws, whatever the bytes', () => {
    assert(
      property(
        oneof(
          uint8Array({ maxLength: 300 }),
          json().map((text) => Buffer.from(text)),
        ),
        (bytes) => {
          expect(() => decodeTold(bytes)).not.toThrow();
        },
      ),
    );
  });
});
