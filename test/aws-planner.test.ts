import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { plan } from '../providers/aws/plan.ts';
import type { AwsLoadBalancer } from '../providers/aws/state.ts';
import type { LoadBalancer } from '../src/model/load-balancer.ts';
import type { AwsSettings } from '../providers/aws/settings.ts';
import { isBerthError } from '../src/model/errors.ts';
import { compareSteps } from '../src/plan/step.ts';
import type { Service, ServicePort } from '../src/model/service.ts';
import { aPort, cidr } from './builders.ts';
import { albl, carriedOut, contextWith, NODES, wants, worldWith } from './fixtures/aws-model.ts';

type Desired = LoadBalancer<AwsSettings>;
const context = contextWith();
const KEY = 'default/web';

/** Plans and carries out until nothing differs; fails when that takes more than three rounds. */
function converged(wanted: Desired, from?: AwsLoadBalancer): AwsLoadBalancer | undefined {
  let have = from;
  for (let round = 0; round < 4; round++) {
    const steps = plan({ scope: 'loadBalancer', key: KEY, desired: wanted }, worldWith(have), context);
    if (steps.length === 0) return have;
    have = carriedOut(steps, have);
  }
  throw new Error('it does not converge');
}

const port: fc.Arbitrary<ServicePort> = fc
  .record({
    port: fc.integer({ min: 1, max: 12 }),
    protocol: fc.constantFrom('TCP' as const, 'UDP' as const),
    shift: fc.integer({ min: 0, max: 2 }),
  })
  // One number has one node port, as the API server allocates them; the shift makes it change from one Service to the next.
  .map(({ port, protocol, shift }) =>
    aPort({
      name: `${protocol.toLowerCase()}-${port}`,
      port,
      protocol,
      nodePort: 30_000 + port * 10 + shift,
      targetPort: 8000 + port,
    }),
  );

const annotations = fc.record(
  {
    scheme: fc.constantFrom('internal', 'internet-facing'),
    attributes: fc.constantFrom('load_balancing.cross_zone.enabled=true', 'deletion_protection.enabled=true'),
    'target-group-attributes': fc.constantFrom(
      'deregistration_delay.timeout_seconds=30',
      'stickiness.enabled=true',
    ),
    'additional-resource-tags': fc.constantFrom('team=a', 'team=b,stage=test'),
    'healthcheck-interval': fc.constantFrom('15', '30'),
    'proxy-protocol': fc.constant('*'),
    'security-groups': fc.constantFrom('sg-1', 'sg-1,sg-2'),
    'ssl-cert': fc.constantFrom(
      'arn:aws:acm:eu-west-1:1:certificate/a',
      'arn:aws:acm:eu-west-1:1:certificate/a,arn:aws:acm:eu-west-1:1:certificate/b',
    ),
    'ip-address-type': fc.constantFrom('ipv4', 'dualstack'),
  },
  { requiredKeys: [] },
);

const service: fc.Arbitrary<Partial<Service>> = fc
  .record({
    ports: fc.uniqueArray(port, {
      minLength: 1,
      maxLength: 5,
      selector: (one) => `${one.port}/${one.protocol}`,
    }),
    annotations,
    ranges: fc.subarray(['10.0.0.0/8', '192.0.2.0/24', '198.51.100.0/24']),
    local: fc.boolean(),
  })
  .map(({ ports, annotations: values, ranges, local }) => ({
    ports: sameNodePorts(ports),
    ...albl(values),
    loadBalancerSourceRanges: ranges,
    externalTrafficPolicy: local ? ('Local' as const) : ('Cluster' as const),
    healthCheckNodePort: local ? 32_000 : 0,
  }));

/** TCP and UDP of one number have one node port. */
function sameNodePorts(ports: readonly ServicePort[]): readonly ServicePort[] {
  return ports.map((one) => ({ ...one, nodePort: ports.find((other) => other.port === one.port)!.nodePort }));
}

const targets = fc.subarray([...NODES]);

/** A Service that can be served. */
const wanted: fc.Arbitrary<Desired> = fc
  .tuple(service, targets)
  .map(([asked, nodes]): Desired | undefined => {
    try {
      return wants(asked, { targets: nodes }).loadBalancer;
    } catch (error) {
      if (isBerthError(error)) return undefined;
      throw error;
    }
  })
  .filter((one): one is Desired => one !== undefined);

