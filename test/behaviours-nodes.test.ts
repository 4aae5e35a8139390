/** Behaviours B 25, 26 and C 27-40, 42: changes of Services and nodes as the controller sees them. */
import { describe, expect, it } from 'vitest';
import { LABEL_EXCLUDE_NODE } from '../src/model/names.ts';
import type { Node } from '../src/model/node.ts';
import { Transient } from '../src/model/errors.ts';
import { NODE_WINDOW_MS } from '../src/controller/node-watch.ts';
import { aPool, aPort, ip } from './builders.ts';
import { settledWorld, startWorld, type World } from './world.ts';

const KEY = 'default/web';

/** Names of the nodes that a load balancer has as targets, in order. */
function targets(world: World, key = KEY): readonly string[] | undefined {
  return world.cloud.loadBalancers.get(key)?.targets.map(({ node }) => node);
}

/** Passes so far, whatever came of them. */
function passes(world: World): Promise<number> {
  return world.metric('service_controller_loadbalancer_sync_total');
}

describe('B: what is done about a change of a Service', () => {
  it('B25 changing loadBalancerIP calls the provider with the new address, and the new one is remembered', async () => {
    const world = await settledWorld();
    world.cluster.edit(KEY, { loadBalancerIP: '203.0.113.9' });
    await world.settle();
    expect(world.calls).toEqual(['updateLoadBalancer default/web']);
    expect(world.cloud.loadBalancers.get(KEY)?.frontend.addresses).toEqual(['203.0.113.9']);
    expect(world.addresses()).toBe('203.0.113.9');
    expect(world.written).toEqual(['patchStatus default/web']);
    expect(world.reasons()).toEqual(['EnsuredLoadBalancer']);
    // Asked for again, it is no change any more.
    world.reset();
    world.cluster.edit(KEY, { labels: { any: 'thing' } });
    world.controller.enqueue('memory', [KEY], 'look again');
    await world.settle();
    expect(world.calls).toEqual([]);
    expect(world.written).toEqual([]);
  });

  it.each([
    ['externalTrafficPolicy', { externalTrafficPolicy: 'Local' as const }, true],
    ['selector', { selector: { app: 'other' } }, true],
    ['a label', { labels: { app: 'other' } }, false],
  ])(
    'B26 a change of %s makes sharing be judged again where addresses may be shared',
    async (_what, change, again) => {
      const world = await settledWorld({ memory: { capabilities: { sharing: true } } });
      const before = await passes(world);
      world.cluster.edit(KEY, change);
      await world.settle();
      expect((await passes(world)) - before).toBe(again ? 1 : 0);
    },
  );

  it('B26 a change of the selector is none where addresses are not shared', async () => {
    const world = await settledWorld();
    const before = await passes(world);
    world.cluster.edit(KEY, { selector: { app: 'other' } });
    await world.settle();
    expect(await passes(world)).toBe(before);
  });
});

