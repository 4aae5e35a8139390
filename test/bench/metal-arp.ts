/**
 * How fast ARP is answered, beside the kernel's own answer on the same segment in the same run; parts for
 * `npm run bench -- metal`, and a program of its own: `test/bench/metal-arp.ts [requests] [seconds of storm]`.
 *
 * One client asks in turn for an address that the kernel of the station has and for one that the wire announces there,
 * so that whatever else the machine does falls on both. Times are round trips as the client's process sees them.
 */
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { ipBytes, macBytes, parseMac } from '../../providers/metal/wire/codec/address.ts';
import { ARP_AT, arpRequest } from '../../providers/metal/wire/codec/arp.ts';
import { arpFilter } from '../../providers/metal/wire/codec/filter.ts';
import { PacketSocket } from '../../providers/metal/wire/sys/packet-socket.ts';
import { Poller } from '../../providers/metal/wire/sys/poller.ts';
import { Receiver } from '../../providers/metal/wire/sys/receiver.ts';
import { inNamespace } from '../harness/in-namespace.ts';
import type { Station } from '../harness/segment.ts';
import { quantile } from './report.ts';

/** A request that is not answered within this time is lost. */
const LOST_MS = 100;

/** Round trips in microseconds of the requests that were answered. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly lost: number;
  readonly requests: number;
}

/** What became of a storm. */
export interface Storm {
  readonly sent: number;
  readonly answered: number;
  readonly perSecond: number;
}

/** A client that asks for addresses from a station's `eth0`. */
export class ArpClient {
  readonly #socket: PacketSocket;
  readonly #receiver = new Receiver();
  readonly #poller = new Poller();
  readonly #mac: Uint8Array;
  readonly #ip: Uint8Array;
  /** Replies in the name of `#asked` since it was set. */
  #replies = 0;
  #asked = 0;

  /** @throws SyscallError without the rights for raw sockets and namespaces. */
  constructor(station: Pick<Station, 'path' | 'mac' | 'ipv4'>) {
    const mac = parseMac(station.mac);
    if (mac === undefined) throw new RangeError(`${station.mac} is no MAC`);
    this.#mac = macBytes(mac);
    this.#ip = ipBytes(station.ipv4);
    this.#socket = inNamespace(station.path, (indexOf) => new PacketSocket(indexOf('eth0'), 0x0806));
    this.#poller.add(this.#socket.fd, () => this.#read());
  }

  /** Asks once; microseconds until the answer, `undefined` when it was lost. */
  ask(address: string): number | undefined {
    const frame = this.#prepare(address);
    const started = process.hrtime.bigint();
    this.#socket.send(frame, frame.length);
    const until = started + BigInt(LOST_MS * 1e6);
    while (this.#replies === 0) {
      if (process.hrtime.bigint() > until) return undefined;
      if (this.#poller.wait(LOST_MS) > 0) this.#poller.dispatch();
    }
    return Number(process.hrtime.bigint() - started) / 1000;
  }

  /** Asks at an even rate without waiting for answers. */
  async storm(
    address: string,
    { perSecond, seconds }: { perSecond: number; seconds: number },
  ): Promise<Storm> {
    const frame = this.#prepare(address);
    const total = perSecond * seconds;
    const started = performance.now();
    for (let sent = 0; sent < total;) {
      const due = Math.min(total, Math.floor(((performance.now() - started) * perSecond) / 1000));
      for (; sent < due; sent++) this.#socket.send(frame, frame.length);
      this.#read();
      await sleep(1);
    }
    const took = (performance.now() - started) / 1000;
    for (let i = 0; i < LOST_MS && this.#replies < total; i++) {
      await sleep(5);
      this.#read();
    }
    return { sent: total, answered: this.#replies, perSecond: total / took };
  }

  close(): void {
    this.#socket.close();
  }

  #prepare(address: string): Uint8Array {
    const bytes = ipBytes(address);
    this.#read();
    this.#asked = new DataView(bytes.buffer).getUint32(0);
    this.#socket.filter(arpFilter([this.#asked]));
    this.#read();
    this.#replies = 0;
    return arpRequest(this.#mac, this.#ip, bytes);
  }

  #read(): void {
    for (;;) {
      const count = this.#receiver.receive(this.#socket.fd);
      for (let i = 0; i < count; i++) {
        const view = this.#receiver.slots[i]?.view;
        if (view?.getUint16(ARP_AT.op) === 2 && view.getUint32(ARP_AT.spa) === this.#asked) this.#replies++;
      }
      if (count < this.#receiver.batch) return;
    }
  }
}

/** Asks for several addresses in turn, with a short pause between; the latency of each. */
export async function compareLatency(
  client: ArpClient,
  addresses: readonly string[],
  requests: number,
): Promise<readonly Latency[]> {
  const times = addresses.map((): number[] => []);
  const lost = addresses.map(() => 0);
  // The first ones pay for what is compiled on the way, on both sides.
  for (let i = -200; i < requests; i++) {
    for (const [at, address] of addresses.entries()) {
      const time = client.ask(address);
      if (i < 0) continue;
      if (time === undefined) lost[at] = (lost[at] ?? 0) + 1;
      else times[at]?.push(time);
    }
    await sleep(1);
  }
  return times.map((values, at) => ({
    p50: quantile(values, 0.5),
    p99: quantile(values, 0.99),
    max: quantile(values, 1),
    lost: lost[at] ?? 0,
    requests,
  }));
}

async function main([requests = '2000', seconds = '10']: readonly string[]): Promise<void> {
  const { parseIp } = await import('@berth/core');
  const { startWire } = await import('../../providers/metal/wire/index.ts');
  const { whyNoNamespaces } = await import('../harness/netns.ts');
  const { makeSegment } = await import('../harness/segment.ts');
  const why = await whyNoNamespaces();
  if (why !== undefined) throw new Error(why);
  const service = parseIp('192.0.2.100');
  if (service === undefined) throw new Error('no address');
  const segment = await makeSegment('node', 'client');
  const node = segment.station('node');
  const client = new ArpClient(segment.station('client'));
  const wire = await startWire({ interfaces: { exclude: [] }, netns: node.path, refreshMs: 0 });
  try {
    await wire.announce([{ address: service, burst: false }]);
    const [kernel, berth] = await compareLatency(client, [node.ipv4, service], Number(requests));
    const storm = await client.storm(service, { perSecond: 5000, seconds: Number(seconds) });
    const ratio = (berth?.p50 ?? Number.NaN) / (kernel?.p50 ?? Number.NaN);
    console.log(
      JSON.stringify({ kernel, berth, ratio, storm, dropped: wire.stats().framesDropped }, null, 1),
    );
  } finally {
    client.close();
    await wire.stop();
    await segment.remove();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
