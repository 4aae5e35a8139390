import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseIp,
  parseRange,
  type Endpoint,
  type IpAddress,
  type IpRange,
  type Node,
  type Service,
} from '@berth/core';
import { aNode, aServiceAt } from '../../../test/builders.ts';
import { advertisementSpecSchema } from '../config.ts';
import type { Facts } from '../election/payload.ts';
import type { Advertisement, MetalPool } from '../objects.ts';
import type { L2Status } from './l2-status.ts';
import { viewOf, ViewMemory, type GroupView, type ViewSources } from './view.ts';

const ADDRESS = '192.0.2.10' as IpAddress;

function nodeNamed(name: string, more: Partial<Node> = {}): Node {
  return aNode({ name, labels: { 'kubernetes.io/hostname': name }, ...more });
}

function anEndpoint(node: string, more: Partial<Endpoint> = {}): Endpoint {
  const address = parseIp('10.0.0.1')!;
  return { address, node, ready: true, serving: true, terminating: false, ports: [], ...more };
}

function aPool(ranges: readonly string[] = ['192.0.2.0/24', '2001:db8::/64'], name = 'pool'): MetalPool {
  return {
    pool: { name, ranges: ranges.map((text) => parseRange(text) as IpRange), autoAssign: true },
    labels: {},
  };
}

function anAd(spec: object = {}, name = 'ad'): Advertisement {
  return { name, ...advertisementSpecSchema.parse(spec) };
}

const on = (hostname: string): object => ({ matchLabels: { 'kubernetes.io/hostname': hostname } });
const facts = (...names: readonly string[]): Facts => ({
  interfaces: names.map((name) => ({ name, arp: true, ndp: true })),
  macs: [],
});

function sources(more: Partial<ViewSources> = {}): ViewSources {
  return {
    services: [aServiceAt('web', [ADDRESS])],
    nodes: [nodeNamed('n1'), nodeNamed('n2'), nodeNamed('n3')],
    endpoints: () => [anEndpoint('n1')],
    pools: [aPool()],
    advertisements: [anAd()],
    statuses: [],
    facts: () => facts('eth0'),
    classes: ['berth.dev/metal'],
    ignoreExcludeLabel: false,
    failback: false,
    conflictProbe: true,
    ...more,
  };
}

/** The only group of a view. */
function groupOf(more: Partial<ViewSources> = {}): GroupView {
  const [view, ...others] = viewOf(sources(more)).values();
  expect(others).toEqual([]);
  return view!;
}

function eligible(more: Partial<ViewSources> = {}): readonly string[] {
  return [...groupOf(more).group.eligible.keys()].toSorted();
}

function refusals(more: Partial<ViewSources>): Readonly<Record<string, string>> {
  const refused = [...groupOf(more).verdicts].flatMap(([node, { refusal }]) =>
    refusal === undefined ? [] : [[node, refusal] as const],
  );
  return Object.fromEntries(refused);
}

describe('which addresses are announced', () => {
  it('those of Services of type LoadBalancer that are from a pool', () => {
    expect(groupOf().group.addresses).toEqual([ADDRESS]);
  });

  it.each([
    ['another type', aServiceAt('web', [ADDRESS], { type: 'ClusterIP' })],
    [
      'a class that is another provider’s',
      aServiceAt('web', [ADDRESS], { loadBalancerClass: 'berth.dev/aws' }),
    ],
    ['an address of no pool', aServiceAt('web', ['198.51.100.1'])],
    ['no address yet', aServiceAt('web', [])],
    ['a host name', aServiceAt('web', [], { ingress: [{ hostname: 'lb.example.com' }] })],
  ])('not those of a Service with %s', (_what, service) => {
    expect(viewOf(sources({ services: [service] })).size).toBe(0);
  });

  it('those of a Service of our class, and of a class that is configured', () => {
    const services = [aServiceAt('web', [ADDRESS], { loadBalancerClass: 'metallb.example/l2' })];
    expect(viewOf(sources({ services })).size).toBe(0);
    expect(viewOf(sources({ services, classes: ['metallb.example/l2'] })).size).toBe(1);
  });

  it('one that is in use also when its pool was taken away', () => {
    const service = 'default/web';
    const claim = { addresses: [ADDRESS], epoch: 4, since: '' };
    const statuses: L2Status[] = [
      { name: 'l2-x', namespace: 'berth-system', node: 'n2', service, interfaces: [], claim },
    ];
    expect(viewOf(sources({ pools: [] })).size).toBe(0);
    expect(eligible({ pools: [], statuses })).toEqual(['n1', 'n2', 'n3']);
  });
});

