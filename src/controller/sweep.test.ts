import { describe, expect, it } from 'vitest';
import { aPool, aPort } from '../../test/builders.ts';
import { settledWorld, type World, type WorldOptions } from '../../test/world.ts';
import { Transient } from '../model/errors.ts';
import { ANNOTATION_PAUSED } from '../model/names.ts';
import { ORPHAN_GRACE_MS } from './sweep.ts';

const KEY = 'default/web';
const HOUR_MS = 3_600_000;
/** A little more than the longest time between two sweeps of a world. */
const SWEEP_MS = 660_000;

/** A world with a load balancer that belongs to nobody. */
async function withOrphan(options: WorldOptions = {}): Promise<World> {
  const world = await settledWorld(options);
  await world.cloud.createLoadBalancer(
    { key: 'default/orphan', uid: 'gone' },
    {
      families: ['IPv4'],
      addresses: [],
      sourceRanges: [],
      clientIPAffinitySeconds: 0,
      healthCheck: 'default',
      idleTimeoutSeconds: 60,
    },
    new AbortController().signal,
  );
  world.reset();
  return world;
}

function sweep(world: World): ReturnType<World['controller']['sweep']> {
  return world.controller.sweep(new AbortController().signal);
}

describe('drift', () => {
  it('is planned back by enforce', async () => {
    const world = await settledWorld();
    world.cloud.tamper(KEY, (now) => ({ ...now, targets: [] }));
    const [report] = await sweep(world);
    expect(report?.drifted).toEqual([
      { key: KEY, steps: [expect.objectContaining({ verb: 'create', resource: 'targets' })] },
    ]);
    await world.settle();
    expect(world.calls).toEqual(['describe *', 'setTargets default/web']);
    expect(world.cloud.loadBalancers.get(KEY)?.targets).toHaveLength(2);
    expect(world.written).toEqual([]);
    expect(await world.metric('berth_drift_total', { provider: 'memory' })).toBe(1);
    const told = world.cluster.told.find(({ reason }) => reason === 'DriftDetected');
    expect(told).toMatchObject({ key: KEY, type: 'Warning' });
    expect(told?.message).toMatch(/^create targets all: .*planned back/);
  });

  it('is only reported by observe', async () => {
    const world = await settledWorld({ settings: { drift: 'observe' } });
    world.cloud.tamper(KEY, (now) => ({ ...now, targets: [] }));
    const [report] = await sweep(world);
    expect(report?.drifted.map(({ key }) => key)).toEqual([KEY]);
    await world.settle();
    expect(world.calls).toEqual(['describe *']);
    expect(await world.metric('berth_drift_total')).toBe(1);
    expect(world.controller.inspect.plan().map(({ key }) => key)).toEqual([KEY]);
  });

  it('is found on a jittered schedule', async () => {
    const world = await settledWorld({ random: () => 0 });
    await world.advance(539_999);
    expect(world.calls).toEqual([]);
    await world.advance(1);
    expect(world.calls).toEqual(['describe *']);
    await world.advance(540_000);
    expect(world.calls).toEqual(['describe *', 'describe *']);
    const late = await settledWorld({ random: () => 0.999_999 });
    await late.advance(659_999);
    expect(late.calls).toEqual([]);
    await late.advance(1);
    expect(late.calls).toEqual(['describe *']);
  });

  it('is put right when the whole load balancer is gone, with the same address', async () => {
    const world = await settledWorld({ memory: { pools: [aPool('192.0.2.0/28')] } });
    const before = world.addresses();
    world.cloud.tamper(KEY, () => undefined);
    await world.advance(SWEEP_MS);
    expect(world.cloud.loadBalancers.get(KEY)?.frontend.addresses).toEqual([before]);
    expect(world.addresses()).toBe(before);
  });

  it('is none when nothing differs: one read, nothing else', async () => {
    const world = await settledWorld({ services: [{ name: 'one' }, { name: 'two' }] });
    await world.advance(SWEEP_MS);
    expect(world.calls).toEqual(['describe *']);
    expect(world.written).toEqual([]);
    expect(await world.metric('berth_drift_total')).toBe(0);
    expect(world.cluster.quorumLists).toBe(0);
  });

  it('is not what a Service has that waits for an edit, is paused, or is at work', async () => {
    const world = await settledWorld({
      services: [{ name: 'wrong' }, { name: 'frozen' }, { name: 'busy' }],
    });
    world.cluster.edit('default/wrong', { loadBalancerSourceRanges: ['nonsense'] });
    world.cluster.edit('default/frozen', {
      annotations: { [ANNOTATION_PAUSED]: 'true' },
      ports: [aPort({ port: 81 })],
    });
    await world.settle();
    world.cloud.failNext('updateListener', new Transient('CloudDown', { message: 'no', remedy: 'Wait' }));
    world.cluster.edit('default/busy', { ports: [aPort({ nodePort: 30_099 })] });
    await world.settle();
    const [report] = await sweep(world);
    expect(report?.drifted).toEqual([]);
  });

  it('is not what a step did while everything was read', async () => {
    const world = await settledWorld();
    world.cloud.latencyMs = 1_000;
    const swept = sweep(world);
    world.cloud.latencyMs = 10;
    world.cluster.edit(KEY, { ports: [aPort({ nodePort: 30_099 })] });
    await world.advance(500);
    expect(world.condition()).toBe('True Provisioned');
    await world.advance(500);
    const [report] = await swept;
    expect(report?.drifted).toEqual([]);
    await world.advance(1_000);
    expect(world.cloud.counts.get('updateListener')).toBe(1);
  });

  it('cannot be told when the provider cannot be read; the schedule goes on', async () => {
    const world = await settledWorld();
    world.cloud.failNext('describe', new Transient('CloudDown', { message: 'no', remedy: 'Wait' }));
    world.cloud.tamper(KEY, (now) => ({ ...now, targets: [] }));
    await world.advance(SWEEP_MS);
    expect(world.controller.lastSweep).toEqual([
      { provider: 'memory', drifted: [], orphans: [], error: 'no. Wait.' },
    ]);
    expect(world.condition()).toBe('True Provisioned');
    await world.advance(SWEEP_MS);
    expect(world.cloud.loadBalancers.get(KEY)?.targets).toHaveLength(2);
  });
});

