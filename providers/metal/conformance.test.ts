import { createTestHost, type ConformanceWorld } from '@berth/core/conformance';
import { conformance } from '@berth/core/conformance/vitest';
import { configSchema, createMetal } from './index.ts';

const config = configSchema.parse({
  pools: [{ name: 'lan', addresses: ['192.0.2.0/28', '2001:db8::/124'] }],
});

conformance({
  name: 'metal',
  create: async (): Promise<ConformanceWorld> => {
    const host = createTestHost();
    return {
      provider: createMetal(config, host),
      // What was given is in the Services' status; another process begins with nothing and is told by the core.
      restart: async () => createMetal(config, createTestHost()),
      dispose: async () => {},
    };
  },
});
