/** Behaviours A 1-19 as far as the controller decides them; those of pure functions are beside them in `src/plan`. */
import { describe, expect, it } from 'vitest';
import type { Service } from '../src/model/service.ts';
import { FINALIZER } from '../src/model/names.ts';
import { Denied, Transient } from '../src/model/errors.ts';
import { aPool, aPort } from './builders.ts';
import { apiError } from './fake-cluster.ts';
import { settledWorld, startWorld } from './world.ts';

const KEY = 'default/web';
const CREATED = ['addFinalizer default/web', 'patchStatus default/web'];

describe('A: deciding and lifecycle', () => {
  it('B1 a ClusterIP service causes no provider call and no patch', async () => {
    const world = await settledWorld({ services: [] });
    world.cluster.create({ type: 'ClusterIP' });
    await world.settle();
    expect(world.calls).toEqual([]);
    expect(world.written).toEqual([]);
    expect(world.reasons()).toEqual([]);
    // The same Service does cause both once it is of type LoadBalancer.
    world.cluster.edit(KEY, { type: 'LoadBalancer' });
    await world.settle();
    expect(world.written).toEqual(CREATED);
    expect(world.cloud.writes).toBeGreaterThan(0);
  });

  it.each(['TCP', 'UDP', 'SCTP'] as const)(
    'B2 a %s service gets the finalizer in one patch and its status in a second, and two events',
    async (protocol) => {
      const world = await startWorld({ services: [{ ports: [aPort({ protocol })] }] });
      expect(world.written).toEqual(CREATED);
      expect(world.cluster.patches.map(({ path }) => path)).toEqual([
        '/api/v1/namespaces/default/services/web',
        '/api/v1/namespaces/default/services/web/status',
      ]);
      expect(world.reasons()).toEqual(['EnsuringLoadBalancer', 'EnsuredLoadBalancer']);
      expect(world.service().finalizers).toEqual([FINALIZER]);
      expect(world.addresses()).toBe('198.18.0.1');
      expect(world.service().ingress[0]?.ports).toEqual([{ port: 80, protocol }]);
      expect(world.condition()).toBe('True Provisioned');
    },
  );

  it('B3 if the finalizer is already there, only the status patch is sent', async () => {
    const world = await startWorld({ services: [{ finalizers: [FINALIZER] }] });
    expect(world.written).toEqual(['patchStatus default/web']);
    expect(world.condition()).toBe('True Provisioned');
  });

  it('B4 a service with a foreign class yields no call, no patch and no event, also when it is deleted', async () => {
    const world = await settledWorld({ services: [] });
    world.cluster.create({ loadBalancerClass: 'example.com/other', finalizers: ['example.com/theirs'] });
    await world.settle();
    world.cluster.edit(KEY, { loadBalancerIP: '192.0.2.1' });
    world.cluster.delete(KEY);
    await world.settle();
    expect(world.calls).toEqual([]);
    expect(world.written).toEqual([]);
    expect(world.reasons()).toEqual([]);
    // A Service of a class that is served is.
    world.cluster.create({ name: 'ours', loadBalancerClass: 'berth.dev/memory' });
    await world.settle();
    expect(world.addresses('default/ours')).toBe('198.18.0.1');
  });

  it('B5 a service changed to ClusterIP loses its load balancer, the traces in its status and the finalizer', async () => {
    const world = await settledWorld();
    world.cluster.edit(KEY, { type: 'ClusterIP' });
    await world.settle();
    expect(world.cloud.loadBalancers.size).toBe(0);
    expect(world.service().ingress).toEqual([]);
    expect(world.service().conditions).toEqual([]);
    expect(world.service().finalizers).toEqual([]);
    expect(world.written).toEqual(['patchStatus default/web', 'removeFinalizer default/web']);
    expect(world.reasons()).toEqual(['DeletingLoadBalancer', 'DeletedLoadBalancer']);
  });

  it('B6 a deleted service with the finalizer is cleaned up; one without it is left alone', async () => {
    const world = await settledWorld();
    world.cluster.delete(KEY);
    await world.settle();
    expect(world.cloud.loadBalancers.size).toBe(0);
    expect(world.cluster.service(KEY)).toBeUndefined();
    expect(world.written).toEqual(['removeFinalizer default/web']);

    world.reset();
    world.cluster.create({ name: 'other', deleting: true, finalizers: ['example.com/theirs'] });
    await world.settle();
    expect(world.calls).toEqual([]);
    expect(world.written).toEqual([]);
  });

  it('B8 the deletion of a service that the controller never saw is a no-op without error', async () => {
    const world = await settledWorld({ services: [] });
    const gone = world.cluster.create({ type: 'ClusterIP' });
    await world.settle();
    world.controller.serviceChanged({ type: 'deleted', key: 'default/never', object: gone, via: 'watch' });
    world.cluster.delete(KEY);
    await world.settle();
    expect(world.calls).toEqual([]);
    expect(world.written).toEqual([]);
    expect(await world.metric('service_controller_loadbalancer_sync_total')).toBe(0);
    expect(world.host.lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });

  it('B9 when the provider fails to delete, the finalizer and what is known stay, and the key is retried', async () => {
    const world = await settledWorld();
    world.cloud.failNext('deleteLoadBalancer', new Transient('CloudDown', { message: 'no', remedy: 'Wait' }));
    world.cluster.delete(KEY);
    await world.settle();
    expect(world.service().finalizers).toEqual([FINALIZER]);
    expect(world.controller.runtimes[0]?.has(KEY)).toBe(true);
    expect(world.condition()).toBe('Unknown CloudDown');
    await world.advance(1_000);
    expect(world.cluster.service(KEY)).toBeUndefined();
    expect(world.cloud.loadBalancers.size).toBe(0);
  });

  it('B10 after a successful deletion nothing is remembered', async () => {
    const world = await settledWorld();
    expect(await world.metricReasons(KEY)).toEqual(['Provisioned']);
    world.cluster.delete(KEY);
    await world.settle();
    expect(world.controller.runtimes[0]?.has(KEY)).toBe(false);
    expect(world.controller.inspect.status()).toEqual([]);
    expect(world.controller.inspect.explain(KEY).found).toBe(false);
    expect(await world.metricReasons(KEY)).toEqual([]);
  });

  it('B11 a malformed queue key gives an error and does not block the queue', async () => {
    const world = await settledWorld({ services: [], settings: { concurrentSyncs: 1 } });
    world.controller.enqueue('memory', ['a/b/c', 'no-namespace'], 'a defect of the provider');
    world.cluster.create();
    await world.settle();
    expect(world.condition()).toBe('True Provisioned');
    const failures = world.host.lines.filter(({ message }) => message === 'pass failed');
    expect(failures.map(({ fields }) => fields)).toEqual([
      expect.objectContaining({ key: 'a/b/c', error: expect.stringContaining('NAMESPACE/NAME') }),
      expect.objectContaining({ key: 'no-namespace' }),
    ]);
    expect(await world.metric('service_controller_loadbalancer_sync_total', { outcome: 'error' })).toBe(2);
  });

  it('B12 a re-created service first removes the old load balancer, then builds the new one', async () => {
    const world = await settledWorld();
    world.cluster.holdWatch();
    world.cluster.edit(KEY, { finalizers: [] });
    world.cluster.delete(KEY);
    world.cluster.create({ uid: 'another' });
    world.cluster.releaseWatch();
    await world.settle();
    expect(world.cloud.loadBalancers.get(KEY)?.uid).toBe('another');
    const effects = world.calls.filter((call) => !call.startsWith('describe'));
    expect(effects.slice(-4, -2)).toEqual([
      'deleteLoadBalancer default/web',
      'createLoadBalancer default/web',
    ]);
    expect(world.cloud.violations).toEqual([]);
    expect(world.condition()).toBe('True Provisioned');
  });

  it('B12 also when it was re-created while Berth was away', async () => {
    const world = await settledWorld();
    world.crash();
    world.cluster.edit(KEY, { finalizers: [] });
    world.cluster.delete(KEY);
    world.cluster.create({ uid: 'another' });
    await world.start();
    expect(world.cloud.loadBalancers.get(KEY)?.uid).toBe('another');
    expect(world.cloud.violations).toEqual([]);
    expect(world.addresses()).toBe('198.18.0.2');
  });

  it('B13 adding or removing the finalizer twice sends no second patch', async () => {
    const world = await settledWorld();
    const { writes } = world.cluster;
    const signal = new AbortController().signal;
    await writes.addFinalizer(world.service(), signal);
    expect(world.written).toEqual([]);
    await writes.removeFinalizer(world.service(), signal);
    await writes.removeFinalizer(world.service(), signal);
    expect(world.written).toEqual(['removeFinalizer default/web']);
  });

  it('B14 a Conflict on the status patch is an error of the sync, and the pass is made again', async () => {
    const world = await settledWorld({ services: [] });
    world.cluster.failNext('patchStatus', apiError('ApiConflict', KEY));
    world.cluster.create();
    await world.settle();
    expect(await world.metric('service_controller_loadbalancer_sync_total', { outcome: 'error' })).toBe(1);
    expect(world.condition()).toBe('');
    expect(world.reasons()).toEqual(['EnsuringLoadBalancer']);
    await world.advance(1_000);
    expect(world.condition()).toBe('True Provisioned');
    expect(world.cloud.counts.get('createLoadBalancer')).toBe(1);
  });

  it('B14 NotFound during cleanup is swallowed', async () => {
    const world = await settledWorld();
    world.cluster.failNext('removeFinalizer', apiError('ApiNotFound', KEY));
    world.cluster.edit(KEY, { deleting: true });
    await world.settle();
    expect(await world.metric('service_controller_loadbalancer_sync_total', { outcome: 'error' })).toBe(0);
    expect(world.cloud.loadBalancers.size).toBe(0);
    expect(await world.metric('workqueue_retries_total')).toBe(0);
  });

  it('B15 patches never carry anything of spec or metadata but our own change', async () => {
    const theirs = { finalizers: ['example.com/theirs'], annotations: { 'example.com/note': 'kept' } };
    const world = await startWorld({ services: [theirs] });
    const before = world.service();
    world.cluster.edit(KEY, { ports: [aPort({ nodePort: 30_081 })] });
    await world.settle();
    world.cluster.edit(KEY, { type: 'ClusterIP' });
    await world.settle();
    const after = world.service();
    expect(after).toEqual({
      ...before,
      type: 'ClusterIP',
      ports: [aPort({ nodePort: 30_081 })],
      finalizers: ['example.com/theirs'],
      ingress: [],
      conditions: [],
      resourceVersion: after.resourceVersion,
    });
    for (const { body } of world.cluster.patches) {
      expect(body.metadata.resourceVersion).not.toBe('');
      expect(body.spec).toBeUndefined();
      expect(
        Object.keys(body.metadata).filter((name) => !['resourceVersion', 'finalizers'].includes(name)),
      ).toEqual([]);
    }
  });

  it('B15 conditions of others stay as they are', async () => {
    const theirs = {
      type: 'example.com/Checked',
      status: 'True',
      reason: 'Fine',
      message: 'fine',
      lastTransitionTime: '2030-01-01T00:00:00Z',
    } as const;
    const world = await startWorld({ services: [{ conditions: [theirs] }] });
    expect(world.service().conditions.map(({ type }) => type)).toEqual([
      theirs.type,
      'berth.dev/Provisioned',
    ]);
    world.cluster.edit(KEY, { type: 'ClusterIP' });
    await world.settle();
    expect(world.service().conditions).toEqual([theirs]);
  });

  it.each([
    ['IP', { ip: '192.0.2.99', ipMode: 'VIP', ports: [{ port: 80, protocol: 'TCP' }] }],
    ['hostname', { ip: '198.18.0.1', hostname: 'x', ipMode: 'VIP', ports: [{ port: 80, protocol: 'TCP' }] }],
    ['ipMode', { ip: '198.18.0.1', ipMode: 'Proxy', ports: [{ port: 80, protocol: 'TCP' }] }],
    ['ipMode that is absent', { ip: '198.18.0.1', ports: [{ port: 80, protocol: 'TCP' }] }],
    ['ports count', { ip: '198.18.0.1', ipMode: 'VIP' }],
    ['protocol', { ip: '198.18.0.1', ipMode: 'VIP', ports: [{ port: 80, protocol: 'UDP' }] }],
  ] as const)(
    'B16 a status that differs in %s is written back, an equal one is not',
    async (_what, entry) => {
      const world = await settledWorld();
      const right = world.service().ingress;
      world.cluster.edit(KEY, { ingress: [entry] });
      await world.settle();
      expect(world.service().ingress).toEqual(right);
      expect(world.written).toEqual(['patchStatus default/web']);
      expect(world.cloud.writes).toBe(0);

      world.reset();
      world.cluster.edit(KEY, { ingress: right.map((one) => ({ ...one })), labels: { touched: 'true' } });
      await world.settle();
      expect(world.written).toEqual([]);
    },
  );

  it('B17 a service turned NodePort loses its status address, and another service gets it at once', async () => {
    const world = await settledWorld({
      memory: { pools: [aPool('192.0.2.1/32')] },
      services: [{}, { name: 'waits', createdAtMs: Date.UTC(2031, 0, 1) }],
    });
    expect(world.condition('default/waits')).toBe('False PoolExhausted');
    world.cluster.edit(KEY, { type: 'NodePort' });
    await world.settle();
    expect(world.addresses()).toBe('');
    expect(world.addresses('default/waits')).toBe('192.0.2.1');
    expect(world.clock.monotonic()).toBe(0);
  });

  it('B18 deleting a service frees its address at once for a waiting service', async () => {
    const world = await settledWorld({
      memory: { pools: [aPool('192.0.2.1/32')] },
      services: [{}, { name: 'waits', loadBalancerIP: '192.0.2.1', createdAtMs: Date.UTC(2031, 0, 1) }],
    });
    expect(world.condition('default/waits')).toBe('False AddressInUse');
    world.cluster.delete(KEY);
    await world.settle();
    expect(world.addresses('default/waits')).toBe('192.0.2.1');
    expect(world.cloud.violations).toEqual([]);
    expect(world.clock.monotonic()).toBe(0);
  });

  it.each<[string, Partial<Service>]>([
    ['its source ranges are no CIDRs', { loadBalancerSourceRanges: ['nonsense'] }],
    ['it has no ports', { ports: [] }],
    ['it has an annotation that nobody knows', { annotations: { 'memory.berth.dev/unknown': 'x' } }],
  ])('B19 a service that is deleted while %s leaves nothing behind', async (_what, change) => {
    const world = await settledWorld();
    world.cluster.edit(KEY, change);
    await world.settle();
    expect(world.condition()).toMatch(/^False /);
    world.cluster.delete(KEY);
    await world.settle();
    expect(world.cloud.loadBalancers.size).toBe(0);
    expect(world.cluster.service(KEY)).toBeUndefined();
  });

  it('a deletion that is refused for good says so and keeps the finalizer', async () => {
    const world = await settledWorld();
    const denied = new Denied('QuotaReached', { message: 'no', remedy: 'Ask for more' });
    world.cloud.failNext('deleteListener', denied);
    world.cluster.delete(KEY);
    await world.settle();
    expect(world.condition()).toBe('False QuotaReached');
    expect(world.reasons()).toEqual(['DeletingLoadBalancer', 'QuotaReached']);
    expect(world.service().finalizers).toEqual([FINALIZER]);
  });
});
