import { describe, expect, it } from 'vitest';
import { systemClock } from '@berth/core';
import { HealthChecks } from './health.ts';
import { TargetSet, type Target } from './targets.ts';

function scene(ports: readonly number[]) {
  let nowMs = 0;
  const set = new TargetSet({ checks: new HealthChecks({ clock: systemClock }), now: () => nowMs });
  const update = (next: readonly number[]): void =>
    set.update(next.map((port) => ({ host: '127.0.0.1', port })));
  update(ports);
  const picks = (count: number): number[] =>
    Array.from({ length: count }, () => set.pick(undefined)?.port ?? 0).toSorted();
  const target = (port: number): Target => ({ id: `127.0.0.1:${port}`, host: '127.0.0.1', port });
  return { set, update, picks, target, advance: (ms: number) => (nowMs += ms) };
}

describe('a target set', () => {
  it('takes its targets in turn', () => {
    expect(scene([1, 2, 3]).picks(6)).toEqual([1, 1, 2, 2, 3, 3]);
  });

  it('passes over a target that refused, longer each time, until it accepts again', () => {
    const { set, picks, target, advance } = scene([1, 2]);
    set.failed(target(1));
    expect(picks(3)).toEqual([2, 2, 2]);
    advance(1_000);
    expect(picks(2)).toEqual([1, 2]);
    set.failed(target(1));
    advance(1_999);
    expect(picks(2)).toEqual([2, 2]);
    advance(1);
    set.succeeded(target(1));
    set.failed(target(1));
    advance(1_000);
    expect(picks(2)).toEqual([1, 2]);
  });

  it('uses all targets when all of them have refused', () => {
    const { set, picks, target } = scene([1, 2]);
    set.failed(target(1));
    set.failed(target(2));
    expect(picks(4)).toEqual([1, 1, 2, 2]);
  });

  it('offers a target out of rotation last to a client that tried the others, and never one twice', () => {
    const { set, target } = scene([1, 2]);
    set.failed(target(1));
    const first = set.pick(undefined);
    expect(first?.port).toBe(2);
    const second = set.pick(undefined, new Set(first === undefined ? [] : [first]));
    expect(second?.port).toBe(1);
    expect(set.pick(undefined, new Set([first, second].filter((one) => one !== undefined)))).toBeUndefined();
  });

  it('keeps what it knows of the targets that stay', () => {
    const { set, update, picks, target } = scene([1, 2]);
    set.failed(target(1));
    update([1, 2, 3]);
    expect(picks(4)).toEqual([2, 2, 3, 3]);
  });

  it('sends a sticky client to its target until its time is over', () => {
    const { set, advance } = scene([1, 2]);
    set.affinityMs = 1_000;
    const first = set.pick('c')?.port;
    advance(900);
    expect(set.pick('c')?.port).toBe(first);
    advance(900);
    expect(set.pick('c')?.port).toBe(first);
    advance(1_000);
    expect(set.pick('c')?.port).not.toBe(first);
  });

  it('writes the id of an IPv6 target so that its port can be told apart', () => {
    const set = new TargetSet({ checks: new HealthChecks({ clock: systemClock }), now: () => 0 });
    set.update([{ host: '::1', port: 80 }]);
    expect(set.states()).toEqual([{ id: '[::1]:80', healthy: true, inRotation: true }]);
  });
});
