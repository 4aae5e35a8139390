import { parseRange } from '../model/address.ts';
import type { AddressPool } from '../model/pool.ts';
import type { ConformanceWorld } from '../conformance/subject.ts';
import { conformance } from '../conformance/vitest.ts';
import { createMemoryProvider, MemoryCloud, type MemoryProviderOptions } from './memory.ts';

function world(options: MemoryProviderOptions): ConformanceWorld {
  const cloud = new MemoryCloud();
  return {
    provider: createMemoryProvider(cloud, options),
    restart: () => Promise.resolve(createMemoryProvider(cloud, options)),
    drift: async (key) => cloud.tamper(key, (now) => ({ ...now, listeners: {} })),
    settle: () => Promise.resolve(),
    violations: () => cloud.violations,
    dispose: () => Promise.resolve(),
  };
}

const pools: readonly AddressPool[] = [
  {
    name: 'default',
    ranges: ['192.0.2.128/28', '2001:db8::/120'].map((text) => parseRange(text)!),
    autoAssign: true,
  },
];

conformance({
  name: 'memory, choosing addresses itself',
  create: () => Promise.resolve(world({})),
  addresses: ['203.0.113.7', '2001:db8:1::7'],
  annotation: ['memory.berth.dev/idle-timeout-seconds', '7'],
});
conformance({ name: 'memory with pools', create: () => Promise.resolve(world({ pools })) });
conformance({
  name: 'memory that can do as little as possible',
  create: () =>
    Promise.resolve(
      world({
        hostnames: true,
        capabilities: {
          loadBalancerIP: 'ignored',
          protocols: ['TCP'],
          mixedProtocols: false,
          sourceRanges: false,
          families: ['IPv4'],
          sessionAffinity: false,
          healthCheck: false,
        },
      }),
    ),
});
conformance({
  name: 'memory that forwards to pods',
  create: () => Promise.resolve(world({ pools, capabilities: { targets: 'podIP' } })),
});
