/**
 * A cluster as MetalLB leaves it, taken over: its kinds, the objects that its documentation shows (names and values as
 * facts), Services that have their addresses, what its speakers wrote. Its controller and speakers are gone.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LabBerth } from '../harness/metal-berth.ts';
import { describeWithMetalLab, type MetalLab, startMetalLab } from '../harness/metal-lab.ts';
import { LAB_NAMESPACE, labSlices } from '../harness/metal-objects.ts';

const METALLB = 'metallb-system';
const KINDS = `/apis/metallb.io/v1beta1/namespaces/${METALLB}`;
const SERVICES = `/api/v1/namespaces/${LAB_NAMESPACE}/services`;

const hostname = (name: string): object => ({ matchLabels: { 'kubernetes.io/hostname': name } });

const POOLS: Readonly<Record<string, object>> = {
  'first-pool': {
    addresses: ['192.168.10.0/24', '192.168.9.1-192.168.9.5', 'fc00:f853:0ccd:e799::/124'],
  },
  cheap: { addresses: ['192.168.144.0/20'], avoidBuggyIPs: true },
  // Without an advertisement: given, and never announced.
  expensive: { addresses: ['42.176.25.64/30'], autoAssign: false },
  'pool-with-allocation': {
    addresses: ['192.168.20.0/24'],
    serviceAllocation: {
      priority: 50,
      namespaces: ['namespace-a', 'namespace-b'],
      namespaceSelectors: [{ matchLabels: { foo: 'bar' } }],
      serviceSelectors: [{ matchExpressions: [{ key: 'app', operator: 'In', values: ['bar'] }] }],
    },
  },
};

const ADVERTISEMENTS: Readonly<Record<string, object>> = {
  example: { ipAddressPools: ['first-pool'] },
  'nodes-and-interfaces': {
    ipAddressPools: ['cheap'],
    nodeSelectors: [hostname('node-1'), hostname('node-2')],
    interfaces: ['eth0'],
  },
  'by-label': { ipAddressPoolSelectors: [{ matchLabels: { zone: 'east' } }] },
};

interface Taken {
  readonly addresses: readonly string[];
  readonly pool: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: object;
  readonly protocol?: 'TCP' | 'UDP';
  /** Nodes that may announce it; default: any. */
  readonly nodes?: readonly string[];
}

/** Services that MetalLB had served; none of the addresses is the first that would be given today. */
const SERVED: Readonly<Record<string, Taken>> = {
  nginx: {
    addresses: ['192.168.144.77'],
    pool: 'cheap',
    annotations: { 'metallb.io/address-pool': 'cheap' },
    nodes: ['node-1', 'node-2'],
  },
  plain: { addresses: ['192.168.10.7'], pool: 'first-pool' },
  'dns-service-tcp': {
    addresses: ['192.168.10.53'],
    pool: 'first-pool',
    annotations: { 'metallb.io/allow-shared-ip': 'key-to-share-1.2.3.4' },
    spec: { loadBalancerIP: '192.168.10.53' },
    protocol: 'TCP',
  },
  'dns-service-udp': {
    addresses: ['192.168.10.53'],
    pool: 'first-pool',
    annotations: { 'metallb.io/allow-shared-ip': 'key-to-share-1.2.3.4' },
    spec: { loadBalancerIP: '192.168.10.53' },
    protocol: 'UDP',
  },
  requested: {
    addresses: ['192.168.9.4'],
    pool: 'first-pool',
    annotations: { 'metallb.universe.tf/loadBalancerIPs': '192.168.9.4' },
  },
  dual: {
    addresses: ['192.168.10.9', 'fc00:f853:ccd:e799::9'],
    pool: 'first-pool',
    spec: { ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'RequireDualStack' },
  },
  local: {
    addresses: ['192.168.10.11'],
    pool: 'first-pool',
    spec: { externalTrafficPolicy: 'Local' },
    nodes: ['node-3'],
  },
  unannounced: {
    addresses: ['42.176.25.66'],
    pool: 'expensive',
    annotations: { 'metallb.io/address-pool': 'expensive' },
    nodes: [],
  },
};

interface Ingress {
  readonly ip: string;
  readonly ipMode?: string;
}