describe('addresses that belong together', () => {
  it('are those of one dual-stack Service, IPv4 first', () => {
    const { group } = groupOf({ services: [aServiceAt('web', ['2001:db8::5', ADDRESS])] });
    expect(group).toMatchObject({ key: ADDRESS, addresses: [ADDRESS, '2001:db8::5'] });
  });

  it('B81 are those of Services that share one, directly or through others', () => {
    const services = [
      aServiceAt('a', [ADDRESS]),
      aServiceAt('b', [ADDRESS, '2001:db8::5']),
      aServiceAt('c', ['2001:db8::5']),
      aServiceAt('d', ['192.0.2.77']),
    ];
    const groups = [...viewOf(sources({ services })).values()];
    expect(
      groups.map(({ group, services: members }) => [group.addresses, members.map(({ name }) => name)]),
    ).toEqual([
      [
        [ADDRESS, '2001:db8::5'],
        ['a', 'b', 'c'],
      ],
      [['192.0.2.77'], ['d']],
    ]);
  });

  it('are announced where all Services that can be served can be', () => {
    const local = { externalTrafficPolicy: 'Local' } as const;
    const services = [aServiceAt('a', [ADDRESS], local), aServiceAt('b', [ADDRESS], local)];
    const at: Readonly<Record<string, readonly string[]>> = {
      'default/a': ['n1', 'n2'],
      'default/b': ['n2', 'n3'],
    };
    const endpoints = (key: string): readonly Endpoint[] => (at[key] ?? []).map((node) => anEndpoint(node));
    expect(eligible({ services, endpoints })).toEqual(['n2']);
    expect(
      eligible({ services, endpoints: (key) => (key === 'default/a' ? [anEndpoint('n1')] : []) }),
    ).toEqual(['n1']);
    const apart = (key: string): readonly Endpoint[] => [anEndpoint(key === 'default/a' ? 'n1' : 'n3')];
    expect(eligible({ services, endpoints: apart })).toEqual(['n1', 'n3']);
  });

  it('are the same in whatever order the objects come', () => {
    const services = [
      aServiceAt('a', [ADDRESS]),
      aServiceAt('b', [ADDRESS, '2001:db8::5']),
      aServiceAt('d', ['192.0.2.77']),
    ];
    const nodes = sources().nodes;
    const plain = (more: Partial<ViewSources>): unknown =>
      [...viewOf(sources(more))].map(([key, { group, verdicts }]) => [key, group, [...verdicts]]);
    expect(plain({ services: services.toReversed(), nodes: nodes.toReversed() })).toEqual(
      plain({ services, nodes }),
    );
  });
});

describe('endpoints', () => {
  it('B83 without a serving one nobody announces', () => {
    expect(eligible({ endpoints: () => [] })).toEqual([]);
    expect(refusals({ endpoints: () => [anEndpoint('n1', { ready: false, serving: false })] })).toMatchObject(
      {
        n1: 'noServingEndpoint',
        n2: 'noServingEndpoint',
      },
    );
  });

  it('B84 with policy Local only nodes with a serving one; terminating but serving counts', () => {
    const services = [aServiceAt('web', [ADDRESS], { externalTrafficPolicy: 'Local' })];
    const endpoints = (): readonly Endpoint[] => [
      anEndpoint('n1'),
      anEndpoint('n2', { ready: false, serving: true, terminating: true }),
      anEndpoint('n3', { ready: false, serving: false }),
    ];
    expect(eligible({ services, endpoints })).toEqual(['n1', 'n2']);
    expect(refusals({ services, endpoints })).toEqual({ n3: 'noLocalEndpoint' });
    expect(eligible({ endpoints })).toEqual(['n1', 'n2', 'n3']);
  });
});

