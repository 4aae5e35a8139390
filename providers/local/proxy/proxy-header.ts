import { familyOf, ipToNumber, parseIp, type IpAddress } from '@berth/core';

/** One end of a connection. */
export interface HeaderEndpoint {
  /** An IP address; a zone (`%eth0`) is ignored. */
  readonly address: string;
  readonly port: number;
}

/** Who talks to whom, as the proxy saw it. */
export interface ProxiedConnection {
  readonly source: HeaderEndpoint;
  readonly destination: HeaderEndpoint;
}

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const VERSION_2_LOCAL = 0x20;
const VERSION_2_PROXY = 0x21;
const UNSPECIFIED = 0x00;
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;
const MAPPED_IPV4 = 0xffffn << 32n;

/**
 * The header that tells a target who its client is: PROXY protocol version 2
 * (https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt, section 2.2). Without a connection it is the LOCAL
 * command, which says that the proxy itself is talking (a health check).
 *
 *     0       12        13       14        16                  16 + n
 *     +--------+---------+--------+---------+-------------------+
 *     |signature|ver, cmd| family | n, 16 bit| addresses, ports |
 *     +--------+---------+--------+---------+-------------------+
 *     TCP over IPv4: source (4), destination (4), source port (2), destination port (2): n = 12
 *     TCP over IPv6: source (16), destination (16), source port (2), destination port (2): n = 36
 *
 * All numbers are big-endian. An IPv4 address beside an IPv6 one is written as IPv4-mapped. Only TCP: the specification
 * has a code for datagrams but does not say which datagrams carry the header, and receivers differ.
 *
 * @throws TypeError when an address is not an IP.
 */
export function encodeProxyHeader(connection: ProxiedConnection | undefined): Buffer {
  if (connection === undefined) return prefix(VERSION_2_LOCAL, UNSPECIFIED, 0);
  const source = parsed(connection.source.address);
  const destination = parsed(connection.destination.address);
  const wide = familyOf(source) === 'IPv6' || familyOf(destination) === 'IPv6';
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(connection.source.port, 0);
  ports.writeUInt16BE(connection.destination.port, 2);
  const addresses = wide
    ? [bytes(widened(source), 16), bytes(widened(destination), 16)]
    : [bytes(ipToNumber(source), 4), bytes(ipToNumber(destination), 4)];
  const length = wide ? 36 : 12;
  const family = wide ? TCP_OVER_IPV6 : TCP_OVER_IPV4;
  return Buffer.concat([prefix(VERSION_2_PROXY, family, length), ...addresses, ports]);
}

function prefix(command: number, family: number, length: number): Buffer {
  return Buffer.concat([SIGNATURE, Buffer.from([command, family, length >> 8, length & 0xff])]);
}

/** IPv4-mapped addresses, which a dual-stack socket shows for IPv4 clients, count as IPv4. */
function parsed(address: string): IpAddress {
  const text = address.replace(/%.*$/, '');
  const ip = parseIp(text.replace(/^::ffff:(?=\d+\.)/i, ''));
  if (ip === undefined) throw new TypeError(`${address} is not an IP address; pass the address of a socket`);
  return ip;
}

function widened(ip: IpAddress): bigint {
  return familyOf(ip) === 'IPv4' ? MAPPED_IPV4 | ipToNumber(ip) : ipToNumber(ip);
}

function bytes(value: bigint, length: number): Buffer {
  return Buffer.from(value.toString(16).padStart(length * 2, '0'), 'hex');
}
