/**
 * Asks over ARP and measures the answers, in a loop that blocks: with the event loop in between, most of what is
 * measured would be this program. Arguments: JSON (`LatencyPlan`); prints JSON (`LatencyFound`).
 */
import { readFileSync } from 'node:fs';
import { ipBytes, macBytes } from '../../providers/metal/wire/codec/address.ts';
import { ARP_AT, ARP_OP, arpRequest } from '../../providers/metal/wire/codec/arp.ts';
import { ETHERTYPE } from '../../providers/metal/wire/codec/ethernet.ts';
import { arpFilter } from '../../providers/metal/wire/codec/filter.ts';
import { MSG, recv } from '../../providers/metal/wire/sys/libc.ts';
import { PacketSocket } from '../../providers/metal/wire/sys/packet-socket.ts';
import { Poller } from '../../providers/metal/wire/sys/poller.ts';
import type { Mac } from '../../providers/metal/wire/types.ts';
import type { LatencyFound, LatencyPlan } from './metal-latency.ts';

const plan = JSON.parse(process.argv[2] ?? '{}') as LatencyPlan;
const index = Number(readFileSync('/sys/class/net/eth0/ifindex', 'utf8'));
const socket = new PacketSocket(index, ETHERTYPE.arp);
const word = (address: string): number => Buffer.from(ipBytes(address)).readUInt32BE();
socket.filter(arpFilter(plan.addresses.map(word)));
const poller = new Poller();
poller.add(socket.fd, () => undefined);
const self = word(plan.ipv4);
const frame = new Uint8Array(1_536);
const view = new DataView(frame.buffer);
const pauses = new Int32Array(new SharedArrayBuffer(4));
const requests = plan.addresses.map((address) =>
  arpRequest(macBytes(plan.mac as Mac), ipBytes(plan.ipv4), ipBytes(address)),
);
/** An answer may take this long. */
const LATE_MS = 1_000;

/** Takes frames off the socket until one answers us about the address; whether there was one. */
function answered(address: number): boolean {
  while (recv(socket.fd, frame, frame.length, MSG.dontWait) > 0) {
    const forUs = view.getUint16(ARP_AT.op) === ARP_OP.reply && view.getUint32(ARP_AT.tpa) === self;
    if (forUs && view.getUint32(ARP_AT.spa) === address) return true;
  }
  return false;
}

/** Every address in turn, one request at a time, so that all of them meet the same moods of the machine. */
function oneByOne(): LatencyFound {
  const times: number[][] = plan.addresses.map(() => []);
  for (let round = 0; round < plan.requests; round++) {
    for (const [at, address] of plan.addresses.entries()) {
      const request = requests[at] ?? frame;
      Atomics.wait(pauses, 0, 0, plan.pauseMs);
      const sent = performance.now();
      socket.send(request, request.length);
      let found = false;
      while (!found && performance.now() - sent < LATE_MS) {
        poller.wait(LATE_MS);
        found = answered(word(address));
      }
      if (found) times[at]?.push(performance.now() - sent);
    }
  }
  return { times, sent: plan.requests, received: times[0]?.length ?? 0 };
}

/** As many requests for the first address as the rate demands; what is late is caught up. */
function flood(): LatencyFound {
  const [request = frame] = requests;
  const address = word(plan.addresses[0] ?? '');
  const total = Math.round((plan.perSecond * plan.floodMs) / 1_000);
  const begun = performance.now();
  let [sent, received] = [0, 0];
  const take = (): void => {
    while (answered(address)) received += 1;
  };
  while (sent < total) {
    const due = Math.min(total, Math.floor(((performance.now() - begun) * plan.perSecond) / 1_000));
    // In small lots, as many clients would: a lot at once would only fill the queue between the namespaces.
    for (let lot = 0; sent < due && lot < 16; lot++) if (socket.send(request, request.length)) sent += 1;
    poller.wait(1);
    take();
  }
  const end = performance.now() + LATE_MS;
  while (performance.now() < end) {
    poller.wait(50);
    take();
  }
  return { times: [], sent, received, droppedHere: socket.drops(), tookMs: performance.now() - begun };
}

console.log(JSON.stringify(plan.perSecond > 0 ? flood() : oneByOne()));
