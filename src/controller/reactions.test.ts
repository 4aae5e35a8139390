import { describe, expect, it } from 'vitest';
import { settledWorld, type World } from '../../test/world.ts';
import { aPort } from '../../test/builders.ts';
import {
  Conflict,
  Denied,
  InvalidSpec,
  NotOwned,
  NotReady,
  Throttled,
  Transient,
  Unsupported,
  type BerthError,
  type ErrorKind,
} from '../model/errors.ts';
import { REACTIONS } from './reactions.ts';

const KEY = 'default/web';
const details = { message: 'it went wrong', remedy: 'Do something about it' };

/** Half of the first ceiling of the back-off, which is what the world's randomness makes of it. */
const BACKOFF_MS = 500;

interface Row {
  readonly error: BerthError;
  /** Milliseconds until the key is worked on again by itself; `undefined`: not before an edit. */
  readonly againAfterMs: number | undefined;
  readonly event: boolean;
  readonly condition: string;
  readonly outcome: string;
}

const TABLE: Readonly<Record<ErrorKind, Row>> = {
  InvalidSpec: {
    error: new InvalidSpec('BadValue', details),
    againAfterMs: undefined,
    event: true,
    condition: 'False BadValue',
    outcome: 'invalid',
  },
  Unsupported: {
    error: new Unsupported('CannotDo', details),
    againAfterMs: undefined,
    event: true,
    condition: 'False CannotDo',
    outcome: 'invalid',
  },
  NotReady: {
    error: new NotReady('StillComing', { ...details, retryAfterMs: 42_000 }),
    againAfterMs: 42_000,
    event: false,
    condition: 'Unknown StillComing',
    outcome: 'waiting',
  },
  Throttled: {
    error: new Throttled('TooFast', details),
    againAfterMs: BACKOFF_MS,
    event: false,
    condition: 'Unknown TooFast',
    outcome: 'waiting',
  },
  Transient: {
    error: new Transient('CloudDown', details),
    againAfterMs: BACKOFF_MS,
    event: true,
    condition: 'Unknown CloudDown',
    outcome: 'error',
  },
  Conflict: {
    error: new Conflict('ConflictObserved', details),
    againAfterMs: BACKOFF_MS,
    event: false,
    condition: '',
    outcome: 'error',
  },
  Denied: {
    error: new Denied('QuotaReached', details),
    againAfterMs: BACKOFF_MS,
    event: true,
    condition: 'False QuotaReached',
    outcome: 'error',
  },
  NotOwned: {
    error: new NotOwned('NameTaken', details),
    againAfterMs: BACKOFF_MS,
    event: true,
    condition: 'False NameTaken',
    outcome: 'error',
  },
};

/** A world in which the creation of the load balancer has just failed. */
async function failing(error: unknown): Promise<World> {
  const world = await settledWorld({ services: [] });
  world.cloud.failNext('createLoadBalancer', error);
  // A Conflict is tried once more in the same pass.
  if (error instanceof Conflict) world.cloud.failNext('createLoadBalancer', error);
  world.cluster.create();
  await world.settle();
  return world;
}

/** How often the creation was tried so far. */
function attempts(world: World): number {
  return world.cloud.counts.get('createLoadBalancer') ?? 0;
}

