/** The fast path of ARP on pairs of sockets: the same answers, claims and counters as the responder by itself. */
import { once } from 'node:events';
import { closeSync, mkdtempSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import * as fc from 'fast-check';
import koffi from 'koffi';
import { afterEach, expect, it } from 'vitest';
import { ipBytes } from '../../providers/metal/wire/codec/address.ts';
import { ARP_AT, ARP_OP, arpRequest, decodeArp } from '../../providers/metal/wire/codec/arp.ts';
import { Counters, counterMemory, PER_ADDRESS } from '../../providers/metal/wire/engine/counters.ts';
import { Responder } from '../../providers/metal/wire/engine/responder.ts';
import { AddressTable, answersOn, type Port } from '../../providers/metal/wire/engine/table.ts';
import { aMac } from '../../providers/metal/wire/engine/testkit.ts';
import { FastPath } from '../../providers/metal/wire/sys/fast-path.ts';
import { checked, eventfd, MSG, read, recv, send, SOCK } from '../../providers/metal/wire/sys/libc.ts';
import { Poller } from '../../providers/metal/wire/sys/poller.ts';
import { Receiver } from '../../providers/metal/wire/sys/receiver.ts';
import { describeUnless } from '../harness/describe.ts';
import { LIBRARY } from '../../providers/metal/wire/fast-path/library.ts';
import { buildFastPath } from '../harness/fast-path.ts';

const socketpair = koffi
  .load(null)
  .func('int socketpair(int domain, int type, int protocol, void *pair)') as (
  ...args: [domain: number, type: number, protocol: number, pair: Int32Array]
) => number;
/** Datagrams with borders between them, like frames (AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK). */
const [UNIX, SEQUENCED] = [1, 5 | 0o4000];

const STALL_MS = 200;
const SLICE_MS = 50;
const CLIENT = aMac('02:00:00:00:00:99');
const CLIENT_IP = ipBytes('192.0.2.99');
const BOTH = '192.0.2.10';
const SECOND_ONLY = '192.0.2.11';
const NOBODYS = '192.0.2.12';

interface Line extends Port {
  readonly fd: number;
  /** The end of those who ask. */
  readonly far: number;
}

const desks: Desk[] = [];

/** A table, a responder and two interfaces whose far ends the test holds; with the fast path or without. */
class Desk {
  readonly counters = new Counters(counterMemory());
  readonly table = new AddressTable();
  readonly claims: string[] = [];
  readonly lines: readonly [Line, Line];
  readonly fastPath: FastPath | undefined;
  /** Frames that the responder was given. */
  judged = 0;
  /** As the wire has one: written to, it wakes whoever waits. */
  readonly wake = eventfd(0, SOCK.nonBlocking);
  readonly poller: Poller;
  readonly #receiver = new Receiver();
  readonly #responder: Responder;

  constructor({ fast, byClock }: { fast: boolean; byClock?: boolean }) {
    const { counters } = this;
    const now = () => performance.now();
    if (fast)
      this.fastPath = new FastPath({
        counters,
        stallMs: STALL_MS,
        sliceMs: SLICE_MS,
        now,
        library: LIBRARY,
        byClock,
      });
    this.poller = new Poller(this.fastPath);
    this.poller.add(this.wake, () => void read(this.wake, new Uint8Array(8), 8));
    this.#responder = new Responder({
      table: this.table,
      counters,
      observer: { active: false, sawArp: () => undefined, sawNdp: () => undefined },
      onClaim: ({ entry, mac, port, by }) => this.claims.push(`${entry.address} ${mac} ${port.name} ${by}`),
    });
    this.lines = [this.#line('eth0', '02:00:00:00:00:01'), this.#line('eth1', '02:00:00:00:00:02')];
    this.#responder.setPorts(this.lines);
    desks.push(this);
  }

  announce(address: string, slot: number, interfaces?: readonly string[]): void {
    this.table.put(address, slot, interfaces && new Set(interfaces));
  }

  /** As the ports do after each change. */
  use(): void {
    const entries = [...this.table.entries()];
    this.fastPath?.use(
      this.lines.map((line) => ({ ...line, entries: entries.filter((entry) => answersOn(entry, line)) })),
    );
  }

  /** Until the fast path knows how fast the counter runs. */
  async learn(): Promise<void> {
    this.turn(0);
    await sleep(25);
    this.turn(0);
  }

  /** A turn of the loop; how many sockets it was told of. */
  turn(timeoutMs: number, since = performance.now()): number {
    const ready = this.poller.wait(timeoutMs, since);
    this.poller.dispatch();
    return ready;
  }

  /** Sends frames and has turns until nothing waits; what comes back. */
  ask(line: Line, ...frames: readonly Uint8Array[]): readonly Uint8Array[] {
    tell(line, ...frames);
    for (let turns = 0; turns <= frames.length; turns++) this.turn(0);
    return answersAt(line);
  }

  /** All counters, the answers of both slots included. */
  counted(): readonly number[] {
    return [...this.counters.values.subarray(0, 64)];
  }

  close(): void {
    this.poller.close();
    closeSync(this.wake);
    for (const { fd, far } of this.lines) for (const each of [fd, far]) closeSync(each);
  }

  #line(name: string, mac: string): Line {
    const pair = new Int32Array(2);
    checked('socketpair', socketpair(UNIX, SEQUENCED, 0, pair));
    const [fd = -1, far = -1] = pair;
    const sendArp = (frame: Uint8Array): boolean =>
      send(fd, frame, frame.length, MSG.dontWait | MSG.noSignal) === frame.length;
    const line: Line = { name, index: 1, mac: aMac(mac), ipv4: [], fd, far, sendArp, sendNdp: () => false };
    this.poller.add(fd, () => {
      const frame = this.fastPath?.takeHeld(fd) ?? this.#receiver.receiveOne(fd);
      if (frame === false || frame === undefined) return;
      this.judged += 1;
      this.#responder.arp(line, frame);
    });
    return line;
  }
}

