import type { Host, IpAddress } from '@berth/core';
import { createTestHost, targetWith, type ConformanceWorld } from '@berth/core/conformance';
import { conformance } from '@berth/core/conformance/vitest';
import { configSchema, providerOver } from './index.ts';
import { Proxies } from './proxies.ts';
import * as kit from './proxy/testkit.ts';

const config = configSchema.parse({
  pools: [{ name: 'loopback', addresses: ['127.79.0.1-127.79.0.20', '::1'] }],
});

/** A process with nothing in it. Another one after a restart has nothing either: listeners go with their process. */
async function world(): Promise<ConformanceWorld> {
  const host: Host = createTestHost();
  let proxies = new Proxies(host, config.healthChecksPerSecond);
  return {
    provider: providerOver(proxies, config),
    restart: async () => {
      proxies.close();
      proxies = new Proxies(host, config.healthChecksPerSecond);
      return providerOver(proxies, config);
    },
    drift: async (key) =>
      proxies.get(key)?.close(Object.keys(proxies.get(key)?.state.listeners ?? {})[0] ?? ''),
    dispose: async () => proxies.close(),
  };
}

const free = await Promise.all(['::1', '::1', '::1'].map((address) => kit.closedPort(address)));

conformance({
  name: 'local',
  create: world,
  ports: free.map(({ port }) => port),
  targets: [1, 2, 3].map((n) =>
    targetWith({
      node: `node-${n}`,
      providerID: `test:///node-${n}`,
      addresses: [`127.79.1.${n}` as IpAddress],
    }),
  ),
  annotation: ['local.berth.dev/proxy-protocol', 'v2'],
});
