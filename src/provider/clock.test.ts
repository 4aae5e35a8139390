import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../test/builders.ts';
import { sleep, systemClock } from './clock.ts';

const { signal } = new AbortController();

describe('systemClock', () => {
  it('tells the time of day and goes on', async () => {
    const before = systemClock.monotonic();
    await sleep(systemClock, 5, signal);
    expect(systemClock.monotonic() - before).toBeGreaterThanOrEqual(4);
    expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(1_000);
  });

  it('does not call back what was cancelled, nor at once what is further away than a timer can be', async () => {
    const called: string[] = [];
    systemClock.after(1, () => called.push('cancelled'))();
    const cancel = systemClock.after(2 ** 40, () => called.push('far'));
    systemClock.after(-5, () => called.push('past'));
    await sleep(systemClock, 20, signal);
    cancel();
    expect(called).toEqual(['past']);
  });
});

describe('sleep', () => {
  it('rejects with the reason when it is aborted, before or while it waits, and leaves no timer', async () => {
    const clock = new ManualClock();
    const reason = new Error('stop');
    await expect(sleep(clock, 10, AbortSignal.abort(reason))).rejects.toBe(reason);
    const caller = new AbortController();
    const waiting = sleep(clock, 10, caller.signal);
    expect(clock.pending).toBe(1);
    caller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(clock.pending).toBe(0);
  });
});

describe('ManualClock', () => {
  it('fires timers in order of their time, also those set meanwhile, and none too early', async () => {
    const clock = new ManualClock(1_000);
    const fired: string[] = [];
    const note = (name: string) => () => fired.push(`${name} at ${clock.now()}`);
    clock.after(20, note('b'));
    clock.after(10, () => {
      note('a')();
      clock.after(5, note('a+5'));
    });
    clock.after(31, note('late'));
    await clock.advance(30);
    expect(fired).toEqual(['a at 1010', 'a+5 at 1015', 'b at 1020']);
    expect([clock.now(), clock.monotonic(), clock.pending]).toEqual([1_030, 30, 1]);
  });

  it('jumps by the time of day alone', async () => {
    const clock = new ManualClock(0);
    clock.jump(-5_000);
    expect([clock.now(), clock.monotonic()]).toEqual([-5_000, 0]);
  });
});
