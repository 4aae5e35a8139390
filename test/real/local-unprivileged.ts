// A process that may not open ports below 1024 asks the provider `local` for 80 and 8080, and prints what came of it.
import type { IpAddress, Service } from '@berth/core';
import { createTestHost, Driver, portWith, serviceWith, targetWith } from '@berth/core/conformance';
import { configSchema, createLocal } from '../../providers/local/index.ts';

const provider = createLocal(
  configSchema.parse({ pools: [{ name: 'loopback', addresses: ['127.82.0.1'] }] }),
  createTestHost(),
);
const world = { provider, dispose: () => provider.close() };
const targets = [targetWith({ addresses: ['127.82.1.1' as IpAddress] })];
const driver = new Driver(world, { name: 'local', create: async () => world, targets });

/** What the core would tell people of a Service with these ports. */
async function outcome(...ports: readonly number[]): Promise<object> {
  const service: Service = serviceWith({
    ports: ports.map((port) => portWith({ name: `port-${port}`, port, nodePort: 30_000 + port })),
  });
  const wanted = driver.want(service);
  const error = await driver.converge(wanted).then(
    () => undefined,
    (thrown: { readonly code?: string; readonly message?: string }) => thrown,
  );
  const ingress = driver.ingress(wanted);
  await driver.converge(wanted.key);
  return { code: error?.code, message: error?.message, ingress };
}

await driver.observe();
console.log(JSON.stringify({ both: await outcome(80, 8080), alone: await outcome(80) }));
await provider.close();
