import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ordered, type Cidr, type IpAddress, type LoadBalancer, type Step } from '@berth/core';
import { plan, type LocalObserved } from './plan.ts';
import { settings, type LocalSettings } from './settings.ts';
import type { Frontend, ListenerState, ListenerWish, LocalLoadBalancer, TargetAddress } from './state.ts';

const KEY = 'default/web';

const defaults = Object.fromEntries(
  Object.entries(settings).map(([name, definition]) => [name, definition.default]),
) as unknown as LocalSettings;

function aBalancer(overrides: Partial<LoadBalancer<LocalSettings>> = {}): LoadBalancer<LocalSettings> {
  return {
    key: KEY,
    namespace: 'default',
    name: 'web',
    uid: 'uid-1',
    loadBalancerClass: 'berth.dev/local',
    families: ['IPv4'],
    addresses: ['127.77.0.1' as IpAddress],
    ports: [aPort(80)],
    sourceRanges: [],
    externalTrafficPolicy: 'Cluster',
    healthCheck: { kind: 'default' },
    clientIPAffinitySeconds: 0,
    targets: [aNode('a')],
    endpoints: [],
    settings: defaults,
    ...overrides,
  };
}

function aPort(port: number, protocol: 'TCP' | 'UDP' = 'TCP', nodePort = 30_000 + port) {
  return { protocol, port, nodePort, targetPort: 8080 };
}

function aNode(name: string, ...addresses: string[]) {
  const all = addresses.length > 0 ? addresses : [`10.0.0.${name.charCodeAt(0)}`];
  return { node: name, providerID: `test:///${name}`, addresses: all as IpAddress[] };
}

function observed(have: LocalLoadBalancer | undefined): LocalObserved {
  return {
    environment: undefined,
    shared: undefined,
    loadBalancers: new Map(have === undefined ? [] : [[KEY, have]]),
  };
}

function planned(
  desired: LoadBalancer<LocalSettings> | undefined,
  have?: LocalLoadBalancer,
): readonly Step[] {
  return plan({ scope: 'loadBalancer', key: KEY, desired }, observed(have));
}

/** What carrying out a step leaves, if every port can be opened. */
function after(have: LocalLoadBalancer | undefined, step: Step): LocalLoadBalancer | undefined {
  if (step.resource === 'balancer') {
    if (step.verb === 'delete') return undefined;
    const { uid, ...frontend } = step.after as Frontend & { readonly uid: string };
    return { ...(have ?? { targets: [], listeners: {} }), uid, frontend };
  }
  if (have === undefined) throw new Error(`${step.verb} ${step.resource} before its balancer`);
  if (step.resource === 'targets') return { ...have, targets: step.after as readonly TargetAddress[] };
  const { [step.key]: _gone, ...others } = have.listeners;
  if (step.verb === 'delete') return { ...have, listeners: others };
  return { ...have, listeners: { ...others, [step.key]: step.after as ListenerWish } };
}

function carriedOut(steps: readonly Step[], have?: LocalLoadBalancer): LocalLoadBalancer | undefined {
  return steps.reduce(after, have);
}

const summary = (steps: readonly Step[]): string[] =>
  steps.map(({ verb, resource, key }) => `${verb} ${resource} ${key}`);

const ports = fc.uniqueArray(
  fc.record({
    port: fc.integer({ min: 1, max: 6 }),
    udp: fc.boolean(),
    nodePort: fc.integer({ min: 1, max: 3 }),
  }),
  { selector: ({ port, udp }) => `${port}${udp}`, minLength: 1, maxLength: 6 },
);

const desiredArbitrary = fc
  .record({
    ports,
    nodes: fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd')),
    addresses: fc.constantFrom(['127.77.0.1'], ['127.77.0.2'], ['127.77.0.1', '::1']),
    sourceRanges: fc.subarray(['10.0.0.0/8', '192.168.0.0/16']),
    clientIPAffinitySeconds: fc.constantFrom(0, 10),
    drainSeconds: fc.constantFrom(0, 30),
    local: fc.boolean(),
  })
  .map((one) =>
    aBalancer({
      ports: one.ports.map(({ port, udp, nodePort }) => aPort(port, udp ? 'UDP' : 'TCP', nodePort)),
      targets: one.nodes.map((name) => aNode(name)),
      addresses: one.addresses.map((address) => address as IpAddress),
      sourceRanges: one.sourceRanges as Cidr[],
      clientIPAffinitySeconds: one.clientIPAffinitySeconds,
      settings: { ...defaults, drainSeconds: one.drainSeconds },
      healthCheck: one.local ? { kind: 'http', port: 30_099, path: '/healthz' } : { kind: 'default' },
    }),
  );

/** Any state that a process may be in: what a plan led to, cut off anywhere, with ports that could not be opened. */
const stateArbitrary = fc
  .record({
    desired: desiredArbitrary,
    cut: fc.nat(20),
    failed: fc.nat(3),
    uid: fc.constantFrom('uid-1', 'uid-0'),
  })
  .map(({ desired, cut, failed, uid }) => {
    const made = carriedOut(planned({ ...desired, uid }).slice(0, cut));
    if (made === undefined) return undefined;
    const failure = { code: 'PortInUse', message: 'taken', remedy: 'wait' } as const;
    const listeners = Object.entries(made.listeners).map(([name, wish], index): [string, ListenerState] => [
      name,
      index < failed ? { ...wish, failure } : wish,
    ]);
    return { ...made, listeners: Object.fromEntries(listeners) };
  });