describe('advertisements', () => {
  it('without one for the pool nobody announces', () => {
    expect(refusals({ advertisements: [] })).toMatchObject({ n1: 'noMatchingAdvertisement' });
    expect(refusals({ advertisements: [anAd({ ipAddressPools: ['other'] })] })).toMatchObject({
      n1: 'noMatchingAdvertisement',
    });
  });

  it('B85 node selectors restrict the candidates; two advertisements give the union', () => {
    const first = anAd({ nodeSelectors: [on('n1')] });
    expect(eligible({ advertisements: [first] })).toEqual(['n1']);
    expect(refusals({ advertisements: [first] })).toEqual({ n2: 'nodeNotSelected', n3: 'nodeNotSelected' });
    expect(eligible({ advertisements: [first, anAd({ nodeSelectors: [on('n3')] }, 'b')] })).toEqual([
      'n1',
      'n3',
    ]);
  });

  it('B86 of several service selectors one must match', () => {
    const serviceSelectors = [{ matchLabels: { tier: 'web' } }, { matchLabels: { tier: 'api' } }];
    const advertisements = [anAd({ serviceSelectors })];
    const labelled = (tier: string): Service => aServiceAt('web', [ADDRESS], { labels: { tier } });
    expect(eligible({ advertisements, services: [labelled('api')] })).toHaveLength(3);
    expect(eligible({ advertisements, services: [labelled('db')] })).toEqual([]);
  });

  it('B87 weights of a node are summed over its advertisements, and count only in those that apply', () => {
    const prefers = (weight: number): object => ({ weight, preference: on('n2') });
    const advertisements = [
      anAd({ preferredNodeSelectors: [prefers(10), prefers(5)] }, 'a'),
      anAd({ preferredNodeSelectors: [prefers(20)] }, 'b'),
      anAd({ preferredNodeSelectors: [prefers(70)], nodeSelectors: [on('n1')] }, 'other nodes'),
      anAd({ preferredNodeSelectors: [prefers(90)], ipAddressPools: ['other'] }, 'other pool'),
    ];
    expect(Object.fromEntries(groupOf({ advertisements }).group.eligible)).toEqual({ n1: 0, n2: 35, n3: 0 });
  });

  it('B90 interfaces: the union of those listed; all when one lists none; a node without them is no candidate', () => {
    const a = anAd({ interfaces: ['eth1'] }, 'a');
    const b = anAd({ interfaces: ['eth2'], nodeSelectors: [on('n1')] }, 'b');
    const has = (node: string): Facts => (node === 'n3' ? facts('eth0') : facts('eth0', 'eth1', 'eth2'));
    const view = groupOf({ advertisements: [a, b], facts: has });
    expect(view.interfacesOn('n1')).toEqual(['eth1', 'eth2']);
    expect(view.interfacesOn('n2')).toEqual(['eth1']);
    expect(view.verdicts.get('n3')).toMatchObject({
      refusal: 'noInterface',
      message: expect.stringContaining('eth1'),
    });
    expect(groupOf({ advertisements: [a, anAd({}, 'c')], facts: has }).interfacesOn('n1')).toBeUndefined();
  });

  it('an IPv6 address needs an interface that does NDP', () => {
    const services = [aServiceAt('web', [ADDRESS, '2001:db8::5'])];
    const only: Facts = { interfaces: [{ name: 'eth0', arp: true, ndp: false }], macs: [] };
    expect(refusals({ services, facts: (node) => (node === 'n2' ? only : facts('eth0')) })).toEqual({
      n2: 'noInterface',
    });
  });
});

