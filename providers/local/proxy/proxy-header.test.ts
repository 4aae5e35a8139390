import { describe, expect, it } from 'vitest';
import { encodeProxyHeader, type ProxiedConnection } from './proxy-header.ts';

function connection(source: string, destination: string): ProxiedConnection {
  return {
    source: { address: source, port: 51_234 },
    destination: { address: destination, port: 443 },
  };
}

const signature = '0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a';
const ports = 'c8 22 01 bb';

/** The bytes of the specification, field by field: version and command, family, length, addresses, ports. */
const table: readonly [string, ProxiedConnection | undefined, string][] = [
  ['a health check is the LOCAL command without addresses', undefined, '20 00 0000'],
  ['IPv4', connection('192.0.2.1', '198.51.100.255'), `21 11 000c c0000201 c63364ff ${ports}`],
  [
    'IPv6',
    connection('2001:db8::1', '::1'),
    `21 21 0024 20010db8000000000000000000000001 00000000000000000000000000000001 ${ports}`,
  ],
  [
    'IPv4 clients of a dual-stack socket count as IPv4',
    connection('::ffff:192.0.2.1', '::FFFF:198.51.100.255'),
    `21 11 000c c0000201 c63364ff ${ports}`,
  ],
  [
    'a zone is left out',
    connection('fe80::a%eth0', 'fe80::b%eth0'),
    `21 21 0024 fe80000000000000000000000000000a fe80000000000000000000000000000b ${ports}`,
  ],
  [
    'an IPv4 address beside an IPv6 one is written as IPv4-mapped',
    connection('192.0.2.1', '2001:db8::1'),
    `21 21 0024 00000000000000000000ffffc0000201 20010db8000000000000000000000001 ${ports}`,
  ],
];

describe('the PROXY protocol v2 header', () => {
  it.each(table)('is byte for byte that of the specification: %s', (_name, from, bytes) => {
    const expected = `${signature} ${bytes}`.replaceAll(' ', '');
    expect(encodeProxyHeader(from).toString('hex')).toBe(expected);
  });

  it.each(['', 'localhost', '1.2.3', '::ffff:1.2.3', '1.2.3.4.5', '::g'])(
    'refuses the address %j, which is none',
    (address) => {
      expect(() => encodeProxyHeader(connection(address, '192.0.2.1'))).toThrow(TypeError);
    },
  );
});
