import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { parseIp } from '@berth/core';
import { ipBytes } from '../../providers/metal/wire/codec/address.ts';
import { startWire, type Wire, type WireOptions } from '../../providers/metal/wire/index.ts';
import { Receiver } from '../../providers/metal/wire/sys/receiver.ts';
import { socketAddress, UdpSocket } from '../../providers/metal/wire/sys/udp-socket.ts';
import { inNamespace } from '../harness/in-namespace.ts';
import { describeAsRoot } from '../harness/netns.ts';
import { RawStation } from '../harness/raw-station.ts';
import { makeSegment, type Segment, type Station } from '../harness/segment.ts';

const CHILD = fileURLToPath(new URL('metal-wire-child.ts', import.meta.url));
const PORT = 7947;
/** Takes a port for itself alone. */
const TAKE_PORT = `require('node:dgram').createSocket('udp4')
  .bind(Number(process.argv[1]), process.argv[2], () => console.log('taken'))`;
const KEY = 'a secret of more than sixteen bytes';
const SERVICE = '192.0.2.100';
const ip = (text: string) => parseIp(text)!;

let segment: Segment;
let stations: Record<'a' | 'b' | 'client', Station>;
const wires: Wire[] = [];
const children: Child[] = [];

interface Told {
  readonly at: number;
  readonly event: string;
  readonly detail: Record<string, unknown>;
}

const EVENTS = [
  'heard',
  'gone',
  'goodbye',
  'digest',
  'message',
  'rejected',
  'successor',
  'superseded',
  'orphaned',
] as const;

/** A speaker in this process, with everything that it tells. */
async function speaker(node: 'a' | 'b', heartbeat: Partial<NonNullable<WireOptions['heartbeat']>> = {}) {
  const station = stations[node];
  const wire = await startWire({
    interfaces: { exclude: [] },
    netns: station.path,
    heartbeat: { node, cluster: 'c', address: ip(station.ipv4), key: Buffer.from(KEY), ...heartbeat },
  });
  wires.push(wire);
  const told: Told[] = [];
  for (const event of EVENTS) {
    wire.on(event, (detail: unknown) =>
      told.push({ at: performance.now(), event, detail: detail as Told['detail'] }),
    );
  }
  await wire.setPeers(peers());
  const named = (event: (typeof EVENTS)[number]): Told[] => told.filter((one) => one.event === event);
  return { wire, told, named };
}

const peers = () => (['a', 'b'] as const).map((node) => ({ node, address: ip(stations[node].ipv4) }));

/** A speaker in a process of its own. */
class Child {
  readonly events: Told[] = [];
  readonly process: ChildProcess;

  constructor(station: Station, options: object, wrapper: readonly string[] = []) {
    const node = [process.execPath, '--conditions=source', CHILD, JSON.stringify(options)];
    this.process = station.spawn(...wrapper, ...node);
    children.push(this);
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      this.events.push({ at: performance.now(), ...(JSON.parse(line) as Omit<Told, 'at'>) });
    });
  }

  tell(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  named(event: string): Told[] {
    return this.events.filter((one) => one.event === event);
  }

  #last(event: string): Told {
    const last = this.named(event).at(-1);
    if (last === undefined) throw new Error(`it did not tell ${event}, only ${JSON.stringify(this.events)}`);
    return last;
  }

  /** The last event of that name, when there is one. */
  async heard(event: string, timeout = 10_000): Promise<Told> {
    return await vi.waitFor(() => this.#last(event), { timeout });
  }
}

const childOptions = (node: 'a' | 'b', more: object = {}) => ({
  interfaces: { exclude: [] },
  heartbeat: { node, cluster: 'c', address: stations[node].ipv4, key: KEY },
  peers: peers(),
  ...more,
});

