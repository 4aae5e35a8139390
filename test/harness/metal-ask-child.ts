/**
 * Asks who has the addresses, all of them every INTERVAL ms, from `eth0`. Arguments: INTERVAL, MAC, IPv4 and link-local
 * address of the asker. Lines of standard input: `ask ADDRESS ...` replaces the list; the end of input ends it.
 */
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { ipBytes, macBytes } from '../../providers/metal/wire/codec/address.ts';
import { arpRequest } from '../../providers/metal/wire/codec/arp.ts';
import { ETHERTYPE } from '../../providers/metal/wire/codec/ethernet.ts';
import { solicitation } from '../../providers/metal/wire/codec/ndp.ts';
import { PacketSocket } from '../../providers/metal/wire/sys/packet-socket.ts';
import type { Mac } from '../../providers/metal/wire/types.ts';

const [interval = '10', mac = '', ipv4 = '', linkLocal = ''] = process.argv.slice(2);
const index = Number(readFileSync('/sys/class/net/eth0/ifindex', 'utf8'));
const sockets = { arp: new PacketSocket(index, ETHERTYPE.arp), ndp: new PacketSocket(index, ETHERTYPE.ipv6) };
const station = macBytes(mac as Mac);
let asks: readonly (readonly [PacketSocket, Uint8Array])[] = [];

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [, ...addresses] = line.trim().split(' ');
    asks = addresses.map((address) =>
      address.includes(':')
        ? [sockets.ndp, solicitation(station, ipBytes(linkLocal), ipBytes(address))]
        : [sockets.arp, arpRequest(station, ipBytes(ipv4), ipBytes(address))],
    );
    console.log(`asking ${addresses.length}`);
  })
  .on('close', () => process.exit(0));

// Late rounds are made up for, so that the rate holds on a busy machine.
let due = performance.now();
setInterval(
  () => {
    for (; due <= performance.now(); due += Number(interval))
      for (const [socket, frame] of asks) socket.send(frame, frame.length);
  },
  Math.max(1, Number(interval) / 2),
);
