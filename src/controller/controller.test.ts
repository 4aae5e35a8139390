import { describe, expect, it } from 'vitest';
import { aPool, aPort, ip } from '../../test/builders.ts';
import { settledWorld, startWorld, turns, World } from '../../test/world.ts';
import { Transient } from '../model/errors.ts';
import { FINALIZER } from '../model/names.ts';
import { createMemoryProvider, MemoryCloud } from '../provider/memory.ts';
import type { Provider } from '../provider/spi.ts';

const KEY = 'default/web';
const down = new Transient('CloudDown', { message: 'no', remedy: 'Wait' });

/** Two providers in one process, `one` and `two`, each over a cloud of its own. */
function two(options: Parameters<typeof createMemoryProvider>[1] = {}) {
  const clouds = { one: new MemoryCloud(), two: new MemoryCloud() };
  const providers = (): readonly Provider[] =>
    (['one', 'two'] as const).map(
      (name) => createMemoryProvider(clouds[name], { ...options, name }) as Provider,
    );
  return { ...clouds, providers };
}

describe('starting', () => {
  it('reads everything once, and plans nothing before', async () => {
    const world = new World({ services: [{ name: 'one' }, { name: 'two' }] });
    world.cloud.latencyMs = 1_000;
    world.begin();
    await world.settle();
    expect(world.calls).toEqual(['describe *']);
    expect(world.written).toEqual([]);
    world.cluster.create({ name: 'three' });
    await world.settle();
    expect(world.written).toEqual([]);
    world.cloud.latencyMs = 0;
    await world.advance(1_000);
    await world.advance(1_000);
    expect(world.cloud.loadBalancers.size).toBe(3);
    expect(world.calls.filter((call) => call === 'describe *')).toHaveLength(1);
  });

  it('tries again when a provider cannot be read, and serves its Services then', async () => {
    const world = new World({ services: [{}] });
    world.cloud.failNext('describe', down);
    world.cloud.failNext('describe', down);
    await world.start();
    expect(world.written).toEqual([]);
    await world.advance(500);
    await world.advance(1_000);
    await world.advance(1_000);
    expect(world.condition()).toBe('True Provisioned');
    expect(world.cloud.counts.get('describe')).toBeGreaterThanOrEqual(3);
  });

  it('serves and clears away the Services of one provider while another cannot be read', async () => {
    const { one, two: broken, providers } = two();
    const services = [
      { name: 'one', loadBalancerClass: 'berth.dev/one' },
      { name: 'two', loadBalancerClass: 'berth.dev/two' },
      { name: 'going', loadBalancerClass: 'berth.dev/one', deleting: true, finalizers: [FINALIZER] },
    ];
    for (let failures = 0; failures < 4; failures++) broken.failNext('describe', down);
    const world = await startWorld({ services, providers });
    expect(world.condition('default/one')).toBe('True Provisioned');
    expect(world.condition('default/two')).toBe('');
    expect(world.cluster.service('default/going')).toBeUndefined();
    expect(one.loadBalancers.size).toBe(1);
    await world.advance(60_000);
    expect(world.condition('default/two')).toBe('True Provisioned');
  });

  it('waits for every provider before it lets go of a Service whose class is not known any more', async () => {
    const { two: broken, providers } = two();
    const world = await startWorld({ services: [{ loadBalancerClass: 'berth.dev/two' }], providers });
    world.crash();
    world.cluster.edit(KEY, { type: 'ClusterIP', loadBalancerClass: '' });
    broken.failNext('describe', down);
    await world.start();
    expect(world.service().finalizers).toEqual([FINALIZER]);
    await world.advance(5_000);
    expect(world.service().finalizers).toEqual([]);
    expect(broken.loadBalancers.size).toBe(0);
  });

  it('clears away first, before it makes anything', async () => {
    const names = ['new-0', 'new-1', 'new-2'];
    const others = names.map((name) => ({ name, type: 'ClusterIP' as const }));
    const world = await settledWorld({
      services: [...others, { name: 'old' }],
      settings: { concurrentSyncs: 1 },
    });
    world.crash();
    world.reset();
    for (const name of names) world.cluster.edit(`default/${name}`, { type: 'LoadBalancer' });
    world.cluster.edit('default/old', { deleting: true });
    await world.start();
    const effects = world.calls.filter((call) => !call.startsWith('describe'));
    // What is in the queue by then: the first one has been taken by the only worker.
    const firstDelete = effects.findIndex((call) => call.startsWith('delete'));
    const creates = effects.slice(0, firstDelete).filter((call) => call.startsWith('createLoadBalancer'));
    expect(firstDelete).toBeGreaterThanOrEqual(0);
    expect(creates.length).toBeLessThanOrEqual(1);
    expect(world.cloud.loadBalancers.size).toBe(3);
  });
});

