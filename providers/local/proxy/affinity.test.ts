import { describe, expect, it } from 'vitest';
import { AffinityTable } from './affinity.ts';

describe('the affinity table', () => {
  it('remembers a client until its time is over', () => {
    const table = new AffinityTable<string>();
    table.set('10.0.0.1', 'a', 100);
    expect(table.get('10.0.0.1', 99)).toBe('a');
    expect(table.get('10.0.0.1', 100)).toBeUndefined();
    expect(table.size).toBe(0);
  });

  it('forgets the client that came longest ago when it is full', () => {
    const table = new AffinityTable<string>(2);
    table.set('1', 'a', 100);
    table.set('2', 'b', 100);
    table.set('1', 'a', 100);
    table.set('3', 'c', 100);
    expect([table.get('1', 0), table.get('2', 0), table.get('3', 0)]).toEqual(['a', undefined, 'c']);
  });
});
