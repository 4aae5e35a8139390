/**
 * Bad input: each ends in its reason code, the same in the event, the condition, the metric and `berth explain`, with a
 * remedy, and no other Service notices.
 */
import { describe, expect, it } from 'vitest';
import { REASONS, type ReasonCode } from '../src/model/reasons.ts';
import type { Service } from '../src/model/service.ts';
import { aPool, aPort } from './builders.ts';
import { settledWorld, startWorld, type World, type WorldOptions } from './world.ts';

const BAD = 'default/bad';
const pools = [aPool('192.0.2.0/28')];

interface Case {
  readonly what: string;
  readonly service: Partial<Service>;
  readonly code: ReasonCode;
  /** What the message has to name. */
  readonly names: RegExp;
  readonly world?: WorldOptions;
}

const CASES: readonly Case[] = [
  {
    what: 'a misspelt annotation under our prefix',
    service: { annotations: { 'berth.dev/load-balancer-ip': '192.0.2.1' } },
    code: 'UnknownAnnotation',
    names: /berth\.dev\/load-balancer-ip .*Did you mean berth\.dev\/load-balancer-ips\?/,
  },
  {
    what: 'an unknown annotation under the prefix of the provider',
    service: { annotations: { 'memory.berth.dev/nonsense': 'x' } },
    code: 'UnknownAnnotation',
    names: /memory\.berth\.dev\/nonsense/,
  },
  {
    what: 'a value that an annotation does not take',
    service: { annotations: { 'memory.berth.dev/idle-timeout-seconds': 'soon' } },
    code: 'InvalidAnnotation',
    names: /memory\.berth\.dev\/idle-timeout-seconds has the value "soon"/,
  },
  {
    what: 'a source range that is no CIDR',
    service: { loadBalancerSourceRanges: ['10.0.0.0/8', '10.0.0.0/33'] },
    code: 'InvalidSourceRange',
    names: /spec\.loadBalancerSourceRanges .*"10\.0\.0\.0\/33"/,
  },
  {
    what: 'a source range that is no CIDR, in the annotation',
    service: { annotations: { 'service.beta.kubernetes.io/load-balancer-source-ranges': 'everybody' } },
    code: 'InvalidSourceRange',
    names: /annotation service\.beta\.kubernetes\.io\/load-balancer-source-ranges .*"everybody"/,
  },
  {
    what: 'a loadBalancerIP that is none',
    service: { loadBalancerIP: '192.0.2.300' },
    code: 'InvalidLoadBalancerIP',
    names: /spec\.loadBalancerIP .*"192\.0\.2\.300"/,
  },
  {
    what: 'a requested address of a family that the Service has not',
    service: { annotations: { 'berth.dev/load-balancer-ips': '2001:db8::1' } },
    code: 'InvalidLoadBalancerIP',
    names: /2001:db8::1/,
  },
  {
    what: 'requests in field and annotation',
    service: { loadBalancerIP: '192.0.2.1', annotations: { 'metallb.io/loadBalancerIPs': '192.0.2.2' } },
    code: 'AddressRequestConflict',
    names: /192\.0\.2\.1.*metallb\.io\/loadBalancerIPs.*192\.0\.2\.2/,
  },
  { what: 'no ports', service: { ports: [] }, code: 'NoPorts', names: /spec\.ports/ },
  {
    what: 'a node port that is missing and may not be allocated',
    service: { ports: [aPort({ nodePort: 0 })], allocateLoadBalancerNodePorts: false },
    code: 'NodePortMissing',
    names: /80\/TCP/,
    world: { settings: { allocateNodePorts: false } },
  },
  {
    what: 'an address that another Service has',
    service: { loadBalancerIP: '192.0.2.0' },
    code: 'AddressInUse',
    names: /192\.0\.2\.0 .*default\/good/,
  },
  {
    what: 'an address that is in no pool',
    service: { loadBalancerIP: '203.0.113.1' },
    code: 'AddressOutsidePool',
    names: /203\.0\.113\.1 .*192\.0\.2\.0-192\.0\.2\.15/,
  },
  {
    what: 'pools without a free address',
    service: {},
    code: 'PoolExhausted',
    names: /pool default/,
    world: { memory: { pools: [aPool('192.0.2.0/32')] } },
  },
  {
    what: 'a family that no pool has',
    service: { ipFamilies: ['IPv6'] },
    code: 'NoPool',
    names: /IPv6/,
  },
  {
    what: 'a family that the provider cannot serve',
    service: { ipFamilies: ['IPv6'] },
    code: 'FamilyUnsupported',
    names: /IPv6/,
    world: { memory: { pools, capabilities: { families: ['IPv4'] } } },
  },
  {
    what: 'protocols that the provider cannot serve',
    service: { ports: [aPort({ protocol: 'SCTP' })] },
    code: 'ProtocolUnsupported',
    names: /80\/SCTP/,
    world: { memory: { pools, capabilities: { protocols: ['TCP'] } } },
  },
  {
    what: 'source ranges that the provider cannot keep to',
    service: { loadBalancerSourceRanges: ['10.0.0.0/8'] },
    code: 'SourceRangesUnsupported',
    names: /10\.0\.0\.0\/8/,
    world: { memory: { pools, capabilities: { sourceRanges: false } } },
  },
];