describe('the reaction to an error of each kind', () => {
  it('is in the table for every kind that there is', () => {
    expect(Object.keys(TABLE).toSorted()).toEqual(Object.keys(REACTIONS).toSorted());
    for (const [kind, { error }] of Object.entries(TABLE)) expect(error.kind).toBe(kind);
  });

  const rows = Object.entries(TABLE).map(([kind, row]) => [kind, row] as const);

  it.each(rows)('%s: event, condition and metric', async (_kind, row) => {
    const world = await failing(row.error);
    const { code: reason } = row.error;
    const message = 'it went wrong. Do something about it.';
    const warnings = world.cluster.told.filter(({ type }) => type === 'Warning');
    expect(warnings).toEqual(row.event ? [{ key: KEY, type: 'Warning', reason, message }] : []);
    expect(world.condition()).toBe(row.condition);
    const syncs = 'service_controller_loadbalancer_sync_total';
    expect(await world.metric(syncs, { outcome: row.outcome })).toBe(1);
    expect(await world.metric(syncs)).toBe(1);
    expect(await world.metricReasons(KEY)).toEqual(row.condition === '' ? [] : [reason]);
  });

  it.each(rows.filter(([, { againAfterMs }]) => againAfterMs !== undefined))(
    '%s: is tried again by itself after the time that the table says',
    async (_kind, { error, againAfterMs = 0 }) => {
      const world = await failing(error);
      const before = attempts(world);
      await world.advance(againAfterMs - 1);
      expect(attempts(world)).toBe(before);
      await world.advance(1);
      expect(attempts(world)).toBe(before + 1);
      expect(world.condition()).toBe('True Provisioned');
    },
  );

  it.each(rows.filter(([, { againAfterMs }]) => againAfterMs === undefined))(
    '%s: is tried again after an edit, and not before',
    async (_kind, { error }) => {
      const world = await failing(error);
      await world.advance(500_000);
      expect(attempts(world)).toBe(1);
      world.cluster.edit(KEY, { ports: [aPort({ nodePort: 30_099 })] });
      await world.settle();
      expect(attempts(world)).toBe(2);
      expect(world.condition()).toBe('True Provisioned');
    },
  );

  it('B47 a wrapped error counts as the one inside', async () => {
    const inner = TABLE.NotReady.error;
    const world = await failing(new Error('outer', { cause: new Error('middle', { cause: inner }) }));
    expect(world.condition()).toBe('Unknown StillComing');
    await world.advance(41_999);
    expect(attempts(world)).toBe(1);
    await world.advance(1);
    expect(attempts(world)).toBe(2);
    expect(await world.metric('workqueue_retries_total')).toBe(1);
  });

  it('B47 a time to come back that is named counts as no failure: the next back-off is the first', async () => {
    const world = await settledWorld({ services: [] });
    world.cloud.failNext('createLoadBalancer', TABLE.NotReady.error);
    world.cloud.failNext('createLoadBalancer', TABLE.NotReady.error);
    world.cloud.failNext('createLoadBalancer', TABLE.Denied.error);
    world.cluster.create();
    await world.settle();
    await world.advance(42_000);
    await world.advance(42_000);
    expect(world.condition()).toBe('False QuotaReached');
    await world.advance(BACKOFF_MS - 1);
    expect(attempts(world)).toBe(3);
    await world.advance(1);
    expect(attempts(world)).toBe(4);
  });

  it.each([['a string'], [undefined], [new Error('plain')]])('takes %s for Transient', async (thrown) => {
    const world = await failing(thrown);
    expect(world.condition()).toBe('Unknown SyncLoadBalancerFailed');
    await world.advance(BACKOFF_MS);
    expect(world.condition()).toBe('True Provisioned');
  });

  it('B49 a load balancer that is not there yet is looked at again later, without any noise', async () => {
    const world = await settledWorld({ services: [] });
    world.cloud.failNext('createListener', TABLE.NotReady.error);
    world.cluster.create();
    await world.settle();
    expect(world.condition()).toBe('Unknown StillComing');
    await world.advance(42_000);
    expect(world.condition()).toBe('True Provisioned');
    expect(world.cluster.told.map(({ type, reason }) => `${type} ${reason}`)).toEqual([
      'Normal EnsuringLoadBalancer',
      'Normal EnsuredLoadBalancer',
    ]);
    expect(world.host.lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
  });

  it('backs off further with each failure, and starts anew after an edit', async () => {
    const world = await settledWorld({ services: [] });
    for (let failures = 0; failures < 5; failures++)
      world.cloud.failNext('createLoadBalancer', TABLE.Denied.error);
    world.cluster.create();
    await world.settle();
    await world.advance(500);
    await world.advance(999);
    expect(attempts(world)).toBe(2);
    await world.advance(1);
    expect(attempts(world)).toBe(3);
    world.cluster.edit(KEY, { loadBalancerIP: '203.0.113.9' });
    await world.settle();
    expect(attempts(world)).toBe(4);
    await world.advance(500);
    expect(attempts(world)).toBe(5);
  });
});
