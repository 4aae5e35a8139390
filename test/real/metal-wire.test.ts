import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { parseIp } from '@berth/core';
import { startWire, type Wire, type WireOptions } from '../../providers/metal/wire/index.ts';
import { LIBRARY } from '../../providers/metal/wire/fast-path/library.ts';
import { buildFastPath } from '../harness/fast-path.ts';
import { describeAsRoot, runIn } from '../harness/netns.ts';
import { RawStation } from '../harness/raw-station.ts';
import { makeSegment, type Segment, type Station } from '../harness/segment.ts';

const ip = (text: string) => parseIp(text)!;
const SERVICE = ip('192.0.2.100');
const SERVICE6 = ip('2001:db8::100');
const look = () => ({ signal: AbortSignal.timeout(5000) });

let segment: Segment;
let a: Station;
let b: Station;
let client: Station;
const wires: Wire[] = [];
/** Whether the wires of the test have the fast path. */
const way = { fast: false };

/** A wire in a station's namespace; veth pairs are its network cards here. */
async function aWire(station: Station, options: Partial<WireOptions> = {}): Promise<Wire> {
  const fastPath = way.fast ? LIBRARY : false;
  const wire = await startWire({ interfaces: { exclude: [] }, netns: station.path, fastPath, ...options });
  expect(wire.fastPath).toBe(way.fast);
  wire.on('failed', ({ error }) => console.error(error));
  wires.push(wire);
  return wire;
}

