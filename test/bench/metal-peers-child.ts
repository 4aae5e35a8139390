/**
 * Speakers that do nothing but heartbeats, each on an address of its own, in one process. Arguments: a file with JSON
 * (`PeersPlan`); the end of standard input ends it. What they heard is printed once a second.
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { DATAGRAM, DatagramCodec } from '../../providers/metal/wire/codec/datagram.ts';
import { Peers } from '../../providers/metal/wire/engine/peers.ts';
import type { PeersPlan } from './metal-peers.ts';

const plan = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as PeersPlan;
const codec = new DatagramCodec(plan.cluster, Buffer.from(plan.key, 'base64'));
let [heard, beats, alive] = [0, 0, 0];
/** Where a datagram says its kind. */
const KIND_AT = 5;

for (const [index, { node, address }] of plan.peers.entries()) {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  const peers = new Peers({
    node,
    codec,
    intervalMs: plan.intervalMs,
    missedLimit: 3,
    random: (bytes) => randomBytes(bytes),
    emit: (event) => void (event === 'heard' && (alive += 1)),
    transmit: (_, bytes) => socket.send(bytes, plan.port, plan.target.address),
  });
  peers.setNodes([plan.target.node]);
  socket.on('message', (bytes) => {
    heard += 1;
    if (bytes[KIND_AT] === DATAGRAM.heartbeat) beats += 1;
    peers.receive(bytes, performance.now());
  });
  socket.bind(plan.port, address, () => {
    // Spread over the interval, as machines that started at different times are.
    setTimeout(
      () => setInterval(() => peers.beat(), plan.intervalMs),
      (plan.intervalMs * index) / plan.peers.length,
    );
  });
}

setInterval(() => console.log(JSON.stringify({ heard, beats, alive })), 1_000);
process.stdin.on('end', () => process.exit(0)).resume();
