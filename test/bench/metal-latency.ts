/** How fast ARP is answered, beside the kernel's own answers and MetalLB's, and whether any request is lost. */
import { fileURLToPath } from 'node:url';
import { metallbResponder } from './metallb.ts';
import { freeAddresses } from './metal-services.ts';
import type { LabNode } from '../harness/metal-net.ts';
import type { MetalBench } from './metal-watch.ts';
import { quantile, rounded } from './report.ts';

/** What the asking process is told. */
export interface LatencyPlan {
  readonly mac: string;
  readonly ipv4: string;
  readonly addresses: readonly string[];
  /** Requests for each address, one after another. */
  readonly requests: number;
  /** Before each of them. */
  readonly pauseMs: number;
  /** Above 0: requests for the first address at this rate instead, for `floodMs`. */
  readonly perSecond: number;
  readonly floodMs: number;
}

/** What it found. */
export interface LatencyFound {
  /** Milliseconds of each answer, by address; what got none is missing. */
  readonly times: readonly (readonly number[])[];
  readonly sent: number;
  readonly received: number;
  /** Answers that the asker's own socket had no room for. */
  readonly droppedHere?: number;
  readonly tookMs?: number;
}

const CHILD = fileURLToPath(new URL('metal-latency-child.ts', import.meta.url));
const PER_SECOND = 5_000;
/** Longer than a processor needs to go idle, as between the requests of clients. */
const PAUSE_MS = 1;
const LIMIT_MS = 60_000;

/** Latency of an announced address and of its node's own, then a storm of requests. */
export async function latency(bench: MetalBench): Promise<void> {
  const { lab, berth, sizes } = bench;
  const [address = ''] = await freeAddresses(bench, 1);
  await lab.createService({ name: 'latency' });
  await berth.addressesOf('latency');
  const node = lab.node(await berth.holderOf(address));
  const found = await ask(bench, {
    addresses: [address, node.ipv4],
    requests: sizes.requests,
    perSecond: 0,
  });
  const [ours = [], kernel = []] = found.times;
  recordLatency(bench, { ours, kernel, lost: found.sent - found.received });
  await besideMetallb(bench, node, quantile(ours, 0.5) * 1_000);
  const storm = await ask(bench, { addresses: [address], requests: 0, perSecond: PER_SECOND });
  bench.record({
    id: 'metal.arp.storm.lost',
    what: `ARP, ${PER_SECOND} requests a second for ${sizes.floodMs / 1_000} s: lost`,
    value: storm.sent - storm.received,
    unit: 'requests',
    target: { exactly: 0 },
    note: `of ${storm.sent} in ${rounded((storm.tookMs ?? 0) / 1_000)} s; dropped by the asker's own socket: ${storm.droppedHere}`,
  });
}

/**
 * MetalLB's announcer on the same node, asked the same way for an address that nobody else has. After Berth, not in turn
 * with it: MetalLB takes every ARP frame of the node to its process, and whoever is asked meanwhile answers later.
 */
async function besideMetallb(bench: MetalBench, node: LabNode, oursMicros: number): Promise<void> {
  const { lab, record } = bench;
  const id = 'metal.arp.metallb';
  const what = "ARP answer p50, as a multiple of MetalLB 0.16's";
  let program: string;
  try {
    program = await metallbResponder((line) => console.log(line));
  } catch (error) {
    const note = error instanceof Error ? error.message : String(error);
    return record({ id, what, value: Number.NaN, unit: '', note });
  }
  const [address = ''] = await freeAddresses(bench, 1);
  const metallb = lab.start(node.name, 'metallb', [program, address]);
  try {
    await metallb.until('MetalLB announces', async () => (await metallb.log()).includes('ready'));
    const { times, sent, received } = await ask(bench, {
      addresses: [address, node.ipv4],
      requests: bench.sizes.requests,
      perSecond: 0,
    });
    const [theirs = Number.NaN, kernel = Number.NaN] = times.map((each) => quantile(each, 0.5) * 1_000);
    record({
      id,
      what,
      value: oursMicros / theirs,
      unit: '',
      target: { atMost: 1 },
      note:
        `its p50 ${rounded(theirs)} µs, ${rounded(theirs / kernel)} times the kernel's ` +
        `(${rounded(kernel)} µs beside it), ${sent - received} of ${sent} lost`,
    });
  } finally {
    await metallb.kill();
  }
}

async function ask(
  { lab, sizes }: MetalBench,
  what: Pick<LatencyPlan, 'addresses' | 'requests' | 'perSecond'>,
): Promise<LatencyFound> {
  const { mac, ipv4 } = lab.net.client;
  const plan: LatencyPlan = { ...what, mac, ipv4, pauseMs: PAUSE_MS, floodMs: sizes.floodMs };
  const program = [process.execPath, '--conditions=source', CHILD, JSON.stringify(plan)];
  return JSON.parse(await lab.atClient(program, { limitMs: LIMIT_MS })) as LatencyFound;
}

function recordLatency(
  { record }: MetalBench,
  { ours, kernel, lost }: { ours: readonly number[]; kernel: readonly number[]; lost: number },
): void {
  const p50 = { ours: quantile(ours, 0.5) * 1_000, kernel: quantile(kernel, 0.5) * 1_000 };
  const p99 = { ours: quantile(ours, 0.99) * 1_000, kernel: quantile(kernel, 0.99) * 1_000 };
  record({
    id: 'metal.arp.ratio',
    what: "ARP answer p50, as a multiple of the kernel's own",
    value: p50.ours / p50.kernel,
    unit: '',
    target: { atMost: 1.6 },
    note: `p50 ${rounded(p50.ours)} µs, the kernel's ${rounded(p50.kernel)} µs, asked in turn`,
  });
  record({
    id: 'metal.arp.p99',
    what: 'ARP answer p99',
    value: p99.ours,
    unit: 'µs',
    note: `the kernel's ${rounded(p99.kernel)} µs`,
  });
  record({
    id: 'metal.arp.lost',
    what: `ARP, ${ours.length + lost} requests one after another: lost`,
    value: lost,
    unit: 'requests',
    target: { exactly: 0 },
  });
}
