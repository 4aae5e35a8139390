import { ipBytes } from '../codec/address.ts';
import { Announcer, type AnnouncerOptions } from '../engine/announcer.ts';
import type { Counters } from '../engine/counters.ts';
import { Looker } from '../engine/looker.ts';
import { type Claim, Responder } from '../engine/responder.ts';
import { AddressTable, type Port } from '../engine/table.ts';
import { Throttle } from '../engine/throttle.ts';
import type { Timers } from '../engine/timers.ts';
import type { AnnounceItem, Command } from '../protocol.ts';
import type { FastPath } from '../sys/fast-path.ts';
import type { Poller } from '../sys/poller.ts';
import type { Receiver } from '../sys/receiver.ts';
import type { AddressUser, WireEvents } from '../types.ts';
import { Ports } from './ports.ts';

/** Milliseconds between two events about the same claim. */
const CLAIM_INTERVAL_MS = 1000;

/** Why nothing is answered at the moment. */
export type Muted = 'following' | 'stalled' | 'draining' | 'superseded';

/** What the station works with. */
export interface StationParts {
  readonly exclude: readonly RegExp[];
  readonly announcer: AnnouncerOptions;
  readonly poller: Poller;
  readonly fastPath: FastPath | undefined;
  readonly receiver: Receiver;
  readonly counters: Counters;
  readonly timers: Timers;
  readonly now: () => number;
  readonly onClaimed: (claimed: WireEvents['claimed'][0]) => void;
  readonly onInterfaces: (change: WireEvents['interfaces'][0]) => void;
  readonly onFault: (error: unknown) => void;
  readonly stale: () => boolean;
  readonly onSocketError: () => void;
}

/** Everything about ARP and NDP: the sockets, and what answers, announces and looks on them. */
export class Station {
  readonly ports: Ports;
  readonly #parts: StationParts;
  readonly #table = new AddressTable();
  readonly #responder: Responder;
  readonly #announcer: Announcer;
  readonly #looker: Looker;
  readonly #muted = new Set<Muted>();
  readonly #claims = new Throttle(CLAIM_INTERVAL_MS);
  /** How to end the questions that are under way, by their command's id. */
  readonly #looks = new Map<number, () => void>();

  constructor(parts: StationParts) {
    const { counters, timers, now } = parts;
    this.#parts = parts;
    this.#looker = new Looker({ timers, now, onChange: () => this.ports.markDirty() });
    this.#responder = new Responder({
      table: this.#table,
      counters,
      observer: this.#looker,
      onClaim: (claim) => this.#claimed(claim),
    });
    this.#announcer = new Announcer(parts.announcer, {
      timers,
      counters,
      now,
      ports: () => this.ports.list(),
      random: Math.random,
    });
    this.ports = new Ports({
      ...parts,
      table: this.#table,
      looker: this.#looker,
      onArp: (port, frame) => this.#responder.arp(port, frame),
      onNdp: (port, frame) => this.#responder.ndp(port, frame),
      onPorts: (ports) => this.#usePorts(ports),
      onChange: parts.onInterfaces,
    });
  }

  /** Nothing is answered or announced while there is a reason. */
  mute(reason: Muted, muted: boolean): void {
    if (muted) this.#muted.add(reason);
    else this.#muted.delete(reason);
    this.#responder.muted = this.#muted.size > 0;
    this.#announcer.muted = this.#responder.muted;
    this.ports.answering = !this.#responder.muted;
  }

  isMuted(reason: Muted): boolean {
    return this.#muted.has(reason);
  }

  announce(items: readonly AnnounceItem[]): void {
    const burstAllowed = !this.#muted.has('following');
    for (const { address, slot, interfaces, burst } of items) {
      const entry = this.#table.put(address, slot, interfaces && new Set(interfaces));
      this.#announcer.start(entry, burst && burstAllowed);
    }
    this.ports.markDirty();
  }

  withdraw(addresses: readonly string[]): void {
    for (const address of addresses) {
      const entry = this.#table.remove(address);
      if (entry !== undefined) this.#announcer.stop(entry);
    }
    this.ports.markDirty();
  }

  /** Answers for nothing any more. */
  clear(): void {
    this.withdraw([...this.#table.entries()].map(({ address }) => address));
  }

  /**
   * Asks for an address.
   *
   * @throws Error when it is announced here, or when no interface that was named can be asked on.
   */
  look(command: Command & { type: 'look' }, done: (user: AddressUser | undefined) => void): void {
    const { id, address, mode, interfaces, ignore } = command;
    if (this.#table.get(address) !== undefined) {
      throw new Error(
        `${address} is announced here. Remedy: withdraw it before looking for others who use it.`,
      );
    }
    const bytes = ipBytes(address);
    const ports = this.ports
      .list()
      .filter((port) => interfaces === undefined || interfaces.includes(port.name))
      .filter((port) => bytes.length === 4 || port.linkLocal !== undefined);
    if (ports.length === 0) {
      const named = interfaces === undefined ? 'this node has' : `among ${interfaces.join(', ')} there is`;
      throw new Error(
        `${address} cannot be looked for: ${named} no usable interface for its family. ` +
          'Remedy: berth doctor lists the interfaces and why they are not used.',
      );
    }
    const forget = this.#looker.look({
      address: bytes,
      mode,
      ports,
      ignore: new Set(ignore),
      done: (user) => {
        this.#looks.delete(id);
        done(user);
      },
    });
    this.#looks.set(id, forget);
  }

  forgetLook(id: number): void {
    this.#looks.get(id)?.();
    this.#looks.delete(id);
  }

  close(): void {
    this.clear();
    this.ports.close();
  }

  /** Neighbours on an interface that is new, or has another MAC, have to be told. */
  #usePorts(ports: readonly Port[]): void {
    this.#responder.setPorts(ports);
    for (const entry of this.#table.entries()) this.#announcer.start(entry, true);
  }

  #claimed({ entry, mac, port, by }: Claim): void {
    const count = this.#claims.hit(`${entry.address} ${mac}`, this.#parts.now());
    if (count === undefined) return;
    const address = entry.address as WireEvents['claimed'][0]['address'];
    this.#parts.onClaimed({ address, mac, interface: port.name, by, count });
  }
}
