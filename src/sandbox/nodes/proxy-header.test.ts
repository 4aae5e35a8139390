import { assert, boolean, property, uint8Array } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readProxyHeader } from './proxy-header.ts';

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/** Assembled field by field: see the byte table of `readProxyHeader`. */
function header(parts: { command?: number; family?: number; block?: Buffer }): Buffer {
  const { command = 0x21, family = 0x11, block = Buffer.alloc(0) } = parts;
  const length = Buffer.alloc(2);
  length.writeUInt16BE(block.length);
  return Buffer.concat([SIGNATURE, Buffer.from([command, family]), length, block]);
}

function addresses(source: number[], destination: number[], ports: [number, number]): Buffer {
  const last = Buffer.alloc(4);
  last.writeUInt16BE(ports[0], 0);
  last.writeUInt16BE(ports[1], 2);
  return Buffer.concat([Buffer.from(source), Buffer.from(destination), last]);
}

const ipv4 = addresses([192, 0, 2, 1], [198, 51, 100, 2], [40_000, 80]);

describe('readProxyHeader', () => {
  it('reads the client of an IPv4 connection', () => {
    const data = Buffer.concat([header({ block: ipv4 }), Buffer.from('GET /')]);
    expect(readProxyHeader(data)).toEqual({ client: { address: '192.0.2.1', port: 40_000 }, bytes: 28 });
  });

  it('reads the client of an IPv6 connection in the short form', () => {
    const source = [0xfd, 0, ...Array.from({ length: 13 }, () => 0), 1];
    const block = addresses(source, source, [40_000, 80]);
    expect(readProxyHeader(header({ family: 0x21, block }))).toEqual({
      client: { address: 'fd00::1', port: 40_000 },
      bytes: 52,
    });
  });

  it('skips extensions behind the addresses', () => {
    const block = Buffer.concat([ipv4, Buffer.from([0x04, 0, 1, 0])]);
    expect(readProxyHeader(header({ block }))).toMatchObject({ client: { address: '192.0.2.1' }, bytes: 32 });
  });

  it('knows no client for LOCAL and for unknown families', () => {
    expect(readProxyHeader(header({ command: 0x20, block: ipv4 }))).toEqual({ client: undefined, bytes: 28 });
    expect(readProxyHeader(header({ family: 0x00 }))).toEqual({ client: undefined, bytes: 16 });
  });

  it('asks for more until the header is complete, wherever it is cut', () => {
    const whole = header({ block: ipv4 });
    for (let length = 0; length < whole.length; length++) {
      expect(readProxyHeader(whole.subarray(0, length))).toBeUndefined();
    }
  });

  it.each([
    ['another protocol', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['version 1', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 40000 80\r\n')],
    ['version 3', header({ command: 0x31, block: ipv4 })],
    ['addresses that are cut off', header({ block: ipv4.subarray(0, 8) })],
  ])('refuses %s', (_what, data) => {
    expect(() => readProxyHeader(data)).toThrow(/PROXY/);
  });

  it('answers any bytes with a header, with patience or with an error of its own', () => {
    const behaves = property(uint8Array({ maxLength: 80 }), boolean(), (bytes, signed) => {
      const data = signed ? Buffer.concat([SIGNATURE, bytes]) : Buffer.from(bytes);
      try {
        const read = readProxyHeader(data);
        return read === undefined || read.bytes <= data.length;
      } catch (error) {
        return !(error instanceof RangeError) && /PROXY/.test((error as Error).message);
      }
    });
    expect(() => assert(behaves)).not.toThrow();
  });
});
