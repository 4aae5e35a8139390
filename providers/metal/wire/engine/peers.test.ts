import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DATAGRAM, DatagramCodec, nodeId, nonceText } from '../codec/datagram.ts';
import { MAX_PAYLOAD } from '../types.ts';
import { type Outcome, Peers } from './peers.ts';

const KEY = Buffer.alloc(32, 1);
const INTERVAL = 200;

/** Speakers on a network that delivers at once, in order; what is on it can be recorded and cut. */
class Network {
  now = 10_000;
  readonly speakers = new Map<string, Speaker>();
  /** Everything sent, with its addressee. */
  readonly recorded: { readonly to: string; readonly datagram: Uint8Array }[] = [];
  /** `from>to`, or `>to`: nothing arrives. */
  readonly cut = new Set<string>();

  add(node: string, { key = KEY, cluster = 'c' }: { key?: Uint8Array; cluster?: string } = {}): Speaker {
    const speaker = new Speaker(this, node, new DatagramCodec(cluster, key));
    this.speakers.set(node, speaker);
    return speaker;
  }

  deliver(from: string, to: string, datagram: Uint8Array): Outcome | undefined {
    this.recorded.push({ to, datagram });
    if (this.cut.has(`${from}>${to}`) || this.cut.has(`>${to}`)) return undefined;
    return this.speakers.get(to)?.receive(datagram);
  }

  /** Everybody beats in turn for a time. */
  run(ms: number): void {
    for (let passed = 0; passed < ms; passed += INTERVAL / 2) {
      this.now += INTERVAL / 2;
      for (const { peers } of this.speakers.values()) {
        if (passed % INTERVAL === 0) peers.beat();
        peers.judge(this.now);
      }
    }
  }
}

class Speaker {
  readonly events: { readonly event: string; readonly [key: string]: unknown }[] = [];
  readonly outcomes: Outcome[] = [];
  readonly peers: Peers;
  readonly #network: Network;

  constructor(network: Network, node: string, codec: DatagramCodec) {
    this.#network = network;
    this.peers = new Peers({
      node,
      codec,
      intervalMs: INTERVAL,
      missedLimit: 3,
      random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
      emit: (event, detail) => this.events.push({ event, ...detail }),
      transmit: (to, datagram) => network.deliver(node, to, datagram),
    });
  }

