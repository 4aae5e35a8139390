import { describe, expect, it } from 'vitest';
import { aLoadBalancer, aPool, aPort, aService, aTarget } from '../../test/builders.ts';
import { settledWorld, World, type WorldOptions } from '../../test/world.ts';
import { Transient } from '../model/errors.ts';
import { ANNOTATION_APPLIED, ANNOTATION_PAUSED, FINALIZER } from '../model/names.ts';
import type { Service } from '../model/service.ts';
import { createMemoryProvider, MemoryCloud, type MemoryProviderOptions } from '../provider/memory.ts';
import type { Provider, Recollection } from '../provider/spi.ts';
import { appliedAnnotation, recollections, specHash } from './applied.ts';
import { NODE_WINDOW_MS } from './node-watch.ts';

const KEY = 'default/web';

/** A memory provider that remembers, and keeps what it was given back. */
function remembering(
  cloud: MemoryCloud,
  options: MemoryProviderOptions & { planner?: string; given?: Given[]; ids?: () => string } = {},
): Provider {
  const { planner = '1', given = [], ids = () => 'id-1', ...memory } = options;
  const provider = createMemoryProvider(cloud, memory) as Provider;
  return {
    ...provider,
    planner,
    remember: ids,
    observe(signal, keys, recollected) {
      if (keys === undefined) given.push(recollected);
      return provider.observe(signal, keys);
    },
  };
}
type Given = ReadonlyMap<string, Recollection> | undefined;

function worldWith(options: Parameters<typeof remembering>[1] = {}, rest: WorldOptions = {}): Promise<World> {
  return settledWorld({ ...rest, providers: (cloud) => [remembering(cloud, options)] });
}

describe('the annotation of what was applied', () => {
  it('travels in the status patch, and is written once', async () => {
    const world = await new World({ services: [{}], providers: (cloud) => [remembering(cloud)] }).start();
    expect(world.written).toEqual(['addFinalizer default/web', 'patchStatus default/web']);
    expect(JSON.parse(world.service().annotations[ANNOTATION_APPLIED] ?? '')).toEqual({
      uid: 'uid-of-web',
      provider: 'memory',
      planner: '1',
      spec: expect.stringMatching(/^[0-9a-f]{16}$/),
      ids: 'id-1',
    });
    world.reset();
    world.controller.enqueue('memory', [KEY], 'look again');
    await world.settle();
    expect(world.written).toEqual([]);
  });

  it.each([false, true])(
    'is no edit of somebody else when its echo comes (watch faster: %s)',
    async (faster) => {
      const world = new World({ services: [], providers: (cloud) => [remembering(cloud)] });
      world.cluster.watchIsFaster = faster;
      await world.start();
      world.cluster.create();
      await world.settle();
      expect(await world.metric('service_controller_loadbalancer_sync_total')).toBe(1);
      expect(world.reasons()).toEqual(['EnsuringLoadBalancer', 'EnsuredLoadBalancer']);
    },
  );

  it('does not change with the nodes: a node that joins causes no API write', async () => {
    const world = await worldWith();
    world.cluster.addNode({ name: 'node-3' });
    await world.advance(NODE_WINDOW_MS);
    expect(world.calls).toEqual(['setTargets default/web']);
    expect(world.written).toEqual([]);
  });

  it('is not written before everything is done', async () => {
    const world = await worldWith({}, { services: [] });
    world.cloud.failNext('createListener', new Transient('CloudDown', { message: 'no', remedy: 'Wait' }));
    world.cluster.create();
    await world.settle();
    expect(world.condition()).toBe('Unknown CloudDown');
    expect(world.service().annotations[ANNOTATION_APPLIED]).toBeUndefined();
    await world.advance(1_000);
    expect(world.service().annotations[ANNOTATION_APPLIED]).toBeDefined();
  });

  it('is left out when it would be too long for an annotation', () => {
    const provider = remembering(new MemoryCloud(), { ids: () => 'x'.repeat(40_000) });
    expect(appliedAnnotation(provider, aLoadBalancer(), { uid: 'u' })).toEqual({
      [ANNOTATION_APPLIED]: null,
    });
    expect(appliedAnnotation(remembering(new MemoryCloud()), aLoadBalancer(), undefined)).toEqual({});
  });

  it('is given back after a restart, and to nobody else', async () => {
    const given: Given[] = [];
    const world = await worldWith({ given }, { services: [{ name: 'one' }, { name: 'two' }] });
    world.crash();
    world.cluster.edit('default/two', { ports: [aPort({ nodePort: 30_099 })] });
    await world.start();
    expect(given[0]).toEqual(new Map());
    expect([...(given[1]?.keys() ?? [])]).toEqual(['default/one']);
    expect(given[1]?.get('default/one')).toMatchObject({ remembered: 'id-1', sameTargets: false });
    expect(world.condition('default/two')).toBe('True Provisioned');
  });

  it('does not make a restart assign addresses before the statuses are read', async () => {
    const pools = [aPool('192.0.2.0/28')];
    const services = ['a', 'b', 'c'].map((name) => ({ name }));
    const world = await worldWith({ pools }, { services });
    world.cluster.delete('default/a');
    await world.settle();
    expect(world.addresses('default/b')).toBe('192.0.2.1');
    await world.restart();
    expect(world.addresses('default/b')).toBe('192.0.2.1');
    expect(world.addresses('default/c')).toBe('192.0.2.2');
    expect(world.cloud.counts.get('updateLoadBalancer')).toBeUndefined();
  });
});