describe('stopping', () => {
  it('finishes the pass that is under way, and begins no other', async () => {
    const world = await settledWorld({ services: [], settings: { concurrentSyncs: 1 } });
    world.cloud.latencyMs = 1_000;
    world.cluster.create({ name: 'running' });
    world.cluster.create({ name: 'waiting' });
    await world.settle();
    let stopped = false;
    void world.controller.stop().then(() => (stopped = true));
    await world.advance(500);
    expect(stopped).toBe(false);
    world.cloud.latencyMs = 0;
    await world.advance(1_000);
    await turns(5);
    expect(stopped).toBe(true);
    expect(world.condition('default/running')).toBe('True Provisioned');
    expect(world.condition('default/waiting')).toBe('');
    await world.advance(3_600_000);
    expect(world.condition('default/waiting')).toBe('');
  });

  it('drops everything at once when its signal is aborted, and reports nothing', async () => {
    const world = await settledWorld({ services: [] });
    world.cloud.latencyMs = 1_000;
    world.cluster.create();
    await world.settle();
    const before = [...world.written];
    world.crash();
    await world.advance(10_000);
    expect(world.cloud.loadBalancers.size).toBe(0);
    expect(world.written).toEqual(before);
    expect(world.reasons()).toEqual(['EnsuringLoadBalancer']);
  });
});

describe('two providers in one process', () => {
  it('each serve their own classes', async () => {
    const { one, two: other, providers } = two();
    const world = await startWorld({
      services: [
        { name: 'one', loadBalancerClass: 'berth.dev/one' },
        { name: 'two', loadBalancerClass: 'berth.dev/two' },
        { name: 'none' },
      ],
      providers,
    });
    expect([...one.loadBalancers.keys()]).toEqual(['default/one']);
    expect([...other.loadBalancers.keys()]).toEqual(['default/two']);
    expect(world.condition('default/none')).toBe('');
  });

  it('leave Services without a class to the default provider', async () => {
    const { two: other, providers } = two();
    await startWorld({ services: [{}], providers, defaultProvider: 'two' });
    expect([...other.loadBalancers.keys()]).toEqual([KEY]);
  });

  it('have address books of their own', async () => {
    const { providers } = two({ pools: [aPool('192.0.2.1/32')] });
    const world = await startWorld({
      services: [
        { name: 'one', loadBalancerClass: 'berth.dev/one' },
        { name: 'two', loadBalancerClass: 'berth.dev/two' },
      ],
      providers,
    });
    expect(world.addresses('default/one')).toBe('192.0.2.1');
    expect(world.addresses('default/two')).toBe('192.0.2.1');
  });

  it('are told apart when one of them asks for its keys', async () => {
    const { providers } = two();
    const world = await startWorld({
      services: [
        { name: 'one', loadBalancerClass: 'berth.dev/one' },
        { name: 'two', loadBalancerClass: 'berth.dev/two' },
      ],
      providers,
    });
    const passes = (): Promise<number> => world.metric('service_controller_loadbalancer_sync_total');
    const before = await passes();
    world.controller.enqueue('one', undefined, 'the pools have changed');
    await world.settle();
    expect(await passes()).toBe(before + 1);
    world.controller.enqueue('three', undefined, 'there is no such provider');
    await world.settle();
    expect(await passes()).toBe(before + 1);
  });
});

