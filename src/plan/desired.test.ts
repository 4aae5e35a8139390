import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aPort, aService, aTarget, ip, portsText } from '../../test/builders.ts';
import { DEFAULT_CAPABILITIES, type Capabilities } from '../model/capabilities.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { isBerthError } from '../model/errors.ts';
import type { HealthCheck } from '../model/load-balancer.ts';
import type { Service } from '../model/service.ts';
import {
  desired,
  healthCheckOf,
  portsWithoutNodePort,
  sourceRangesOf,
  type Desired,
  type ProviderTraits,
} from './desired.ts';

const able: Capabilities = {
  loadBalancerIP: 'honoured',
  protocols: ['TCP', 'UDP'],
  mixedProtocols: true,
  sourceRanges: true,
  targets: 'nodePort',
  families: ['IPv4', 'IPv6'],
  sessionAffinity: true,
  sharing: false,
  healthCheck: true,
};
const RANGES = 'service.beta.kubernetes.io/load-balancer-source-ranges';

function traitsWith(capabilities: Partial<Capabilities>): ProviderTraits {
  return { name: 'test', capabilities: { ...able, ...capabilities }, settings: {} };
}

function want(service: Partial<Service>, capabilities: Partial<Capabilities> = {}): Desired {
  return desired(aService(service), {
    traits: traitsWith(capabilities),
    targets: [aTarget()],
    assigned: undefined,
  });
}

/** The code of what is thrown, and its message; fails when nothing is. */
function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (isBerthError(error)) return `${error.kind} ${error.code}: ${error.message}`;
    throw error;
  }
  return 'nothing was refused';
}

describe('desired', () => {
  it('turns a plain Service into a plain load balancer', () => {
    expect(want({ loadBalancerClass: 'berth.dev/test' })).toEqual({
      loadBalancer: {
        key: 'default/web',
        namespace: 'default',
        name: 'web',
        uid: 'uid-of-web',
        loadBalancerClass: 'berth.dev/test',
        families: ['IPv4'],
        addresses: [],
        ports: [{ protocol: 'TCP', port: 80, nodePort: 30_080, targetPort: 8080 }],
        sourceRanges: [],
        externalTrafficPolicy: 'Cluster',
        healthCheck: { kind: 'default' },
        clientIPAffinitySeconds: 0,
        targets: [aTarget()],
        endpoints: [],
        settings: {},
      },
      portErrors: [],
      notes: [],
    });
  });

  it('is the same whatever the order of ports and source ranges', () => {
    const ports = [80, 443, 8080, 53].flatMap((port) => [aPort({ port }), aPort({ port, protocol: 'UDP' })]);
    const ranges = ['10.0.0.0/8', '192.0.2.0/24', '2001:db8::/32'];
    const shuffled = fc.tuple(
      fc.shuffledSubarray(ports, { minLength: ports.length }),
      fc.shuffledSubarray(ranges, { minLength: ranges.length }),
    );
    const expected = want({ ports, loadBalancerSourceRanges: ranges });
    expect(portsText(expected.loadBalancer)).toBe(
      '53/TCP 53/UDP 80/TCP 80/UDP 443/TCP 443/UDP 8080/TCP 8080/UDP',
    );
    fc.assert(
      fc.property(shuffled, ([some, others]) => {
        expect(want({ ports: some, loadBalancerSourceRanges: others })).toEqual(expected);
      }),
    );
  });

  it('takes assigned addresses, and the requested ones only where the provider has no pools', () => {
    const service = aService({ loadBalancerIP: '192.0.2.7' });
    const context = { traits: traitsWith({}), targets: [] };
    const addresses = (assigned: readonly string[] | undefined): readonly string[] =>
      desired(service, { ...context, assigned: assigned?.map(ip) }).loadBalancer.addresses;
    expect(addresses(undefined)).toEqual(['192.0.2.7']);
    expect(addresses(['192.0.2.9'])).toEqual(['192.0.2.9']);
    expect(addresses([])).toEqual([]);
  });

  it('hands over nodes, pods or neither, as the provider says', () => {
    const pod = (address: string): Endpoint => ({
      address: ip(address),
      node: 'n',
      ready: true,
      serving: true,
      terminating: false,
      ports: [],
    });
    const context = {
      targets: [aTarget()],
      endpoints: [pod('10.0.0.2'), pod('10.0.0.1')],
      assigned: undefined,
    };
    const handed = (targets: Capabilities['targets']): readonly number[] => {
      const { loadBalancer } = desired(aService(), { ...context, traits: traitsWith({ targets }) });
      return [loadBalancer.targets.length, loadBalancer.endpoints.length];
    };
    expect([handed('nodePort'), handed('podIP'), handed('none')]).toEqual([
      [1, 0],
      [0, 2],
      [0, 0],
    ]);
    const { endpoints } = desired(aService(), {
      ...context,
      traits: traitsWith({ targets: 'podIP' }),
    }).loadBalancer;
    expect(endpoints.map(({ address }) => address)).toEqual(['10.0.0.1', '10.0.0.2']);
  });

  it('B40 warns when there is no node to forward to, and only where that matters', () => {
    const notes = (targets: Capabilities['targets']): readonly string[] =>
      desired(aService(), { traits: traitsWith({ targets }), targets: [], assigned: undefined }).notes.map(
        ({ code }) => code,
      );
    expect(notes('nodePort')).toEqual(['UnAvailableLoadBalancer']);
    expect(notes('none')).toEqual([]);
  });

  it('keeps ClientIP affinity with its time-out, or drops it with a note', () => {
    const sticky: Partial<Service> = { sessionAffinity: 'ClientIP', sessionAffinityTimeoutSeconds: 600 };
    expect(want(sticky).loadBalancer.clientIPAffinitySeconds).toBe(600);
    expect(want({ sessionAffinityTimeoutSeconds: 600 }).loadBalancer.clientIPAffinitySeconds).toBe(0);
    const { loadBalancer, notes } = want(sticky, { sessionAffinity: false });
    expect(loadBalancer.clientIPAffinitySeconds).toBe(0);
    expect(notes.map(({ code }) => code)).toEqual(['SessionAffinityIgnored']);
  });
});