describe('recollections', () => {
  const provider = remembering(new MemoryCloud());
  const wanted = aLoadBalancer();
  const written = appliedAnnotation(provider, wanted, { uid: wanted.uid })[ANNOTATION_APPLIED] ?? '';
  const service = aService({ finalizers: [FINALIZER], annotations: { [ANNOTATION_APPLIED]: written } });

  function keysOf(one: Service, by: Provider = provider, desired = wanted): readonly string[] {
    return [...(recollections(by, [one], { desired: () => desired, sameTargets: true })?.keys() ?? [])];
  }

  it('has what is wanted unchanged', () => {
    expect(keysOf(service)).toEqual([KEY]);
  });

  it('does not look at targets: those are remembered elsewhere', () => {
    expect(keysOf(service, provider, aLoadBalancer({ targets: [aTarget({ node: 'other' })] }))).toEqual([
      KEY,
    ]);
    expect(specHash(aLoadBalancer({ targets: [] }))).toBe(specHash(wanted));
    expect(specHash(aLoadBalancer({ ports: [] }))).not.toBe(specHash(wanted));
  });

  it.each<[string, Partial<Service>]>([
    ['without our finalizer', { finalizers: [] }],
    ['that is going', { deleting: true }],
    ['that is frozen', { annotations: { ...service.annotations, [ANNOTATION_PAUSED]: 'true' } }],
    ['that the annotation was copied to', { uid: 'another' }],
    ['whose annotation somebody edited', { annotations: { [ANNOTATION_APPLIED]: `${written}}` } }],
    ['whose annotation is something else', { annotations: { [ANNOTATION_APPLIED]: '"text"' } }],
    ['without an annotation', { annotations: {} }],
  ])('does not have a Service %s', (_what, change) => {
    expect(keysOf({ ...service, ...change })).toEqual([]);
  });

  it('has nothing of another provider, planner or specification', () => {
    expect(keysOf(service, { ...provider, name: 'other' })).toEqual([]);
    expect(keysOf(service, { ...provider, planner: '2' })).toEqual([]);
    expect(keysOf(service, provider, aLoadBalancer({ ports: [aPort({ port: 81 })] }))).toEqual([]);
  });

  it('is nothing at all for a provider that remembers nothing', () => {
    const forgetful = createMemoryProvider(new MemoryCloud()) as Provider;
    expect(recollections(forgetful, [service], { desired: () => wanted, sameTargets: true })).toBeUndefined();
  });
});