/** Asks without an end, as fast as there is room; says when it has begun. */
const FLOOD = `
  const koffi = require(${JSON.stringify(fileURLToPath(import.meta.resolve('koffi')))});
  const { parentPort, workerData: { fd, frame } } = require('node:worker_threads');
  const send = koffi.load(null).func('long send(int fd, const void *bytes, ulong length, int flags)');
  const recv = koffi.load(null).func('long recv(int fd, void *bytes, ulong length, int flags)');
  parentPort.postMessage('begun');
  for (const room = new Uint8Array(2048); ; recv(fd, room, 2048, 0x40)) send(fd, frame, frame.length, 0x40);
`;

function tell({ far }: Line, ...frames: readonly Uint8Array[]): void {
  for (const frame of frames) expect(send(far, frame, frame.length, MSG.dontWait)).toBe(frame.length);
}

function answersAt({ far }: Line): readonly Uint8Array[] {
  const answers: Uint8Array[] = [];
  const room = new Uint8Array(2048);
  for (let length; (length = recv(far, room, room.length, MSG.dontWait)) > 0;)
    answers.push(room.slice(0, length));
  return answers;
}

function request(
  address: string,
  fields: Partial<Record<'destination' | 'sha' | 'spa', Uint8Array>> = {},
): Uint8Array {
  const frame = arpRequest(CLIENT, CLIENT_IP, ipBytes(address));
  if (fields.destination !== undefined) frame.set(fields.destination, 0);
  if (fields.sha !== undefined) frame.set(fields.sha, ARP_AT.sha);
  if (fields.spa !== undefined) frame.set(fields.spa, ARP_AT.spa);
  return frame;
}