describe('nodes', () => {
  const label = 'node.kubernetes.io/exclude-from-external-load-balancers';
  it.each([
    ['excludedByLabel', { labels: { [label]: '' } }],
    ['networkUnavailable', { networkUnavailable: true }],
    ['notReady', { ready: 'False' }],
    ['deleting', { deleting: true }],
  ] as const)('one that is %s is no candidate', (refusal, more) => {
    const nodes = [nodeNamed('n1', more), nodeNamed('n2')];
    expect(eligible({ nodes })).toEqual(['n2']);
    expect(refusals({ nodes })).toEqual({ n1: refusal });
  });

  it('B43 one with the exclude label does not announce, unless it says false or is to be ignored, and does again without it', () => {
    const labelled = (value: string): readonly Node[] => [nodeNamed('n1', { labels: { [label]: value } })];
    for (const value of ['', 'true', 'x']) {
      expect(eligible({ nodes: labelled(value) })).toEqual([]);
      expect(refusals({ nodes: labelled(value) })).toEqual({ n1: 'excludedByLabel' });
      expect(eligible({ nodes: labelled(value), ignoreExcludeLabel: true })).toEqual(['n1']);
    }
    expect(eligible({ nodes: labelled('false') })).toEqual(['n1']);
    expect(eligible({ nodes: [nodeNamed('n1')] })).toEqual(['n1']);
  });

  it('B44 one whose network is unavailable does not announce, and does again when that is over', () => {
    const nodes = [nodeNamed('n1', { networkUnavailable: true })];
    expect([eligible({ nodes }), refusals({ nodes })]).toEqual([[], { n1: 'networkUnavailable' }]);
    expect(eligible({ nodes: [nodeNamed('n1')] })).toEqual(['n1']);
  });

  it('one of which nothing is heard stays a candidate, after all the others: it may be the API server that is cut off', () => {
    const { eligible: weights } = groupOf({
      nodes: [nodeNamed('n1', { ready: 'Unknown' }), nodeNamed('n2')],
    }).group;
    expect(weights.get('n1')).toBeLessThan(weights.get('n2')!);
  });

  it('that are not Ready come in when no Ready one is left', () => {
    expect(eligible({ nodes: [nodeNamed('n1', { ready: 'False' })] })).toEqual(['n1']);
  });
});

describe('what is written down', () => {
  const status = (more: Partial<L2Status>): L2Status => ({
    name: 'l2-x',
    namespace: 'berth-system',
    node: 'n2',
    service: 'default/web',
    interfaces: [],
    ...more,
  });

  it('gives the former holder, the epoch, and which addresses need no probe', () => {
    const statuses = [
      status({ node: 'n1', claim: { addresses: [], epoch: 2, since: '' } }),
      status({ node: 'n3', claim: { addresses: [ADDRESS], epoch: 5, since: '' } }),
    ];
    expect(groupOf({ statuses }).group).toMatchObject({ former: 'n3', epoch: 5, known: new Set([ADDRESS]) });
    expect(groupOf().group).toMatchObject({ epoch: 0, known: new Set() });
  });

  it('are not needed where nobody is to probe', () => {
    expect(groupOf({ conflictProbe: false }).group.known).toEqual(new Set([ADDRESS]));
  });

  it('by another speaker counts for all addresses of its Service', () => {
    expect(groupOf({ statuses: [status({})] }).group.known).toEqual(new Set([ADDRESS]));
  });

  it('about a conflict makes nothing known', () => {
    const { group } = groupOf({ statuses: [status({ conflict: '{}' })] });
    expect(group.known).toEqual(new Set());
    expect(group.former).toBeUndefined();
  });
});