/** A world with one good Service, to which the bad one and another good one come. */
async function withBad({ service, world: options }: Pick<Case, 'service' | 'world'>): Promise<World> {
  const world = await settledWorld({ services: [{ name: 'good' }], memory: { pools }, ...options });
  world.cluster.create({ name: 'bad', createdAtMs: Date.UTC(2030, 1, 1), ...service });
  await world.settle();
  return world;
}

describe.each(CASES.map((one) => [one.what, one] as const))('%s', (_what, one) => {
  it(`ends in ${one.code} everywhere, with a remedy`, async () => {
    const world = await withBad(one);
    const warnings = world.cluster.told.filter(({ type }) => type === 'Warning');
    expect(warnings).toEqual([
      { key: BAD, type: 'Warning', reason: one.code, message: expect.stringMatching(one.names) },
    ]);
    const remedy = REASONS[one.code].remedy;
    const [condition] = world.service(BAD).conditions;
    expect(condition).toMatchObject({ type: 'berth.dev/Provisioned', status: 'False', reason: one.code });
    expect(condition?.message).toBe(warnings[0]?.message);
    expect(await world.metricReasons(BAD)).toEqual([one.code]);
    const explanation = world.controller.inspect.explain(BAD);
    expect(explanation).toMatchObject({ reason: one.code, message: condition?.message, remedy });
    expect(remedy).not.toBe('');
    // The message ends with something to do: the registered remedy, or what a value has to look like.
    expect(condition?.message).toMatch(/\. (It takes|[A-Z][a-z]+ )[^.]+(\.[^.]+)*\.$/);
    expect(world.controller.inspect.status().find(({ key }) => key === BAD)).toMatchObject({
      state: 'False',
      reason: one.code,
    });
  });

  it('costs nobody else anything, and is over when it is corrected', async () => {
    const world = await withBad(one);
    expect(world.cloud.loadBalancers.has(BAD)).toBe(false);
    expect(world.service(BAD).ingress).toEqual([]);
    expect(world.addresses('default/good')).toBe('192.0.2.0');
    expect(world.condition('default/good')).toBe('True Provisioned');
    expect(world.written.filter((line) => !line.endsWith(BAD))).toEqual([]);
    // It is not tried again and again.
    world.reset();
    await world.advance(300_000);
    expect(world.calls).toEqual([]);
    expect(world.written).toEqual([]);
    world.cluster.delete('default/good');
    await world.settle();
    world.cluster.edit(BAD, {
      annotations: {},
      ports: [aPort()],
      loadBalancerIP: '',
      loadBalancerSourceRanges: [],
      ipFamilies: ['IPv4'],
    });
    await world.settle();
    expect(world.condition(BAD)).toBe('True Provisioned');
  });
});

describe('what is out of the ordinary and yet right', () => {
  it('300 ports are served, each by one listener, and all are in the status', async () => {
    const ports = Array.from({ length: 300 }, (_, index) =>
      aPort({ name: `p${index}`, port: 1_000 + index, nodePort: 30_000 + index }),
    );
    const world = await startWorld({ services: [{ ports }] });
    expect(world.condition()).toBe('True Provisioned');
    expect(world.cloud.counts.get('createListener')).toBe(300);
    expect(world.service().ingress[0]?.ports).toHaveLength(300);
    expect(world.written).toHaveLength(2);
    world.cluster.delete('default/web');
    await world.settle();
    expect(world.cloud.loadBalancers.size).toBe(0);
  });

  it('a name and a namespace of 63 characters are served', async () => {
    const long = 'a'.repeat(63);
    const world = await startWorld({ services: [{ name: long, namespace: long }] });
    expect(world.condition(`${long}/${long}`)).toBe('True Provisioned');
    expect(await world.metricReasons(`${long}/${long}`)).toEqual(['Provisioned']);
  });
});