describe('ports', () => {
  it('none at all are refused', () => {
    expect(refusal(() => want({ ports: [] }))).toBe(
      'InvalidSpec NoPorts: spec.ports is empty. Add at least one entry to spec.ports.',
    );
  });

  it('of a protocol that is not served are left out with a per-port error and a note', () => {
    const { loadBalancer, portErrors, notes } = want({
      ports: [aPort(), aPort({ port: 9, protocol: 'SCTP' })],
    });
    expect(portsText(loadBalancer)).toBe('80/TCP');
    expect(portErrors).toEqual([{ port: 9, protocol: 'SCTP', error: 'ProtocolUnsupported' }]);
    expect(notes).toMatchObject([{ code: 'ProtocolUnsupported', subject: 'spec.ports 9/SCTP' }]);
  });

  it('none of which can be served are refused, naming them and what is served', () => {
    expect(refusal(() => want({ ports: [aPort({ protocol: 'SCTP' })] }))).toMatch(
      /^Unsupported ProtocolUnsupported: spec.ports has 80\/SCTP, the provider serves TCP and UDP\. /,
    );
  });

  it('B112 of one number with TCP and UDP are served together where the provider can', () => {
    const ports = [aPort({ port: 53, protocol: 'UDP' }), aPort({ port: 53 })];
    expect(portsText(want({ ports }).loadBalancer)).toBe('53/TCP 53/UDP');
  });

  it('of a second protocol are left out where it cannot: the first port that is served decides', () => {
    const ports = [aPort({ port: 9, protocol: 'SCTP' }), aPort({ port: 53, protocol: 'UDP' }), aPort()];
    const { loadBalancer, portErrors } = want({ ports }, { mixedProtocols: false });
    expect(portsText(loadBalancer)).toBe('53/UDP');
    expect(portErrors.map(({ port, error }) => `${port} ${error}`)).toEqual([
      '9 ProtocolUnsupported',
      '80 MixedProtocolNotSupported',
    ]);
  });

  it('B111 without a node port are refused, naming them, where traffic goes to node ports', () => {
    const ports = [aPort({ nodePort: 0 }), aPort({ port: 443 })];
    expect(refusal(() => want({ ports }))).toMatch(
      /^InvalidSpec NodePortMissing: spec.ports has no node port for 80\/TCP\. Set /,
    );
    expect(portsText(want({ ports }, { targets: 'podIP' }).loadBalancer)).toBe('80/TCP 443/TCP');
    expect(portsWithoutNodePort(aService({ ports }), traitsWith({}))).toEqual(['80/TCP']);
    expect(portsWithoutNodePort(aService({ ports }), traitsWith({ targets: 'none' }))).toEqual([]);
  });

  it('that are left out need no node port', () => {
    const ports = [aPort(), aPort({ port: 9, protocol: 'SCTP', nodePort: 0 })];
    expect(portsText(want({ ports }).loadBalancer)).toBe('80/TCP');
  });
});

