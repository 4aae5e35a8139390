/**
 * Ethernet II frames (RFC 894, RFC 2464).
 *
 *   offset  bytes  field
 *   0       6      destination
 *   6       6      source
 *   12      2      EtherType; below 0x0600 it is a length (IEEE 802.3), which carries neither ARP nor IPv6
 *   14      …      payload
 *
 * With an 802.1Q or 802.1ad tag the EtherType is 0x8100 or 0x88a8, two bytes of tag follow, and then the inner
 * EtherType. Tagged frames belong to another segment: they reach us on the VLAN's own interface, without the tag.
 */

/** Bytes of the header. */
export const ETHERNET_HEADER = 14;
/** EtherTypes that matter here. */
export const ETHERTYPE = { arp: 0x0806, ipv6: 0x86dd, vlan: 0x8100, serviceVlan: 0x88a8 } as const;

/** Why bytes are no untagged Ethernet II frame. */
export type EthernetFault = 'truncated' | 'vlanTagged' | 'notEthernet2';

/** Checks the header; `undefined` when it is an untagged Ethernet II frame. Never throws. */
export function ethernetFault(view: DataView, length: number): EthernetFault | undefined {
  if (length < ETHERNET_HEADER || view.byteLength < length) return 'truncated';
  const type = view.getUint16(12);
  if (type === ETHERTYPE.vlan || type === ETHERTYPE.serviceVlan) return 'vlanTagged';
  return type < 0x0600 ? 'notEthernet2' : undefined;
}

/** Writes a header. */
export function writeEthernet(
  frame: Uint8Array,
  header: { readonly destination: Uint8Array; readonly source: Uint8Array; readonly type: number },
): void {
  frame.set(header.destination, 0);
  frame.set(header.source, 6);
  frame[12] = header.type >> 8;
  frame[13] = header.type & 0xff;
}
