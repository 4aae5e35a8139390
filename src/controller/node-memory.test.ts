import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../test/builders.ts';
import { FakeCluster } from '../../test/fake-cluster.ts';
import { NodeMemory, type NodeStore } from './node-memory.ts';
import { NODE_WINDOW_MS, NodeWatch } from './node-watch.ts';

/** A Lease that keeps what it is told. */
class Lease implements NodeStore {
  remembered: string | undefined;
  readonly writes: (string | undefined)[] = [];

  remember(nodes: string | undefined): void {
    this.remembered = nodes;
    this.writes.push(nodes);
  }
}

function process(lease: Lease | undefined, cluster: FakeCluster, clock: ManualClock) {
  const watch = new NodeWatch({ nodes: cluster.nodes, clock, withLabels: false }, () =>
    memory.changing(['a', 'b']),
  );
  cluster.onNode = (event) => watch.changed(event);
  watch.refresh();
  // As the Lease was when it was acquired.
  const store =
    lease === undefined ? undefined : { remembered: lease.remembered, remember: lease.remember.bind(lease) };
  const memory: NodeMemory = new NodeMemory(watch, store);
  return memory;
}

function beginning() {
  const clock = new ManualClock();
  const cluster = new FakeCluster(clock);
  cluster.addNode({ name: 'node-1' });
  return { clock, cluster, lease: new Lease() };
}

describe('NodeMemory', () => {
  it('remembers the nodes once every load balancer has them, and tells the next process', () => {
    const { clock, cluster, lease } = beginning();
    const memory = process(lease, cluster, clock);
    expect(memory.sameNodes).toBe(false);
    memory.expect(['a', 'b']);
    memory.passed('a', true);
    memory.passed('b', false);
    expect(lease.writes).toEqual([]);
    memory.passed('b', true);
    expect(lease.writes).toHaveLength(1);
    expect(process(lease, cluster, clock).sameNodes).toBe(true);
  });

  it('forgets them before the first load balancer is changed', async () => {
    const { clock, cluster, lease } = beginning();
    const memory = process(lease, cluster, clock);
    memory.expect(['a']);
    memory.passed('a', true);
    cluster.addNode({ name: 'node-2' });
    // A change that waits for its window to end is one already.
    memory.passed('a', true);
    await clock.advance(NODE_WINDOW_MS);
    expect(lease.writes.at(-1)).toBeUndefined();
    memory.passed('a', true);
    expect(lease.remembered).toBeUndefined();
    memory.passed('b', true);
    expect(lease.remembered).toBeDefined();
    expect(process(lease, cluster, clock).sameNodes).toBe(true);
  });

  it('knows that the nodes are others than those that were remembered', () => {
    const { clock, cluster, lease } = beginning();
    process(lease, cluster, clock).passed('a', true);
    cluster.onNode = () => {};
    cluster.addNode({ name: 'node-2' });
    expect(process(lease, cluster, clock).sameNodes).toBe(false);
    cluster.removeNode('node-2');
    expect(process(lease, cluster, clock).sameNodes).toBe(true);
  });

  it('writes nothing while nothing changes', () => {
    const { clock, cluster, lease } = beginning();
    const memory = process(lease, cluster, clock);
    for (let pass = 0; pass < 5; pass++) memory.passed('a', true);
    expect(lease.writes).toHaveLength(1);
    const next = process(lease, cluster, clock);
    next.passed('a', true);
    expect(lease.writes).toHaveLength(1);
  });

  it('remembers nothing without a Lease', () => {
    const { clock, cluster } = beginning();
    const memory = process(undefined, cluster, clock);
    memory.passed('a', true);
    expect(memory.sameNodes).toBe(false);
  });
});
