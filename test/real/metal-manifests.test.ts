/** The manifests of the speakers and of MetalLB's kinds, on a real API server. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { type ControlPlane, describeWithControlPlane, startControlPlane } from '../harness/controlplane.ts';
import { berth as command } from '../fixtures/command-line.ts';
import { LabBerth } from '../harness/metal-berth.ts';
import { describeWithMetalLab, type MetalLab, startMetalLab } from '../harness/metal-lab.ts';
import { runIn } from '../harness/netns.ts';

const MANIFESTS = fileURLToPath(new URL('../../infra/manifests', import.meta.url));

/** The `status` of an IPAddressPool. */
type Counts = Readonly<Record<string, number>>;

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly subjects?: readonly { readonly namespace: string }[];
}

/** The objects of a directory's files, in the order in which they are applied. */
function manifestsOf(directory: string): readonly Manifest[] {
  return readdirSync(join(MANIFESTS, directory))
    .filter((file) => file.endsWith('.yaml'))
    .toSorted()
    .flatMap((file) => parseAllDocuments(readFileSync(join(MANIFESTS, directory, file), 'utf8')))
    .map((document) => document.toJS() as Manifest);
}

function pathOf({ apiVersion, kind, metadata }: Manifest): string {
  const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const at = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  const plural = kind.endsWith('s') ? `${kind}es` : `${kind}s`;
  return `${base}${at}/${plural.toLowerCase()}`;
}

