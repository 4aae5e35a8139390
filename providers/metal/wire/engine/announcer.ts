import { arpAnnouncements } from '../codec/arp.ts';
import { unsolicitedAdvertisement } from '../codec/ndp.ts';
import { type Counters, PER_ADDRESS } from './counters.ts';
import { answersOn, type Entry, type Port } from './table.ts';
import type { Timer, Timers } from './timers.ts';

/** When addresses are announced unasked. */
export interface AnnouncerOptions {
  /** Rounds of a burst; one at once, the others `burstIntervalMs` apart. */
  readonly burstRounds: number;
  readonly burstIntervalMs: number;
  /** Mean milliseconds between two refreshes after the burst, jittered by a quarter; 0: none. */
  readonly refreshMs: number;
}

/** What the announcer works with. `random` gives numbers from 0 to 1. */
export interface AnnouncerParts {
  readonly timers: Timers;
  readonly counters: Counters;
  readonly ports: () => readonly Port[];
  readonly now: () => number;
  readonly random: () => number;
}

/**
 * Tells the neighbours who holds an address: a burst when it is taken over, because a frame may be lost and a switch
 * slow, and a rare refresh for ever, which heals what the burst did not reach. Each round is an announcement as a request
 * and as a reply (RFC 5227 §3), or an unsolicited advertisement (RFC 4861 §7.2.6), on every interface of the address.
 */
export class Announcer {
  /** Sends nothing; the rounds go on. */
  muted = false;
  readonly #options: AnnouncerOptions;
  readonly #parts: AnnouncerParts;
  readonly #timers = new Map<Entry, Timer>();

  constructor(options: AnnouncerOptions, parts: AnnouncerParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Begins a burst (again), or with `burst: false` only the refreshes. */
  start(entry: Entry, burst: boolean): void {
    this.#timers.get(entry)?.cancel();
    const { now, random } = this.#parts;
    if (burst) this.#schedule(entry, now(), this.#options.burstRounds);
    else if (this.#options.refreshMs > 0)
      this.#schedule(entry, now() + random() * this.#options.refreshMs, 0);
  }

  /** Ends burst and refreshes at once. */
  stop(entry: Entry): void {
    this.#timers.get(entry)?.cancel();
    this.#timers.delete(entry);
  }

  /** `rounds` are still to be sent, the one of this timer included; 0: a refresh. */
  #schedule(entry: Entry, at: number, rounds: number): void {
    const timer = this.#parts.timers.at(at, () => {
      this.#send(entry);
      const { burstIntervalMs, refreshMs } = this.#options;
      const next = this.#parts.now();
      if (rounds > 1) return this.#schedule(entry, next + burstIntervalMs, rounds - 1);
      if (refreshMs > 0)
        return this.#schedule(entry, next + refreshMs * (0.75 + this.#parts.random() / 2), 0);
      this.#timers.delete(entry);
    });
    this.#timers.set(entry, timer);
  }

  #send(entry: Entry): void {
    if (this.muted) return;
    for (const port of this.#parts.ports()) {
      if (!answersOn(entry, port)) continue;
      for (const frame of announcements(port, entry.bytes)) {
        const sent = entry.bytes.length === 4 ? port.sendArp(frame) : port.sendNdp(frame);
        if (sent) this.#parts.counters.addFor(entry.slot, PER_ADDRESS.gratuitous);
        else this.#parts.counters.add('sendErrors');
      }
    }
  }
}

function announcements(port: Port, address: Uint8Array): readonly Uint8Array[] {
  if (address.length === 4) return arpAnnouncements(port.mac, address);
  return port.linkLocal === undefined ? [] : [unsolicitedAdvertisement(port.mac, address)];
}
