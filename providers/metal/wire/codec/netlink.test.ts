import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ipBytes } from './address.ts';
import { dumpRequest, IFF, NETLINK, netlinkMessages } from './netlink.ts';

/** A message: header, then the body padded to four bytes. */
function message(type: number, body: readonly number[]): number[] {
  const length = 16 + body.length;
  const pad = Array.from({ length: -length & 3 }, () => 0);
  return [length & 0xff, length >> 8, 0, 0, type, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, ...body, ...pad];
}

function attribute(type: number, value: readonly number[]): number[] {
  const length = 4 + value.length;
  return [length, 0, type, 0, ...value, ...Array.from({ length: -length & 3 }, () => 0)];
}

const text = (value: string): number[] => [...Buffer.from(`${value}\0`)];
const all = (...messages: readonly number[][]): unknown[] => [
  ...netlinkMessages(Uint8Array.from(messages.flat())),
];
const linkHead = [0, 0, 1, 0, 7, 0, 0, 0, 0x43, 0x10, 0, 0, 0, 0, 0, 0];

describe('rtnetlink', () => {
  it('asks for all links without their counters, and for all addresses', () => {
    expect(dumpRequest(NETLINK.getLink, 5)).toEqual(
      Uint8Array.from(
        [
          [40, 0, 0, 0, 18, 0, 1, 3, 5, 0, 0, 0, 0, 0, 0, 0],
          Array.from({ length: 16 }, () => 0),
          [8, 0, 29, 0, 8, 0, 0, 0],
        ].flat(),
      ),
    );
    expect(dumpRequest(NETLINK.getAddress, 6).subarray(0, 9)).toEqual(
      Uint8Array.of(24, 0, 0, 0, 22, 0, 1, 3, 6),
    );
  });

  it('reads a link with its kind and master', () => {
    const body = [
      ...linkHead,
      ...attribute(3, text('eth0')),
      ...attribute(1, [2, 0, 0, 0, 0, 1]),
      ...attribute(10, [9, 0, 0, 0]),
      ...attribute(18, attribute(1, text('veth'))),
    ];
    expect(all(message(NETLINK.newLink, body), message(NETLINK.done, [0, 0, 0, 0]))).toEqual([
      {
        link: {
          index: 7,
          name: 'eth0',
          hardware: 1,
          flags: IFF.up | IFF.broadcast | IFF.running | 0x1000,
          mac: '02:00:00:00:00:01',
          master: 9,
          kind: 'veth',
        },
      },
      { done: true },
    ]);
  });

  it('reads hardware: no kind, no master, no MAC of another size', () => {
    const body = [...linkHead, ...attribute(3, text('ib0')), ...attribute(1, [1, 2, 3, 4])];
    const [{ link }] = all(message(NETLINK.newLink, body)) as [{ link: object }];
    expect(Object.keys(link).toSorted()).toEqual(['flags', 'hardware', 'index', 'name']);
  });

  it('reads addresses; those that are tentative or were found twice do not count', () => {
    const body = (flags: number): number[] =>
      [
        [10, 64, flags, 253, 7, 0, 0, 0],
        attribute(1, [...ipBytes('fe80::1')]),
        attribute(8, [flags, 0, 0, 0]),
      ].flat();
    const found = all(...[0x80, 0x40, 0x08].map((flags) => message(NETLINK.newAddress, body(flags))));
    expect(found).toEqual([{ address: { index: 7, ip: 'fe80::1', prefixLength: 64 } }]);
  });

  it('takes the local side of a point-to-point address', () => {
    const body = [2, 32, 0, 0, 7, 0, 0, 0, ...attribute(1, [10, 0, 0, 2]), ...attribute(2, [10, 0, 0, 1])];
    expect(all(message(NETLINK.newAddress, body))).toEqual([
      { address: { index: 7, ip: '10.0.0.1', prefixLength: 32 } },
    ]);
  });

  it('reads errors, and an error of 0 as an end', () => {
    expect(
      all(message(NETLINK.error, [0xf3, 0xff, 0xff, 0xff]), message(NETLINK.error, [0, 0, 0, 0])),
    ).toEqual([{ errno: 13 }, { done: true }]);
  });

  it.each([
    ['a message shorter than its header', [8, 0, 0, 0, 16, 0]],
    ['a message longer than the datagram', [200, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['a link without a name', message(NETLINK.newLink, linkHead)],
    ['an attribute of length 0', message(NETLINK.newLink, [...linkHead, 0, 0, 3, 0])],
  ])('leaves out %s', (_what, bytes) => {
    expect(all(bytes)).toEqual([]);
  });

  it('never throws, whatever arrives', () => {
    const typed = fc
      .tuple(fc.constantFrom(2, 3, 16, 20), fc.uint8Array({ maxLength: 120 }))
      .map(([type, body]) => Uint8Array.from(message(type, [...body])));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), typed), (bytes) => {
        expect([...netlinkMessages(bytes)].length).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 1000 },
    );
  });
});