describe('the planner of local', () => {
  it('leads from any state to what is wanted, after which nothing differs', () => {
    fc.assert(
      fc.property(stateArbitrary, desiredArbitrary, (have, desired) => {
        // Another Service's load balancer goes first; then the second plan makes the new one.
        const first = carriedOut(planned(desired, have), have);
        const then = first?.uid === desired.uid ? first : carriedOut(planned(desired, first), first);
        expect(planned(desired, then)).toEqual([]);
        expect(Object.keys(then?.listeners ?? {}).length).toBe(desired.ports.length);
      }),
    );
  });

  it('leads from any state to nothing', () => {
    fc.assert(
      fc.property(stateArbitrary, (have) => {
        expect(carriedOut(planned(undefined, have), have)).toBeUndefined();
        expect(planned(undefined, have).length > 0).toBe(have !== undefined);
      }),
    );
  });

  it('does not depend on the order of ports, nodes and source ranges', () => {
    const shuffled = desiredArbitrary.chain((desired) =>
      fc
        .tuple(
          fc.shuffledSubarray([...desired.ports], { minLength: desired.ports.length }),
          fc.shuffledSubarray([...desired.targets], { minLength: desired.targets.length }),
          fc.shuffledSubarray([...desired.sourceRanges], { minLength: desired.sourceRanges.length }),
        )
        .map(
          ([ports, targets, sourceRanges]) =>
            [desired, { ...desired, ports, targets, sourceRanges }] as const,
        ),
    );
    fc.assert(
      fc.property(stateArbitrary, shuffled, (have, [one, other]) => {
        expect(planned(other, have)).toEqual(planned(one, have));
      }),
    );
  });

  it('gives each step once, in the total order, as plain data with a reason', () => {
    fc.assert(
      fc.property(stateArbitrary, fc.option(desiredArbitrary, { nil: undefined }), (have, desired) => {
        const steps = planned(desired, have);
        expect(steps).toEqual(ordered(steps));
        expect(new Set(summary(steps).map((text) => text.replace(/^\w+ /, ''))).size).toBe(steps.length);
        expect(JSON.parse(JSON.stringify(steps))).toEqual(steps);
        for (const { because } of steps) expect(because).not.toBe('');
      }),
    );
  });

  it('makes the balancer first, then its targets, then opens the ports', () => {
    expect(planned(aBalancer({ ports: [aPort(80), aPort(53, 'UDP')] }))).toMatchObject([
      { stage: 0, verb: 'create', resource: 'balancer' },
      { stage: 1, verb: 'update', resource: 'targets', because: 'the nodes to forward to changed: +a' },
      { stage: 2, verb: 'create', resource: 'listener', key: '53/UDP' },
      { stage: 2, verb: 'create', resource: 'listener', key: '80/TCP' },
    ]);
  });

  it.each<[string, Partial<LoadBalancer<LocalSettings>>, readonly string[]]>([
    ['another node', { targets: [aNode('a'), aNode('b')] }, ['update targets nodes']],
    ['another node port', { ports: [aPort(80, 'TCP', 1)] }, ['update listener 80/TCP']],
    ['another address', { addresses: ['127.77.0.9' as IpAddress] }, ['replace listener 80/TCP']],
    ['another port', { ports: [aPort(81)] }, ['delete listener 80/TCP', 'create listener 81/TCP']],
    ['source ranges', { sourceRanges: ['10.0.0.0/8' as Cidr] }, ['update balancer web']],
    ['session affinity', { clientIPAffinitySeconds: 9 }, ['update balancer web']],
    ['a setting', { settings: { ...defaults, drainSeconds: 1 } }, ['update balancer web']],
    ['nothing', {}, []],
  ])('answers %s with just that step', (_what, change, expected) => {
    const have = carriedOut(planned(aBalancer()));
    expect(summary(planned(aBalancer(change), have))).toEqual(expected);
  });

  it('names in its reason what of the Service changed', () => {
    const have = carriedOut(planned(aBalancer()));
    const changed = aBalancer({ clientIPAffinitySeconds: 9, settings: { ...defaults, drainSeconds: 1 } });
    expect(planned(changed, have).map(({ because }) => because)).toEqual([
      'clientIPAffinitySeconds, drainSeconds of the Service changed',
    ]);
  });

  it('forwards to the address of the Service’s first family, and leaves out a node that has none', () => {
    const dual = aBalancer({
      families: ['IPv6', 'IPv4'],
      targets: [aNode('both', '10.0.0.1', 'fd00::1'), aNode('four', '10.0.0.2')],
    });
    expect(carriedOut(planned(dual))?.targets.map(({ address }) => address)).toEqual(['fd00::1', '10.0.0.2']);
    expect(carriedOut(planned({ ...dual, families: ['IPv6'] }))?.targets).toEqual([
      { node: 'both', address: 'fd00::1' },
    ]);
  });

  it('has no shared resources', () => {
    expect(plan({ scope: 'shared', desired: undefined }, observed(undefined))).toEqual([]);
  });
});
