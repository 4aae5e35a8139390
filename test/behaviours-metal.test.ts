/** Behaviours F and G where the controller decides them, with the metal provider's controller half. */
import { afterEach, describe, expect, it } from 'vitest';
import { configSchema, createMetal } from '../providers/metal/index.ts';
import type { TestHost } from '../src/conformance/host.ts';
import { jsonOf } from '../src/kube/json.ts';
import type { Service } from '../src/model/service.ts';
import type { ObjectPatch, Provider } from '../src/provider/spi.ts';
import { aPort } from './builders.ts';
import { World, type WorldOptions } from './world.ts';

const POOLS = '/apis/metallb.io/v1beta1/ipaddresspools';

/** A world with the metal provider and the pools of its cluster. */
class MetalWorld extends World {
  declare metalHost: TestHost;
  /** What was written of the pools, in order. */
  readonly poolPatches: ObjectPatch[] = [];
  #pools: Readonly<Record<string, object>> = {};
  #statuses: Readonly<Record<string, unknown>> = {};

  setPools(pools: Readonly<Record<string, object>>): void {
    this.#pools = pools;
    const objects = Object.entries(pools).map(([name, spec]) => ({
      metadata: { name, namespace: 'berth-system' },
      spec,
      status: this.#statuses[name],
    }));
    this.metalHost.setObjects(POOLS, objects);
  }