describe('what is left out, while the rest is served', () => {
  it.each([
    [
      'LoadBalancerIPIgnored',
      { loadBalancerIP: '192.0.2.9' },
      { capabilities: { loadBalancerIP: 'ignored' as const } },
    ],
    [
      'SessionAffinityIgnored',
      { sessionAffinity: 'ClientIP' as const },
      { capabilities: { sessionAffinity: false } },
    ],
    [
      'MixedProtocolNotSupported',
      { ports: [aPort(), aPort({ protocol: 'UDP' as const })] },
      { capabilities: { mixedProtocols: false } },
    ],
    [
      'ProtocolUnsupported',
      { ports: [aPort(), aPort({ protocol: 'SCTP' as const })] },
      { capabilities: { protocols: ['TCP' as const] } },
    ],
  ])('%s is told once, and explained', async (code, service, memory) => {
    const world = await startWorld({ services: [service], memory });
    expect(world.condition()).toBe('True Provisioned');
    const told = world.cluster.told.filter(({ reason }) => reason === code);
    expect(told).toMatchObject([
      { type: 'Warning', message: expect.stringContaining(REASONS[code as ReasonCode].remedy) },
    ]);
    expect(world.controller.inspect.explain('default/web').notes.map((one) => one.code)).toEqual([code]);
    world.cluster.edit('default/web', { ports: [...world.service().ports, aPort({ port: 81 })] });
    await world.settle();
    expect(world.reasons().filter((reason) => reason === code)).toHaveLength(1);
  });

  it('a port that is left out has its code in the status', async () => {
    const ports = [aPort(), aPort({ protocol: 'UDP', port: 53, nodePort: 30_053 })];
    const world = await startWorld({
      services: [{ ports }],
      memory: { capabilities: { mixedProtocols: false } },
    });
    expect(world.service().ingress[0]?.ports).toEqual([
      { port: 53, protocol: 'UDP', error: 'MixedProtocolNotSupported' },
      { port: 80, protocol: 'TCP' },
    ]);
    expect(Object.keys(world.cloud.loadBalancers.get('default/web')?.listeners ?? {})).toEqual(['80/TCP']);
  });
});

describe('node ports', () => {
  const without: Partial<Service> = {
    name: 'bad',
    ports: [aPort({ nodePort: 0 })],
    allocateLoadBalancerNodePorts: false,
  };

  it('are allocated by the API server when allocation was off, with one patch and one event', async () => {
    const world = await startWorld({ services: [without] });
    expect(world.written).toEqual([`allocateNodePorts ${BAD}`, `addFinalizer ${BAD}`, `patchStatus ${BAD}`]);
    expect(world.reasons()).toEqual(['NodePortsAllocated', 'EnsuringLoadBalancer', 'EnsuredLoadBalancer']);
    expect(world.cluster.patches[0]?.body.spec).toEqual({ allocateLoadBalancerNodePorts: true });
    expect(world.service(BAD).ports[0]?.nodePort).toBe(31_000);
    expect(world.cloud.loadBalancers.get(BAD)?.listeners['80/TCP']?.nodePort).toBe(31_000);
  });

  it('are not fought for: set back twice, the Service is told what to do', async () => {
    const world = await startWorld({ services: [without] });
    const setBack = async (): Promise<void> => {
      world.cluster.edit(BAD, { ports: without.ports!, allocateLoadBalancerNodePorts: false });
      await world.settle();
    };
    await setBack();
    expect(world.condition(BAD)).toBe('True Provisioned');
    await setBack();
    expect(world.condition(BAD)).toBe('False NodePortMissing');
    await setBack();
    expect(world.written.filter((line) => line.startsWith('allocateNodePorts'))).toHaveLength(2);
    // What it had is left as it was, address included.
    expect(world.cloud.loadBalancers.has(BAD)).toBe(true);
    expect(world.addresses(BAD)).toBe('198.18.0.1');
  });

  it('do not matter where nothing goes to them', async () => {
    const world = await startWorld({ services: [without], memory: { capabilities: { targets: 'none' } } });
    expect(world.condition(BAD)).toBe('True Provisioned');
    expect(world.written).toEqual([`addFinalizer ${BAD}`, `patchStatus ${BAD}`]);
  });
});