describe('the planner of the aws provider', () => {
  it('reaches what is wanted from nothing and from any other state, and then has nothing to do', () => {
    fc.assert(
      fc.property(wanted, wanted, (first, second) => {
        const have = converged(first);
        expect(have?.balancer).toBeDefined();
        const next = converged(second, have);
        expect(plan({ scope: 'loadBalancer', key: KEY, desired: second }, worldWith(next), context)).toEqual(
          [],
        );
      }),
      { numRuns: 150 },
    );
  });

  it('is pure, in the total order, and indifferent to the order of its input', () => {
    fc.assert(
      fc.property(wanted, wanted, (first, second) => {
        const observed = worldWith(converged(first));
        const request = { scope: 'loadBalancer', key: KEY, desired: second } as const;
        const turned = { ...second, ports: second.ports.toReversed(), targets: second.targets.toReversed() };
        const steps = plan(request, observed, context);
        expect(plan({ ...request, desired: turned }, observed, context)).toEqual(steps);
        expect(steps).toEqual(steps.toSorted(compareSteps));
        expect(JSON.parse(JSON.stringify(steps))).toEqual(steps);
        expect(new Set(steps.map(({ resource, key }) => `${resource} ${key}`)).size).toBe(steps.length);
      }),
      { numRuns: 100 },
    );
  });

  it('removes everything from any state, with nothing but what is observed', () => {
    fc.assert(
      fc.property(wanted, wanted, fc.nat(20), (first, second, cut) => {
        const complete = converged(first);
        const half = plan({ scope: 'loadBalancer', key: KEY, desired: second }, worldWith(complete), context);
        // Interrupted anywhere on the way to something else.
        const have = carriedOut(half.slice(0, cut), complete);
        const steps = plan({ scope: 'loadBalancer', key: KEY, desired: undefined }, worldWith(have), context);
        expect(carriedOut(steps, have)).toBeUndefined();
      }),
      { numRuns: 100 },
    );
  });

  it('goes on from any interruption to the same end', () => {
    fc.assert(
      fc.property(wanted, wanted, fc.nat(20), (first, second, cut) => {
        const complete = converged(first);
        const half = plan({ scope: 'loadBalancer', key: KEY, desired: second }, worldWith(complete), context);
        const end = converged(second, carriedOut(half.slice(0, cut), complete));
        expect(Object.keys(end?.listeners ?? {}).toSorted()).toEqual(
          [...new Set(second.ports.map((one) => String(one.port)))].toSorted(),
        );
      }),
      { numRuns: 100 },
    );
  });

  const base = (): Partial<Service> => ({ ports: [aPort({ port: 80, nodePort: 30_080 })] });

  it('moves a listener and its rule when a port of the Service changes, and nothing else', () => {
    const have = converged(wants(base()).loadBalancer);
    const moved = wants({ ports: [aPort({ port: 8080, nodePort: 30_080 })] }).loadBalancer;
    const steps = plan({ scope: 'loadBalancer', key: KEY, desired: moved }, worldWith(have), context);
    expect(steps.map(({ verb, resource, key }) => `${verb} ${resource} ${key}`)).toEqual([
      'update rules frontend',
      'create listener 8080',
      'delete listener 80',
    ]);
  });

  it('changes the targets of each group in one step when a node comes', () => {
    const ports = [
      aPort({ port: 80, nodePort: 30_080 }),
      aPort({ port: 443, nodePort: 30_443, name: 'tls' }),
    ];
    const have = converged(wants({ ports }, { targets: NODES.slice(1) }).loadBalancer);
    const steps = plan(
      { scope: 'loadBalancer', key: KEY, desired: wants({ ports }).loadBalancer },
      worldWith(have),
      context,
    );
    expect(steps.map(({ resource }) => resource)).toEqual(['targets', 'targets']);
    expect(steps[0]?.after).toEqual({ register: [{ id: 'i-01', port: 30_080 }], deregister: [] });
  });

  it('trusts what was not read, and repairs what was', () => {
    const wish = wants({
      ...base(),
      ...albl({ attributes: 'load_balancing.cross_zone.enabled=true' }),
    }).loadBalancer;
    const have = converged(wish)!;
    const { attributes: _unread, ...balancer } = have.balancer!;
    const request = { scope: 'loadBalancer', key: KEY, desired: wish } as const;
    expect(plan(request, worldWith({ ...have, balancer }), context)).toEqual([]);
    const changed = {
      ...have,
      balancer: { ...balancer, attributes: { 'load_balancing.cross_zone.enabled': 'false' } },
    };
    expect(plan(request, worldWith(changed), context).map(({ resource }) => resource)).toEqual([
      'loadBalancerAttributes',
    ]);
  });

  it('never registers an instance that is known to be gone', () => {
    const wish = wants(base()).loadBalancer;
    const gone = { usable: false, vpc: '', group: '' };
    const observed = {
      ...worldWith(undefined),
      environment: { instances: { 'i-02': gone }, groupNames: {}, subnetNames: {} },
    };
    const step = plan({ scope: 'loadBalancer', key: KEY, desired: wish }, observed, context).find(
      ({ resource }) => resource === 'targets',
    );
    expect(JSON.stringify(step?.after)).not.toContain('i-02');
    expect(JSON.stringify(step?.after)).toContain('i-01');
  });

  it('opens the same ports for everybody or for the ranges that are asked for', () => {
    const open = converged(wants(base()).loadBalancer);
    expect(open?.group?.rules).toEqual([{ protocol: 'tcp', from: 80, to: 80, source: '0.0.0.0/0' }]);
    const limited = wants({ ...base(), loadBalancerSourceRanges: ['192.0.2.0/24'] }).loadBalancer;
    const steps = plan({ scope: 'loadBalancer', key: KEY, desired: limited }, worldWith(open), context);
    expect(steps).toHaveLength(1);
    expect(steps[0]?.after).toEqual({
      authorize: [{ protocol: 'tcp', from: 80, to: 80, source: cidr('192.0.2.0/24') }],
      revoke: [{ protocol: 'tcp', from: 80, to: 80, source: '0.0.0.0/0' }],
    });
  });
});
