import { ipBytes, sameBytes } from '../codec/address.ts';
import { ARP_AT } from '../codec/arp.ts';
import { NDP_AT } from '../codec/ndp.ts';

/** An interface on which frames come and go. */
export interface Port {
  readonly name: string;
  readonly index: number;
  readonly mac: Uint8Array;
  /** Its IPv6 link-local address, to ask with; absent: IPv6 is not up, and there is no NDP. */
  readonly linkLocal?: Uint8Array | undefined;
  /** The interface's own IPv4 addresses, to ask with. */
  readonly ipv4: readonly { readonly ip: Uint8Array; readonly prefixLength: number }[];
  /** Sends a frame; `false` when the kernel refused it. */
  sendArp(frame: Uint8Array): boolean;
  sendNdp(frame: Uint8Array): boolean;
}

/** An announced address. */
export interface Entry {
  readonly address: string;
  readonly bytes: Uint8Array;
  /** Its counters. */
  readonly slot: number;
  /** Names of interfaces; absent: all. */
  interfaces?: ReadonlySet<string> | undefined;
}

/** Whether the address is answered on the interface. */
export function answersOn(entry: Entry, port: Port): boolean {
  return entry.interfaces === undefined || entry.interfaces.has(port.name);
}

/** The announced addresses, found by the bytes in a frame without allocating anything. */
export class AddressTable {
  readonly #entries = new Map<string, Entry>();
  /** By the address as a signed 32-bit number, which V8 keeps without a heap object. */
  readonly #ipv4 = new Map<number, Entry>();
  /** By the exclusive or of the four words; several addresses may share one. */
  readonly #ipv6 = new Map<number, Entry[]>();

  get size(): number {
    return this.#entries.size;
  }

  get(address: string): Entry | undefined {
    return this.#entries.get(address);
  }

  entries(): IterableIterator<Entry> {
    return this.#entries.values();
  }

  /**
   * Adds an address, or gives the one that is there other interfaces.
   *
   * @throws RangeError when the text is no address.
   */
  put(address: string, slot: number, interfaces: ReadonlySet<string> | undefined): Entry {
    const existing = this.#entries.get(address);
    if (existing !== undefined) {
      existing.interfaces = interfaces;
      return existing;
    }
    const entry: Entry = { address, bytes: ipBytes(address), slot, interfaces };
    this.#entries.set(address, entry);
    const view = viewOf(entry.bytes);
    if (entry.bytes.length === 4) this.#ipv4.set(view.getInt32(0), entry);
    else this.#ipv6.set(hash(view, 0), [...(this.#ipv6.get(hash(view, 0)) ?? []), entry]);
    return entry;
  }

  /** Removes an address; the entry that is gone. */
  remove(address: string): Entry | undefined {
    const entry = this.#entries.get(address);
    if (entry === undefined) return undefined;
    this.#entries.delete(address);
    const view = viewOf(entry.bytes);
    if (entry.bytes.length === 4) this.#ipv4.delete(view.getInt32(0));
    else this.#removeIpv6(hash(view, 0), entry);
    return entry;
  }

  /** Whom an ARP packet asks for. */
  arpTarget(view: DataView): Entry | undefined {
    return this.#ipv4.get(view.getInt32(ARP_AT.tpa));
  }

  /** Whom an ARP packet says that it comes from. */
  arpSender(view: DataView): Entry | undefined {
    return this.#ipv4.get(view.getInt32(ARP_AT.spa));
  }

  /** The target of a solicitation or an advertisement. */
  ndpTarget(view: DataView, bytes: Uint8Array): Entry | undefined {
    const candidates = this.#ipv6.get(hash(view, NDP_AT.target));
    if (candidates === undefined) return undefined;
    for (const entry of candidates) if (sameBytes(bytes, entry.bytes, AT_TARGET)) return entry;
    return undefined;
  }

  #removeIpv6(key: number, entry: Entry): void {
    const others = (this.#ipv6.get(key) ?? []).filter((other) => other !== entry);
    if (others.length === 0) this.#ipv6.delete(key);
    else this.#ipv6.set(key, others);
  }
}

const AT_TARGET = { at: NDP_AT.target };

function hash(view: DataView, at: number): number {
  return view.getInt32(at) ^ view.getInt32(at + 4) ^ view.getInt32(at + 8) ^ view.getInt32(at + 12);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
