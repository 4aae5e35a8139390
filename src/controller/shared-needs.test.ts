import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SharedNeeds } from './shared-needs.ts';

describe('SharedNeeds', () => {
  it('sums up what the load balancers need: sorted, each once, and gone with the last that needed it', () => {
    const needs = new SharedNeeds();
    needs.set('default/a', ['port 80', 'port 443']);
    needs.set('default/b', ['port 80']);
    expect(needs.all).toEqual(['port 443', 'port 80']);
    needs.set('default/a', ['port 22']);
    expect(needs.all).toEqual(['port 22', 'port 80']);
    needs.delete('default/b');
    expect(needs.all).toEqual(['port 22']);
    needs.delete('default/b');
    needs.delete('default/a');
    expect(needs.all).toEqual([]);
  });

  it('is complete when everybody who was expected has been asked, or is gone', () => {
    const needs = new SharedNeeds();
    expect(needs.complete).toBe(true);
    needs.set('default/known', []);
    needs.expect(['default/known', 'default/a', 'default/b']);
    expect(needs.complete).toBe(false);
    needs.set('default/a', []);
    expect(needs.complete).toBe(false);
    needs.delete('default/b');
    expect(needs.complete).toBe(true);
  });

  it('counts right whatever comes in whatever order', () => {
    const key = fc.constantFrom('a', 'b', 'c');
    const change = fc.record({ key, needs: fc.option(fc.uniqueArray(fc.constantFrom('x', 'y', 'z'))) });
    fc.assert(
      fc.property(fc.array(change), (changes) => {
        const needs = new SharedNeeds();
        const model = new Map<string, readonly string[]>();
        for (const { key: changed, needs: wanted } of changes) {
          if (wanted === null) {
            needs.delete(changed);
            model.delete(changed);
          } else {
            needs.set(changed, wanted);
            model.set(changed, wanted);
          }
        }
        expect(needs.all).toEqual([...new Set([...model.values()].flat())].toSorted());
      }),
    );
  });
});