  /** As the API server does it: the object has it, and the watch tells of it. */
  patchPool(patch: ObjectPatch): void {
    this.poolPatches.push(patch);
    const { status } = JSON.parse(jsonOf(patch.body)) as { status: unknown };
    this.#statuses = { ...this.#statuses, [patch.path.split('/').at(-2) ?? '']: status };
    this.setPools(this.#pools);
  }
}

let world: MetalWorld;
afterEach(async () => await world.stop());

async function metalWorld(
  pools: Readonly<Record<string, object>>,
  services: readonly Partial<Service>[] = [{}],
  options: WorldOptions = {},
): Promise<MetalWorld> {
  const { createTestHost } = await import('../src/conformance/host.ts');
  const metalHost = createTestHost();
  const host = {
    ...metalHost,
    enqueue: (keys: readonly string[] | undefined, because: string): void =>
      world?.controller.enqueue('metal', keys, because),
  };
  world = new MetalWorld({
    ...options,
    services,
    patch: (patch) => Promise.resolve(world.patchPool(patch)),
    providers: () => [createMetal(configSchema.parse({}), host) as Provider],
  });
  world.metalHost = metalHost;
  world.setPools(pools);
  await world.start();
  return world;
}

const ONE = { addresses: ['192.0.2.1/32'] };
const dual = { ipFamilies: ['IPv4', 'IPv6'] } as const;

describe('F address allocation', () => {
  it('B55 without a pool a Service is pending with an event; adding a pool gives it an address without a touch', async () => {
    await metalWorld({});
    expect(world.condition()).toBe('False NoPool');
    expect(world.reasons()).toContain('NoPool');
    world.setPools({ a: ONE });
    await world.settle();
    expect([world.addresses(), world.condition()]).toEqual(['192.0.2.1', 'True Provisioned']);
  });

  it('B62 a pool that is not automatic is used only on explicit request', async () => {
    await metalWorld({ a: { ...ONE, autoAssign: false } }, [
      { name: 'any' },
      { name: 'asks', annotations: { 'metallb.io/address-pool': 'a' } },
    ]);
    expect([world.condition('default/any'), world.addresses('default/asks')]).toEqual([
      'False NoPool',
      '192.0.2.1',
    ]);
  });

  it('B66 PreferDualStack gets one family when there is only one, and the second when it becomes possible', async () => {
    await metalWorld({ a: ONE }, [{ ...dual, ipFamilyPolicy: 'PreferDualStack' }]);
    expect(world.addresses()).toBe('192.0.2.1');
    world.setPools({ a: { addresses: ['192.0.2.1/32', '2001:db8::1/128'] } });
    await world.settle();
    expect(world.addresses()).toBe('192.0.2.1 2001:db8::1');
  });

  it('B66 RequireDualStack gets both from one pool or nothing', async () => {
    await metalWorld({ a: ONE, b: { addresses: ['2001:db8::1'] } }, [
      { ...dual, ipFamilyPolicy: 'RequireDualStack' },
    ]);
    expect([world.addresses(), world.condition()]).toEqual(['', 'False NoPool']);
  });

  it('B67 an address of a family that the Service no longer has is replaced', async () => {
    await metalWorld({ a: { addresses: ['192.0.2.1', '2001:db8::1'] } });
    world.cluster.edit('default/web', { ipFamilies: ['IPv6'] });
    await world.settle();
    expect(world.addresses()).toBe('2001:db8::1');
  });

  it('B68 a Service without ClusterIP gets no address, and none that somebody wrote into its status', async () => {
    await metalWorld({ a: ONE }, [{ clusterIPs: ['None'], ingress: [{ hostname: 'garbage' }] }]);
    expect([world.addresses(), world.condition()]).toEqual(['', 'False NoClusterIP']);
    world.cluster.edit('default/web', { clusterIPs: ['10.96.0.10'] });
    await world.settle();
    expect([world.addresses(), world.condition()]).toEqual(['192.0.2.1', 'True Provisioned']);
  });

  it.each([
    ['a host name', [{ hostname: 'garbage' }]],
    ['text that is no address', [{ ip: 'garbage' }]],
    ['an address of nobody’s pool', [{ ip: '203.0.113.9' }]],
  ])('B69 a status with %s is cleared, and an address is assigned', async (_what, ingress) => {
    await metalWorld({ a: ONE }, [{ ingress }]);
    expect([world.addresses(), world.condition()]).toEqual(['192.0.2.1', 'True Provisioned']);
  });

  it('B70 the same address survives a restart, and what is assigned is read before anything new is given', async () => {
    await metalWorld({ a: { addresses: ['192.0.2.1-192.0.2.3'] } }, [{ name: 'b' }]);
    expect(world.addresses('default/b')).toBe('192.0.2.1');
    world.crash();
    world.cluster.create({ name: 'a', createdAtMs: 0 });
    await world.start();
    expect([world.addresses('default/a'), world.addresses('default/b')]).toEqual(['192.0.2.2', '192.0.2.1']);
  });

  it('B71 B72 an address in use stays when its pool is renamed, shrunk or removed, with a warning once no pool has it', async () => {
    await metalWorld({ a: { addresses: ['192.0.2.1-192.0.2.3'] } });
    world.setPools({ renamed: { addresses: ['192.0.2.0/30'] } });
    await world.settle();
    expect([world.addresses(), world.reasons().includes('AddressOutsidePool')]).toEqual(['192.0.2.1', false]);
    world.setPools({});
    await world.settle();
    expect([world.addresses(), world.condition()]).toEqual(['192.0.2.1', 'True Provisioned']);
    expect(world.reasons()).toContain('AddressOutsidePool');
  });
});

describe('G address sharing', () => {
  const shares = { annotations: { 'metallb.io/allow-shared-ip': 'k' } };

  it('B80 a shared address becomes free only when its last user goes', async () => {
    await metalWorld({ a: ONE }, [
      { name: 'http', ...shares },
      { name: 'https', ...shares, ports: [aPort({ port: 443 })] },
    ]);
    expect([world.addresses('default/http'), world.addresses('default/https')]).toEqual([
      '192.0.2.1',
      '192.0.2.1',
    ]);
    world.cluster.create({ name: 'waits' });
    await world.settle();
    expect(world.condition('default/waits')).toBe('False PoolExhausted');
    world.cluster.delete('default/http');
    await world.settle();
    expect(world.condition('default/waits')).toBe('False PoolExhausted');
    world.cluster.delete('default/https');
    await world.settle();
    expect(world.addresses('default/waits')).toBe('192.0.2.1');
  });

  it('B26 a change of policy on a Service with a shared address makes the sharing be judged again', async () => {
    await metalWorld({ a: { addresses: ['192.0.2.1-192.0.2.2'] } }, [
      { name: 'http', ...shares },
      { name: 'https', ...shares, ports: [aPort({ port: 443 })] },
    ]);
    world.cluster.edit('default/https', { externalTrafficPolicy: 'Local' });
    await world.settle();
    expect([world.addresses('default/http'), world.addresses('default/https')]).toEqual([
      '192.0.2.1',
      '192.0.2.2',
    ]);
  });

  it('status entries say ipMode VIP and the ports', async () => {
    await metalWorld({ a: ONE });
    expect(world.service().ingress).toEqual([
      { ip: '192.0.2.1', ipMode: 'VIP', ports: [{ port: 80, protocol: 'TCP' }] },
    ]);
  });
});

describe('B73 pool counters', () => {
  const metric = async (name: string, pool = 'a'): Promise<number> =>
    await world.metric(`metallb_allocator_${name}`, { pool });
  const counted = async (pool = 'a'): Promise<readonly number[]> =>
    await Promise.all(
      ['addresses_total', 'addresses_in_use_total', 'services_allocated_total'].map((name) =>
        metric(name, pool),
      ),
    );
  const written = (): unknown => world.poolPatches.at(-1);

  it('follow allocation, sharing, release and a change of the configuration, in metrics and status', async () => {
    const shared = { annotations: { 'metallb.io/allow-shared-ip': 'k' } };
    await metalWorld({ a: { addresses: ['192.0.2.0/29', '2001:db8::/126'] } }, [
      { name: 'one', ...shared },
      { name: 'two', ...shared, ports: [aPort({ port: 81 })] },
      { name: 'both', ...dual, ipFamilyPolicy: 'RequireDualStack' },
    ]);
    expect(await counted()).toEqual([12, 3, 3]);
    expect([await metric('ipv4_addresses_total'), await metric('ipv6_addresses_total')]).toEqual([8, 4]);
    expect(await metric('ipv4_addresses_in_use_total')).toBe(2);
    expect(await metric('ipv6_addresses_in_use_total')).toBe(1);
    await world.advance(1_000);
    expect(world.poolPatches).toEqual([
      {
        path: '/apis/metallb.io/v1beta1/namespaces/berth-system/ipaddresspools/a/status',
        body: { status: { assignedIPv4: 2n, assignedIPv6: 1n, availableIPv4: 6n, availableIPv6: 3n } },
      },
    ]);
    world.cluster.delete('default/one');
    await world.settle();
    expect(await counted()).toEqual([12, 3, 2]);
    world.cluster.delete('default/two');
    await world.settle();
    await world.advance(1_000);
    expect(await counted()).toEqual([12, 2, 1]);
    expect(written()).toMatchObject({ body: { status: { assignedIPv4: 1n, availableIPv4: 7n } } });
    world.setPools({ a: { addresses: ['192.0.2.0/30'] }, b: { addresses: ['2001:db8::/126'] } });
    await world.settle();
    await world.advance(1_000);
    expect([await counted(), await counted('b')]).toEqual([
      [4, 1, 1],
      [4, 1, 1],
    ]);
    expect(world.poolPatches.slice(-2)).toMatchObject([
      { body: { status: { assignedIPv4: 1n, assignedIPv6: 0n, availableIPv4: 3n, availableIPv6: 0n } } },
      { body: { status: { assignedIPv4: 0n, assignedIPv6: 1n, availableIPv4: 0n, availableIPv6: 3n } } },
    ]);
  });

  it('are written once for many changes, and not again when nothing differs', async () => {
    await metalWorld({ a: { addresses: ['192.0.2.0/24', '2001:db8::/64'] } }, [
      { name: 'a' },
      { name: 'b' },
      { name: 'c' },
    ]);
    await world.advance(1_000);
    const max = 2n ** 63n - 1n;
    expect(world.poolPatches.map(({ body }) => body)).toEqual([
      { status: { assignedIPv4: 3n, assignedIPv6: 0n, availableIPv4: 253n, availableIPv6: max } },
    ]);
    const passes = await world.metric('service_controller_loadbalancer_sync_total');
    world.cluster.edit('default/a', { annotations: { 'example.com/note': 'x' } });
    world.cluster.edit('default/b', { ports: [aPort({ port: 81 })] });
    await world.settle();
    await world.advance(3_600_000);
    expect(await world.metric('service_controller_loadbalancer_sync_total')).toBeGreaterThan(passes);
    expect(world.poolPatches).toHaveLength(1);
  });

  it('have no Service planned again when they are written', async () => {
    await metalWorld({ a: { addresses: ['192.0.2.0/24'] } });
    const passes = await world.metric('service_controller_loadbalancer_sync_total');
    await world.advance(1_000);
    expect(world.poolPatches).toHaveLength(1);
    expect(await world.metric('service_controller_loadbalancer_sync_total')).toBe(passes);
  });

  it('are of no pool any more when another process leads', async () => {
    await metalWorld({ a: ONE });
    expect(await counted()).toEqual([1, 1, 1]);
    const { metrics } = world;
    world.crash();
    expect(
      (await metrics.registry.getSingleMetric('metallb_allocator_addresses_total')?.get())?.values,
    ).toEqual([]);
    await world.start();
    expect(await counted()).toEqual([1, 1, 1]);
  });

  it('tell a pool that cannot be understood as configuration that is stale', async () => {
    await metalWorld({ a: ONE, b: { addresses: ['nonsense'] } });
    const stale = (): number => world.metalHost.metric('metallb_k8s_client_config_stale_bool');
    expect([stale(), world.metalHost.metric('metallb_k8s_client_config_loaded_bool')]).toEqual([1, 1]);
    world.setPools({ a: ONE });
    await world.settle();
    expect(stale()).toBe(0);
  });
});
