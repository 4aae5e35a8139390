// Berth's proxy in a process of its own: the provider `local`, driven as the controller drives it.
import type { IpAddress } from '@berth/core';
import { createTestHost, Driver, portWith, serviceWith, targetWith } from '@berth/core/conformance';
import { configSchema, createLocal } from '../../../providers/local/index.ts';
import type { BackendPorts } from './backend.ts';
import { answer } from './child.ts';

/** What is to be proxied. The proxy listens on the backend's own port numbers, at another address. */
export interface ProxyJob {
  readonly address: string;
  readonly backend: string;
  readonly ports: BackendPorts;
}

answer(async ({ address, backend, ports }: ProxyJob): Promise<string> => {
  const host = createTestHost();
  const provider = createLocal(
    configSchema.parse({ pools: [{ name: 'bench', addresses: [address] }] }),
    host,
  );
  const world = { provider, dispose: () => provider.close() };
  const targets = [targetWith({ addresses: [backend as IpAddress] })];
  const driver = new Driver(world, { name: 'local', create: async () => world, targets });
  await driver.observe();
  const service = serviceWith({
    ports: Object.entries(ports).map(([name, port]) => portWith({ name, port, nodePort: port })),
  });
  const wanted = driver.want(service);
  await driver.converge(wanted);
  const [entry] = await driver.ready(wanted);
  return entry?.ip ?? '';
});
