import { setTimeout as sleep } from 'node:timers/promises';
import { ipBytes, macBytes, parseMac } from '../../providers/metal/wire/codec/address.ts';
import { ARP_AT, ARP_OP, arpRequest } from '../../providers/metal/wire/codec/arp.ts';
import {
  NDP_AT,
  NDP_TYPE,
  solicitation,
  unsolicitedAdvertisement,
} from '../../providers/metal/wire/codec/ndp.ts';
import { PacketSocket } from '../../providers/metal/wire/sys/packet-socket.ts';
import { Receiver } from '../../providers/metal/wire/sys/receiver.ts';
import { inNamespace } from './in-namespace.ts';
import type { Station } from './segment.ts';

/** Lets everything through. */
const ALL = [[0x06, 0, 0, 0x0004_0000]] as const;
const ETH_P = { all: 0x0003 } as const;

/**
 * A station that sends and receives raw frames from inside of a test. The thread visits the station's namespace to make
 * the socket, and comes back: sockets keep the namespace that they were made in.
 */
export class RawStation {
  readonly #socket: PacketSocket;
  readonly #receiver = new Receiver();
  readonly #mac: Uint8Array;
  readonly #ipv4: Uint8Array;
  readonly #ipv6: Uint8Array;
  readonly #replies = new Map<string, number>();
  readonly #advertisements = new Map<string, number>();

  constructor(station: Pick<Station, 'path' | 'mac' | 'ipv4' | 'ipv6'>, link: string) {
    const mac = parseMac(station.mac);
    if (mac === undefined) throw new Error(`${station.mac} is no MAC`);
    this.#mac = macBytes(mac);
    this.#ipv4 = ipBytes(station.ipv4);
    this.#ipv6 = ipBytes(station.ipv6);
    this.#socket = inNamespace(station.path, (indexOf) => new PacketSocket(indexOf(link), ETH_P.all));
    this.#socket.filter(ALL);
  }

  arpRequest(address: string): Uint8Array {
    return arpRequest(this.#mac, this.#ipv4, ipBytes(address));
  }

  solicitation(address: string): Uint8Array {
    return solicitation(this.#mac, this.#ipv6, ipBytes(address));
  }

  /** Says that the address has the MAC. */
  advertise(address: string, mac: string): void {
    const parsed = parseMac(mac);
    if (parsed !== undefined) this.send(unsolicitedAdvertisement(macBytes(parsed), ipBytes(address)));
  }

  send(frame: Uint8Array): void {
    this.#socket.send(frame, frame.length);
  }

  /** Sends the frame at an even rate, reading on the way. */
  async storm(frame: Uint8Array, { perSecond, forMs }: { perSecond: number; forMs: number }): Promise<void> {
    const total = (perSecond * forMs) / 1000;
    const started = performance.now();
    for (let sent = 0; sent < total;) {
      const due = Math.min(total, Math.floor(((performance.now() - started) * perSecond) / 1000));
      for (; sent < due; sent++) this.send(frame);
      this.#read();
      await sleep(1);
    }
  }

  /** ARP replies to us in the name of the address so far. */
  replies(address: string): number {
    this.#read();
    return this.#replies.get(ipBytes(address).join('.')) ?? 0;
  }

  /** Neighbour advertisements to us of the address so far. */
  advertisements(address: string): number {
    this.#read();
    return this.#advertisements.get(ipBytes(address).join('.')) ?? 0;
  }

  close(): void {
    this.#socket.close();
  }

  #read(): void {
    for (;;) {
      const count = this.#receiver.receive(this.#socket.fd);
      for (const { bytes, view } of this.#receiver.slots.slice(0, Math.max(0, count))) {
        const toUs = this.#mac.every((byte, at) => bytes[at] === byte);
        if (!toUs) continue;
        if (view.getUint16(12) === 0x0806 && view.getUint16(ARP_AT.op) === ARP_OP.reply) {
          increment(this.#replies, bytes.subarray(ARP_AT.spa, ARP_AT.tha));
        } else if (view.getUint16(12) === 0x86dd && view.getUint8(NDP_AT.type) === NDP_TYPE.advertisement) {
          increment(this.#advertisements, bytes.subarray(NDP_AT.target, NDP_AT.options));
        }
      }
      if (count < this.#receiver.batch) return;
    }
  }
}

function increment(counts: Map<string, number>, address: Uint8Array): void {
  const key = address.join('.');
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