describe('C: nodes', () => {
  it('B27 without load balancer services a change of nodes makes no provider call', async () => {
    const world = await settledWorld({ services: [{ type: 'ClusterIP' }, { name: 'np', type: 'NodePort' }] });
    world.cluster.addNode({ name: 'node-3' });
    await world.advance(NODE_WINDOW_MS);
    expect(world.calls).toEqual([]);
    expect(world.written).toEqual([]);
  });

  it('B28 of a mixed list only our own load balancer services get host updates', async () => {
    const world = await settledWorld({
      services: [
        { name: 'one' },
        { name: 'two', loadBalancerClass: 'berth.dev/memory' },
        { name: 'foreign', loadBalancerClass: 'example.com/other' },
        { name: 'internal', type: 'ClusterIP' },
        { name: 'going', deleting: true, finalizers: ['example.com/theirs'] },
      ],
    });
    world.cluster.addNode({ name: 'node-3' });
    await world.advance(NODE_WINDOW_MS);
    expect(world.calls.toSorted()).toEqual(['setTargets default/one', 'setTargets default/two']);
  });

  it('B29 a node that joins is exactly one host update for each load balancer, and no API write', async () => {
    const services = Array.from({ length: 20 }, (_, index) => ({ name: `web-${index}` }));
    const world = await settledWorld({ services });
    world.cluster.addNode({ name: 'node-3' });
    await world.advance(NODE_WINDOW_MS);
    expect(world.cloud.counts).toEqual(new Map([['setTargets', 20]]));
    expect(targets(world, 'default/web-7')).toEqual(['node-1', 'node-2', 'node-3']);
    expect(world.written).toEqual([]);
    expect(world.reasons()).toEqual([]);
  });

  it('B29 a hundred nodes that join together are one host update for each load balancer', async () => {
    const world = await settledWorld();
    for (let index = 10; index < 110; index++) world.cluster.addNode({ name: `node-${index}` });
    await world.advance(NODE_WINDOW_MS);
    expect(world.calls).toEqual(['setTargets default/web']);
    expect(targets(world)).toHaveLength(102);
  });

  it.each<[string, Partial<Node>]>([
    ['B30 a node that stops being Ready', { ready: 'False' }],
    ['B33 an unrelated taint', { taints: [{ key: 'example.com/busy', effect: 'NoSchedule' }] }],
    ['B31 the exclude label with the value "false"', { labels: { [LABEL_EXCLUDE_NODE]: 'false' } }],
    ['B34 the same providerID', { providerID: 'test:///node-1' }],
    ['B42 (struck) a node of unknown readiness', { ready: 'Unknown' }],
  ])('%s changes nothing', async (_title, change) => {
    const world = await settledWorld();
    const before = await passes(world);
    world.cluster.editNode('node-1', change);
    await world.advance(NODE_WINDOW_MS);
    expect(world.calls).toEqual([]);
    expect(await passes(world)).toBe(before);
    expect(targets(world)).toEqual(['node-1', 'node-2']);
  });

  it('B42 (struck) readiness changes nothing: unready nodes stay targets even when all of them are', async () => {
    const world = await startWorld({
      services: [{}],
      nodes: [
        { name: 'node-1', ready: 'False' },
        { name: 'node-2', ready: 'Unknown' },
        { name: 'node-3', ready: 'True' },
      ],
    });
    expect(targets(world)).toEqual(['node-1', 'node-2', 'node-3']);
    world.reset();
    world.cluster.editNode('node-3', { ready: 'False' });
    await world.advance(NODE_WINDOW_MS);
    expect(world.calls).toEqual([]);
  });

  it.each<[string, Partial<Node>]>([
    ['B31 the exclude label, empty', { labels: { [LABEL_EXCLUDE_NODE]: '' } }],
    ['B31 the exclude label "true"', { labels: { [LABEL_EXCLUDE_NODE]: 'true' } }],
    ['B31 the exclude label "foo"', { labels: { [LABEL_EXCLUDE_NODE]: 'foo' } }],
    [
      'B32 the autoscaler taint',
      { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] },
    ],
    ['B32 the Karpenter taint', { taints: [{ key: 'karpenter.sh/disrupted', effect: 'NoSchedule' }] }],
    ['B32 a deletionTimestamp', { deleting: true }],
    [
      'B39 the exclude label together with a flip of Ready',
      { labels: { [LABEL_EXCLUDE_NODE]: '' }, ready: 'False' },
    ],
  ])('%s takes the node out with one update, and back in when it goes', async (_title, change) => {
    const world = await settledWorld();
    world.cluster.editNode('node-1', change);
    await world.advance(NODE_WINDOW_MS);
    expect(targets(world)).toEqual(['node-2']);
    world.cluster.editNode('node-1', { labels: {}, taints: [], deleting: false });
    await world.advance(NODE_WINDOW_MS);
    expect(targets(world)).toEqual(['node-1', 'node-2']);
    expect(world.calls).toEqual(['setTargets default/web', 'setTargets default/web']);
  });

  it.each<[string, Partial<Node>, Partial<Node>]>([
    ['B34 another providerID', { providerID: 'test:///old' }, { providerID: 'test:///new' }],
    ['B35 a providerID that is filled in', { providerID: '' }, { providerID: 'test:///new' }],
    ['B39 another address', {}, { addresses: [{ type: 'InternalIP', address: ip('192.0.2.99') }] }],
  ])('%s is one update', async (_title, before, after) => {
    const world = await settledWorld({ nodes: [{ name: 'node-1', ...before }] });
    world.cluster.editNode('node-1', after);
    await world.advance(NODE_WINDOW_MS);
    expect(world.calls).toEqual(['setTargets default/web']);
    expect(world.written).toEqual([]);
  });

  it('B36 a node update that fails for one service is retried for this one alone, by a full pass', async () => {
    const world = await settledWorld({ services: [{ name: 'one' }, { name: 'two' }, { name: 'three' }] });
    world.cloud.failNext('setTargets', new Transient('CloudDown', { message: 'no', remedy: 'Wait' }));
    world.cluster.addNode({ name: 'node-3' });
    await world.advance(NODE_WINDOW_MS);
    const failed = ['default/one', 'default/two', 'default/three'].filter(
      (key) => targets(world, key)?.length === 2,
    );
    expect(failed).toHaveLength(1);
    expect(await world.metric('service_controller_nodesync_error_total')).toBe(1);
    expect(await world.metric('service_controller_nodesync_latency_seconds')).toBe(0);
    const [key = ''] = failed;
    expect(world.condition(key)).toBe('Unknown CloudDown');
    world.reset();
    await world.advance(1_000);
    expect(world.calls).toEqual([`describe ${key}`, `setTargets ${key}`]);
    expect(world.condition(key)).toBe('True Provisioned');
  });

  it.each([1, 3])(
    'B37 a node update that fails for every service is retried for every one (%d workers)',
    async (workers) => {
      const services = ['one', 'two', 'three', 'four'].map((name) => ({ name }));
      const world = await settledWorld({ services, settings: { concurrentSyncs: workers } });
      for (const _ of services)
        world.cloud.failNext('setTargets', new Transient('CloudDown', { message: 'no', remedy: 'Wait' }));
      world.cluster.addNode({ name: 'node-3' });
      await world.advance(NODE_WINDOW_MS);
      expect(services.map(({ name }) => targets(world, `default/${name}`)?.length)).toEqual([2, 2, 2, 2]);
      await world.advance(1_000);
      expect(services.map(({ name }) => targets(world, `default/${name}`)?.length)).toEqual([3, 3, 3, 3]);
      expect(world.cloud.violations).toEqual([]);
    },
  );

  it('B38 a service synced in the middle of a slow node sync ends with the newest nodes, without a further update', async () => {
    const world = await settledWorld({
      services: [{ name: 'one' }, { name: 'two' }],
      settings: { concurrentSyncs: 1 },
    });
    world.cloud.latencyMs = 1_000;
    world.cluster.addNode({ name: 'node-3' });
    await world.advance(NODE_WINDOW_MS);
    // The pass over the first one is under way; nodes and the second Service change meanwhile.
    world.cluster.addNode({ name: 'node-4' });
    world.cluster.edit('default/two', { ports: [aPort({ nodePort: 30_099 })] });
    await world.advance(10_000);
    const all = ['node-1', 'node-2', 'node-3', 'node-4'];
    expect(targets(world, 'default/one')).toEqual(all);
    expect(targets(world, 'default/two')).toEqual(all);
    const updates = (key: string): number =>
      world.calls.filter((call) => call === `setTargets ${key}`).length;
    expect(updates('default/one')).toBe(2);
    expect(updates('default/two')).toBe(1);
  });

  it('B40 with no usable node the provider gets an empty list, and a warning says so once', async () => {
    const world = await settledWorld({ nodes: ['node-1'] });
    world.cluster.editNode('node-1', { deleting: true });
    await world.advance(NODE_WINDOW_MS);
    expect(targets(world)).toEqual([]);
    expect(world.calls).toEqual(['setTargets default/web']);
    expect(world.cluster.told).toEqual([
      expect.objectContaining({ type: 'Warning', reason: 'UnAvailableLoadBalancer' }),
    ]);
    expect(world.cluster.told[0]?.message).toMatch(/\. Add a node/);
    world.controller.enqueue('memory', [KEY], 'look again');
    await world.settle();
    expect(world.reasons()).toEqual(['UnAvailableLoadBalancer']);
  });

  it('nodes do not matter to a provider that targets nothing', async () => {
    const world = await settledWorld({ memory: { capabilities: { targets: 'none' } } });
    const before = await passes(world);
    world.cluster.addNode({ name: 'node-3' });
    await world.advance(NODE_WINDOW_MS);
    expect(await passes(world)).toBe(before);
    expect(targets(world)).toEqual([]);
  });

  it('a service that waits for an edit is not told again what is wrong when a node joins', async () => {
    const world = await settledWorld({
      services: [{ loadBalancerSourceRanges: ['nonsense'] }],
      memory: { pools: [aPool('192.0.2.0/28')] },
    });
    expect(world.condition()).toBe('False InvalidSourceRange');
    world.cluster.addNode({ name: 'node-3' });
    await world.advance(NODE_WINDOW_MS);
    expect(world.written).toEqual([]);
    expect(world.reasons()).toEqual([]);
    // After an edit that does not mend it, it is.
    world.cluster.edit(KEY, { loadBalancerSourceRanges: ['nonsense', '10.0.0.0/8'] });
    await world.settle();
    expect(world.reasons()).toEqual(['InvalidSourceRange']);
  });
});
