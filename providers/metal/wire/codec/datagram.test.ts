import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DATAGRAM,
  DATAGRAM_HEADER,
  type Datagram,
  DatagramCodec,
  MAX_DATAGRAM,
  MAX_PART,
  newNonce,
  nodeId,
  nonceText,
  TAG,
} from './datagram.ts';

const key = Buffer.from('a secret of more than sixteen bytes');
const codec = new DatagramCodec('cluster-a', key);
const us = nodeId('us');

const aDatagram = (fields: Partial<Datagram> = {}): Datagram => ({
  kind: DATAGRAM.heartbeat,
  sender: nodeId('them'),
  addressee: 0n,
  nonce: 7n,
  sequence: 1n,
  message: 0,
  part: 0,
  parts: 1,
  payload: Uint8Array.of(1, 2, 3),
  ...fields,
});

/** A datagram whose bytes are changed before it is signed, as a speaker with the key could send it. */
function resigned(change: (view: DataView) => void): Uint8Array {
  const bytes = codec.encode(aDatagram());
  change(new DataView(bytes.buffer));
  const end = bytes.length - TAG;
  bytes.set(createHmac('sha256', key).update(bytes.subarray(0, end)).digest().subarray(0, TAG), end);
  return bytes;
}

describe('datagrams between speakers', () => {
  it('carry the standard HMAC-SHA256 over all that is before it (RFC 2104)', () => {
    for (const secret of [key, Buffer.alloc(64, 1), Buffer.alloc(100, 2)]) {
      const bytes = new DatagramCodec('cluster-a', secret).encode(aDatagram());
      const expected = createHmac('sha256', secret).update(bytes.subarray(0, -TAG)).digest().subarray(0, TAG);
      expect(Buffer.from(bytes.subarray(-TAG))).toEqual(expected);
    }
  });

  it('survive encoding and back', () => {
    const id = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n });
    const datagrams = fc.record({
      kind: fc.constantFrom(...Object.values(DATAGRAM)),
      sender: id,
      addressee: fc.constantFrom(0n, us),
      nonce: id,
      sequence: id,
      message: fc.nat(0xffff_ffff),
      part: fc.nat(9),
      parts: fc.integer({ min: 10, max: 65_535 }),
      payload: fc.uint8Array({ maxLength: MAX_PART }),
    });
    fc.assert(
      fc.property(datagrams, (datagram) => {
        expect(codec.decode(codec.encode(datagram), us)).toEqual(datagram);
      }),
    );
  });

  it.each([
    ['nothing', new Uint8Array(0), 'malformed'],
    ['a datagram too short for its tag', new Uint8Array(DATAGRAM_HEADER + TAG - 1), 'malformed'],
    ['a datagram that is too long', new Uint8Array(MAX_DATAGRAM + 1), 'malformed'],
    ['another protocol', resigned((view) => view.setUint32(0, 0x47455420)), 'malformed'],
    ['a later version', resigned((view) => view.setUint8(4, 2)), 'version'],
    ['a kind that it does not know', resigned((view) => view.setUint8(5, 99)), 'malformed'],
    [
      'the cluster next door, though it has the same key',
      new DatagramCodec('cluster-b', key).encode(aDatagram()),
      'cluster',
    ],
    ['a datagram for another node', codec.encode(aDatagram({ addressee: nodeId('other') })), 'notForUs'],
    ['no nonce', resigned((view) => view.setBigUint64(32, 0n)), 'malformed'],
    ['no sequence number', resigned((view) => view.setBigUint64(40, 0n)), 'malformed'],
    ['a part outside its message', resigned((view) => view.setUint16(52, 1)), 'malformed'],
    ['a message without parts', resigned((view) => view.setUint16(54, 0)), 'malformed'],
    ['another key', new DatagramCodec('cluster-a', Buffer.alloc(16, 9)).encode(aDatagram()), 'wrongKey'],
  ])('refuse %s', (_what, bytes, fault) => {
    expect(codec.decode(bytes, us)).toEqual({ fault });
  });

  it('are refused when any bit of them differs', () => {
    const bytes = codec.encode(aDatagram());
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const forged = bytes.slice();
      forged[bit >> 3]! ^= 1 << (bit & 7);
      expect(codec.decode(forged, us)).toHaveProperty('fault');
    }
  });

  it('never throws, whatever arrives', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), fc.boolean(), (bytes, start) => {
        if (start) bytes.set(codec.encode(aDatagram()).subarray(0, Math.min(20, bytes.length)));
        expect(codec.decode(bytes, us)).toHaveProperty('fault');
      }),
    );
  });

  it('are bounded in size, and so is the weakness of the key', () => {
    expect(() => codec.encode(aDatagram({ payload: new Uint8Array(MAX_PART + 1) }))).toThrow(RangeError);
    expect(codec.encode(aDatagram({ payload: new Uint8Array(MAX_PART) }))).toHaveLength(MAX_DATAGRAM);
    expect(() => new DatagramCodec('c', new Uint8Array(15))).toThrow(/needs 16 or more/);
  });

  it('name nodes and nonces', () => {
    expect(nodeId('node-1')).not.toBe(nodeId('node-2'));
    expect(nonceText(0xabcn)).toBe('0000000000000abc');
    expect(newNonce()).not.toBe(newNonce());
  });
});
