import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DATAGRAM, MAX_PART } from '../codec/datagram.ts';
import { Slots } from '../slots.ts';
import { Assembler, split } from './parts.ts';
import { Throttle } from './throttle.ts';
import { Timers } from './timers.ts';
import { ReplayWindow } from './window.ts';

describe('timers', () => {
  it('run in the order of their time, then of their making, and not when cancelled', () => {
    const plan = fc.array(fc.record({ at: fc.nat(50), cancelled: fc.boolean() }), { maxLength: 100 });
    fc.assert(
      fc.property(plan, (items) => {
        const timers = new Timers();
        const ran: number[] = [];
        const handles = items.map(({ at }, index) => timers.at(at, () => ran.push(index)));
        handles.forEach((handle, index) => items[index]!.cancelled && handle.cancel());
        for (let now = 0; now <= 50; now++) timers.runDue(now);
        const expected = items
          .map((item, index) => ({ ...item, index }))
          .filter(({ cancelled }) => !cancelled)
          .toSorted((a, b) => a.at - b.at || a.index - b.index)
          .map(({ index }) => index);
        expect(ran).toEqual(expected);
        expect(timers.next).toBeUndefined();
      }),
    );
  });

  it('run a bounded number at a time', () => {
    const timers = new Timers();
    let ran = 0;
    for (let i = 0; i < 10; i++) timers.at(5, () => ran++);
    expect([timers.runDue(4), timers.runDue(5, 3), ran, timers.next]).toEqual([0, 3, 3, 5]);
  });
});

describe('timers that may be early', () => {
  it('run with the ones that are due, in their order, and are what is next only at their time', () => {
    const timers = new Timers();
    const ran: string[] = [];
    timers.at(200, () => ran.push('beat'));
    timers.at(250, () => ran.push('check'), 100);
    timers.at(260, () => ran.push('urgent'));
    timers.at(270, () => ran.push('behind'), 100);
    expect([timers.runDue(149), timers.next]).toEqual([0, 200]);
    expect([timers.runDue(200), ran, timers.next]).toEqual([2, ['beat', 'check'], 260]);
    expect([timers.runDue(260), ran.slice(2), timers.next]).toEqual([2, ['urgent', 'behind'], undefined]);
  });
});

describe('the replay window', () => {
  it('accepts each number once, whatever the order, within its size', () => {
    const numbers = fc.array(fc.integer({ min: 1001, max: 1200 }), { maxLength: 300 });
    fc.assert(
      fc.property(numbers, (sequence) => {
        const window = new ReplayWindow(1000n);
        const seen = new Set<number>();
        for (const number of sequence) {
          expect(window.accept(BigInt(number))).toBe(!seen.has(number));
          seen.add(number);
        }
      }),
    );
  });

  it('does not accept what is older than its size, nor anything twice after a leap', () => {
    const window = new ReplayWindow(1n);
    expect(window.accept(2n ** 63n)).toBe(true);
    expect(window.accept(2n ** 63n)).toBe(false);
    expect(window.accept(2n ** 63n - 255n)).toBe(true);
    expect(window.accept(2n ** 63n - 256n)).toBe(false);
    expect(window.accept(2n)).toBe(false);
  });

  it('does not accept what came before its first: a heartbeat from before the proof, played again', () => {
    const window = new ReplayWindow(5n);
    expect([4n, 5n, 6n, 4n].map((number) => window.accept(number))).toEqual([false, false, true, false]);
  });
});

describe('messages in parts', () => {
  const part = (message: number, index: number, parts: number) => ({
    kind: DATAGRAM.claims,
    message,
    part: index,
    parts,
    payload: Uint8Array.of(message, index),
  });

  it('are put together from any order', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 * MAX_PART }), fc.nat(), (payload, seed) => {
        const parts = split(payload);
        const order = parts
          .map((_, index) => index)
          .toSorted((a, b) => ((a * 7 + seed) % 5) - ((b * 7 + seed) % 5));
        const assembler = new Assembler();
        const results = order.map((index) =>
          assembler.add({ ...part(1, index, parts.length), payload: parts[index]! }),
        );
        expect(results.slice(0, -1).every((result) => result === undefined)).toBe(true);
        expect(Buffer.compare(results.at(-1)!, payload)).toBe(0);
      }),
    );
  });

  it('are forgotten, oldest first, when too many are incomplete', () => {
    const assembler = new Assembler();
    for (let message = 0; message < 9; message++) assembler.add(part(message, 0, 2));
    expect(assembler.add(part(0, 1, 2))).toBeUndefined();
    expect(assembler.add(part(8, 1, 2))).toEqual(Buffer.from([8, 0, 8, 1]));
  });

  it('are refused when their parts contradict each other or are too many', () => {
    const assembler = new Assembler();
    assembler.add(part(1, 0, 3));
    expect(assembler.add(part(1, 1, 2))).toBeUndefined();
    expect(assembler.add({ ...part(1, 1, 3), kind: DATAGRAM.notice })).toBeUndefined();
    expect(assembler.add(part(2, 0, 60_000))).toBeUndefined();
  });
});

describe('a throttle', () => {
  it('lets one through in an interval, with how many there were', () => {
    const throttle = new Throttle(1000);
    expect([0, 10, 20, 1000, 1500].map((now) => throttle.hit('a', now))).toEqual([
      1,
      undefined,
      undefined,
      3,
      undefined,
    ]);
    expect(throttle.hit('b', 1500)).toBe(1);
  });

  it('forgets old keys under a flood of new ones, and says nothing while there is no room', () => {
    const throttle = new Throttle(1000);
    for (let i = 0; i < 1024; i++) throttle.hit(`key ${i}`, 0);
    expect(throttle.hit('one more', 999)).toBeUndefined();
    expect(throttle.hit('one more', 1000)).toBe(1);
  });
});

describe('slots of counters', () => {
  it('stay with their address while there are others, and are cleared for the next when there are not', () => {
    const cleared: number[] = [];
    const slots = new Slots(2, (slot) => cleared.push(slot));
    expect([slots.take('a'), slots.take('b'), slots.take('a')]).toEqual([0, 1, 0]);
    slots.release('a');
    expect(slots.take('a')).toBe(0);
    slots.release('b');
    expect(slots.take('c')).toBe(1);
    expect([...slots.entries()]).toEqual([
      ['a', 0],
      ['c', 1],
    ]);
    expect(cleared).toEqual([1]);
    expect(() => slots.take('d')).toThrow(/spread them over more nodes/);
  });
});