  receive(datagram: Uint8Array): Outcome {
    const outcome = this.peers.receive(datagram, this.#network.now);
    this.outcomes.push(outcome);
    return outcome;
  }

  named(event: string): readonly { readonly [key: string]: unknown }[] {
    return this.events.filter((one) => one.event === event);
  }
}

/** Two speakers (or more) that have heard each other. */
function aNetwork(...nodes: string[]): { network: Network; a: Speaker; b: Speaker } {
  const names = nodes.length > 0 ? nodes : ['a', 'b'];
  const network = new Network();
  for (const node of names) network.add(node);
  for (const { peers } of network.speakers.values()) peers.setNodes(names);
  network.run(INTERVAL * 2);
  return { network, a: network.speakers.get('a')!, b: network.speakers.get('b')! };
}

describe('heartbeats', () => {
  it('make a peer alive when it has answered a challenge, and not before', () => {
    const network = new Network();
    const a = network.add('a');
    const b = network.add('b');
    a.peers.setNodes(['b']);
    b.peers.setNodes(['a']);
    network.cut.add('b>a');
    a.peers.beat();
    expect(b.outcomes).toEqual([{ rejected: 'unchallenged' }]);
    expect(b.events).toEqual([]);
    network.cut.clear();
    a.peers.beat();
    expect(b.events).toEqual([
      { event: 'heard', node: 'a', nonce: nonceText(a.peers.nonce), restarted: false },
    ]);
    a.peers.beat();
    expect(b.outcomes.at(-1)).toBe('heartbeat');
  });

  it('three missed make it gone; the next one brings it back without a new challenge', () => {
    const { network, b } = aNetwork();
    network.cut.add('a>b');
    network.run(500);
    expect(b.named('gone')).toEqual([]);
    network.run(300);
    expect(b.named('gone')).toMatchObject([{ node: 'a' }]);
    expect(b.named('gone')[0]!['silentMs']).toBeGreaterThan(600);
    expect(b.named('gone')[0]!['silentMs']).toBeLessThan(800);
    network.cut.clear();
    network.run(200);
    expect(b.named('heard').at(-1)).toMatchObject({ node: 'a', restarted: false });
  });

  it('are counted from now after a stall of our own', () => {
    const { network, b } = aNetwork();
    network.now += 60_000;
    b.peers.restart(network.now);
    b.peers.judge(network.now);
    expect(b.named('gone')).toEqual([]);
    network.now += 700;
    b.peers.judge(network.now);
    expect(b.named('gone')).toHaveLength(1);
  });

  it('tell when they have to be looked at again: when one may have been silent for too long, and not before', () => {
    const { network, b } = aNetwork();
    b.peers.restart(network.now);
    const due = b.peers.judge(network.now + 100);
    expect(due).toBe(network.now + 650);
    expect(b.peers.judge(due)).toBe(due);
    expect(b.named('gone')).toEqual([]);
    // Nobody is left who could fall silent; who comes back has as long from then.
    expect(b.peers.judge(due + 1)).toBe(due + 1 + 650);
    expect(b.named('gone')).toMatchObject([{ node: 'a', silentMs: 651 }]);
  });

  it('carry a digest, which is told when it changes', () => {
    const { network, a, b } = aNetwork();
    a.peers.setDigest(Uint8Array.of(1, 2));
    network.run(400);
    a.peers.setDigest(Uint8Array.of(1, 3));
    network.run(400);
    expect(b.named('digest').map(({ digest }) => digest)).toEqual([Uint8Array.of(1, 2), Uint8Array.of(1, 3)]);
  });

  it('of a peer that is no more in the list count for nothing', () => {
    const { network, b } = aNetwork();
    b.peers.setNodes([]);
    network.run(1000);
    expect(b.named('gone')).toEqual([]);
    expect(b.outcomes.at(-1)).toEqual({ rejected: 'unknownNode' });
  });

  it('of oneself are ignored', () => {
    const { network, a } = aNetwork();
    const own = network.recorded.find(({ to }) => to === 'b')!;
    expect(a.receive(own.datagram)).toBe('ignored');
  });

  it('of a hundred speakers are signed once each and all arrive', () => {
    const nodes = Array.from({ length: 99 }, (_, i) => `node-${i}`);
    const network = new Network();
    const hub = network.add('hub');
    hub.peers.setNodes(nodes);
    for (const node of nodes) network.add(node).peers.setNodes(['hub']);
    network.run(INTERVAL * 2);
    expect(hub.peers.list().filter(({ state }) => state === 'alive')).toHaveLength(99);
    const before = network.recorded.length;
    hub.peers.beat();
    const sent = network.recorded.slice(before).map(({ datagram }) => datagram);
    expect([sent.length, new Set(sent).size]).toEqual([99, 1]);
  });
});

describe('forged and replayed datagrams', () => {
  it('do not count with another key, and a speaker with another key never becomes alive', () => {
    const { network, b } = aNetwork();
    const forger = network.add('a', { key: Buffer.alloc(32, 2) });
    forger.peers.setNodes(['b']);
    network.run(1000);
    expect(b.outcomes.at(-1)).toEqual({ rejected: 'wrongKey' });
    expect(b.named('gone')).toHaveLength(1);
  });

  it('do not count from another cluster, though it has the same key and node names', () => {
    const { network, b } = aNetwork();
    const other = network.add('a', { cluster: 'other' });
    other.peers.setNodes(['b']);
    network.run(1000);
    expect(b.outcomes.at(-1)).toEqual({ rejected: 'cluster' });
    expect(b.named('gone')).toHaveLength(1);
  });

  it('do not count twice: everything that was recorded of a peer, played again, keeps nobody alive', () => {
    const { network, b } = aNetwork();
    network.run(2000);
    const recorded = network.recorded.filter(({ to }) => to === 'b').map(({ datagram }) => datagram);
    network.cut.add('a>b');
    network.run(700);
    expect(b.named('gone')).toHaveLength(1);
    const events = b.events.length;
    for (const datagram of recorded) {
      expect(['replayed', 'unchallenged']).toContain(
        (b.receive(datagram) as { rejected: string }).rejected ?? 'replayed',
      );
    }
    expect(b.events).toHaveLength(events);
  });

  it('of an earlier start never count again', () => {
    const { network, b } = aNetwork();
    const old = network.recorded.filter(({ to }) => to === 'b').map(({ datagram }) => datagram);
    network.add('a').peers.setNodes(['a', 'b']);
    network.run(400);
    expect(b.named('heard').at(-1)).toMatchObject({ restarted: true });
    const events = b.events.length;
    for (const datagram of old) expect(b.receive(datagram)).not.toBe('heartbeat');
    expect(b.outcomes.slice(-old.length)).toContainEqual({ rejected: 'retired' });
    expect(b.events).toHaveLength(events);
  });

  it('that answer a challenge nobody made, or make one to a nonce that is not ours, do nothing', () => {
    const { network, a, b } = aNetwork();
    const codec = new DatagramCodec('c', KEY);
    const fields = {
      sender: nodeId('a'),
      addressee: nodeId('b'),
      nonce: 99n,
      sequence: 1n,
      message: 0,
      part: 0,
      parts: 1,
    };
    const forged = codec.encode({ ...fields, kind: DATAGRAM.response, payload: new Uint8Array(16) });
    expect(b.receive(forged)).toEqual({ rejected: 'unchallenged' });
    const sent = network.recorded.length;
    expect(
      b.receive(codec.encode({ ...fields, kind: DATAGRAM.challenge, payload: new Uint8Array(24) })),
    ).toBe('ignored');
    expect(network.recorded).toHaveLength(sent);
    expect(b.peers.list()[0]!.nonce).toBe(a.peers.nonce);
  });

  it('never throw and never change anything, whatever they are', () => {
    const { b } = aNetwork();
    const codec = new DatagramCodec('c', KEY);
    const kinds = Object.values(DATAGRAM);
    const signed = fc
      .record({
        kind: fc.constantFrom(...kinds),
        sender: fc.constantFrom(nodeId('a'), nodeId('b'), 5n),
        addressee: fc.constantFrom(0n, nodeId('b')),
        nonce: fc.bigInt({ min: 1n, max: 9n }),
        sequence: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
        message: fc.nat(),
        part: fc.nat(3),
        parts: fc.integer({ min: 4, max: 65_535 }),
        payload: fc.uint8Array({ maxLength: 64 }),
      })
      .map((fields) => codec.encode(fields));
    const before = b.events.length;
    fc.assert(
      fc.property(fc.oneof(signed, fc.uint8Array({ maxLength: 300 })), (bytes) => {
        b.receive(bytes);
        expect(b.events).toHaveLength(before);
      }),
    );
  });
});

describe('a goodbye', () => {
  it('is told once, with its payload, and the leaver is not called gone', () => {
    const { network, a, b } = aNetwork();
    a.peers.leave(Uint8Array.of(7));
    network.run(1000);
    expect(b.named('goodbye')).toEqual([{ event: 'goodbye', node: 'a', payload: Uint8Array.of(7) }]);
    expect(b.named('gone')).toEqual([]);
    expect(b.peers.list()[0]!.state).toBe('left');
  });

  it('is final for its nonce, and a start after it counts', () => {
    const { network, a, b } = aNetwork();
    a.peers.leave(new Uint8Array(0));
    network.run(400);
    a.peers.renew();
    network.run(400);
    expect(b.events.map(({ event }) => event)).toEqual(['heard', 'goodbye', 'heard']);
    expect(b.peers.list()[0]!.state).toBe('alive');
  });
});

describe('messages', () => {
  it('arrive whole, in parts when they are large, for one node or for all', () => {
    const { network, a, b } = aNetwork('a', 'b', 'c');
    const large = crypto.getRandomValues(new Uint8Array(20_000));
    a.peers.send('claims', large);
    a.peers.send('notice', Uint8Array.of(1), 'c');
    a.peers.send('claims-request', new Uint8Array(0), 'b');
    expect(b.named('message')).toEqual([
      { event: 'message', node: 'a', kind: 'claims', payload: Buffer.from(large) },
      { event: 'message', node: 'a', kind: 'claims-request', payload: new Uint8Array(0) },
    ]);
    expect(
      network.speakers
        .get('c')!
        .named('message')
        .map(({ kind }) => kind),
    ).toEqual(['claims', 'notice']);
  });

  it('to one node do not count at another', () => {
    const { network, a } = aNetwork('a', 'b', 'c');
    a.peers.send('notice', Uint8Array.of(1), 'b');
    const { datagram } = network.recorded.at(-1)!;
    expect(network.speakers.get('c')!.receive(datagram)).toEqual({ rejected: 'notForUs' });
  });

  it('survive parts out of order, and come once though a part comes twice', () => {
    const { network, a, b } = aNetwork();
    network.cut.add('a>b');
    a.peers.send('claims', new Uint8Array(5000).fill(9));
    const parts = network.recorded.splice(-5).map(({ datagram }) => datagram);
    network.cut.clear();
    for (const part of [...parts.toReversed(), ...parts]) b.receive(part);
    expect(b.named('message').map(({ payload }) => (payload as Uint8Array).length)).toEqual([5000]);
  });

  it('count as a sign of life', () => {
    const { network, a, b } = aNetwork();
    for (let i = 0; i < 20; i++) {
      network.now += 300;
      a.peers.send('notice', Uint8Array.of(i), 'b');
      b.peers.judge(network.now);
    }
    expect(b.named('gone')).toEqual([]);
  });

  it('are bounded', () => {
    const { a } = aNetwork();
    expect(() => a.peers.send('claims', new Uint8Array(MAX_PAYLOAD + 1))).toThrow(RangeError);
    expect(a.peers.send('claims', new Uint8Array(0), 'nobody')).toBe(0);
  });
});
