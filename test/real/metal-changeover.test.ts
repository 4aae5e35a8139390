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

/** Services by the node of which MetalLB's speaker wrote that it announces them. */
const LEFT_OVER = { plain: 'node-2', requested: 'node-1', dual: 'node-3' } as const;

const BGP = [
  ['BGPPeer', 'v1beta2', { myASN: 64500, peerASN: 64501, peerAddress: '10.0.0.1' }],
  ['BGPAdvertisement', 'v1beta1', { ipAddressPools: ['first-pool'], aggregationLength: 32 }],
  ['Community', 'v1beta1', { communities: [{ name: 'vpn-only', value: '1234:1' }] }],
] as const;

interface Metadata {
  readonly name: string;
  readonly labels?: object;
  readonly annotations?: object;
  readonly finalizers?: readonly string[];
}

interface RawService {
  readonly metadata: { readonly uid: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly status: { readonly loadBalancer?: { readonly ingress?: readonly Ingress[] } };
}

await describeWithMetalLab('a cluster that MetalLB served', {}, () => {
  let lab: MetalLab;
  let berth: LabBerth;
  let before: unknown;

  const service = (name: string): Promise<RawService> => lab.send<RawService>('GET', `${SERVICES}/${name}`);
  const addressesOf = async (name: string): Promise<readonly string[]> =>
    ((await service(name)).status.loadBalancer?.ingress ?? []).map(({ ip }) => ip);
  const all = (kind: string): Promise<{ items: { metadata: Metadata; spec: object }[] }> =>
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
  async function leftOver(name: string, node: string): Promise<void> {
    const labels = {
      'metallb.io/node': node,
      'metallb.io/service-name': name,
      'metallb.io/service-namespace': LAB_NAMESPACE,
    };
    await lab.send('POST', `${KINDS}/servicel2statuses`, {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'ServiceL2Status',
      metadata: { name: `l2-${name}`, labels },
    });
    const status = { node, serviceName: name, serviceNamespace: LAB_NAMESPACE };
    await lab.send('PATCH', `${KINDS}/servicel2statuses/l2-${name}/status`, { status });
  }

  /** The kinds of BGP and an object of each: they are there, and nobody's business. */
  async function bgp(): Promise<void> {
    for (const [kind, version, spec] of BGP) {
      const plural = `${kind.toLowerCase()}s`.replace(/tys$/, 'ties');
      const schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
      await lab.send('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
        metadata: { name: `${plural}.metallb.io` },
        spec: {
          group: 'metallb.io',
          scope: 'Namespaced',
          names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
          versions: [{ name: version, served: true, storage: true, schema: { openAPIV3Schema: schema } }],
        },
      });
      const path = `/apis/metallb.io/${version}/namespaces/${METALLB}/${plural}`;
      const body = { apiVersion: `metallb.io/${version}`, kind, metadata: { name: 'example' }, spec };
      // A kind is served a moment after its definition was accepted.
      for (let attempt = 0; (await lab.plane.request('POST', path, { body })).status !== 201; attempt++) {
        if (attempt === 50) throw new Error(`the API server does not serve ${kind}`);
        await sleep(100);
      }
    }
  }

  /** Everything that was put there for MetalLB, without what the API server counts and Berth's report in the status. */
  async function untouched(): Promise<unknown> {
    const lists = await Promise.all([all('ipaddresspools'), all('l2advertisements')]);
    return lists.map(({ items }) =>
      items.map(({ metadata: { name, labels, annotations, finalizers }, spec }) => ({
        name,
        labels,
        annotations,
        finalizers,
        spec,
      })),
    );
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
    for (const [name, node] of Object.entries(LEFT_OVER)) await leftOver(name, node);
    await bgp();
    before = await untouched();
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

  it('the last holders that MetalLB wrote down go on holding, and what it wrote stays for the garbage collector', async () => {
    for (const [name, node] of Object.entries(LEFT_OVER)) {
      for (const address of SERVED[name]?.addresses ?? []) expect(await berth.holderOf(address)).toBe(node);
    }
    const { items } = await all('servicel2statuses');
    expect(items.map(({ metadata }) => metadata.name).toSorted()).toEqual([
      'l2-dual',
      'l2-plain',
      'l2-requested',
    ]);
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
    expect(await untouched()).toEqual(before);
  });

  it('keeps everything when all of Berth is started anew', async () => {
    const names = Object.keys(SERVED);
    const given = await Promise.all(names.map(addressesOf));
    await berth.stop();
    await berth.startController();
    berth.startMissing();
    await berth.holderOf('192.168.10.7');
    expect(await Promise.all(names.map(addressesOf))).toEqual(given);
    expect(await berth.holderOf('192.168.144.77')).toMatch(/^node-[12]$/);
  });
});
