import { macText, sameBytes, samePrefix } from '../codec/address.ts';
import { ARP_AT, arpMeaning, arpRequest } from '../codec/arp.ts';
import {
  isUnspecifiedAt,
  linkLayerAt,
  NDP_AT,
  NDP_OPTION,
  NDP_TYPE,
  solicitation,
  UNSPECIFIED,
} from '../codec/ndp.ts';
import type { AddressUser, Mac } from '../types.ts';
import type { Frame, Observer } from './responder.ts';
import type { Port } from './table.ts';
import type { Timer, Timers } from './timers.ts';

/** Questions asked, and milliseconds between them. RFC 5227 §1.1 says 3, 1 to 2 s apart; a local segment is faster. */
const QUESTIONS = 3;
const INTERVAL_MS = 100;
/** Milliseconds to wait for an answer after the last question. */
const WAIT_MS = 150;

const ANY_IPV4 = new Uint8Array(4);

/** A question about an address. */
export interface Look {
  readonly address: Uint8Array;
  /** `probe`: does a stranger use it (nothing is learnt from our asking); `resolve`: who has it. */
  readonly mode: 'probe' | 'resolve';
  readonly ports: readonly Port[];
  readonly ignore: ReadonlySet<Mac>;
  readonly done: (user: AddressUser | undefined) => void;
}

interface Running extends Look {
  asked: number;
  timer: Timer | undefined;
}

/** What the looker works with. */
export interface LookerParts {
  readonly timers: Timers;
  readonly now: () => number;
  /** The set of addresses that are looked for has changed: filters and groups have to follow. */
  readonly onChange: () => void;
}

/**
 * Looks for the users of addresses that are not ours. A probe ends with the first sign of a stranger: any ARP packet
 * whose sender address it is, a probe of another station for the same address (RFC 5227 §2.1.1), an advertisement of it,
 * or another's duplicate address detection for it (RFC 4862 §5.4).
 */
export class Looker implements Observer {
  readonly #parts: LookerParts;
  readonly #running = new Set<Running>();

  constructor(parts: LookerParts) {
    this.#parts = parts;
  }

  get active(): boolean {
    return this.#running.size > 0;
  }

  /** The addresses that are looked for now. */
  addresses(): readonly Uint8Array[] {
    return [...this.#running].map(({ address }) => address);
  }

  /** Asks; gives a way to stop asking without an answer. */
  look(look: Look): () => void {
    const running: Running = { ...look, asked: 0, timer: undefined };
    this.#running.add(running);
    this.#parts.onChange();
    // The first question goes out from a timer, when the kernel's filter already lets the answer through.
    running.timer = this.#parts.timers.at(this.#parts.now(), () => this.#ask(running));
    return () => this.#forget(running);
  }

  sawArp(port: Port, { view, bytes }: Frame): void {
    const probing = arpMeaning(view) === 'probe';
    const at = probing ? ARP_AT.tpa : ARP_AT.spa;
    for (const running of this.#running) {
      if (running.address.length !== 4 || !sameBytes(bytes, running.address, { at })) continue;
      if (probing && running.mode !== 'probe') continue;
      this.#found(running, port, macText(bytes, ARP_AT.sha));
    }
  }

  sawNdp(port: Port, { view, bytes }: Frame): void {
    const advertised = view.getUint8(NDP_AT.type) === NDP_TYPE.advertisement;
    const probing = !advertised && isUnspecifiedAt(view, NDP_AT.source);
    if (!advertised && !probing) return;
    for (const running of this.#running) {
      if (running.address.length !== 16 || !sameBytes(bytes, running.address, { at: NDP_AT.target }))
        continue;
      if (probing && running.mode !== 'probe') continue;
      const at = advertised ? linkLayerAt(view, NDP_OPTION.targetLinkLayer) : 0;
      this.#found(running, port, macText(bytes, at === 0 ? 6 : at));
    }
  }

  #ask(running: Running): void {
    for (const port of running.ports) question(port, running);
    running.asked++;
    const last = running.asked === QUESTIONS;
    const at = this.#parts.now() + (last ? WAIT_MS : INTERVAL_MS);
    running.timer = this.#parts.timers.at(at, () =>
      last ? this.#end(running, undefined) : this.#ask(running),
    );
  }

  #found(running: Running, port: Port, mac: Mac): void {
    if (running.ignore.has(mac) || !running.ports.includes(port)) return;
    this.#end(running, { mac, interface: port.name });
  }

  #end(running: Running, user: AddressUser | undefined): void {
    this.#forget(running);
    running.done(user);
  }

  #forget(running: Running): void {
    running.timer?.cancel();
    if (this.#running.delete(running)) this.#parts.onChange();
  }
}

function question(port: Port, { address, mode }: Look): void {
  if (address.length === 16) {
    const source = mode === 'probe' ? UNSPECIFIED : port.linkLocal;
    if (source !== undefined) port.sendNdp(solicitation(port.mac, source, address));
    return;
  }
  port.sendArp(arpRequest(port.mac, mode === 'probe' ? ANY_IPV4 : senderFor(port, address), address));
}

/** The address to ask with: one of the same subnet, else any, else none. */
function senderFor(port: Port, address: Uint8Array): Uint8Array {
  const local = port.ipv4.find(({ ip, prefixLength }) => samePrefix(ip, address, prefixLength));
  return (local ?? port.ipv4[0])?.ip ?? ANY_IPV4;
}
