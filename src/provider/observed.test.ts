import { describe, expect, it } from 'vitest';
import { ObservedState, emptyObserved } from './observed.ts';
import { deepFreeze } from './freeze.ts';
import type { Observed } from './spi.ts';

const observed = (uids: Readonly<Record<string, string>>, shared: unknown = 'shared'): Observed => ({
  environment: 'environment',
  shared,
  loadBalancers: new Map(Object.entries(uids).map(([key, uid]) => [key, { uid }])),
});
const keys = (state: ObservedState): readonly string[] => [...state.view.loadBalancers.keys()];

describe('ObservedState', () => {
  it('begins with nothing, or with what was observed', () => {
    expect(new ObservedState().snapshot()).toEqual(emptyObserved());
    expect(new ObservedState(observed({ a: '1' })).snapshot()).toEqual(observed({ a: '1' }));
  });

  it('does not alter what was handed to it', () => {
    const given = observed({ a: '1' });
    new ObservedState(given).merge({ scope: 'a' }, { loadBalancer: () => undefined });
    expect(given.loadBalancers.size).toBe(1);
  });

  it('merges changes of one stage in any order, each from what is there by then', () => {
    const add = (text: string) => ({
      loadBalancer: (now: { uid: string } | undefined) => ({
        uid: [...(now?.uid ?? ''), text].toSorted().join(''),
      }),
    });
    for (const order of [
      ['x', 'y'],
      ['y', 'x'],
    ]) {
      const state = new ObservedState(observed({ a: '' }));
      for (const text of order) state.merge({ scope: 'a' }, add(text));
      expect(state.view.loadBalancers.get('a')).toEqual({ uid: 'xy' });
    }
  });

  it('forgets a load balancer of which nothing is left, and no other', () => {
    const state = new ObservedState(observed({ a: '1', b: '2' }));
    state.merge({ scope: 'a' }, { loadBalancer: () => undefined });
    expect(keys(state)).toEqual(['b']);
  });

  it('changes what is shared, from a step of any scope', () => {
    const state = new ObservedState(observed({}, 1));
    state.merge({ scope: 'shared' }, { shared: (now) => (now as number) + 1 });
    state.merge({ scope: 'a' }, { shared: (now) => (now as number) + 1 });
    expect(state.view.shared).toBe(3);
  });

  it('has no load balancer named "shared"', () => {
    const state = new ObservedState();
    state.merge({ scope: 'shared' }, { loadBalancer: () => ({ uid: '1' }) });
    expect(keys(state)).toEqual([]);
  });

  it('shows the present state in its view, and a copy in its snapshot', () => {
    const state = new ObservedState(observed({ a: '1' }));
    const { view } = state;
    const snapshot = state.snapshot();
    state.set('b', { uid: '2' });
    expect([...view.loadBalancers.keys()]).toEqual(['a', 'b']);
    expect([...snapshot.loadBalancers.keys()]).toEqual(['a']);
    state.absorb(observed({ c: '3' }));
    expect([...view.loadBalancers.keys()]).toEqual(['c']);
  });

  it('takes over what was observed of some keys, dropping those that were not found, and leaves the others', () => {
    const state = new ObservedState(observed({ a: '1', b: '1', c: '1' }));
    state.absorb(observed({ a: '2', c: '2' }), ['a', 'b']);
    expect(Object.fromEntries(state.view.loadBalancers)).toEqual({ a: { uid: '2' }, c: { uid: '1' } });
  });
});

describe('deepFreeze', () => {
  it('freezes values in values and in maps, but neither maps themselves nor binary data', () => {
    const value = { list: [{ a: 1 }], map: new Map([['k', { b: 2 }]]), bytes: new Uint8Array(1) };
    expect(deepFreeze(value)).toBe(value);
    expect([value, value.list, value.list[0], value.map.get('k')].every(Object.isFrozen)).toBe(true);
    value.map.set('other', { b: 3 });
    value.bytes[0] = 7;
    deepFreeze(value);
    deepFreeze([value.map]);
    expect(Object.isFrozen(value.map.get('other'))).toBe(true);
  });
});
