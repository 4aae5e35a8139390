/** Reads PROXY protocol version 2 headers (haproxy.org, "The PROXY protocol", section 2.2), as a backend behind a proxy does. */

const SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
/** Signature, version and command, family and protocol, length. */
const FIXED_BYTES = 16;

/** A header that was read. `client` is undefined for the command LOCAL and for families without ports. */
export interface ProxyHeader {
  readonly client: { readonly address: string; readonly port: number } | undefined;
  /** How long the header is: what follows is the payload. */
  readonly bytes: number;
}

/**
 * Parses the start of `data`:
 *
 * | offset | bytes | field |
 * |---|---|---|
 * | 0 | 12 | signature |
 * | 12 | 1 | version (high half, 2) and command (low half, 0 LOCAL, 1 PROXY) |
 * | 13 | 1 | address family (high half, 1 IPv4, 2 IPv6) and transport (low half) |
 * | 14 | 2 | length of the rest |
 * | 16 | 4+4+2+2 or 16+16+2+2 | source address, destination address, source port, destination port |
 *
 * Returns undefined while the header is not complete.
 *
 * @throws Error when it is no version 2 header
 */
export function readProxyHeader(data: Buffer): ProxyHeader | undefined {
  const start = data.subarray(0, SIGNATURE.length);
  if (!start.equals(SIGNATURE.subarray(0, start.length)))
    throw new Error('The data does not start with a PROXY v2 signature.');
  if (data.length < FIXED_BYTES) return undefined;
  const command = data.readUInt8(12);
  if (command >> 4 !== 2) throw new Error(`PROXY protocol version ${command >> 4} is not 2.`);
  const bytes = FIXED_BYTES + data.readUInt16BE(14);
  if (data.length < bytes) return undefined;
  const family = data.readUInt8(13) >> 4;
  const block = data.subarray(FIXED_BYTES, bytes);
  if ((command & 0x0f) === 0 || (family !== 1 && family !== 2)) return { client: undefined, bytes };
  const width = family === 1 ? 4 : 16;
  if (block.length < width * 2 + 4) throw new Error('The PROXY v2 header is shorter than its addresses.');
  const source = block.subarray(0, width);
  return { client: { address: addressText(source), port: block.readUInt16BE(width * 2) }, bytes };
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.');
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(index * 2).toString(16));
  // The URL parser shortens an IPv6 address by the rules of RFC 5952.
  return new URL(`http://[${groups.join(':')}]/`).hostname.slice(1, -1);
}
