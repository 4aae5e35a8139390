import { readFileSync } from 'node:fs';
import { ipText } from '../codec/address.ts';
import type { Gateway } from '../types.ts';

const RTF_UP_GATEWAY = 0x3;

/** Reads the routing tables of the calling thread's network namespace (proc(5): `net/route`, `net/ipv6_route`). */
export function readGateways(): readonly Gateway[] {
  return [
    ...gatewaysOfRoute(read('/proc/thread-self/net/route')),
    ...gatewaysOfIpv6Route(read('/proc/thread-self/net/ipv6_route')),
  ];
}

/**
 * Default routes of `net/route`: columns Iface, Destination, Gateway, Flags, …, Mask (8th); addresses are hexadecimal in
 * the byte order of the machine.
 */
export function gatewaysOfRoute(text: string): readonly Gateway[] {
  return text.split('\n').flatMap((line) => {
    const [name = '', destination, gateway = '', flags = '', , , , mask] = line.trim().split(/\s+/);
    if (destination !== '00000000' || mask !== '00000000' || !isGateway(flags)) return [];
    const bytes = Uint8Array.from(Buffer.from(gateway, 'hex')).toReversed();
    return bytes.length === 4 ? [{ address: ipText(bytes), interface: name }] : [];
  });
}

/** Default routes of `net/ipv6_route`: destination, its prefix length, source, its length, next hop, …, flags, device. */
export function gatewaysOfIpv6Route(text: string): readonly Gateway[] {
  return text.split('\n').flatMap((line) => {
    const [destination = '', prefix, , , gateway = '', , , , flags = '', name = ''] = line
      .trim()
      .split(/\s+/);
    if (!/^0{32}$/.test(destination) || prefix !== '00' || !isGateway(flags)) return [];
    return [{ address: ipText(Uint8Array.from(Buffer.from(gateway, 'hex'))), interface: name }];
  });
}

function isGateway(flags: string): boolean {
  return (Number.parseInt(flags, 16) & RTF_UP_GATEWAY) === RTF_UP_GATEWAY;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // A kernel without IPv6 has no such table, and no such gateway.
    return '';
  }
}