/** tcpdump on a station from now until `stop`; its lines, one for each frame. */
async function capture(station: Station, ...filter: string[]): Promise<{ stop: () => Promise<string[]> }> {
  const child = station.spawn('tcpdump', '-l', '-n', '-e', '-vv', '-i', 'eth0', ...filter);
  let frames = '';
  let complaints = '';
  child.stdout?.on('data', (chunk: Buffer) => (frames += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
  const ended = once(child, 'close');
  await expect.poll(() => complaints, { timeout: 5000 }).toContain('listening on');
  return {
    stop: async () => {
      await sleep(100);
      child.kill('SIGINT');
      await ended;
      // Continuation lines belong to the frame above them.
      return frames
        .replaceAll(/\n[ \t]+/g, ' ')
        .split('\n')
        .filter(Boolean);
    },
  };
}

/** Makes the client's kernel look for an address: it sends a datagram there. */
async function touch(address: string): Promise<void> {
  await client.attempt('bash', '-c', `echo > /dev/udp/${address}/9`);
  await expect.poll(() => believed(address), { timeout: 2000 }).toBeDefined();
}

/** What the client's kernel believes about an address: the MAC of its neighbour entry. */
async function believed(address: string): Promise<string | undefined> {
  return /lladdr (\S+)/.exec(await client.exec('ip', 'neigh', 'show', address))?.[1];
}

/** Answers come by the compiled fast path, where it can be built, and without it. */
const noFastPath = buildFastPath();
const ways = noFastPath === undefined ? [true, false] : [false];

for (const fast of ways)
  await describeAsRoot(`the wire, ${fast ? 'with' : 'without'} the fast path`, () => {
    beforeAll(async () => {
      way.fast = fast;
      segment = await makeSegment('a', 'b', 'client');
      a = segment.station('a');
      b = segment.station('b');
      client = segment.station('client');
    });
    afterEach(async () => {
      await Promise.all(wires.splice(0).map((wire) => wire.stop()));
      await client.ip('neigh flush all');
    });
    afterAll(() => segment.remove());

    it('B82 B91 answers ARP as arping sees it, broadcast and unicast, and stops with the withdrawal', async () => {
      const wire = await aWire(a, { refreshMs: 0 });
      expect((await client.attempt('arping', '-c1', '-w1', '-I', 'eth0', SERVICE)).code).toBe(1);
      await wire.announce([{ address: SERVICE, burst: false }]);
      // The first request of arping is broadcast, the others go to who answered.
      const { code, output } = await client.attempt('arping', '-c3', '-w4', '-I', 'eth0', SERVICE);
      expect(output).toMatch(/Sent 3 probes \(1 broadcast\(s\)\)\s+Received 3 response\(s\)/);
      expect(output.match(/\[02:00:5E:10:00:01\]/gi)).toHaveLength(3);
      expect(code).toBe(0);
      expect(wire.stats().addresses.get(SERVICE)).toMatchObject({ requestsReceived: 3, responsesSent: 3 });
      expect((await client.attempt('arping', '-c1', '-w1', '-I', 'eth0', '192.0.2.101')).code).toBe(1);
      await wire.withdraw([SERVICE]);
      expect((await client.attempt('arping', '-c1', '-w1', '-I', 'eth0', SERVICE)).code).toBe(1);
    });

    it('defends an address against duplicate detection, of arping -D and of the kernel', async () => {
      const wire = await aWire(a);
      await wire.announce([{ address: SERVICE, burst: false }, { address: SERVICE6 }]);
      const { code, output } = await client.attempt('arping', '-D', '-c1', '-w1', '-I', 'eth0', SERVICE);
      expect(output).toMatch(/reply from 192\.0\.2\.100 \[02:00:5e:10:00:01\]/i);
      expect(code).toBe(1);
      const dad = '/proc/sys/net/ipv6/conf/eth0';
      await client.exec('sh', '-ec', `echo 1 > ${dad}/accept_dad; echo 1 > ${dad}/dad_transmits`);
      await client.ip(`addr add ${SERVICE6}/64 dev eth0`);
      await expect
        .poll(() => client.exec('ip', '-6', 'addr', 'show', 'dev', 'eth0'), { timeout: 5000 })
        .toMatch(/2001:db8::100\/64 scope global( tentative)? dadfailed|dadfailed/);
      await client.ip(`addr del ${SERVICE6}/64 dev eth0`);
      await client.exec('sh', '-ec', `echo 0 > ${dad}/accept_dad; echo 0 > ${dad}/dad_transmits`);
    });

    it('B82 answers neighbour solicitations as ndisc6 and the kernel see it, with a right checksum', async () => {
      const wire = await aWire(a, { refreshMs: 0 });
      await wire.announce([{ address: SERVICE6, burst: false }]);
      const seen = await capture(client, 'icmp6 and ip6[40] == 136');
      expect(await client.exec('ndisc6', '-1', '-r1', '-w1000', SERVICE6, 'eth0')).toMatch(
        /Target link-layer address: 02:00:5E:10:00:01\s+from 2001:db8::100/,
      );
      await touch(SERVICE6);
      expect(await believed(SERVICE6)).toBe(a.mac);
      const lines = await seen.stop();
      expect(lines.length).toBeGreaterThanOrEqual(2);
      for (const line of lines) {
        expect(line).toMatch(
          /02:00:5e:10:00:01 > 02:00:5e:10:00:03.*hlim 255.*2001:db8::100 > .*\[icmp6 sum ok\].*neighbor advertisement.*tgt is 2001:db8::100, Flags \[solicited, override\]/,
        );
      }
      expect((await client.attempt('ndisc6', '-1', '-r1', '-w300', '2001:db8::101', 'eth0')).code).not.toBe(
        0,
      );
      await wire.withdraw([SERVICE6]);
      expect((await client.attempt('ndisc6', '-1', '-r1', '-w300', SERVICE6, 'eth0')).code).not.toBe(0);
    });

    it('announces a takeover in five rounds, as tcpdump sees it', async () => {
      const seen = await capture(client, 'arp or (icmp6 and ip6[40] == 136)');
      const wire = await aWire(a, { burstIntervalMs: 100, refreshMs: 0 });
      await wire.announce([{ address: SERVICE }, { address: SERVICE6 }]);
      await sleep(900);
      const lines = await seen.stop();
      const count = (pattern: RegExp): number => lines.filter((line) => pattern.test(line)).length;
      expect(
        count(/02:00:5e:10:00:01 > ff:ff:ff:ff:ff:ff.*Request who-has 192\.0\.2\.100 tell 192\.0\.2\.100/),
      ).toBe(5);
      expect(
        count(/02:00:5e:10:00:01 > ff:ff:ff:ff:ff:ff.*Reply 192\.0\.2\.100 is-at 02:00:5e:10:00:01/),
      ).toBe(5);
      expect(
        count(
          /> 33:33:00:00:00:01.*2001:db8::100 > ff02::1: \[icmp6 sum ok\].*tgt is 2001:db8::100, Flags \[override\]/,
        ),
      ).toBe(5);
      expect(lines).toHaveLength(15);
      expect(wire.stats().addresses.get(SERVICE)?.gratuitousSent).toBe(10);
    });

    it('B93 a takeover changes the MAC that clients believe, for both families', async () => {
      const [first, second] = [await aWire(a), await aWire(b)];
      const both = [{ address: SERVICE }, { address: SERVICE6 }];
      await first.announce(both);
      for (const address of [SERVICE, SERVICE6]) await touch(address);
      expect([await believed(SERVICE), await believed(SERVICE6)]).toEqual([a.mac, a.mac]);
      await first.withdraw([SERVICE, SERVICE6]);
      await second.announce(both);
      // Linux heeds an unsolicited change of a fresh entry only after locktime (1 s); a later round of the burst does it.
      await expect.poll(() => believed(SERVICE6), { timeout: 4000 }).toBe(b.mac);
      await expect.poll(() => believed(SERVICE), { timeout: 4000 }).toBe(b.mac);
    });

    it('refreshes after the burst', async () => {
      const wire = await aWire(a, { burstRounds: 1, refreshMs: 200 });
      await wire.announce([{ address: SERVICE }]);
      await sleep(1000);
      const { gratuitousSent } = wire.stats().addresses.get(SERVICE)!;
      // 2 of the burst, then 2 every 150 to 250 ms.
      expect(gratuitousSent).toBeGreaterThanOrEqual(2 + 3 * 2);
      expect(gratuitousSent).toBeLessThanOrEqual(2 + 7 * 2);
    });

    it('finds out by probing whether a stranger uses an address, and who', async () => {
      const wire = await aWire(a);
      const mac = client.mac;
      expect(await wire.probe(ip(client.ipv4), look())).toEqual({ mac, interface: 'eth0' });
      expect(await wire.probe(ip(client.ipv6), look())).toEqual({ mac, interface: 'eth0' });
      expect(await wire.probe(ip(client.ipv4), { ...look(), ignore: [mac as never] })).toBe('free');
      const started = performance.now();
      expect(await Promise.all([SERVICE, SERVICE6].map((address) => wire.probe(address, look())))).toEqual([
        'free',
        'free',
      ]);
      const took = performance.now() - started;
      expect(took).toBeGreaterThanOrEqual(345);
      expect(took).toBeLessThan(500);
      // Probes teach nobody anything: the client has learnt neither an address nor a MAC.
      expect(await client.exec('ip', 'neigh', 'show', '192.0.2.100')).toBe('');
    });

    it('of two that probe for one address at the same time at most one finds it free', async () => {
      const [first, second] = [await aWire(a), await aWire(b)];
      for (const address of [SERVICE, SERVICE6]) {
        const [found, other] = await Promise.all([first, second].map((wire) => wire.probe(address, look())));
        // One of them may have asked before the other listened; the other's question is heard in any case.
        const both = [
          { mac: b.mac, interface: 'eth0' },
          { mac: a.mac, interface: 'eth0' },
        ];
        expect([both, [both[0], 'free'], ['free', both[1]]]).toContainEqual([found, other]);
      }
    });

    it('resolves neighbours, and says what it cannot look for', async () => {
      const wire = await aWire(a);
      expect(await wire.resolve(ip(client.ipv4), look())).toEqual({ mac: client.mac, interface: 'eth0' });
      expect(await wire.resolve(ip(client.ipv6), look())).toEqual({ mac: client.mac, interface: 'eth0' });
      expect(await wire.resolve(SERVICE, look())).toBeUndefined();
      await wire.announce([{ address: SERVICE }]);
      await expect(wire.probe(SERVICE, look())).rejects.toThrow(/announced here. Remedy/);
      await expect(wire.probe(SERVICE6, { ...look(), interfaces: ['eth7'] })).rejects.toThrow(
        /no usable interface/,
      );
      const stop = new AbortController();
      const probing = wire.probe(SERVICE6, { signal: stop.signal });
      stop.abort(new Error('enough'));
      await expect(probing).rejects.toThrow('enough');
    });

    it('knows the default gateways', async () => {
      const wire = await aWire(a);
      expect(await wire.gateways()).toEqual([]);
      await a.ip('route add default via 192.0.2.3', 'route add default via 2001:db8::3');
      expect(await wire.gateways()).toEqual([
        { address: '192.0.2.3', interface: 'eth0' },
        { address: '2001:db8::3', interface: 'eth0' },
      ]);
      await a.ip('route del default', 'route del default via 2001:db8::3');
    });

    it('tells of a stranger who claims an announced address', async () => {
      const wire = await aWire(a);
      await wire.announce([{ address: SERVICE }, { address: SERVICE6 }]);
      const claims: unknown[] = [];
      wire.on('claimed', (claim) => claims.push(claim));
      await client.ip(`addr add ${SERVICE}/32 dev eth0`);
      await client.attempt('arping', '-U', '-c1', '-I', 'eth0', SERVICE);
      const raw = new RawStation(client, 'eth0');
      raw.advertise(SERVICE6, client.mac);
      await expect.poll(() => claims.length, { timeout: 2000 }).toBe(2);
      expect(claims).toEqual([
        { address: SERVICE, mac: client.mac, interface: 'eth0', by: 'arp-announcement', count: 1 },
        { address: SERVICE6, mac: client.mac, interface: 'eth0', by: 'na', count: 1 },
      ]);
      raw.close();
      await client.ip(`addr del ${SERVICE}/32 dev eth0`);
    });

    it('survives hostile frames: cut, fuzzed and VLAN-tagged ones get no answer, and others still do', async () => {
      const wire = await aWire(a, { refreshMs: 0 });
      await wire.announce([{ address: SERVICE, burst: false }]);
      const raw = new RawStation(client, 'eth0');
      const request = raw.arpRequest(SERVICE);
      const tagged = Uint8Array.of(
        ...request.subarray(0, 12),
        0x81,
        0x00,
        0x00,
        0x05,
        ...request.subarray(12),
      );
      for (let i = 0; i < 20; i++) raw.send(tagged);
      for (let length = 14; length < request.length; length++) raw.send(request.subarray(0, length));
      // Up to the operation: from there on other values are other requests.
      for (let at = 12; at < 22; at++) {
        for (const byte of [0x00, 0x7f, 0xff]) {
          const hostile = request.slice();
          hostile[at] = hostile[at] === byte ? byte ^ 0x55 : byte;
          raw.send(hostile);
        }
      }
      await sleep(200);
      expect(raw.replies(SERVICE)).toBe(0);
      expect(wire.stats().addresses.get(SERVICE)).toMatchObject({ requestsReceived: 0, responsesSent: 0 });
      raw.send(request);
      await expect.poll(() => raw.replies(SERVICE), { timeout: 1000 }).toBe(1);
      raw.close();
    });

    it('goes on when an interface goes down, comes back with another MAC, vanishes and is made anew', async () => {
      const wire = await aWire(a);
      await wire.announce([{ address: SERVICE }]);
      const changes: unknown[] = [];
      wire.on('interfaces', ({ lost, found, changed }) => changes.push({ lost, found, changed }));
      const change = async (
        expected: Partial<Record<'lost' | 'found' | 'changed', string[]>>,
      ): Promise<void> => {
        const whole = { lost: [], found: [], changed: [], ...expected };
        await expect.poll(() => changes, { timeout: 5000 }).toContainEqual(whole);
      };
      await a.ip('link set eth0 down');
      await change({ lost: ['eth0'] });
      await a.ip(
        'link set eth0 address 02:00:5e:10:00:aa',
        'link set eth0 up',
        `addr replace ${a.ipv6}/64 dev eth0 nodad`,
      );
      await change({ found: ['eth0'] });
      expect(await client.exec('arping', '-f', '-w2', '-I', 'eth0', SERVICE)).toMatch(/02:00:5E:10:00:AA/i);
      await a.ip('link set eth0 address 02:00:5e:10:00:bb');
      await change({ changed: ['eth0'] });
      expect(await client.exec('arping', '-f', '-w2', '-I', 'eth0', SERVICE)).toMatch(/02:00:5E:10:00:BB/i);
      changes.length = 0;
      await a.ip('link del eth0');
      await change({ lost: ['eth0'] });
      expect((await client.attempt('arping', '-c1', '-w1', '-I', 'eth0', SERVICE)).code).toBe(1);
      await segmentPlug();
      await change({ found: ['eth0'] });
      expect(await client.exec('arping', '-f', '-w2', '-I', 'eth0', SERVICE)).toMatch(/02:00:5E:10:00:01/i);
    });

    it('B90 answers on the interfaces that are named, and is told when there is none', async () => {
      await a.ip('link add eth1 type veth peer name far', 'link set eth1 up', 'link set far up');
      const wire = await aWire(a, { interfaces: { exclude: ['^far$'] } });
      const usable = wire.interfaces().filter(({ unusable }) => unusable === undefined);
      expect(usable.map(({ name }) => name).toSorted()).toEqual(['eth0', 'eth1']);
      expect(wire.interfaces().find(({ name }) => name === 'far')?.unusable).toBe('excluded');
      await wire.announce([{ address: SERVICE, interfaces: ['eth1'] }]);
      expect((await client.attempt('arping', '-c1', '-w1', '-I', 'eth0', SERVICE)).code).toBe(1);
      await wire.announce([{ address: SERVICE, interfaces: ['eth0', 'eth1'] }]);
      expect((await client.attempt('arping', '-c1', '-w1', '-I', 'eth0', SERVICE)).code).toBe(0);
      await a.ip('link del eth1');
    });

    it('answers for 4,096 addresses of each family, and joins and leaves their groups', async () => {
      const wire = await aWire(a, { refreshMs: 0 });
      const addresses = Array.from({ length: 4096 }, (_, i) => [
        ip(`10.8.${i >> 8}.${i & 255}`),
        ip(`2001:db8:8::${(i + 0x1000).toString(16)}`),
      ]).flat();
      const joined = async (): Promise<number> =>
        Number(
          await a.exec('sh', '-c', 'grep -c "eth0 *ff0200000000000000000001ff" /proc/net/igmp6 || true'),
        );
      const before = await joined();
      await wire.announce(addresses.map((address) => ({ address, burst: false })));
      await expect.poll(joined, { timeout: 5000 }).toBe(before + 4096);
      const raw = new RawStation(client, 'eth0');
      for (const i of [0, 1, 255, 256, 1000, 2047, 4095]) {
        raw.send(raw.arpRequest(addresses[i * 2]!));
        raw.send(raw.solicitation(addresses[i * 2 + 1]!));
        await expect
          .poll(() => [raw.replies(addresses[i * 2]!), raw.advertisements(addresses[i * 2 + 1]!)])
          .toEqual([1, 1]);
      }
      raw.send(raw.arpRequest('10.8.16.0'));
      await sleep(50);
      expect(raw.replies('10.8.16.0')).toBe(0);
      await wire.withdraw(addresses);
      await expect.poll(joined, { timeout: 3000 }).toBe(before);
      raw.close();
    });

    it('loses none of 10,000 requests that arrive in two seconds', async () => {
      const wire = await aWire(a, { refreshMs: 0 });
      await wire.announce([{ address: SERVICE, burst: false }]);
      const raw = new RawStation(client, 'eth0');
      const request = raw.arpRequest(SERVICE);
      await raw.storm(request, { perSecond: 5000, forMs: 2000 });
      await expect.poll(() => raw.replies(SERVICE), { timeout: 2000 }).toBe(10_000);
      expect(wire.stats().framesDropped).toBe(0);
      raw.close();
    });

    it('stops in the middle of a storm with the withdrawal, and hears a claim in it', async () => {
      const wire = await aWire(a, { refreshMs: 0 });
      await wire.announce([{ address: SERVICE, burst: false }]);
      const claims: unknown[] = [];
      wire.on('claimed', ({ by }) => claims.push(by));
      const raw = new RawStation(client, 'eth0');
      const storm = raw.storm(raw.arpRequest(SERVICE), { perSecond: 5000, forMs: 1500 });
      await expect.poll(() => raw.replies(SERVICE)).toBeGreaterThan(100);
      await client.ip(`addr add ${SERVICE}/32 dev eth0`);
      await client.attempt('arping', '-U', '-c1', '-I', 'eth0', SERVICE);
      await client.ip(`addr del ${SERVICE}/32 dev eth0`);
      expect(claims).toContain('arp-announcement');
      await wire.withdraw([SERVICE]);
      await sleep(50);
      const replies = raw.replies(SERVICE);
      await storm;
      await sleep(50);
      expect(raw.replies(SERVICE)).toBe(replies);
      expect(replies).toBeLessThan(7_500);
      raw.close();
    });

    async function segmentPlug(): Promise<void> {
      const add = `link add ${a.port} type veth peer name eth0 address ${a.mac} netns ${a.namespace}`;
      await runIn(segment.fabric, ['sh', '-ec', `ip ${add}; ip link set ${a.port} master br0 up`]);
      await a.ip(
        'link set eth0 up',
        `addr add ${a.ipv4}/24 dev eth0`,
        `addr add ${a.ipv6}/64 dev eth0 nodad`,
      );
    }
  });

await describeAsRoot('the wire, with a fast path that cannot be loaded', () => {
  it('says so, and works without', async () => {
    const segment = await makeSegment('a', 'client');
    const wire = await startWire({
      interfaces: { exclude: [] },
      netns: segment.station('a').path,
      fastPath: '/nowhere/answer.so',
    });
    try {
      const faults: string[] = [];
      wire.on('fault', ({ error }) => faults.push(error.message));
      await wire.announce([{ address: SERVICE, burst: false }]);
      expect(wire.fastPath).toBe(false);
      expect(faults).toEqual([
        expect.stringMatching(/not used: \/nowhere\/answer\.so: .*Remedy: build Berth/),
      ]);
      const asked = await segment.station('client').attempt('arping', '-c1', '-w1', '-I', 'eth0', SERVICE);
      expect(asked.code).toBe(0);
    } finally {
      await wire.stop();
      await segment.remove();
    }
  });
});