describe('targets that are pods', () => {
  const endpoint = {
    address: ip('10.0.0.1'),
    node: 'node-1',
    ready: true,
    serving: true,
    terminating: false,
    ports: [{ name: '', protocol: 'TCP' as const, port: 8080 }],
  };

  it('are waited for until the first list of EndpointSlices is in, without noise', async () => {
    const world = new World({ services: [{}], memory: { capabilities: { targets: 'podIP' } } });
    world.cluster.backends = undefined;
    await world.start();
    expect(world.condition()).toBe('Unknown EndpointsUnknown');
    expect(world.reasons()).toEqual([]);
    world.cluster.backends = new Map([[KEY, [endpoint]]]);
    await world.advance(500);
    expect(world.condition()).toBe('True Provisioned');
  });

  it('are planned again when they change, for the Service that they belong to', async () => {
    const world = await settledWorld({
      services: [{ name: 'one' }, { name: 'two' }],
      memory: { capabilities: { targets: 'podIP' } },
    });
    const before = await world.metric('service_controller_loadbalancer_sync_total');
    world.cluster.backends?.set('default/one', [endpoint]);
    world.controller.endpointsChanged('default/one');
    world.controller.endpointsChanged('default/unknown');
    await world.settle();
    expect(await world.metric('service_controller_loadbalancer_sync_total')).toBe(before + 1);
  });
});

describe('metrics', () => {
  it('count steps by provider, verb and resource', async () => {
    const world = await settledWorld();
    const steps = (labels: Readonly<Record<string, string>>): Promise<number> =>
      world.metric('berth_plan_steps_total', { provider: 'memory', ...labels });
    expect(await steps({ verb: 'create' })).toBe(3);
    expect(await steps({ verb: 'create', resource: 'listener' })).toBe(1);
    world.cluster.edit(KEY, { ports: [aPort({ nodePort: 30_099 })] });
    await world.settle();
    expect(await steps({ verb: 'update', resource: 'listener' })).toBe(1);
  });

  it('count calls of the provider by operation and outcome', async () => {
    const world = await settledWorld({ services: [] });
    world.cloud.failNext('createListener', down);
    world.cluster.create();
    await world.settle();
    const calls = (labels: Readonly<Record<string, string>>): Promise<number> =>
      world.metric('berth_cloud_calls_total', labels);
    expect(await calls({ operation: 'observe', outcome: 'ok' })).toBe(1);
    expect(await calls({ operation: 'create listener', outcome: 'Transient' })).toBe(1);
    expect(await calls({ operation: 'create targets', outcome: 'ok' })).toBe(1);
  });

  it('measure how long a change of nodes takes to reach all load balancers', async () => {
    const world = await settledWorld({ services: [{ name: 'one' }, { name: 'two' }] });
    world.cloud.latencyMs = 5_000;
    world.cluster.addNode({ name: 'node-3' });
    await world.advance(200);
    await world.advance(5_000);
    const text = await world.metrics.registry.metrics();
    expect(text).toContain('service_controller_nodesync_latency_seconds_sum 5.2');
    expect(text).toContain('service_controller_nodesync_latency_seconds_count 1');
    expect(text).toContain('service_controller_update_loadbalancer_host_latency_seconds_count 2');
  });

  it('have one series for each Service, with the reason that holds', async () => {
    const world = await settledWorld();
    expect(await world.metricReasons(KEY)).toEqual(['Provisioned']);
    world.cluster.edit(KEY, { loadBalancerIP: 'nonsense' });
    await world.settle();
    expect(await world.metricReasons(KEY)).toEqual(['InvalidLoadBalancerIP']);
    const text = await world.metrics.registry.metrics();
    expect(text.match(/^berth_service_condition\{/gm)).toHaveLength(1);
  });

  it('have the names of the work queue that dashboards know', async () => {
    const world = await settledWorld();
    const text = await world.metrics.registry.metrics();
    for (const name of [
      'adds_total',
      'retries_total',
      'depth',
      'queue_duration_seconds',
      'work_duration_seconds',
    ])
      expect(text).toContain(`# TYPE workqueue_${name} `);
  });
});
