import { arpFault, ARP_AT, ARP_OP, arpMeaning, arpReplyTemplate, patchArpReply } from '../codec/arp.ts';
import { macText } from '../codec/address.ts';
import {
  advertisementTemplate,
  linkLayerAt,
  NDP_AT,
  NDP_OPTION,
  NDP_TYPE,
  ndpFault,
  patchAdvertisement,
} from '../codec/ndp.ts';
import type { ClaimedBy, Mac } from '../types.ts';
import { type Counters, PER_ADDRESS } from './counters.ts';
import { type AddressTable, answersOn, type Entry, type Port } from './table.ts';

/** A frame as it was received; the memory is used again after the call. */
export interface Frame {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly length: number;
}

/** Somebody else acts as the holder of an announced address. */
export interface Claim {
  readonly entry: Entry;
  readonly mac: Mac;
  readonly port: Port;
  readonly by: ClaimedBy;
}

/** Sees every valid frame of another station before it is answered: the one who looks for addresses. */
export interface Observer {
  readonly active: boolean;
  sawArp(port: Port, frame: Frame): void;
  sawNdp(port: Port, frame: Frame): void;
}

/** What the responder works with. */
export interface ResponderParts {
  readonly table: AddressTable;
  readonly counters: Counters;
  readonly observer: Observer;
  readonly onClaim: (claim: Claim) => void;
}

interface Station {
  readonly port: Port;
  readonly high: number;
  readonly low: number;
  readonly reply: DataView;
  readonly replyBytes: Uint8Array;
  readonly advertisement: DataView | undefined;
  readonly advertisementBytes: Uint8Array | undefined;
}

/**
 * Answers ARP requests (RFC 826) and neighbour solicitations (RFC 4861 §7.2.4) for the addresses of the table.
 *
 * - Requests are answered that are broadcast or sent to the interface's own MAC; replies and what is for others is not.
 * - A probe for one of our addresses (RFC 5227 §2.1.1, RFC 4862 §5.4.3) is answered like a request: that defends it.
 * - A frame of another station that names one of our addresses as its own is a claim, and is not answered.
 * - While muted, everything is read and nothing is answered.
 */
export class Responder {
  /** Reads and counts, but does not answer. */
  muted = false;
  readonly #parts: ResponderParts;
  #stations: readonly Station[] = [];

  constructor(parts: ResponderParts) {
    this.#parts = parts;
  }

  /** The interfaces from now on: their MACs are ours, and reflections of our own frames are not claims. */
  setPorts(ports: readonly Port[]): void {
    this.#stations = ports.map((port) => {
      const mac = new DataView(port.mac.buffer, port.mac.byteOffset, 6);
      const reply = arpReplyTemplate(port.mac);
      const advertisement = port.linkLocal && advertisementTemplate(port.mac);
      return {
        port,
        high: mac.getUint16(0),
        low: mac.getUint32(2),
        reply,
        replyBytes: new Uint8Array(reply.buffer),
        advertisement,
        advertisementBytes: advertisement && new Uint8Array(advertisement.buffer),
      };
    });
  }

  /** Takes a frame of an ARP socket. */
  arp(port: Port, frame: Frame): void {
    const { table, counters, observer } = this.#parts;
    const { view } = frame;
    counters.add('framesReceived');
    if (arpFault(view, frame.length) !== undefined) return counters.add('framesMalformed');
    const station = this.#addressed(port, view, false);
    if (station === undefined || this.#isOurs(view, ARP_AT.sha)) return;
    if (observer.active) observer.sawArp(port, frame);
    const sender = table.arpSender(view);
    if (sender !== undefined && answersOn(sender, port)) this.#arpClaim(sender, port, frame);
    if (view.getUint16(ARP_AT.op) !== ARP_OP.request) return;
    const target = table.arpTarget(view);
    if (target === undefined || !answersOn(target, port)) return counters.add('requestsDenied');
    if (target === sender) return;
    counters.addFor(target.slot, PER_ADDRESS.requests);
    if (this.muted) return;
    patchArpReply(station.reply, view);
    this.#sent(port.sendArp(station.replyBytes), target);
  }

  /** Takes a frame of an IPv6 socket. */
  ndp(port: Port, frame: Frame): void {
    const { table, counters, observer } = this.#parts;
    const { view, bytes } = frame;
    counters.add('framesReceived');
    if (ndpFault(view, frame.length) !== undefined) return counters.add('framesMalformed');
    const station = this.#addressed(port, view, true);
    if (station === undefined || this.#isOurs(view, 6)) return;
    if (observer.active) observer.sawNdp(port, frame);
    const target = table.ndpTarget(view, bytes);
    const known = target !== undefined && answersOn(target, port);
    if (view.getUint8(NDP_AT.type) === NDP_TYPE.advertisement) {
      if (known) this.#ndpClaim(target, port, frame);
      return;
    }
    if (!known) return counters.add('requestsDenied');
    counters.addFor(target.slot, PER_ADDRESS.requests);
    const { advertisement, advertisementBytes } = station;
    if (this.muted || advertisement === undefined || advertisementBytes === undefined) return;
    patchAdvertisement(advertisement, view);
    // A link-layer option that names a group would make us an amplifier; only the answer to a probe goes to a group.
    const toGroup = (advertisement.getUint8(0) & 1) === 1;
    if (toGroup && advertisement.getUint8(NDP_AT.destination) !== 0xff)
      return counters.add('framesMalformed');
    this.#sent(port.sendNdp(advertisementBytes), target);
  }

  #sent(sent: boolean, entry: Entry): void {
    if (sent) this.#parts.counters.addFor(entry.slot, PER_ADDRESS.responses);
    else this.#parts.counters.add('sendErrors');
  }

  /** The interface's own station when the frame is for it or for a group that it listens to. */
  #addressed(port: Port, view: DataView, groups: boolean): Station | undefined {
    for (const station of this.#stations) {
      if (station.port !== port) continue;
      const high = view.getUint16(0);
      const low = view.getUint32(2);
      if (high === station.high && low === station.low) return station;
      if (groups) return high === 0x3333 ? station : undefined;
      return high === 0xffff && low === 0xffff_ffff ? station : undefined;
    }
    return undefined;
  }

  #isOurs(view: DataView, at: number): boolean {
    const high = view.getUint16(at);
    const low = view.getUint32(at + 2);
    for (const station of this.#stations) if (station.high === high && station.low === low) return true;
    return false;
  }

  #arpClaim(entry: Entry, port: Port, frame: Frame): void {
    const meaning = arpMeaning(frame.view);
    const by = ({ announcement: 'arp-announcement', reply: 'arp-reply', request: 'arp-request' } as const)[
      meaning === 'probe' ? 'request' : meaning
    ];
    this.#parts.onClaim({ entry, port, by, mac: macText(frame.bytes, ARP_AT.sha) });
  }

  /** The MAC that an advertisement gives for the target; the frame's when it gives none. */
  #ndpClaim(entry: Entry, port: Port, frame: Frame): void {
    const at = linkLayerAt(frame.view, NDP_OPTION.targetLinkLayer) || 6;
    if (this.#isOurs(frame.view, at)) return;
    this.#parts.onClaim({ entry, port, by: 'na', mac: macText(frame.bytes, at) });
  }
}