describe('a view with the memory of the one before', () => {
  /** Everything that a view says. */
  const told = (view: ReadonlyMap<string, GroupView>): unknown =>
    [...view].map(([key, { group, services, verdicts, interfacesOn }]) => [
      key,
      group,
      services,
      [...verdicts],
      [...verdicts.keys()].map(interfacesOn),
    ]);

  it('has the same groups but those that something changed for', () => {
    const names = ['a', 'b', 'c'];
    const services = names.map((name, at) => aServiceAt(name, [`192.0.2.${at + 1}`]));
    const at = new Map(names.map((name) => [`default/${name}`, [anEndpoint('n1')]]));
    const nodes = [nodeNamed('n1'), nodeNamed('n2')];
    const known = facts('eth0');
    const all = sources({ services, nodes, endpoints: (key) => at.get(key) ?? [], facts: () => known });
    const memory = new ViewMemory();
    let last = [...viewOf(all, memory).values()];
    /** Which groups are not the objects of the view before. */
    const remade = (more: Partial<ViewSources> = {}): readonly boolean[] => {
      const before = last;
      last = [...viewOf({ ...all, ...more }, memory).values()];
      return last.map((view, index) => view !== before[index]);
    };
    expect(remade()).toEqual([false, false, false]);
    at.set('default/b', [anEndpoint('n2')]);
    expect(remade()).toEqual([false, true, false]);
    const statuses: readonly L2Status[] = [
      { name: 'l2', namespace: 'x', node: 'n1', service: 'default/c', interfaces: [] },
    ];
    expect(remade({ statuses })).toEqual([false, false, true]);
    for (const more of [
      { nodes: [nodes[0]!] },
      { pools: [aPool()] },
      { advertisements: [anAd()] },
      { facts: () => facts('eth1') },
      { classes: ['other'] },
      { ignoreExcludeLabel: true },
      { failback: true },
      { conflictProbe: false },
    ] satisfies readonly Partial<ViewSources>[]) {
      expect(remade({ statuses })).toEqual([false, false, false]);
      expect([more, remade({ statuses, ...more })]).toEqual([more, [true, true, true]]);
      remade({ statuses });
    }
  });

  it('says what one without says, whatever changes', () => {
    const services = fc.array(
      fc.record({
        name: fc.constantFrom('a', 'b', 'c'),
        addresses: fc.subarray(['192.0.2.1', '192.0.2.2', '2001:db8::5'], { maxLength: 2 }),
        local: fc.boolean(),
      }),
      { maxLength: 3 },
    );
    const scene = fc.record({
      services,
      nodes: fc.subarray(['n1', 'n2', 'n3'], { minLength: 1 }),
      endpoints: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('n1', 'n2', 'n3')),
      written: fc.subarray(['a', 'b', 'c']),
      interface: fc.constantFrom('eth0', 'eth1'),
      ads: fc.constantFrom({}, { interfaces: ['eth0'] }, { nodeSelectors: [on('n1')] }),
    });
    /** Objects that say the same are the same, as in a watch. */
    const objects = new Map<string, unknown>();
    const once = <T>(kind: string, what: unknown, make: () => T): T => {
      const key = `${kind} ${JSON.stringify(what)}`;
      if (!objects.has(key)) objects.set(key, make());
      return objects.get(key) as T;
    };
    const sourcesOf = (drawn: typeof scene extends fc.Arbitrary<infer S> ? S : never): ViewSources => {
      const unique = new Map(drawn.services.map((service) => [service.name, service]));
      return sources({
        services: [...unique.values()].map((one) =>
          once('service', one, () =>
            aServiceAt(one.name, one.addresses, {
              externalTrafficPolicy: one.local ? 'Local' : 'Cluster',
            }),
          ),
        ),
        nodes: drawn.nodes.map((name) => once('node', name, () => nodeNamed(name))),
        endpoints: (key) => {
          const node = drawn.endpoints[key.replace('default/', '')];
          return node === undefined ? [] : [once('endpoint', node, () => anEndpoint(node))];
        },
        pools: once('pools', '', () => [aPool()]),
        advertisements: once('ads', drawn.ads, () => [anAd(drawn.ads)]),
        statuses: drawn.written.map((name) =>
          once('status', name, () => ({
            name,
            namespace: 'x',
            node: 'n2',
            service: `default/${name}` as const,
            interfaces: [],
          })),
        ),
        facts: () => once('facts', drawn.interface, () => facts(drawn.interface)),
      });
    };
    fc.assert(
      fc.property(fc.array(scene, { minLength: 2, maxLength: 6 }), (scenes) => {
        const memory = new ViewMemory();
        for (const drawn of scenes) {
          const now = sourcesOf(drawn);
          expect(told(viewOf(now, memory))).toEqual(told(viewOf(now)));
        }
      }),
      { numRuns: 300 },
    );
  });
});
