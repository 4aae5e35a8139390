import { Throttled } from '@berth/core';
import { ManualClock } from '@berth/core/conformance';
import { describe, expect, it } from 'vitest';
import { Limiter } from './limiter.ts';

const { signal } = new AbortController();
const throttled = (): Throttled => new Throttled('Throttled', { message: 'too fast', remedy: 'wait' });

/** A limiter whose calls are recorded by the second in which they were made. */
function limited() {
  const clock = new ManualClock();
  const limiter = new Limiter(clock);
  const made: { readonly name: string; readonly at: number }[] = [];
  return {
    clock,
    limiter,
    made,
    /** Asks for a call; the first `failures` times it is throttled. */
    call: (name: string, { urgent = false, failures = 0 } = {}) => {
      let left = failures;
      return limiter.run(
        () => {
          made.push({ name, at: clock.monotonic() });
          return left-- > 0 ? Promise.reject(throttled()) : Promise.resolve(name);
        },
        { signal, urgent },
      );
    },
  };
}

describe('Limiter', () => {
  it('is open at the start: calls are made at once, up to what may be under way', async () => {
    const { limiter, clock } = limited();
    const answers: (() => void)[] = [];
    const work = (): Promise<void> => new Promise((resolve) => answers.push(resolve));
    const calls = Array.from({ length: 40 }, () => limiter.run(work, { signal }));
    await clock.advance(0);
    expect(answers).toHaveLength(16);
    for (let answered = 0; answered < 40; answered++) {
      answers[answered]?.();
      await clock.advance(0);
    }
    await Promise.all(calls);
    expect(clock.monotonic()).toBe(0);
    expect(limiter.rate).toBe(Infinity);
  });

  it('halves what went through when a call is throttled, and makes that call again', async () => {
    const { call, limiter, clock } = limited();
    await Promise.all(Array.from({ length: 20 }, (_, index) => call(String(index))));
    const again = call('again', { failures: 1 });
    await clock.advance(0);
    expect(limiter.rate).toBe(10);
    await clock.advance(100);
    await expect(again).resolves.toBe('again');
  });

  it('halves at most once a second, and gives one call a second more each second', async () => {
    const { call, limiter, clock } = limited();
    await Promise.all(Array.from({ length: 20 }, (_, index) => call(String(index))));
    const calls = [call('a', { failures: 1 }), call('b', { failures: 1 })];
    await clock.advance(0);
    expect(limiter.rate).toBe(10);
    await clock.advance(3_000);
    await Promise.all(calls);
    expect(limiter.rate).toBe(13);
  });

  it('opens again once it has recovered', async () => {
    const { call, limiter, clock } = limited();
    const first = call('first', { failures: 1 });
    await clock.advance(0);
    expect(limiter.rate).toBe(1);
    await clock.advance(2_000);
    await first;
    await clock.advance(120_000);
    await call('later');
    expect(limiter.rate).toBe(Infinity);
  });

  it('lets deletions pass, and starves nobody for them', async () => {
    const { call, made, clock } = limited();
    const slow = call('slow', { failures: 1 });
    await clock.advance(0);
    const calls = [
      ...Array.from({ length: 2 }, (_, index) => call(`create-${index}`)),
      ...Array.from({ length: 8 }, (_, index) => call(`delete-${index}`, { urgent: true })),
    ];
    await clock.advance(60_000);
    await Promise.all([slow, ...calls]);
    const order = made.map(({ name }) => name).filter((name) => name !== 'slow');
    expect(order.indexOf('delete-0')).toBeLessThan(order.indexOf('create-0'));
    expect(order.indexOf('create-0')).toBeLessThan(order.indexOf('delete-7'));
  });

  it('gives up on a call that is throttled all the time', async () => {
    const { call, clock } = limited();
    const hopeless = call('hopeless', { failures: 1_000 });
    const outcome = hopeless.catch((error: unknown) => error);
    await clock.advance(120_000);
    await expect(outcome).resolves.toMatchObject({ kind: 'Throttled' });
  });

  it('lets go of a call that is aborted while it waits, and makes no call for it', async () => {
    const { limiter, call, made, clock } = limited();
    const slow = call('slow', { failures: 1 });
    await clock.advance(0);
    const gone = new AbortController();
    const waiting = limiter.run(() => Promise.resolve(made.push({ name: 'never', at: 0 })), {
      signal: gone.signal,
    });
    gone.abort(new Error('no longer'));
    await expect(waiting).rejects.toThrow('no longer');
    await clock.advance(10_000);
    await slow;
    expect(made.map(({ name }) => name)).not.toContain('never');
  });

  it('passes every other error on at once', async () => {
    const { limiter } = limited();
    await expect(limiter.run(() => Promise.reject(new Error('broken')), { signal })).rejects.toThrow(
      'broken',
    );
    expect(limiter.rate).toBe(Infinity);
  });
});
