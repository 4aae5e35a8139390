/** Who answers for an address when nodes, speakers and the API server fail, as a client on the wire sees it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Asker } from '../harness/metal-ask.ts';
import { FakeClock } from '../harness/fake-clock.ts';
import { LabBerth } from '../harness/metal-berth.ts';
import { describeWithMetalLab, type MetalLab, startMetalLab } from '../harness/metal-lab.ts';
import { LAB_NAMESPACE } from '../harness/metal-objects.ts';
import type { LabProcess } from '../harness/metal-process.ts';
import { Recorder } from '../harness/metal-record.ts';
import { type Timeline, timelineOf } from '../harness/metal-timeline.ts';

/** Generous: the benchmark holds the times against their targets, these tests only what must happen. */
const SOON_MS = 5_000;
const INTERVAL_MS = 10;

await describeWithMetalLab('who answers for an address', {}, () => {
  let lab: MetalLab;
  let berth: LabBerth;
  let asker: Asker;
  /** An address of either family, held by one node. */
  let addresses: readonly string[];
  let holder: string;
  let recorder: Recorder;
  let begun: number;

  beforeAll(async () => {
    lab = await startMetalLab();
    berth = await LabBerth.start(lab);
    await lab.createService({ name: 'web', families: ['IPv4', 'IPv6'] });
    addresses = await berth.addressesOf('web', 2);
    await holderOfAll();
    asker = await Asker.start(lab, { intervalMs: INTERVAL_MS });
    await asker.ask(addresses);
  });
  afterAll(async () => {
    await berth?.stop();
    await lab?.stop();
  });

  beforeEach(async ({ onTestFailed }) => {
    onTestFailed(async () => console.error(await berth.lastWords()));
    berth.startMissing();
    holder = await settled();
    recorder = await Recorder.start(lab);
    begun = Date.now();
    // The holder answers before anything happens to it: that makes a move one.
    await sleep(500);
  });
  afterEach(async () => {
    await recorder.stop();
  });

  /** The one node that holds every address. */
  async function holderOfAll(): Promise<string> {
    const holders = await Promise.all(addresses.map((address) => berth.holderOf(address)));
    expect(new Set(holders).size).toBe(1);
    return holders[0] ?? '';
  }

  /** The holder, once every speaker has been heard by the others: a speaker's cold start takes 3 s at most. */
  async function settled(): Promise<string> {
    await sleep(3_500);
    return await holderOfAll();
  }

  async function timelines(fromMs = begun): Promise<readonly Timeline[]> {
    const frames = await recorder.frames();
    const toMs = Date.now();
    return addresses.map((address) => timelineOf(frames, address, { fromMs, toMs, intervalMs: INTERVAL_MS }));
  }

  /** Waits until a node other than the given one answers for each address, and returns it. */
  async function takenOver(from: string): Promise<string> {
    for (const address of addresses)
      await recorder.until(
        `${address} is answered by another node than ${from}`,
        ({ kind, address: about, mac, atMs }) =>
          kind === 'answer' && about === address && atMs > begun && lab.nodeOfMac(mac) !== from,
        SOON_MS,
      );
    return await holderOfAll();
  }

  it('B82 exactly one node answers, each request once, over ARP and NDP', async () => {
    await sleep(1_000);
    for (const timeline of await timelines()) {
      expect(timeline.requests).toBeGreaterThan(50);
      expect(timeline).toMatchObject({ moves: 0, twoOwnersMs: 0, unanswered: 0 });
      expect(timeline.owners.map((mac) => lab.nodeOfMac(mac))).toEqual([holder]);
    }
  });

  it('B89 a killed speaker loses its addresses to another node, and does not take them back on its return', async () => {
    await berth.speaker(holder).kill();
    const successor = await takenOver(holder);
    expect(successor).not.toBe(holder);
    berth.startSpeaker(holder);
    await sleep(4_500);
    expect(await holderOfAll()).toBe(successor);
    for (const timeline of await timelines()) expect(timeline).toMatchObject({ moves: 1, twoOwnersMs: 0 });
  });

  it("B93 the new holder tells everybody, and the client's memory of the old one is replaced", async () => {
    await Promise.all(addresses.map((address) => remembered(address)));
    await berth.speaker(holder).kill();
    const successor = await takenOver(holder);
    const frames = await recorder.frames();
    for (const address of addresses) {
      const told = frames.filter(({ kind, address: about }) => kind === 'gratuitous' && about === address);
      expect(new Set(told.map(({ claims = '' }) => lab.nodeOfMac(claims)))).toEqual(new Set([successor]));
      expect(await remembered(address)).toBe(successor);
    }
  });

  /** The node that the client's kernel would send to; it asks when it does not know. */
  async function remembered(address: string): Promise<string | undefined> {
    const url = `http://${address.includes(':') ? `[${address}]` : address}/`;
    // Nothing listens there without kube-proxy; the attempt makes the kernel look for the neighbour.
    await lab.atClient(['curl', '-s', '--max-time', '1', url]).catch(() => '');
    const line = await lab.atClient(['ip', 'neigh', 'show', 'to', address]);
    return lab.nodeOfMac(/lladdr (\S+)/.exec(line)?.[1] ?? '');
  }

  it('a node cut off the network loses its addresses, and does not take them back when it returns', async () => {
    await lab.cut(holder);
    let successor: string;
    try {
      successor = await takenOver(holder);
    } finally {
      await lab.join(holder);
    }
    await sleep(3_000);
    expect(await holderOfAll()).toBe(successor);
    for (const { owner } of await timelines(Date.now() - 1_000))
      expect(lab.nodeOfMac(owner ?? '')).toBe(successor);
  });

  it('a node whose cable is pulled loses its addresses, and does not take them back', async () => {
    await lab.unplug(holder);
    let successor: string;
    try {
      successor = await takenOver(holder);
    } finally {
      await lab.plug(holder);
    }
    await sleep(3_000);
    expect(await holderOfAll()).toBe(successor);
  });

  it('a speaker that is told to stop hands over: no request goes unanswered, and one node answers afterwards', async () => {
    const end = berth.speaker(holder).stop();
    const successor = await takenOver(holder);
    expect(await end).toBe('exit 0');
    await sleep(500);
    expect(successor).not.toBe(holder);
    for (const timeline of await timelines()) {
      expect(timeline.silenceMs).toBeLessThan(500);
      expect(timeline.moves).toBe(1);
      expect(lab.nodeOfMac(timeline.owner ?? '')).toBe(successor);
    }
  });

  it('a node cut off from the API server alone keeps its addresses, and answers alone', async () => {
    await lab.cutFromApi(holder);
    try {
      await sleep(4_000);
    } finally {
      await lab.joinApi(holder);
    }
    await sleep(1_000);
    expect(await holderOfAll()).toBe(holder);
    for (const timeline of await timelines())
      expect(timeline).toMatchObject({ moves: 0, twoOwnersMs: 0, unanswered: 0 });
  });

  it('without the API server addresses stay where they are, and a killed speaker is replaced all the same', async () => {
    await lab.plane.killApiServer();
    try {
      await sleep(2_000);
      for (const timeline of await timelines()) expect(timeline).toMatchObject({ moves: 0, unanswered: 0 });
      await berth.speaker(holder).kill();
      expect(await takenOver(holder)).not.toBe(holder);
    } finally {
      await lab.plane.startApiServer();
    }
  });

  it('a speaker is replaced by its successor on the same node: nothing moves, nothing goes unanswered', async () => {
    const before = berth.speaker(holder);
    berth.startSpeaker(holder);
    // The successor takes over by itself; the one before is then told to stop, as a rolling update does.
    await sleep(4_000);
    await before.stop();
    await sleep(1_000);
    expect(await holderOfAll()).toBe(holder);
    for (const timeline of await timelines()) {
      expect(timeline).toMatchObject({ moves: 0, twoOwnersMs: 0 });
      expect(timeline.silenceMs).toBeLessThan(500);
    }
  });

  it("a wrong wall clock, or one that jumps, is nothing to the election: the speaker's addresses stay, and so does it", async () => {
    const clock = new FakeClock(lab.dir);
    const before = berth.speaker(holder);
    const speaker = berth.startSpeaker(holder, [], clock.command);
    await sleep(4_000);
    await before.stop();
    const told = (await speaker.log()).length;
    begun = Date.now();
    for (const seconds of [3_600, -7_200]) {
      clock.jump(seconds);
      await sleep(2_500);
      expect(Math.abs((await wallClockOf(speaker)) - (Date.now() + seconds * 1_000))).toBeLessThan(5_000);
    }
    for (const timeline of await timelines())
      expect(timeline).toMatchObject({ moves: 0, twoOwnersMs: 0, unanswered: 0 });
    expect((await speaker.log()).slice(told)).not.toMatch(/stalled|isolated/);
    await speaker.kill();
    expect(await takenOver(holder)).not.toBe(holder);
  });

  /** What time it is for the holder's speaker, by the date of its HTTP answers. */
  async function wallClockOf(speaker: LabProcess): Promise<number> {
    const port = last(/"port":(\d+)/g, await speaker.log());
    const asking = lab.start(holder, 'curl', ['curl', '-si', `http://127.0.0.1:${port}/healthz`]);
    await asking.ended;
    return Date.parse(last(/^date: (.*)$/gim, await asking.log()));
  }

  function last(pattern: RegExp, log: string): string {
    return [...log.matchAll(pattern)].at(-1)?.[1] ?? '';
  }

  it('all speakers killed at once and started again: the same addresses, each answered by one node', async () => {
    await Promise.all(lab.net.nodes.map(({ name }) => berth.speaker(name).kill()));
    expect(await Promise.all(addresses.map((address) => berth.holdersOf(address)))).toEqual([[], []]);
    berth.startMissing();
    await holderOfAll();
    expect(await lab.addressesOf('web')).toEqual(addresses);
  });

  it('the controller killed and started again: nothing moves', async () => {
    await berth.controller.kill();
    await berth.startController();
    await sleep(1_000);
    expect(await lab.addressesOf('web')).toEqual(addresses);
    for (const timeline of await timelines())
      expect(timeline).toMatchObject({ moves: 0, twoOwnersMs: 0, unanswered: 0 });
  });

  it('B92 the status object names the node that answers, follows it, and goes with its Service', async () => {
    expect(await statusNodes('web')).toEqual([holder]);
    await berth.speaker(holder).kill();
    const successor = await takenOver(holder);
    await eventually(async () => expect(await statusNodes('web')).toEqual([successor]));
    await lab.createService({ name: 'passing' });
    await berth.holderOf((await berth.addressesOf('passing'))[0] ?? '');
    await eventually(async () => expect(await statusNodes('passing')).toHaveLength(1));
    await lab.deleteService('passing');
    await eventually(async () => expect(await statusNodes('passing')).toEqual([]));
  });

  async function statusNodes(service: string): Promise<readonly string[]> {
    const { items } = await lab.send<{
      items: { status?: { node?: string; serviceName?: string; serviceNamespace?: string } }[];
    }>('GET', '/apis/metallb.io/v1beta1/servicel2statuses');
    return items
      .filter(({ status }) => status?.serviceName === service && status.serviceNamespace === LAB_NAMESPACE)
      .map(({ status }) => status?.node ?? '');
  }

  it('B83 nobody answers while no endpoint can serve, and somebody does when one can again', async () => {
    await lab.createService({ name: 'empty', pods: [] });
    const [address = ''] = await berth.addressesOf('empty');
    await sleep(2_000);
    expect(await berth.holdersOf(address)).toEqual([]);
    const slice = `/apis/discovery.k8s.io/v1/namespaces/${LAB_NAMESPACE}/endpointslices/empty-ipv4`;
    const [node] = lab.net.nodes;
    const endpoint = {
      addresses: [node?.pods[0]?.ipv4],
      nodeName: node?.name,
      conditions: { ready: true },
    };
    await lab.send('PATCH', slice, { endpoints: [endpoint] });
    await berth.holderOf(address);
    await lab.deleteService('empty');
    await eventually(async () => expect(await berth.holdersOf(address)).toEqual([]));
  });

  it('B81 two Services that share an address are announced by one node, also after it is lost', async () => {
    const annotations = { 'metallb.io/allow-shared-ip': 'one' };
    await lab.createService({ name: 'tcp', annotations });
    const [address = ''] = await berth.addressesOf('tcp');
    await lab.createService({
      name: 'other',
      port: 8443,
      annotations: { ...annotations, 'metallb.io/loadBalancerIPs': address },
    });
    expect(await berth.addressesOf('other')).toEqual([address]);
    const shared = await berth.holderOf(address);
    await berth.speaker(shared).kill();
    await eventually(async () => {
      const holders = await berth.holdersOf(address);
      expect(holders).toHaveLength(1);
      expect(holders).not.toEqual([shared]);
    });
    // Deleting one of them takes nothing away from the other.
    await lab.deleteService('tcp');
    await sleep(500);
    expect(await berth.holdersOf(address)).toHaveLength(1);
  });
});

/** Waits until an expectation holds. @throws what it throws at last. */
async function eventually(holds: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + SOON_MS;
  for (;;) {
    try {
      return await holds();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(100);
    }
  }
}