describe('sourceRangesOf', () => {
  const ranges = (service: Partial<Service>, capabilities: Partial<Capabilities> = {}): readonly string[] =>
    sourceRangesOf(aService(service), { ...able, ...capabilities });

  it.each<[string, Partial<Service>, readonly string[]]>([
    ['no ranges mean everybody', {}, []],
    [
      'spaces around entries do not count',
      { loadBalancerSourceRanges: [' 192.0.2.0/24 '] },
      ['192.0.2.0/24'],
    ],
    [
      'nor do they in the annotation',
      { annotations: { [RANGES]: ' 10.0.0.0/8 , 192.0.2.0/24,' } },
      ['10.0.0.0/8', '192.0.2.0/24'],
    ],
    ['an empty annotation means everybody', { annotations: { [RANGES]: ' ' } }, []],
    [
      'entries are sorted, in canonical form, and each once',
      { loadBalancerSourceRanges: ['192.0.2.9/24', '10.0.0.0/8', '192.0.2.0/24'] },
      ['10.0.0.0/8', '192.0.2.0/24'],
    ],
    ['a range of everybody means everybody', { loadBalancerSourceRanges: ['0.0.0.0/0'] }, []],
    ['also beside others', { loadBalancerSourceRanges: ['10.0.0.0/8', '0.0.0.0/0'] }, []],
    [
      'but only when it covers every family of the Service',
      { loadBalancerSourceRanges: ['0.0.0.0/0'], ipFamilies: ['IPv4', 'IPv6'] },
      ['0.0.0.0/0'],
    ],
    [
      'which two can do together',
      { loadBalancerSourceRanges: ['::/0', '0.0.0.0/0'], ipFamilies: ['IPv4', 'IPv6'] },
      [],
    ],
  ])('B51 %s', (_what, service, expected) => {
    expect(ranges(service)).toEqual(expected);
  });

  it.each<[string, Partial<Service>]>([
    ['spec.loadBalancerSourceRanges', { loadBalancerSourceRanges: ['10.0.0.0/8', '10.0.0.0/33'] }],
    [`annotation ${RANGES}`, { annotations: { [RANGES]: '10.0.0.0/33' } }],
  ])('B51 a bad CIDR in %s is refused, naming it', (subject, service) => {
    expect(refusal(() => ranges(service))).toBe(
      `InvalidSpec InvalidSourceRange: ${subject} has the entry "10.0.0.0/33", which is not a CIDR. ` +
        'Write each entry as ADDRESS/PREFIX, for example 10.0.0.0/8.',
    );
  });

  it('B52 the field overrides the annotation, whatever that says', () => {
    const service = { loadBalancerSourceRanges: ['192.0.2.0/24'], annotations: { [RANGES]: 'nonsense' } };
    expect(ranges(service)).toEqual(['192.0.2.0/24']);
  });

  it('what should be limited and cannot be is refused rather than opened; what is open to everybody is not', () => {
    const unable = { sourceRanges: false };
    expect(refusal(() => ranges({ loadBalancerSourceRanges: ['192.0.2.0/24'] }, unable))).toMatch(
      /^Unsupported SourceRangesUnsupported/,
    );
    expect(ranges({ loadBalancerSourceRanges: ['0.0.0.0/0'] }, unable)).toEqual([]);
  });
});

describe('healthCheckOf', () => {
  const local: Partial<Service> = { externalTrafficPolicy: 'Local', healthCheckNodePort: 30_500 };
  const none: HealthCheck = { kind: 'default' };
  const probe: HealthCheck = { kind: 'http', port: 30_500, path: '/healthz' };

  it.each<[string, Partial<Service>, HealthCheck]>([
    ['LoadBalancer with Local', local, probe],
    ['LoadBalancer with Cluster', { ...local, externalTrafficPolicy: 'Cluster' }, none],
    ['NodePort with Local', { ...local, type: 'NodePort' }, none],
    ['ClusterIP with Local', { ...local, type: 'ClusterIP' }, none],
  ])('B53 a probe of its own is needed by LoadBalancer with Local only: %s', (_what, service, expected) => {
    expect(healthCheckOf(aService(service), able)).toEqual(expected);
  });

  it('B54 it asks /healthz on the healthCheckNodePort; port 0 means that there is none', () => {
    expect(healthCheckOf(aService(local), able)).toEqual(probe);
    expect(healthCheckOf(aService({ ...local, healthCheckNodePort: 0 }), able)).toEqual(none);
  });

  it('a provider that does not probe is not asked to', () => {
    expect(healthCheckOf(aService(local), DEFAULT_CAPABILITIES)).toEqual(none);
  });
});
