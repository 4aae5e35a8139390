/** What the engine's tests share: a clock that is turned by hand, interfaces that keep what is sent. */
import { ipBytes, macBytes, parseMac } from '../codec/address.ts';
import { Counters, counterMemory } from './counters.ts';
import type { Frame } from './responder.ts';
import { AddressTable, type Port } from './table.ts';
import { Timers } from './timers.ts';

/** Bytes of a MAC in text. */
export function aMac(text: string): Uint8Array {
  const mac = parseMac(text);
  if (mac === undefined) throw new RangeError(text);
  return macBytes(mac);
}

/** An interface that keeps what is sent on it. */
export interface FakePort extends Port {
  readonly sent: Uint8Array[];
  /** When true, the kernel refuses everything. */
  down: boolean;
}

export function aPort(
  name = 'eth0',
  mac = '02:00:00:00:00:01',
  linkLocal: string | undefined = 'fe80::1',
): FakePort {
  const sent: Uint8Array[] = [];
  const keep = (frame: Uint8Array): boolean => {
    if (port.down) return false;
    sent.push(frame.slice());
    return true;
  };
  const port: FakePort = {
    name,
    index: 2,
    mac: aMac(mac),
    linkLocal: linkLocal === '' ? undefined : ipBytes(linkLocal),
    ipv4: [{ ip: ipBytes('192.0.2.1'), prefixLength: 24 }],
    sendArp: keep,
    sendNdp: keep,
    sent,
    down: false,
  };
  return port;
}

/** A frame as the receiver gives it: at the beginning of a larger buffer. */
export function aFrame(bytes: Uint8Array): Frame {
  const buffer = new Uint8Array(1536);
  buffer.set(bytes);
  return { bytes: buffer, view: new DataView(buffer.buffer), length: bytes.length };
}

/** Time that passes when it is told to, running what is due on the way. */
export class FakeTime {
  now = 1000;
  readonly timers: Timers = new Timers();
  readonly read = (): number => this.now;

  pass(ms: number): void {
    const until = this.now + ms;
    for (let next = this.timers.next; next !== undefined && next <= until; next = this.timers.next) {
      this.now = Math.max(this.now, next);
      this.timers.runDue(this.now);
    }
    this.now = until;
  }
}

/** Table, counters and time together. */
export function aWorkbench(): { table: AddressTable; counters: Counters; time: FakeTime } {
  return { table: new AddressTable(), counters: new Counters(counterMemory()), time: new FakeTime() };
}