async function aDesk(options: { fast: boolean; byClock?: boolean } = { fast: true }): Promise<Desk> {
  const desk = new Desk(options);
  desk.announce(BOTH, 0);
  desk.announce(SECOND_ONLY, 1, ['eth1']);
  desk.announce('2001:db8::10', 2);
  desk.use();
  await desk.learn();
  return desk;
}

const requests = (desk: Desk, slot: number): readonly number[] => [
  desk.counters.getFor(slot, PER_ADDRESS.requests),
  desk.counters.getFor(slot, PER_ADDRESS.responses),
];

await describeUnless(buildFastPath(), { name: 'the fast path of ARP', part: 'C compiler' }, () => {
  afterEach(() => {
    for (const desk of desks.splice(0)) desk.close();
  });

  it.each([{ byClock: false }, { byClock: true }])(
    'answers and counts a plain request without the responder ($byClock: by the clock)',
    async ({ byClock }) => {
      const desk = await aDesk({ fast: true, byClock });
      const [first, second] = desk.lines;
      for (const [line, address, slot] of [
        [first, BOTH, 0],
        [second, SECOND_ONLY, 1],
      ] as const) {
        const [answer, ...more] = desk.ask(line, request(address));
        expect(decodeArp(answer!)).toEqual({
          destination: CLIENT,
          source: line.mac,
          op: ARP_OP.reply,
          sha: line.mac,
          spa: ipBytes(address),
          tha: CLIENT,
          tpa: CLIENT_IP,
        });
        expect(answer).toHaveLength(42);
        expect(more).toEqual([]);
        expect(requests(desk, slot)).toEqual([1, 1]);
      }
      expect(desk.judged).toBe(0);
      expect(desk.counters.get('framesReceived')).toBe(2);
    },
  );

  it('answers what is sent to it alone, padded, and what probes for a duplicate', async () => {
    const desk = await aDesk();
    const [line] = desk.lines;
    const padded = new Uint8Array(60);
    padded.set(request(BOTH, { destination: line.mac }));
    expect(desk.ask(line, padded, request(BOTH, { spa: new Uint8Array(4) }))).toHaveLength(2);
    expect(desk.judged).toBe(0);
  });

  it.each([
    ['an address that nobody announces', () => request(NOBODYS)],
    ['an address of another interface', () => request(SECOND_ONLY)],
    ['a claim of an announced address', () => request(NOBODYS, { spa: ipBytes(BOTH) })],
    ['a frame of our own that came back', () => request(BOTH, { sha: aMac('02:00:00:00:00:02') })],
    ['a group as the sender', () => request(BOTH, { sha: aMac('03:00:00:00:00:99') })],
    ['a frame for another station', () => request(BOTH, { destination: aMac('02:00:00:00:00:77') })],
    ['a frame that is cut', () => request(BOTH).subarray(0, 41)],
  ])('leaves to the responder: %s', async (_, frame) => {
    const desk = await aDesk();
    // So that the memory for frames has all of a request in it.
    expect(desk.ask(desk.lines[0], request(BOTH, { destination: CLIENT }))).toEqual([]);
    expect(desk.ask(desk.lines[0], frame())).toEqual([]);
    expect(desk.judged).toBe(2);
  });

  it('comes to what the responder comes to by itself, whatever the frame', async () => {
    const [fast, plain] = [await aDesk(), await aDesk({ fast: false })];
    const macs = ['02:00:00:00:00:01', '02:00:00:00:00:02', '02:00:00:00:00:99', '03:00:00:00:00:99'].map(
      aMac,
    );
    const mac = fc.constantFrom(...macs, new Uint8Array(6), new Uint8Array(6).fill(0xff));
    const ip = fc.constantFrom(...[BOTH, SECOND_ONLY, NOBODYS, '192.0.2.99', '0.0.0.0'].map(ipBytes));
    const hit = fc.record({ at: fc.nat(41), byte: fc.nat(255) });
    let [byFastPath, all] = [0, 0];
    fc.assert(
      fc.property(
        fc.record({
          on: fc.constantFrom(0 as const, 1 as const),
          destination: fc.oneof({ weight: 3, arbitrary: fc.constant(new Uint8Array(6).fill(0xff)) }, mac),
          sha: fc.oneof({ weight: 3, arbitrary: fc.constant(CLIENT) }, mac),
          op: fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, fc.nat(3)),
          spa: fc.oneof({ weight: 2, arbitrary: fc.constant(CLIENT_IP) }, ip),
          tpa: ip,
          hits: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(hit, { maxLength: 2 })),
          length: fc.oneof({ weight: 5, arbitrary: fc.constant(42) }, fc.integer({ min: 1, max: 80 })),
        }),
        ({ on, destination, sha, op, spa, tpa, hits, length }) => {
          const whole = new Uint8Array(80);
          whole.set(request(BOTH, { destination, sha, spa }));
          whole.set(tpa, ARP_AT.tpa);
          whole[ARP_AT.op + 1] = op;
          for (const { at, byte } of hits) whole[at] = byte;
          const frame = whole.subarray(0, length);
          const judged = fast.judged;
          expect(fast.ask(fast.lines[on], frame)).toEqual(plain.ask(plain.lines[on], frame));
          expect(fast.claims).toEqual(plain.claims);
          expect(fast.counted()).toEqual(plain.counted());
          all += 1;
          if (fast.judged === judged) byFastPath += 1;
        },
      ),
      { numRuns: 5_000 },
    );
    // Both ways were gone often.
    expect(byFastPath).toBeGreaterThan(all / 10);
    expect(byFastPath).toBeLessThan((all * 9) / 10);
  });

  it('answers nothing before it knows what is announced, nor after that was dropped', async () => {
    const desk = new Desk({ fast: true });
    desk.announce(BOTH, 0);
    await desk.learn();
    expect(desk.ask(desk.lines[0], request(BOTH))).toHaveLength(1);
    expect(desk.judged).toBe(1);
    desk.use();
    expect(desk.ask(desk.lines[0], request(BOTH))).toHaveLength(1);
    expect(desk.judged).toBe(1);
    desk.table.remove(BOTH);
    desk.fastPath!.drop();
    expect(desk.ask(desk.lines[0], request(BOTH))).toEqual([]);
    desk.use();
    expect(desk.ask(desk.lines[0], request(BOTH))).toEqual([]);
    expect(desk.judged).toBe(3);
  });

  it('leaves everything in the sockets after a stall', async () => {
    const desk = await aDesk();
    tell(desk.lines[0], request(BOTH));
    const since = performance.now() - STALL_MS - 1;
    expect(desk.poller.wait(0, since)).toBe(1);
    expect(desk.fastPath!.woke).toBeCloseTo(since, 1);
    expect(desk.counters.get('framesReceived')).toBe(0);
    desk.poller.dispatch();
    expect(desk.judged).toBe(1);
  });

  it('waits longer than a stall without taking that for one', async () => {
    const desk = await aDesk();
    const begun = performance.now();
    expect(desk.turn(STALL_MS + SLICE_MS)).toBe(0);
    expect(performance.now() - begun).toBeGreaterThan(STALL_MS + SLICE_MS - 1);
    // Where nothing is answered, each wait is one of the caller's.
    desk.fastPath!.drop();
    const dropped = performance.now();
    expect(desk.turn(STALL_MS)).toBe(0);
    expect(performance.now() - dropped).toBeLessThan(STALL_MS);
    expect(performance.now() - desk.fastPath!.woke).toBeGreaterThan(SLICE_MS - 1);
  });

  it('forgets a frame that it read for the caller and that the caller did not take', async () => {
    const desk = await aDesk();
    const [line] = desk.lines;
    tell(line, request(NOBODYS));
    expect(desk.poller.wait(0, performance.now())).toBe(1);
    expect(desk.poller.wait(0, performance.now())).toBe(0);
    expect(desk.fastPath!.takeHeld(line.fd)).toBeUndefined();
  });

  it('tells when it answered, so that time without a turn of the caller is no stall', async () => {
    const desk = await aDesk();
    const before = performance.now();
    expect(desk.ask(desk.lines[0], request(BOTH))).toHaveLength(1);
    expect(desk.turn(0, before - 10)).toBe(0);
    const since = performance.now() - 150;
    tell(desk.lines[0], request(BOTH));
    expect(desk.turn(0, since)).toBe(0);
    expect(desk.fastPath!.woke).toBeGreaterThan(since + 149);
    expect(desk.fastPath!.woke).toBeLessThanOrEqual(performance.now() + 0.1);
  });

  it('takes a frame of each interface in a turn, and leaves all to the caller when it has more to do', async () => {
    const desk = await aDesk();
    for (const line of desk.lines) tell(line, request(BOTH), request(BOTH));
    expect(desk.turn(0)).toBe(0);
    expect(requests(desk, 0)).toEqual([2, 2]);
    writeSync(desk.wake, new Uint8Array(BigUint64Array.of(1n).buffer));
    expect(desk.poller.wait(0, performance.now())).toBe(3);
    expect(requests(desk, 0)).toEqual([2, 2]);
  });

  it('counts what the kernel refuses to send', async () => {
    const desk = await aDesk();
    const [line] = desk.lines;
    const frame = request(BOTH);
    // Nobody reads the answers.
    for (let round = 0; round < 20; round++) {
      while (send(line.far, frame, frame.length, MSG.dontWait) > 0);
      desk.turn(1);
    }
    const [asked = 0, answered = 0] = requests(desk, 0);
    expect(asked).toBeGreaterThan(answered);
    expect(desk.counters.get('sendErrors')).toBe(asked - answered);
    expect(answersAt(line)).toHaveLength(answered);
    expect(desk.judged).toBe(0);
  });

  it('ends its wait in time though requests never end', async () => {
    const desk = await aDesk();
    const [line] = desk.lines;
    const flood = new Worker(FLOOD, { eval: true, workerData: { fd: line.far, frame: request(BOTH) } });
    await once(flood, 'message');
    for (let round = 0; round < 10; round++) {
      const before = requests(desk, 0)[0]!;
      const begun = performance.now();
      expect(desk.turn(20)).toBe(0);
      expect(performance.now() - begun).toBeLessThan(STALL_MS);
      expect(requests(desk, 0)[0]! - before).toBeGreaterThan(1);
    }
    expect(desk.judged).toBe(0);
    await flood.terminate();
  });

  it('finds each of 4,096 addresses and none beside them', async () => {
    const desk = new Desk({ fast: true });
    const all = Array.from({ length: 8_192 }, (_, i) => `${10 + (i & 7)}.0.${(i >> 3) & 255}.${i >> 11}`);
    const announced = (index: number): boolean => ((index >> 3) & 1) === 0;
    all.forEach((address, index) => announced(index) && desk.announce(address, index));
    desk.use();
    await desk.learn();
    for (const [index, address] of all.entries())
      expect(desk.ask(desk.lines[1], request(address))).toHaveLength(announced(index) ? 1 : 0);
    expect(desk.judged).toBe(all.length / 2);
    for (const index of all.keys()) expect(requests(desk, index)).toEqual(announced(index) ? [1, 1] : [0, 0]);
  });

  it('a library that cannot be used is named, with what to do', () => {
    const directory = mkdtempSync(join(tmpdir(), 'berth-fast-path-'));
    const counters = new Counters(counterMemory());
    try {
      const broken = join(directory, 'broken.so');
      writeFileSync(broken, 'no library');
      for (const library of [broken, join(directory, 'none.so')])
        expect(
          () => new FastPath({ counters, stallMs: STALL_MS, sliceMs: SLICE_MS, now: () => 0, library }),
        ).toThrow(new RegExp(`not used: ${library}: .*given without it.*Remedy: build Berth`));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