interface RawService {
  readonly metadata: { readonly uid: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly status: { readonly loadBalancer?: { readonly ingress?: readonly Ingress[] } };
}

await describeWithMetalLab('a cluster that MetalLB served', {}, () => {
  let lab: MetalLab;
  let berth: LabBerth;

  const service = (name: string): Promise<RawService> => lab.send<RawService>('GET', `${SERVICES}/${name}`);
  const addressesOf = async (name: string): Promise<readonly string[]> =>
    ((await service(name)).status.loadBalancer?.ingress ?? []).map(({ ip }) => ip);
  const all = (kind: string): Promise<{ items: { metadata: { name: string }; spec: object }[] }> =>
    lab.send('GET', `${KINDS}/${kind}`);

  /** Creates the Service with the status that MetalLB had written. */
  async function served(name: string, taken: Taken): Promise<void> {
    const { addresses, pool, annotations = {}, spec = {}, protocol = 'TCP', nodes = [] } = taken;
    const families = addresses.map((address): 'IPv4' | 'IPv6' => (address.includes(':') ? 'IPv6' : 'IPv4'));
    const pods = name === 'local' ? { pods: nodes } : {};
    for (const slice of labSlices(lab.net, { name, families, ...pods }))
      await lab.send('POST', `/apis/discovery.k8s.io/v1/namespaces/${LAB_NAMESPACE}/endpointslices`, slice);
    const port = { name: 'main', port: 53, protocol, targetPort: 8080 };
    await lab.send('POST', SERVICES, {
      metadata: { name, annotations: { ...annotations, 'metallb.io/ip-allocated-from-pool': pool } },
      spec: { type: 'LoadBalancer', ports: [port], ...spec },
    });
    const ingress = addresses.map((ip) => ({ ip }));
    await lab.send('PATCH', `${SERVICES}/${name}/status`, { status: { loadBalancer: { ingress } } });
  }

  /** What a speaker of MetalLB wrote about itself; its owner, the speaker's pod, is gone. */
  async function leftOver(): Promise<void> {
    const labels = {
      'metallb.io/node': 'node-2',
      'metallb.io/service-name': 'plain',
      'metallb.io/service-namespace': LAB_NAMESPACE,
    };
    await lab.send('POST', `${KINDS}/servicel2statuses`, {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'ServiceL2Status',
      metadata: { name: 'l2-abcde', labels },
    });
    const status = { node: 'node-2', serviceName: 'plain', serviceNamespace: LAB_NAMESPACE };
    await lab.send('PATCH', `${KINDS}/servicel2statuses/l2-abcde/status`, { status });
  }

  beforeAll(async () => {
    lab = await startMetalLab();
    for (const [name, spec] of Object.entries(POOLS)) {
      const body = { apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool', metadata: { name }, spec };
      await lab.send('POST', `${KINDS}/ipaddresspools`, body);
    }
    for (const [name, spec] of Object.entries(ADVERTISEMENTS)) {
      const body = { apiVersion: 'metallb.io/v1beta1', kind: 'L2Advertisement', metadata: { name }, spec };
      await lab.send('POST', `${KINDS}/l2advertisements`, body);
    }
    for (const [name, taken] of Object.entries(SERVED)) await served(name, taken);
    await leftOver();
    berth = await LabBerth.start(lab);
  });
  afterAll(async () => {
    await berth?.stop();
    await lab?.stop();
  });

  it('keeps every address, and is said to be ours', async () => {
    for (const [name, { addresses }] of Object.entries(SERVED)) {
      await expect
        .poll(async () => (await service(name)).status, { timeout: 20_000, message: name })
        .toMatchObject({
          conditions: [{ type: 'berth.dev/Provisioned', status: 'True' }],
          loadBalancer: { ingress: addresses.map((ip) => ({ ip, ipMode: 'VIP' })) },
        });
    }
  });

  it.each(Object.entries(SERVED).filter(([, { nodes }]) => nodes?.length !== 0))(
    'each address of %s is answered by exactly one node that may',
    async (_name, { addresses, nodes = lab.net.nodes.map(({ name }) => name) }) => {
      const holders = new Set<string>();
      for (const address of addresses) holders.add(await berth.holderOf(address));
      expect(holders.size).toBe(1);
      expect(nodes).toContain([...holders][0]);
    },
  );

  it('an address of a pool that is not advertised is kept, and answered by nobody', async () => {
    expect(await berth.holdersOf('42.176.25.66')).toEqual([]);
    expect(await addressesOf('unannounced')).toEqual(['42.176.25.66']);
  });

  it('the last holder that MetalLB wrote down goes on holding', async () => {
    expect(await berth.holderOf('192.168.10.7')).toBe('node-2');
  });

  it('new Services get addresses by the rules of the pools', async () => {
    await lab.createService({ name: 'new', loadBalancerClass: null });
    await lab.createService({
      name: 'new-expensive',
      loadBalancerClass: null,
      annotations: { 'metallb.io/address-pool': 'expensive' },
    });
    await lab.createService({
      name: 'new-shared',
      loadBalancerClass: null,
      port: 80,
      annotations: {
        'metallb.io/allow-shared-ip': 'key-to-share-1.2.3.4',
        'metallb.io/loadBalancerIPs': '192.168.10.53',
      },
    });
    // 192.168.144.0 is skipped by avoidBuggyIPs.
    expect(await berth.addressesOf('new')).toEqual(['192.168.144.1']);
    expect(await berth.addressesOf('new-expensive')).toEqual(['42.176.25.64']);
    expect(await berth.addressesOf('new-shared')).toEqual(['192.168.10.53']);
    expect(await berth.holderOf('192.168.144.1')).toMatch(/^node-[12]$/);
  });

  it('nothing of the pools and advertisements was changed', async () => {
    await sleep(1_500);
    const pools = (await all('ipaddresspools')).items.filter(({ metadata }) => metadata.name in POOLS);
    expect(Object.fromEntries(pools.map(({ metadata, spec }) => [metadata.name, spec]))).toMatchObject(POOLS);
    const ads = (await all('l2advertisements')).items.filter(
      ({ metadata }) => metadata.name in ADVERTISEMENTS,
    );
    expect(Object.fromEntries(ads.map(({ metadata, spec }) => [metadata.name, spec]))).toMatchObject(
      ADVERTISEMENTS,
    );
  });

  it('keeps everything when all of Berth is started anew', async () => {
    const names = Object.keys(SERVED);
    const before = await Promise.all(names.map(addressesOf));
    await berth.stop();
    await berth.startController();
    berth.startMissing();
    await berth.holderOf('192.168.10.7');
    expect(await Promise.all(names.map(addressesOf))).toEqual(before);
    expect(await berth.holderOf('192.168.144.77')).toMatch(/^node-[12]$/);
  });
});