await describeAsRoot('the speakers of a segment', () => {
  beforeAll(async () => {
    segment = await makeSegment('a', 'b', 'client');
    stations = { a: segment.station('a'), b: segment.station('b'), client: segment.station('client') };
  });
  afterEach(async () => {
    for (const { process } of children.splice(0)) {
      process.kill('SIGKILL');
      if (process.exitCode === null && process.signalCode === null) await once(process, 'exit');
    }
    await Promise.all(wires.splice(0).map((wire) => wire.stop({ goodbye: false })));
  });
  afterAll(() => segment.remove());

  it('hear each other, tell digests and messages of any size, and say goodbye', async () => {
    const [a, b] = [await speaker('a'), await speaker('b')];
    await expect.poll(() => b.named('heard').length, { timeout: 3000 }).toBe(1);
    await expect.poll(() => a.named('heard').length, { timeout: 3000 }).toBe(1);
    a.wire.setDigest(Uint8Array.of(1, 2, 3));
    const large = randomBytes(100_000);
    a.wire.broadcast('claims', large);
    await expect.poll(() => b.named('message').length, { timeout: 3000 }).toBe(1);
    expect(Buffer.compare(b.named('message')[0]!.detail['payload'] as Uint8Array, large)).toBe(0);
    await expect.poll(() => b.named('digest').length, { timeout: 3000 }).toBe(1);
    a.wire.goodbye(Uint8Array.of(9));
    await expect.poll(() => b.named('goodbye').length, { timeout: 1000 }).toBe(1);
    expect(b.wire.peers()).toMatchObject([{ node: 'a', state: 'left' }]);
    await sleep(800);
    expect(b.named('gone')).toEqual([]);
  });

  it('notice a killed one after three missed heartbeats', async () => {
    const b = await speaker('b');
    const a = new Child(stations.a, childOptions('a'));
    await expect.poll(() => b.named('heard').length, { timeout: 10_000 }).toBe(1);
    await sleep(500);
    const killed = performance.now();
    a.process.kill('SIGKILL');
    await expect.poll(() => b.named('gone').length, { timeout: 3000, interval: 5 }).toBe(1);
    const took = b.named('gone')[0]!.at - killed;
    expect(took).toBeGreaterThan(400);
    expect(took).toBeLessThan(900);
  });

  it.each([
    ['another key', { key: Buffer.from('another secret of that length') }, 'wrongKey'],
    ['another cluster with the same key and names', { cluster: 'next door' }, 'cluster'],
  ] as const)('do not hear one of %s', async (_what, heartbeat, reason) => {
    const [a, b] = [await speaker('a', heartbeat), await speaker('b')];
    await expect.poll(() => b.wire.stats().rejected[reason], { timeout: 3000 }).toBeGreaterThan(1);
    expect([...a.named('heard'), ...b.named('heard')]).toEqual([]);
    expect(b.named('rejected')[0]!.detail).toMatchObject({ reason, from: stations.a.ipv4 });
  });

  it('are not fooled by recorded heartbeats that are played again', async () => {
    const b = await speaker('b');
    const recorder = udpIn(stations.a, PORT);
    const seen: Uint8Array[] = [];
    await expect.poll(() => seen.push(...recorder.received()), { timeout: 3000 }).toBeGreaterThan(2);
    recorder.close();
    const a = await speaker('a');
    await expect.poll(() => a.named('heard').length, { timeout: 3000 }).toBe(1);
    await b.wire.stop({ goodbye: false });
    const replayer = udpIn(stations.client, PORT);
    const before = a.named('heard').length;
    await expect.poll(() => a.named('gone').length, { timeout: 3000 }).toBe(1);
    for (const datagram of seen) replayer.send(datagram, stations.a.ipv4);
    await expect.poll(() => a.wire.stats().rejected.replayed, { timeout: 2000 }).toBe(seen.length);
    expect(a.named('heard')).toHaveLength(before);
    replayer.close();
  });

  describe('two of one node, in a rolling update', () => {
    it('change places without being missed, and what the first left is told to the second', async () => {
      const [first, b] = [await speaker('a'), await speaker('b')];
      await expect.poll(() => b.named('heard').length, { timeout: 3000 }).toBe(1);
      await first.wire.announce([{ address: ip(SERVICE), burst: false }]);
      first.wire.setHandover(Uint8Array.of(1));
      const second = await speaker('a');
      expect(second.wire.predecessor).toEqual({ nonce: first.wire.nonce, payload: Uint8Array.of(1) });
      await expect.poll(() => second.named('heard').length, { timeout: 3000 }).toBe(1);
      expect(b.named('heard')).toHaveLength(1);
      await second.wire.announce([{ address: ip(SERVICE) }]);
      expect(second.wire.stats().addresses.get(ip(SERVICE))).toMatchObject({ gratuitousSent: 0 });
      first.wire.setHandover(Uint8Array.of(2));
      await expect.poll(() => second.wire.predecessor?.payload[0], { timeout: 1000 }).toBe(2);

      const raw = new RawStation(stations.client, 'eth0');
      const storm = raw.storm(raw.arpRequest(SERVICE), { perSecond: 500, forMs: 2000 });
      await sleep(300);
      await second.wire.takeOver();
      await expect.poll(() => first.named('superseded').length, { timeout: 1000 }).toBe(1);
      await first.wire.stop({ goodbye: false });
      await storm;
      // None lost; a few in the moment of the change are answered by both, alike.
      await expect.poll(() => raw.replies(SERVICE), { timeout: 1000 }).toBeGreaterThanOrEqual(1000);
      raw.close();
      expect([...b.named('gone'), ...b.named('goodbye')]).toEqual([]);
      expect(b.named('heard').at(-1)!.detail).toMatchObject({
        node: 'a',
        nonce: second.wire.nonce,
        restarted: true,
      });
      await sleep(1500);
      const third = await speaker('a');
      expect(third.wire.predecessor?.nonce).toBe(second.wire.nonce);
    });

    it('the second is told when the first is killed, and takes its place', async () => {
      const b = await speaker('b');
      const first = new Child(stations.a, childOptions('a'));
      await first.heard('ready');
      const second = await speaker('a');
      expect(second.wire.predecessor).toBeDefined();
      first.process.kill('SIGKILL');
      await expect.poll(() => second.named('orphaned').length, { timeout: 3000 }).toBe(1);
      await second.wire.takeOver();
      await expect.poll(() => b.wire.peers()[0]?.nonce, { timeout: 2000 }).toBe(second.wire.nonce);
    });
  });

  it('that was stopped and goes on answers nothing that waited, and is muted until it is told to resume', async () => {
    const b = await speaker('b');
    const a = new Child(stations.a, childOptions('a'));
    await a.heard('ready');
    await expect.poll(() => b.named('heard').length, { timeout: 3000 }).toBe(1);
    a.tell(`announce ${SERVICE}`);
    await a.heard('announced');
    const raw = new RawStation(stations.client, 'eth0');
    raw.send(raw.arpRequest(SERVICE));
    await expect.poll(() => raw.replies(SERVICE), { timeout: 1000 }).toBe(1);
    a.process.kill('SIGSTOP');
    // The signal takes effect in its own time; what arrives before is rightly answered.
    await expect
      .poll(() => readFileSync(`/proc/${a.process.pid}/stat`, 'utf8'), { timeout: 2000 })
      .toMatch(/\) T /);
    for (let i = 0; i < 20; i++) raw.send(raw.arpRequest(SERVICE));
    await sleep(1500);
    a.process.kill('SIGCONT');
    const { detail } = await a.heard('stalled');
    expect(detail['muted']).toBe(true);
    expect(detail['gapMs']).toBeGreaterThan(1300);
    await sleep(200);
    expect(raw.replies(SERVICE)).toBe(1);
    // Nobody said resume: answers come back after a second by themselves.
    await sleep(1200);
    raw.send(raw.arpRequest(SERVICE));
    await expect.poll(() => raw.replies(SERVICE), { timeout: 1000 }).toBe(2);
    // It was away, not its peer.
    expect(a.named('gone')).toEqual([]);
    expect(b.named('gone')).toHaveLength(1);
    raw.close();
  });

  it('whose main thread is stuck says goodbye and answers nothing, and lives again when that goes on', async () => {
    const b = await speaker('b');
    const a = new Child(stations.a, childOptions('a', { mainStallMs: 1000 }));
    await a.heard('ready');
    a.tell(`announce ${SERVICE}`);
    await a.heard('announced');
    await expect.poll(() => b.named('heard').length, { timeout: 3000 }).toBe(1);
    a.tell('block 2500');
    await expect.poll(() => b.named('goodbye').length, { timeout: 3000 }).toBe(1);
    const raw = new RawStation(stations.client, 'eth0');
    raw.send(raw.arpRequest(SERVICE));
    await sleep(200);
    expect(raw.replies(SERVICE)).toBe(0);
    await a.heard('lapsed');
    await expect.poll(() => b.wire.peers()[0]?.state, { timeout: 3000 }).toBe('alive');
    raw.close();
  });

  it('without CAP_NET_RAW is refused with the name of the capability and what to do', async () => {
    const a = new Child(stations.a, { interfaces: { exclude: [] } }, ['setpriv', '--bounding-set=-net_raw']);
    const { detail } = await a.heard('refused');
    expect(detail).toMatchObject({
      name: 'MissingCapability',
      message: expect.stringMatching(/CAP_NET_RAW.*securityContext\.capabilities\.add.*NET_RAW/),
    });
  });

  it('is refused with the reason when its address is not the node’s, or the port is taken', async () => {
    await expect(speaker('a', { address: ip('192.0.2.77') })).rejects.toThrow(
      /no interface of this node.*hostNetwork/,
    );
    const other = stations.a.spawn(process.execPath, '-e', TAKE_PORT, String(PORT), stations.a.ipv4);
    await once(other.stdout!, 'data');
    await expect(speaker('a')).rejects.toThrow(/taken by another program.*7947/);
    other.kill('SIGKILL');
    await once(other, 'exit');
  });
});

/** A UDP socket of a station. */
function udpIn(station: Station, port: number) {
  const socket = inNamespace(station.path, () => new UdpSocket(ipBytes(station.ipv4), port));
  const receiver = new Receiver();
  return {
    received: (): Uint8Array[] => {
      const count = Math.max(0, receiver.receive(socket.fd));
      return receiver.slots.slice(0, count).map(({ bytes, length }) => bytes.slice(0, length));
    },
    send: (datagram: Uint8Array, to: string): boolean =>
      socket.send(datagram, socketAddress(ipBytes(to), port)),
    close: (): void => socket.close(),
  };
}
