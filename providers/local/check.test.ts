import { describe, expect, it } from 'vitest';
import type { IpAddress, LoadBalancer } from '@berth/core';
import { check } from './check.ts';
import { settings, settingsWith, type LocalSettings } from './settings.ts';

const defaults = Object.fromEntries(
  Object.entries(settings).map(([name, definition]) => [name, definition.default]),
) as unknown as LocalSettings;

function aBalancer(
  overrides: Partial<LoadBalancer<LocalSettings>>,
  changed: Partial<LocalSettings> = {},
): LoadBalancer<LocalSettings> {
  return {
    key: 'default/web',
    namespace: 'default',
    name: 'web',
    uid: 'uid-1',
    loadBalancerClass: '',
    families: ['IPv4'],
    addresses: [],
    ports: [{ protocol: 'TCP', port: 80, nodePort: 30_080, targetPort: 80 }],
    sourceRanges: [],
    externalTrafficPolicy: 'Cluster',
    healthCheck: { kind: 'default' },
    clientIPAffinitySeconds: 0,
    targets: [],
    endpoints: [],
    settings: { ...defaults, ...changed },
    ...overrides,
  };
}

const udp = { ports: [{ protocol: 'UDP', port: 53, nodePort: 30_053, targetPort: 53 }] } as const;
const local = { healthCheck: { kind: 'http', port: 30_099, path: '/healthz' } } as const;

function notes(balancer: LoadBalancer<LocalSettings>, table = settings): string[] {
  return check(balancer, table).map(({ code, subject }) => `${code}: ${subject}`);
}

describe('what is checked of a Service as a whole', () => {
  it.each<[string, LoadBalancer<LocalSettings>, string[]]>([
    ['nothing in particular', aBalancer({}), []],
    ['a PROXY header for TCP', aBalancer({}, { proxyProtocol: 'v2' }), []],
    [
      'a PROXY header for UDP',
      aBalancer(udp, { proxyProtocol: 'v2' }),
      ['AnnotationUnsupported: annotation local.berth.dev/proxy-protocol'],
    ],
    [
      'an HTTP probe with its path',
      aBalancer({}, { healthCheckProtocol: 'http', healthCheckPath: '/ok' }),
      [],
    ],
    [
      'a path for a TCP probe',
      aBalancer({}, { healthCheckPath: '/ok' }),
      ['AnnotationUnsupported: annotation local.berth.dev/health-check-path'],
    ],
    [
      'another probe than that of policy Local',
      aBalancer(local, { healthCheckProtocol: 'none', healthCheckPort: 10_256 }),
      [
        'AnnotationUnsupported: annotation local.berth.dev/health-check-protocol',
        'AnnotationUnsupported: annotation local.berth.dev/health-check-port',
      ],
    ],
  ])('%s', (_what, balancer, expected) => {
    expect(notes(balancer)).toEqual(expected);
  });

  it('does not blame a Service for a default of the configuration', () => {
    const table = settingsWith({ proxyProtocol: 'v2' });
    expect(notes(aBalancer(udp, { proxyProtocol: 'v2' }), table)).toEqual([]);
  });

  it('names a node that has no address of the Service’s families', () => {
    const targets = [
      { node: 'four', providerID: '', addresses: ['10.0.0.1' as IpAddress] },
      { node: 'six', providerID: '', addresses: ['fd00::1' as IpAddress] },
    ];
    expect(check(aBalancer({ targets, families: ['IPv6'] }), settings)).toMatchObject([
      {
        code: 'TargetWithoutAddress',
        subject: 'node four',
        message: expect.stringContaining('node four is left out: it has 10.0.0.1, the Service is IPv6'),
      },
    ]);
  });
});
