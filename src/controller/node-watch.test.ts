import { describe, expect, it } from 'vitest';
import { aNode, ManualClock } from '../../test/builders.ts';
import { FakeCluster } from '../../test/fake-cluster.ts';
import { NODE_WINDOW_MS, NodeWatch } from './node-watch.ts';

function watched(names: readonly string[] = ['node-1']) {
  const clock = new ManualClock();
  const cluster = new FakeCluster(clock);
  const changes: number[] = [];
  const watch = new NodeWatch({ nodes: cluster.nodes, clock, withLabels: false }, (since) =>
    changes.push(since),
  );
  for (const name of names) cluster.addNode({ name });
  cluster.onNode = (event) => watch.changed(event);
  watch.refresh();
  return { clock, cluster, changes, watch };
}

describe('NodeWatch', () => {
  it('tells of a hundred nodes that join within the window once, and since when', async () => {
    const { clock, cluster, changes, watch } = watched();
    await clock.advance(1_000);
    for (let index = 0; index < 100; index++) {
      cluster.addNode({ name: `new-${index}` });
      await clock.advance(1);
    }
    expect(changes).toEqual([]);
    expect(watch.pending).toBe(true);
    await clock.advance(NODE_WINDOW_MS - 100);
    expect(changes).toEqual([1_000]);
    expect(watch.targets).toHaveLength(101);
    expect(watch.pending).toBe(false);
  });

  it('is never late by more than its window, however many events follow', async () => {
    const { clock, cluster, changes } = watched();
    for (let index = 0; index < 30; index++) {
      cluster.addNode({ name: `new-${index}` });
      await clock.advance(50);
    }
    // One change each 200 ms, and not one after the last event.
    expect(changes.length).toBeGreaterThanOrEqual(6);
  });

  it('does not even begin a window for what no load balancer can see', async () => {
    const { clock, cluster, changes } = watched();
    cluster.editNode('node-1', { ready: 'False', labels: { any: 'thing' } });
    cluster.editNode('node-1', { taints: [{ key: 'example.com/busy', effect: 'NoSchedule' }] });
    expect(clock.pending).toBe(0);
    cluster.editNode('node-1', { providerID: 'test:///other' });
    expect(clock.pending).toBe(1);
    await clock.advance(NODE_WINDOW_MS);
    expect(changes).toHaveLength(1);
  });

  it('says nothing when all is as before at the end of the window', async () => {
    const { clock, cluster, changes } = watched();
    cluster.addNode({ name: 'brief' });
    cluster.removeNode('brief');
    await clock.advance(NODE_WINDOW_MS);
    expect(changes).toEqual([]);
    cluster.addNode({ name: 'stays' });
    await clock.advance(NODE_WINDOW_MS);
    expect(changes).toHaveLength(1);
  });

  it('keeps the same list until something changes, so that desired states can share it', async () => {
    const { clock, cluster, watch } = watched(['node-2', 'node-1']);
    const before = watch.targets;
    expect(before.map(({ node }) => node)).toEqual(['node-1', 'node-2']);
    cluster.editNode('node-1', { ready: 'False' });
    await clock.advance(NODE_WINDOW_MS);
    expect(watch.refresh()).toBe(false);
    expect(watch.targets).toBe(before);
  });

  it('tells of a node that went, of one that never mattered it does not', async () => {
    const { clock, cluster, changes, watch } = watched(['node-1', 'node-2']);
    cluster.addNode({ ...aNode({ name: 'leaving' }), deleting: true });
    await clock.advance(NODE_WINDOW_MS);
    expect(changes).toEqual([]);
    cluster.removeNode('leaving');
    await clock.advance(NODE_WINDOW_MS);
    expect(changes).toEqual([]);
    cluster.removeNode('node-1');
    await clock.advance(NODE_WINDOW_MS);
    expect(changes).toHaveLength(1);
    expect(watch.targets.map(({ node }) => node)).toEqual(['node-2']);
  });

  it('forgets a window when it is closed', async () => {
    const { clock, cluster, changes, watch } = watched();
    cluster.addNode({ name: 'late' });
    watch.close();
    await clock.advance(NODE_WINDOW_MS);
    expect(changes).toEqual([]);
    expect(clock.pending).toBe(0);
  });
});
