import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../test/builders.ts';
import { turns } from '../../test/world.ts';
import { BACKOFF_MAX_MS, backoffMs } from './backoff.ts';
import { KeyedQueue, type Outcome, type QueueOptions } from './queue.ts';

const FORGET: Outcome = { requeue: 'forget' };
const BACKOFF: Outcome = { requeue: 'backoff' };

/** A queue whose work a test finishes by hand, key by key. */
function scripted(options: Partial<QueueOptions> = {}) {
  const clock = new ManualClock();
  const begun: string[] = [];
  const failed: string[] = [];
  const running = new Map<string, (outcome: Outcome) => void>();
  let retries = 0;
  const queue = new KeyedQueue({
    concurrency: 2,
    clock,
    random: () => 0.5,
    work: (key) => {
      begun.push(key);
      if (running.has(key)) throw new Error(`${key} is worked on twice at once`);
      return new Promise<Outcome>((resolve) => running.set(key, resolve));
    },
    observer: {
      added: () => undefined,
      started: () => undefined,
      finished: () => undefined,
      retried: () => (retries += 1),
      failed: (key) => void failed.push(key),
    },
    ...options,
  });
  return {
    clock,
    begun,
    failed,
    queue,
    retries: () => retries,
    /** Ends the work on a key. */
    async finish(key: string, outcome: Outcome = FORGET): Promise<void> {
      const resolve = running.get(key);
      running.delete(key);
      resolve?.(outcome);
      await turns(2);
    },
    async add(...keys: readonly string[]): Promise<void> {
      for (const key of keys) queue.add(key);
      await turns(1);
    },
  };
}

/** A queue whose work ends at once with the given outcomes, the last of which repeats. */
function instant(outcomes: readonly (Outcome | Error)[], random: () => number = () => 0.5) {
  const clock = new ManualClock();
  const at: number[] = [];
  let retries = 0;
  const queue = new KeyedQueue({
    concurrency: 1,
    clock,
    random,
    work: () => {
      const outcome = outcomes[Math.min(at.length, outcomes.length - 1)]!;
      at.push(clock.monotonic());
      return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome);
    },
    observer: {
      added: () => undefined,
      started: () => undefined,
      finished: () => undefined,
      retried: () => (retries += 1),
      failed: () => undefined,
    },
  });
  return { clock, at, queue, retries: () => retries };
}

