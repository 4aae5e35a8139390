/** To be seen: who announces what, since when and why, at a terminal; real speakers, real frames, real API server. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Announcement } from '../../src/provider/announcements.ts';
import { LabBerth } from '../harness/metal-berth.ts';
import { describeWithMetalLab, type MetalLab, startMetalLab } from '../harness/metal-lab.ts';
import { runIn } from '../harness/netns.ts';
import { berth as command } from '../fixtures/command-line.ts';

const BERTH = fileURLToPath(new URL('../../src/bin/berth.mjs', import.meta.url));

const excluded = 'node.kubernetes.io/exclude-from-external-load-balancers';

interface RawStatus {
  readonly metadata: { readonly annotations: Readonly<Record<string, string>> };
  readonly status?: { readonly node?: string };
}

interface Found {
  readonly announcements: readonly [
    { readonly told: string; readonly announcements: readonly Announcement[] },
  ];
}

await describeWithMetalLab('who announces what', {}, () => {
  let lab: MetalLab;
  let berth: LabBerth;
  let options: readonly string[];

  beforeAll(async () => {
    lab = await startMetalLab();
    berth = await LabBerth.start(lab);
    options = ['--kubeconfig', lab.plane.kubeconfig()];
  });
  afterAll(async () => {
    await berth?.stop();
    await lab?.stop();
  });

  /** The rows of the table with this head, as cells. */
  async function rows(argv: readonly string[], head: string): Promise<readonly (readonly string[])[]> {
    const { code, out, err } = await command([...argv, ...options]);
    expect([code, err]).toEqual([0, expect.stringContaining('Answered by the leader')]);
    const lines = out.slice(out.indexOf(`\n${head}`) + 1).split('\n');
    return lines.slice(1, lines.indexOf('')).map((line) => line.split(/ {3,}/));
  }

  async function label(node: string, value: string | null): Promise<void> {
    await lab.send('PATCH', `/api/v1/nodes/${node}`, { metadata: { labels: { [excluded]: value } } });
  }

  async function networkUnavailable(node: string, status: 'True' | 'False'): Promise<void> {
    const path = `/api/v1/nodes/${node}`;
    const { status: now } = await lab.send<{ status: { conditions?: { type: string }[] } }>('GET', path);
    const others = now.conditions?.filter(({ type }) => type !== 'NetworkUnavailable') ?? [];
    const condition = { type: 'NetworkUnavailable', status, reason: 'Test', message: 'of the test' };
    await lab.send('PATCH', `${path}/status`, { status: { conditions: [...others, condition] } });
  }

  /** Why a node is or is not the holder, as `berth explain` says it. */
  async function reasonOn(node: string, service: string): Promise<string | undefined> {
    const found = await rows(['explain', `lab/${service}`], 'NODE ');
    return found.find(([name]) => name === node)?.[2];
  }

  /** `/metrics` of a speaker, which says in its claim where that is. */
  async function metricsOf(node: string): Promise<string> {
    const { items } = await lab.send<{ items: readonly RawStatus[] }>(
      'GET',
      '/apis/metallb.io/v1beta1/servicel2statuses',
    );
    const claims = items
      .filter(({ status }) => status?.node === node)
      .map(
        ({ metadata }) => JSON.parse(metadata.annotations['berth.dev/claim'] ?? '{}') as { endpoint: string },
      );
    return await runIn(lab.node(node).namespace, ['curl', '-sf', `${claims[0]?.endpoint}/metrics`]);
  }

  function value(text: string, name: string, address: string): number {
    const line = text.split('\n').find((one) => one.startsWith(`metallb_layer2_${name}{ip="${address}"} `));
    return Number(line?.split(' ').at(-1));
  }

  const holders = (): Promise<readonly (readonly string[])[]> => rows(['status'], 'ADDRESS ');

  it('berth status names address, holder, time and reason, and follows a failover', async () => {
    await lab.createService({ name: 'web' });
    const [address = ''] = await berth.addressesOf('web');
    const first = await berth.holderOf(address);
    await expect
      .poll(holders, { timeout: 10_000 })
      .toMatchObject([
        [
          address,
          first,
          'all',
          expect.stringMatching(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
          expect.any(String),
        ],
      ]);
    const [[, , , , because] = []] = await holders();
    expect(because).not.toBe('<unknown>');
    await berth.speaker(first).kill();
    const second = await berth.holderOf(address);
    expect(second).not.toBe(first);
    await expect
      .poll(async () => (await holders()).map(([, holder]) => holder), { timeout: 10_000 })
      .toEqual([second]);
    berth.startMissing();
  });

  it('the metrics of the holder have the names that dashboards know, and follow', async () => {
    const [[address = '', holder = ''] = []] = await holders();
    const received = async (): Promise<number> =>
      value(await metricsOf(holder), 'requests_received', address);
    const before = await received();
    await berth.holdersOf(address);
    expect(await received()).toBeGreaterThan(before);
    const text = await metricsOf(holder);
    expect(value(text, 'responses_sent', address)).toBeGreaterThan(0);
    expect(value(text, 'gratuitous_sent', address)).toBeGreaterThan(0);
    const announced = `metallb_speaker_announced{service="lab/web",protocol="layer2",node="${holder}",ip="${address}"} 1`;
    expect(text.split('\n')).toContain(announced);
  });

  it('berth explain lists each node with the reason why it is not the holder', async () => {
    const holder = (await holders())[0]?.[1] ?? '';
    const [third = ''] = lab.net.nodes.map(({ name }) => name).filter((name) => name !== holder);
    await label(third, 'true');
    const nodes = (): Promise<readonly (readonly string[])[]> => rows(['explain', 'lab/web'], 'NODE ');
    const expected = lab.net.nodes.map(({ name }) => {
      if (name === holder) return [name, 'yes', 'holder', 'it answers for the address'];
      if (name === third)
        return [name, 'no', 'excludedByLabel', `it has the label ${excluded} (see --ignore-exclude-lb)`];
      return [name, 'no', 'notHolder', `${holder} has it and keeps it while it lives`];
    });
    await expect.poll(nodes, { timeout: 10_000 }).toEqual(expected);
    await label(third, null);
  });

  it('a Service that nobody announces says why', async () => {
    await lab.createService({ name: 'empty', pods: [] });
    const [address = ''] = await berth.addressesOf('empty');
    const row = async (): Promise<readonly string[] | undefined> =>
      (await holders()).find(([first]) => first === address);
    await expect
      .poll(row, { timeout: 10_000 })
      .toEqual([address, '<nobody>', '<none>', '<unknown>', 'lab/empty has no serving endpoint']);
  });

  it('B43 a node with the exclude label does not announce; when its label goes it does again', async () => {
    const { name: only = '' } = lab.net.nodes[0] ?? {};
    await lab.createService({ name: 'labelled', policy: 'Local', pods: [only] });
    const [address = ''] = await berth.addressesOf('labelled');
    expect(await berth.holderOf(address)).toBe(only);
    await label(only, 'true');
    await expect.poll(() => berth.holdersOf(address), { timeout: 10_000 }).toEqual([]);
    await expect.poll(() => reasonOn(only, 'labelled'), { timeout: 10_000 }).toBe('excludedByLabel');
    await label(only, null);
    expect(await berth.holderOf(address)).toBe(only);
  });

  it('B44 a node whose network is unavailable does not announce; when it is available it does again', async () => {
    const { name: only = '' } = lab.net.nodes[0] ?? {};
    const [address = ''] = await berth.addressesOf('labelled');
    expect(await berth.holderOf(address)).toBe(only);
    await networkUnavailable(only, 'True');
    await expect.poll(() => berth.holdersOf(address), { timeout: 10_000 }).toEqual([]);
    await expect.poll(() => reasonOn(only, 'labelled'), { timeout: 10_000 }).toBe('networkUnavailable');
    await networkUnavailable(only, 'False');
    expect(await berth.holderOf(address)).toBe(only);
  });

  it('a speaker that is reached says which others it does not hear; the answer says who was asked', async () => {
    const holder = (await holders())[0]?.[1] ?? '';
    const [gone = ''] = lab.net.nodes.map(({ name }) => name).filter((name) => name !== holder);
    await berth.speaker(gone).stop();
    const argv = [
      process.execPath,
      BERTH,
      'explain',
      'lab/web',
      '--provider',
      'metal',
      '--output',
      'json',
      ...options,
    ];
    const ask = async (): Promise<unknown> => {
      const { announcements } = JSON.parse(await runIn(lab.node(holder).namespace, argv)) as Found;
      const [{ told, announcements: found }] = announcements;
      return [told, found[0]?.holder, found[0]?.nodes.find(({ node }) => node === gone)?.reason];
    };
    await expect
      .poll(ask, { timeout: 20_000, interval: 500 })
      .toEqual([`the speaker of ${holder}`, holder, expect.stringMatching(/^(left|gone)$/)]);
    const fromHere = await command(['status', ...options]);
    expect(fromHere.err).toContain(
      'was told by the ServiceL2Status objects: no speaker was reached from here',
    );
  });

  it('a speaker in a pod is asked through the API server', async () => {
    const [{ name: node = '', ipv4 = '' } = {}] = lab.net.nodes;
    await berth.speaker(node).stop();
    const pod = { namespace: 'lab', name: 'speaker-1' };
    const pods = `/api/v1/namespaces/${pod.namespace}/pods`;
    await lab.send('POST', pods, {
      metadata: { name: pod.name },
      spec: { nodeName: node, hostNetwork: true, containers: [{ name: 'speaker', image: 'berth' }] },
    });
    const address = { hostIP: ipv4, podIP: ipv4, podIPs: [{ ip: ipv4 }] };
    await lab.send('PATCH', `${pods}/${pod.name}/status`, { status: { phase: 'Running', ...address } });
    const env = ['env', `POD_NAME=${pod.name}`, `POD_NAMESPACE=${pod.namespace}`];
    const args = ['speaker', '--node', node, '--kubeconfig', lab.plane.kubeconfig(), '--listen', '0.0.0.0:0'];
    const where = ['--leader-elect-namespace', 'berth-system'];
    const speaker = lab.start(node, 'speaker-pod', [...env, process.execPath, BERTH, ...args, ...where]);
    try {
      await lab.createService({ name: 'podded', policy: 'Local', pods: [node] });
      const [given = ''] = await berth.addressesOf('podded');
      expect(await berth.holderOf(given)).toBe(node);
      const told = async (): Promise<string> => (await command(['status', ...options])).err;
      await expect.poll(told, { timeout: 10_000 }).toContain(`told by the speaker of ${node}.`);
    } finally {
      await speaker.stop();
    }
  });
});
