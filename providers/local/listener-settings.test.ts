import { describe, expect, it } from 'vitest';
import type { HealthCheck, IpAddress } from '@berth/core';
import { listenerSettings, type ListenerView } from './listener-settings.ts';
import { settings, type LocalSettings } from './settings.ts';

const defaults = Object.fromEntries(
  Object.entries(settings).map(([name, definition]) => [name, definition.default]),
) as unknown as LocalSettings;

interface Given {
  readonly name?: string;
  readonly healthCheck?: HealthCheck;
  readonly settings?: Partial<LocalSettings>;
  readonly tcpNodePort?: number;
}

function aView({
  name = '80/TCP',
  healthCheck = { kind: 'default' },
  tcpNodePort,
  ...given
}: Given): ListenerView {
  return {
    name,
    wish: { addresses: [], nodePort: 30_080 },
    frontend: {
      sourceRanges: ['10.0.0.0/8'],
      clientIPAffinitySeconds: 10,
      healthCheck,
      settings: { ...defaults, ...given.settings },
    },
    targets: [{ node: 'a', address: '10.0.0.1' as IpAddress }],
    tcpNodePort,
  };
}

describe('settings of a listener', () => {
  it('are those of the Service in the proxy’s own units', () => {
    const { targets, ...rest } = listenerSettings(
      aView({ settings: { proxyProtocol: 'v2', drainSeconds: 7 } }),
    );
    expect(targets).toMatchObject([{ host: '10.0.0.1', port: 30_080 }]);
    expect(rest).toEqual({
      sourceRanges: ['10.0.0.0/8'],
      affinityMs: 10_000,
      traffic: {
        connectTimeoutMs: 3_000,
        idleTimeoutMs: 350_000,
        drainMs: 7_000,
        proxyProtocol: true,
        maxConnections: 10_000,
      },
    });
  });

  it('have the idle time of datagrams for UDP', () => {
    expect(listenerSettings(aView({ name: '53/UDP' })).traffic.idleTimeoutMs).toBe(60_000);
  });

  it.each<[string, Given, object | undefined]>([
    ['TCP on the node port by default', {}, { kind: 'tcp', port: 30_080 }],
    [
      'HTTP as Kubernetes says with policy Local, whatever the annotations say',
      {
        healthCheck: { kind: 'http', port: 30_099, path: '/healthz' },
        settings: { healthCheckProtocol: 'none' },
      },
      { kind: 'http', port: 30_099, path: '/healthz' },
    ],
    [
      'HTTP on the port and path of the annotations',
      { settings: { healthCheckProtocol: 'http', healthCheckPort: 10_256, healthCheckPath: '/livez' } },
      { kind: 'http', port: 10_256, path: '/livez' },
    ],
    ['nothing if so asked', { settings: { healthCheckProtocol: 'none' } }, undefined],
    [
      'a UDP port by its TCP neighbour',
      { name: '53/UDP', tcpNodePort: 30_053 },
      { kind: 'tcp', port: 30_053 },
    ],
    ['a UDP port alone by nothing', { name: '53/UDP' }, undefined],
    [
      'a UDP port alone by the port of the annotation',
      { name: '53/UDP', settings: { healthCheckPort: 10_250 } },
      { kind: 'tcp', port: 10_250 },
    ],
  ])('probe %s', (_what, given, expected) => {
    const [target] = listenerSettings(aView(given)).targets;
    const common = {
      host: '10.0.0.1',
      intervalMs: 5_000,
      timeoutMs: 2_000,
      healthyThreshold: 2,
      unhealthyThreshold: 2,
    };
    expect(target?.check).toEqual(expected === undefined ? undefined : { ...common, ...expected });
  });

  it('let a TCP probe send the PROXY header to the backend, and to nothing else', () => {
    const probed = (given: Partial<LocalSettings>) =>
      listenerSettings(aView({ settings: { proxyProtocol: 'v2', ...given } })).targets[0]?.check
        ?.proxyProtocol;
    expect(probed({})).toBe(true);
    expect(probed({ healthCheckPort: 10_250 })).toBeUndefined();
  });
});