describe('KeyedQueue', () => {
  it('B48 concurrent workers never process the same key at once', async () => {
    const world = scripted({ concurrency: 3 });
    await world.add('a', 'a', 'b');
    await world.add('a');
    expect(world.begun).toEqual(['a', 'b']);
    await world.finish('a');
    expect(world.begun).toEqual(['a', 'b', 'a']);
  });

  it('B48 holds for whatever is added in whatever order, and every key that was added is worked on afterwards', async () => {
    const script = fc.array(
      fc.record({
        key: fc.constantFrom('a', 'b', 'c'),
        rest: fc.nat(3),
        outcome: fc.constantFrom(FORGET, BACKOFF),
      }),
      { minLength: 1, maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(script, fc.integer({ min: 1, max: 4 }), async (actions, concurrency) => {
        const running = new Set<string>();
        const lastAdded = new Map<string, number>();
        const lastBegun = new Map<string, number>();
        let time = 0;
        const queue = new KeyedQueue({
          concurrency,
          clock: new ManualClock(),
          random: () => 0.5,
          work: async (key) => {
            expect(running.has(key)).toBe(false);
            expect(running.size).toBeLessThan(concurrency);
            running.add(key);
            lastBegun.set(key, ++time);
            await turns(2);
            running.delete(key);
            return FORGET;
          },
        });
        for (const { key, rest } of actions) {
          lastAdded.set(key, ++time);
          queue.add(key);
          await turns(rest);
        }
        while (!queue.idle) await turns(1);
        for (const [key, added] of lastAdded) expect(lastBegun.get(key)).toBeGreaterThan(added);
      }),
      { numRuns: 40 },
    );
  });

  it('works once more on a key that was asked for while it was worked on, however often', async () => {
    const world = scripted();
    await world.add('a');
    await world.add('a', 'a', 'a');
    await world.finish('a');
    await world.finish('a');
    expect(world.begun).toEqual(['a', 'a']);
    expect(world.queue.idle).toBe(true);
  });

  it('takes a key that waits only once', async () => {
    const world = scripted({ concurrency: 1 });
    await world.add('busy', 'a', 'a', 'a');
    expect(world.queue.depth).toBe(1);
    await world.finish('busy');
    await world.finish('a');
    expect(world.begun).toEqual(['busy', 'a']);
  });

  it('serves higher priorities first, and equal ones in the order they came', async () => {
    const world = scripted({ concurrency: 1 });
    await world.add('busy', 'create-1', 'create-2');
    world.queue.add('delete-1', 10);
    world.queue.add('delete-2', 10);
    for (const key of ['busy', 'delete-1', 'delete-2', 'create-1', 'create-2']) await world.finish(key);
    expect(world.begun).toEqual(['busy', 'delete-1', 'delete-2', 'create-1', 'create-2']);
  });

  it('raises the priority of a key that waits already, and never lowers it', async () => {
    const world = scripted({ concurrency: 1 });
    await world.add('busy', 'a', 'raised');
    world.queue.add('raised', 10);
    world.queue.add('raised');
    for (const key of ['busy', 'raised', 'a']) await world.finish(key);
    expect(world.begun).toEqual(['busy', 'raised', 'a']);
  });

  it('keeps the priority of a deletion that was asked for while the key was worked on', async () => {
    const world = scripted({ concurrency: 1 });
    await world.add('going', 'a');
    world.queue.add('going', 10);
    for (const key of ['going', 'going', 'a']) await world.finish(key);
    expect(world.begun).toEqual(['going', 'going', 'a']);
  });

  it('B45 success forgets the history of failures', async () => {
    const { queue, clock, at } = instant([BACKOFF, BACKOFF, BACKOFF, FORGET, BACKOFF]);
    queue.add('a');
    await clock.advance(0);
    await clock.advance(10_000);
    // 1 s, 2 s and 4 s, each halved by the randomness of this test.
    expect(at).toEqual([0, 500, 1_500, 3_500]);
    expect(queue.failures('a')).toBe(0);
    queue.add('a');
    await clock.advance(0);
    expect(queue.failures('a')).toBe(1);
    await clock.advance(500);
    expect(at.slice(4)).toEqual([10_000, 10_500]);
  });

  it.each([
    ['an outcome that says so', BACKOFF],
    ['a plain error', new Error('broken')],
  ])('B46 %s gives exactly one delayed requeue', async (_what, first) => {
    const { queue, clock, at, retries } = instant([first, FORGET]);
    queue.add('a');
    await clock.advance(0);
    await clock.advance(499);
    expect(at).toEqual([0]);
    expect(retries()).toBe(1);
    await clock.advance(60_000);
    expect(at).toEqual([0, 500]);
    expect(retries()).toBe(1);
  });

  it('tells of work that threw, and goes on', async () => {
    const world = scripted({ concurrency: 1, work: (key) => Promise.reject(new Error(key)) });
    await world.add('a', 'b');
    await turns(2);
    expect(world.failed).toEqual(['a', 'b']);
  });

  it('B47 a key that is to be tried after 42 s is tried after exactly 42 s, and that is no failure', async () => {
    const { queue, clock, at } = instant([{ requeue: 'after', ms: 42_000 }, FORGET]);
    queue.add('a');
    await clock.advance(0);
    expect(queue.failures('a')).toBe(0);
    await clock.advance(41_999);
    expect(at).toEqual([0]);
    await clock.advance(1);
    expect(at).toEqual([0, 42_000]);
  });

  it('asking for a key at once makes its back-off obsolete', async () => {
    const { queue, clock, at } = instant([BACKOFF, FORGET]);
    queue.add('a');
    await clock.advance(0);
    await clock.advance(100);
    queue.add('a');
    await clock.advance(60_000);
    expect(at).toEqual([0, 100]);
    expect(clock.pending).toBe(0);
  });

  it('forgives: the next failure counts as the first', async () => {
    const { queue, clock, at } = instant([BACKOFF]);
    queue.add('a');
    await clock.advance(0);
    await clock.advance(1_500);
    expect(queue.failures('a')).toBe(3);
    queue.forgive('a');
    queue.add('a');
    await clock.advance(0);
    expect(queue.failures('a')).toBe(1);
    await clock.advance(500);
    expect(at.slice(-2)).toEqual([1_500, 2_000]);
  });

  it('keeps the priority of a key through its back-off, until it succeeds', async () => {
    const world = scripted({ concurrency: 1 });
    world.queue.add('going', 10);
    await turns(1);
    await world.add('a', 'b');
    await world.finish('going', BACKOFF);
    await world.clock.advance(500);
    await world.finish('a');
    expect(world.begun).toEqual(['going', 'a', 'going']);
    await world.add('going');
    await world.finish('going', FORGET);
    expect(world.begun).toEqual(['going', 'a', 'going', 'b']);
  });

  it('drops what waits when it is closed, finishes what runs, and takes no more', async () => {
    const world = scripted({ concurrency: 1 });
    await world.add('running', 'waiting');
    let closed = false;
    const closing = world.queue.close().then(() => (closed = true));
    await turns(2);
    expect(closed).toBe(false);
    await world.finish('running', BACKOFF);
    await closing;
    world.queue.add('late');
    await world.clock.advance(600_000);
    expect(world.begun).toEqual(['running']);
    expect(world.clock.pending).toBe(0);
  });
});

describe('backoffMs', () => {
  it('stays below a ceiling that doubles from 1 s to 5 min, with full jitter', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.double({ min: 0, max: 0.999_999, noNaN: true }),
        (failures, r) => {
          const ceiling = Math.min(BACKOFF_MAX_MS, 1_000 * 2 ** (failures - 1));
          const ms = backoffMs(failures, () => r);
          expect(ms).toBeGreaterThanOrEqual(0);
          expect(ms).toBeLessThanOrEqual(ceiling);
          expect(Math.abs(ms - ceiling * r)).toBeLessThanOrEqual(0.5);
        },
      ),
    );
  });

  it.each([
    [1, 1_000],
    [2, 2_000],
    [9, 256_000],
    [10, 300_000],
    [1_000, 300_000],
  ])('has the ceiling of failure %d at %d ms', (failures, ceiling) => {
    expect(backoffMs(failures, () => 1)).toBe(ceiling);
    expect(backoffMs(failures, () => 0)).toBe(0);
  });
});
