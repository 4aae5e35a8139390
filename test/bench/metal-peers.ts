/** What the heartbeats of a hundred nodes cost one speaker. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { labNodeObject } from '../harness/metal-objects.ts';
import { batch } from '../harness/netns.ts';
import { cpuMsOf, memoryOf } from './process-facts.ts';
import { type MetalBench, pause } from './metal-watch.ts';

/** What the process of the simulated speakers is told. */
export interface PeersPlan {
  readonly cluster: string;
  /** Base64. */
  readonly key: string;
  readonly port: number;
  readonly intervalMs: number;
  /** The real speaker. */
  readonly target: { readonly node: string; readonly address: string };
  readonly peers: readonly { readonly node: string; readonly address: string }[];
}

/** What the simulated speakers have heard, and how many of them have heard the real one prove itself. */
interface Told {
  readonly heard: number;
  readonly beats: number;
  readonly alive: number;
}

const NOTHING = '{"heard":0,"beats":0,"alive":0}';
const PEERS = 99;
const PORT = 7947;
const INTERVAL_MS = 200;
const MIB = 2 ** 20 / 1e6;
const CHILD = fileURLToPath(new URL('metal-peers-child.ts', import.meta.url));

/** One real speaker among 99 that are simulated in one process: CPU and memory with all of their heartbeats. */
export async function hundredSpeakers(bench: MetalBench): Promise<void> {
  const { lab, berth, sizes } = bench;
  const [target, ...others] = lab.net.nodes;
  if (target === undefined) return;
  await Promise.all(others.map(({ name }) => berth.speaker(name).stop()));
  const peers = await makePeers(bench);
  const plan: PeersPlan = {
    ...(await membership(bench)),
    port: PORT,
    intervalMs: INTERVAL_MS,
    target: { node: target.name, address: target.ipv4 },
    peers,
  };
  const file = join(lab.dir, 'peers.json');
  await writeFile(file, JSON.stringify(plan));
  const child = lab.start('client', 'peers', [process.execPath, '--conditions=source', CHILD, file]);
  try {
    const told = async (): Promise<Told> =>
      JSON.parse((await child.log()).trimEnd().split('\n').at(-1) || NOTHING) as Told;
    await child.until(
      'the real speaker has proved itself to all of them',
      async () => (await told()).alive >= PEERS,
    );
    await pause(bench, 3_000);
    const { pid } = berth.speaker(target.name);
    const [cpuBefore, before, begun] = [await cpuMsOf(pid), await told(), performance.now()];
    await pause(bench, sizes.restMs / 2);
    const [cpu, after, ms] = [await cpuMsOf(pid), await told(), performance.now() - begun];
    const perSecond = (count: number): number => Math.round((1_000 * count) / ms);
    const beats = perSecond(after.beats - before.beats);
    const others = perSecond(after.heard - before.heard) - beats;
    bench.record({
      id: 'metal.peers.cpu',
      what: `a speaker with ${PEERS} simulated peers: CPU`,
      value: (100 * (cpu - cpuBefore)) / ms,
      unit: '%',
      note: `of one core; it sent ${beats} heartbeats/s (of ${(PEERS * 1_000) / INTERVAL_MS}) and ${others} other datagrams/s; RSS ${Math.round((await memoryOf(pid)).rss / MIB)} MiB`,
    });
  } finally {
    await child.kill();
  }
}

/** Node objects and addresses (at the client) of the simulated speakers. */
async function makePeers({ lab }: MetalBench): Promise<PeersPlan['peers']> {
  const [, , third = '0'] = lab.net.host.ipv4.split('.');
  const prefix = `${lab.net.host.ipv4.split('.').slice(0, 2).join('.')}.${Number(third) + 3}`;
  const peers = Array.from({ length: PEERS }, (_, index) => ({
    node: `simulated-${index + 1}`,
    address: `${prefix}.${index + 1}`,
  }));
  await batch(
    lab.net.client.namespace,
    peers.map(({ address }) => `addr add ${address}/32 dev eth0`),
  );
  for (const { node, address } of peers) {
    const [like] = lab.net.nodes;
    if (like === undefined) break;
    const { status, ...rest } = labNodeObject(like) as {
      status: { conditions: object[] };
      metadata: { labels: object };
    };
    await lab.send('POST', '/api/v1/nodes', {
      ...rest,
      metadata: { name: node },
      spec: {},
      status: { ...status, addresses: [{ type: 'InternalIP', address }] },
    });
  }
  return peers;
}

/** Identity and key of the cluster, as the speakers read them. */
async function membership({ lab }: MetalBench): Promise<Pick<PeersPlan, 'cluster' | 'key'>> {
  const secret = await lab.send<{ data: Record<string, string> }>(
    'GET',
    '/api/v1/namespaces/berth-system/secrets/berth-speaker',
  );
  const system = await lab.send<{ metadata: { uid: string } }>('GET', '/api/v1/namespaces/kube-system');
  return { cluster: system.metadata.uid, key: Object.values(secret.data)[0] ?? '' };
}
