import { describe, expect, it } from 'vitest';
import { decodeProtobuf } from './protobuf.ts';

// Assembled field by field: (number << 3 | wire type), length, bytes.
const bytes = (number: number, content: Buffer | string): Buffer => {
  const data = Buffer.from(content);
  return Buffer.concat([Buffer.from([(number << 3) | 2, data.length]), data]);
};
const varint = (number: number, ...value: number[]): Buffer => Buffer.from([number << 3, ...value]);
const body = (kind: string, raw: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from('k8s\0'),
    bytes(1, Buffer.concat([bytes(1, 'v1'), bytes(2, kind)])),
    bytes(2, raw),
  ]);

const metadata = bytes(
  1,
  Buffer.concat([bytes(1, 'web'), bytes(11, Buffer.concat([bytes(1, 'a'), bytes(2, 'b')])), bytes(8, '')]),
);

describe('decodeProtobuf', () => {
  it('reads a Service with numbers, names, maps and lists', () => {
    const tcp = bytes(
      1,
      Buffer.concat([
        bytes(2, 'TCP'),
        varint(3, 80),
        bytes(4, Buffer.concat([varint(1, 0), varint(2, 0x90, 0x3f)])),
      ]),
    );
    const named = bytes(
      1,
      Buffer.concat([varint(3, 81), bytes(4, Buffer.concat([varint(1, 1), bytes(3, 'http')]))]),
    );
    // Field 20 needs a two-byte tag: 20 << 3 = 160.
    const flag = Buffer.from([0xa0, 0x01, 0x00]);
    const spec = bytes(2, Buffer.concat([tcp, named, bytes(4, 'LoadBalancer'), flag]));
    expect(decodeProtobuf(body('Service', Buffer.concat([metadata, spec])))).toEqual({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'web', labels: { a: 'b' }, creationTimestamp: null },
      spec: {
        type: 'LoadBalancer',
        ports: [
          { protocol: 'TCP', port: 80, targetPort: 8080 },
          { port: 81, targetPort: 'http' },
        ],
        allocateLoadBalancerNodePorts: false,
      },
    });
  });

  it('reads the bytes of a Secret as base64', () => {
    const data = bytes(2, Buffer.concat([bytes(1, 'key'), bytes(2, Buffer.from([0xff, 0x00]))]));
    expect(decodeProtobuf(body('Secret', data))).toMatchObject({ data: { key: '/wA=' } });
  });

  it.each([
    ['a body without the magic bytes', Buffer.from('{"kind":"Service"}'), 400],
    ['a kind that it does not know', body('Pod', metadata), 415],
    ['a message that ends inside a number', body('Service', Buffer.from([0x08, 0x80])), 400],
    ['a field that is longer than the message', body('Service', Buffer.from([0x0a, 0x7f, 0x00])), 400],
    ['a wire type that is not used', body('Service', Buffer.from([0x0b])), 400],
  ])('refuses %s', (_what, data, code) => {
    expect(() => decodeProtobuf(data)).toThrow(expect.objectContaining({ code }));
  });
});