await describeWithControlPlane('the manifests of bare metal', () => {
  let plane: ControlPlane;
  const base = '/apis/metallb.io/v1beta1/namespaces/metallb-system';

  beforeAll(async () => {
    plane = await startControlPlane();
    for (const name of ['berth-system', 'metallb-system'])
      await plane.request('POST', '/api/v1/namespaces', { body: { metadata: { name } } });
  });
  afterAll(() => plane?.stop());

  async function create(path: string, body: object): Promise<number> {
    return (await plane.request('POST', path, { body })).status;
  }

  async function pool(name: string, spec: object): Promise<number> {
    const body = { apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool', metadata: { name }, spec };
    return await create(`${base}/ipaddresspools`, body);
  }

  it('are accepted as they are, the kinds and the speakers', async () => {
    for (const manifest of [...manifestsOf('crds'), ...manifestsOf('speaker')]) {
      expect([manifest.kind, manifest.metadata.name, await create(pathOf(manifest), manifest)]).toEqual([
        manifest.kind,
        manifest.metadata.name,
        201,
      ]);
    }
    await expect.poll(async () => (await plane.request('GET', `${base}/servicel2statuses`)).status).toBe(200);
  });

  it('the kinds take the objects that MetalLB documents, with its defaults', async () => {
    const name = 'first-pool';
    expect(
      await pool(name, {
        addresses: ['192.168.10.0/24', '192.168.9.1-192.168.9.5', 'fc00:f853:0ccd:e799::/124'],
      }),
    ).toBe(201);
    const { json } = await plane.request<{ spec: object }>('GET', `${base}/ipaddresspools/${name}`);
    expect(json.spec).toMatchObject({ autoAssign: true, avoidBuggyIPs: false });
    expect(
      await pool('allocated', {
        addresses: ['42.176.25.64/30'],
        serviceAllocation: {
          priority: 50,
          namespaces: ['namespace-a'],
          namespaceSelectors: [{ matchLabels: { foo: 'bar' } }],
          serviceSelectors: [{ matchExpressions: [{ key: 'app', operator: 'In', values: ['bar'] }] }],
        },
      }),
    ).toBe(201);
    const preference = { matchLabels: { 'kubernetes.io/hostname': 'NodeA' } };
    const body = {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'L2Advertisement',
      metadata: { name: 'example' },
      spec: {
        ipAddressPools: [name],
        nodeSelectors: [preference],
        interfaces: ['eth0'],
        preferredNodeSelectors: [{ weight: 100, preference }],
      },
    };
    expect(await create(`${base}/l2advertisements`, body)).toBe(201);
  });

  it.each([
    ['without addresses', {}],
    ['with an empty list of addresses', { addresses: [] }],
    ['with a negative priority', { addresses: ['10.0.0.0/8'], serviceAllocation: { priority: -1 } }],
    [
      'with a selector without an operator',
      {
        addresses: ['10.0.0.0/8'],
        serviceAllocation: { serviceSelectors: [{ matchExpressions: [{ key: 'app' }] }] },
      },
    ],
  ])('the kinds refuse a pool %s', async (_what, spec) => {
    expect(await pool('bad', spec)).toBe(422);
  });

  it.each([0, 101])('the kinds refuse a preference with the weight %i', async (weight) => {
    const spec = { preferredNodeSelectors: [{ weight, preference: {} }] };
    const body = {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'L2Advertisement',
      metadata: { name: 'bad' },
      spec,
    };
    expect(await create(`${base}/l2advertisements`, body)).toBe(422);
  });

  it('the kinds keep the node of a status as it is', async () => {
    const path = '/apis/metallb.io/v1beta1/namespaces/berth-system/servicel2statuses';
    const body = { apiVersion: 'metallb.io/v1beta1', kind: 'ServiceL2Status', metadata: { name: 'l2-x' } };
    expect(await create(path, body)).toBe(201);
    const write = async (node: string): Promise<number> =>
      (
        await plane.request('PATCH', `${path}/l2-x/status`, {
          body: { status: { node } },
          contentType: 'application/merge-patch+json',
        })
      ).status;
    expect(await write('node-1')).toBe(200);
    expect(await write('node-2')).toBe(422);
  });
});

await describeWithMetalLab('speakers under exactly the role of the manifests', {}, () => {
  let lab: MetalLab;
  let berth: LabBerth;
  const LISTEN = '127.0.0.1:7472';
  const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

  beforeAll(async () => {
    lab = await startMetalLab({
      authorization: 'RBAC',
      users: [{ name: 'reader', groups: ['berth-users'] }],
    });
    const roles = [...manifestsOf('.'), ...manifestsOf('speaker')].filter(({ kind }) => /Role/.test(kind));
    for (const role of roles) {
      // The lab has one namespace for both users.
      const subjects = role.subjects?.map((subject) => ({ ...subject, namespace: 'berth-system' }));
      await lab.send('POST', pathOf(role), { ...role, ...(subjects === undefined ? {} : { subjects }) });
    }
    // The lab's own kinds take anything.
    for (const { metadata, ...kind } of manifestsOf('crds'))
      await lab.send('PATCH', `${CRDS}/${metadata.name}`, kind);
    berth = await LabBerth.start(lab, { speakerArgs: ['--listen', LISTEN] });
  });
  afterAll(async () => {
    await berth?.stop();
    await lab?.stop();
  });

  async function ask(node: string, path: string): Promise<string> {
    return await runIn(lab.node(node).namespace, ['curl', '-sf', `http://${LISTEN}${path}`]);
  }

  it('announce, write who does, tell events, hand over, and are denied nothing', async () => {
    await lab.createService({ name: 'web' });
    const [address = ''] = await berth.addressesOf('web');
    const first = await berth.holderOf(address);
    await berth.speaker(first).stop();
    const second = await berth.holderOf(address);
    expect(second).not.toBe(first);
    await expect.poll(async () => await statusNodes(), { timeout: 10_000 }).toEqual([second]);
    const { items } = await lab.send<{ items: readonly { reason: string }[] }>(
      'GET',
      '/api/v1/namespaces/lab/events',
    );
    expect(items.filter(({ reason }) => reason === 'nodeAssigned').length).toBeGreaterThanOrEqual(2);
    const metrics = await ask(second, '/metrics');
    expect(metrics).toMatch(/rest_client_requests_total\{code="200",method="GET"/);
    expect(metrics).not.toMatch(/rest_client_requests_total\{code="(401|403)"/);
  });

  it('B73 the pools say how full they are, also one that never runs out', async () => {
    const pools = '/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools';
    const status = async (name: string): Promise<Counts> =>
      (await lab.send<{ status?: Counts }>('GET', `${pools}/${name}`)).status ?? {};
    const before = await status('lab');
    await lab.createService({ name: 'counted' });
    await berth.addressesOf('counted');
    const [assigned, left] = [before['assignedIPv4'] ?? 0, before['availableIPv4'] ?? 0];
    expect([assigned > 0, left > 0]).toEqual([true, true]);
    await expect
      .poll(() => status('lab'), { timeout: 10_000 })
      .toEqual({ ...before, assignedIPv4: assigned + 1, availableIPv4: left - 1 });
    await lab.deleteService('counted');
    await expect.poll(() => status('lab'), { timeout: 10_000 }).toEqual(before);
    const spec = { addresses: ['2001:db8:ffff::/64'], autoAssign: false };
    await lab.send('POST', pools, {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name: 'endless', namespace: 'metallb-system' },
      spec,
    });
    await expect
      .poll(() => status('endless'), { timeout: 10_000 })
      // As close as JavaScript comes to 2^63 - 1.
      .toEqual({ assignedIPv4: 0, assignedIPv6: 0, availableIPv4: 0, availableIPv6: 2 ** 63 });
    expect(await berth.controller.log()).not.toContain('could not be written');
  });

  it('people see who announces what under their roles, and without them why not', async () => {
    const argv = ['status', '--kubeconfig', lab.plane.kubeconfig('reader'), '--provider', 'metal'];
    const roles = manifestsOf('optional').filter(({ metadata }) => metadata.name !== 'berth-endpoints');
    const isPlan = ({ metadata }: Manifest): boolean => metadata.name === 'berth-plan';
    for (const role of roles.filter(isPlan)) await lab.send('POST', pathOf(role), role);
    await expect
      .poll(async () => (await command(argv)).err, { timeout: 10_000 })
      .toContain('Answered by the');
    const before = await command(argv);
    expect([before.code, before.err]).toEqual([
      0,
      expect.stringMatching(/of metal is not known: .*forbidden/),
    ]);
    for (const role of roles.filter((one) => !isPlan(one))) await lab.send('POST', pathOf(role), role);
    const [address = ''] = await lab.addressesOf('web');
    const holder = await berth.holderOf(address);
    await expect
      .poll(async () => (await command(argv)).out.split('\n').map((line) => line.split(/ {3,}/)), {
        timeout: 10_000,
      })
      .toContainEqual([address, holder, 'all', expect.any(String), expect.any(String)]);
  });

  it('say who holds what and why the other nodes do not', async () => {
    const [address = ''] = await lab.addressesOf('web');
    const holder = await berth.holderOf(address);
    const report = JSON.parse(await ask(holder, '/api/announcements')) as {
      announcements: readonly {
        holder: string;
        since: string;
        nodes: readonly { node: string; reason: string }[];
      }[];
    };
    expect(report.announcements).toMatchObject([{ holder, addresses: [address], services: ['lab/web'] }]);
    const [announcement] = report.announcements;
    expect(Date.parse(announcement?.since ?? '')).toBeGreaterThan(0);
    const reasons = new Map(announcement?.nodes.map(({ node, reason }) => [node, reason]));
    expect(reasons.get(holder)).toBe('holder');
    expect([...reasons.values()].toSorted()).toEqual(['holder', 'left', 'notHolder']);
  });

  async function statusNodes(): Promise<readonly string[]> {
    const { items } = await lab.send<{ items: readonly { status?: { node?: string } }[] }>(
      'GET',
      '/apis/metallb.io/v1beta1/servicel2statuses',
    );
    return items.map(({ status }) => status?.node ?? '');
  }
});