describe('orphans', () => {
  it('are reported with their age and never touched unless that was asked for', async () => {
    const world = await withOrphan();
    await sweep(world);
    await world.advance(5 * HOUR_MS);
    const [report] = await sweep(world);
    expect(report?.orphans).toEqual([
      { provider: 'memory', key: 'default/orphan', uid: 'gone', ageMs: 5 * HOUR_MS, ripe: true },
    ]);
    expect(await world.metric('berth_orphans', { provider: 'memory' })).toBe(1);
    expect(world.cloud.loadBalancers.has('default/orphan')).toBe(true);
    expect(world.cloud.writes).toBe(0);
  });

  it('are deleted, when asked to, after an hour', async () => {
    const world = await withOrphan({ settings: { deleteOrphans: true, sweepIntervalMs: 100 * HOUR_MS } });
    await sweep(world);
    await world.advance(ORPHAN_GRACE_MS - 1);
    await sweep(world);
    await world.settle();
    expect(world.cloud.loadBalancers.has('default/orphan')).toBe(true);
    await world.advance(1);
    await sweep(world);
    await world.settle();
    expect(world.cloud.loadBalancers.has('default/orphan')).toBe(false);
    expect(world.cloud.loadBalancers.has(KEY)).toBe(true);
    expect(world.cloud.violations).toEqual([]);
    await sweep(world);
    expect(await world.metric('berth_orphans')).toBe(0);
  });

  it('need two complete quorum lists, however old they are', async () => {
    const world = await withOrphan({ settings: { deleteOrphans: true, sweepIntervalMs: 100 * HOUR_MS } });
    world.cluster.quorumError = new Error('the list broke off');
    await sweep(world);
    await world.advance(2 * HOUR_MS);
    const [failed] = await sweep(world);
    expect(failed).toMatchObject({ orphans: [], error: expect.stringContaining('broke off') });
    world.cluster.quorumError = undefined;
    const [first] = await sweep(world);
    expect(first?.orphans).toMatchObject([{ ageMs: 0, ripe: false }]);
    await world.advance(2 * HOUR_MS);
    const [second] = await sweep(world);
    expect(second?.orphans).toMatchObject([{ ripe: true }]);
    expect(world.cluster.quorumLists).toBe(4);
  });

  it('are none when the cache is merely behind: the quorum list knows the Service', async () => {
    const world = await withOrphan({ settings: { deleteOrphans: true, sweepIntervalMs: 100 * HOUR_MS } });
    world.cluster.holdWatch();
    world.cluster.create({ name: 'orphan', uid: 'gone' });
    await sweep(world);
    await world.advance(2 * HOUR_MS);
    const [report] = await sweep(world);
    expect(report?.orphans).toEqual([]);
    expect(world.cloud.loadBalancers.has('default/orphan')).toBe(true);
  });

  it('begin a new age when they belonged to somebody in between', async () => {
    const world = await withOrphan({ settings: { deleteOrphans: true, sweepIntervalMs: 100 * HOUR_MS } });
    await sweep(world);
    world.cluster.create({ name: 'orphan', uid: 'gone', annotations: { [ANNOTATION_PAUSED]: 'true' } });
    await world.advance(2 * HOUR_MS);
    await sweep(world);
    world.cluster.delete('default/orphan');
    await world.settle();
    const [report] = await sweep(world);
    expect(report?.orphans).toMatchObject([{ ageMs: 0, ripe: false }]);
  });

  it('are not deleted when what is there by then belongs to another UID', async () => {
    const world = await withOrphan({
      settings: { deleteOrphans: true, sweepIntervalMs: 100 * HOUR_MS, concurrentSyncs: 1 },
    });
    await sweep(world);
    await world.advance(2 * HOUR_MS);
    const stopped = Promise.withResolvers<void>();
    world.cluster.beforeWrite = () => stopped.promise;
    world.cluster.create({ name: 'busy' });
    await world.settle();
    await sweep(world);
    // The only worker is busy: the deletion was asked for and has not begun.
    const state = world.controller.runtimes[0]!.state;
    const orphan = state.view.loadBalancers.get('default/orphan')!;
    state.set('default/orphan', { ...orphan, uid: 'somebody' });
    stopped.resolve();
    await world.settle();
    expect(world.condition('default/busy')).toBe('True Provisioned');
    expect(world.cloud.loadBalancers.has('default/orphan')).toBe(true);
  });

  it.each([
    ['ClusterIP', { type: 'ClusterIP' as const }],
    ['of a foreign class', { loadBalancerClass: 'example.com/other' }],
  ])('are deleted although a Service of their name exists that is %s', async (_what, change) => {
    const world = await withOrphan({ settings: { deleteOrphans: true, sweepIntervalMs: 100 * HOUR_MS } });
    world.cluster.create({ name: 'orphan', uid: 'other', ...change });
    await sweep(world);
    await world.advance(2 * HOUR_MS);
    await sweep(world);
    await world.settle();
    expect(world.cloud.loadBalancers.has('default/orphan')).toBe(false);
    expect(world.written).toEqual([]);
  });

  it('keep their address from others while they exist', async () => {
    const world = await settledWorld({ memory: { pools: [aPool('192.0.2.1/32')] } });
    world.cluster.edit(KEY, { finalizers: [] });
    world.cluster.edit(KEY, { annotations: { [ANNOTATION_PAUSED]: 'true' }, finalizers: [] });
    await world.settle();
    world.cluster.delete(KEY);
    world.cluster.create({ name: 'waits' });
    await world.settle();
    expect(world.condition('default/waits')).toBe('False PoolExhausted');
    expect(world.cloud.loadBalancers.has(KEY)).toBe(true);
  });

  it('free their address for those who wait for it when they go, by our hand or by another', async () => {
    const pools = [aPool('192.0.2.1/32')];
    const settings = { deleteOrphans: true, sweepIntervalMs: 100 * HOUR_MS };
    for (const byHand of [true, false]) {
      const world = await settledWorld({ memory: { pools }, settings });
      world.crash();
      world.cluster.edit(KEY, { finalizers: [] });
      world.cluster.delete(KEY);
      world.cluster.create({ name: 'waits' });
      await world.start();
      expect(world.condition('default/waits')).toBe('False PoolExhausted');
      await sweep(world);
      await world.advance(2 * HOUR_MS);
      if (byHand) world.cloud.tamper(KEY, () => undefined);
      await sweep(world);
      await world.settle();
      expect(world.addresses('default/waits')).toBe('192.0.2.1');
    }
  });

  it('are none while a Service that is paused or being cleaned up has them', async () => {
    const world = await settledWorld({ services: [{}, { name: 'frozen' }] });
    world.cluster.edit('default/frozen', { annotations: { [ANNOTATION_PAUSED]: 'true' }, deleting: true });
    world.cloud.failNext('deleteListener', new Transient('CloudDown', { message: 'no', remedy: 'Wait' }));
    world.cluster.edit(KEY, { type: 'ClusterIP' });
    await world.settle();
    const [report] = await sweep(world);
    expect(report?.orphans).toEqual([]);
  });
});
