import { describe, expect, it } from 'vitest';
import { clusterIps, familyOf, isCidr, NODE_PORTS, nodePortPool, Pool } from './allocation.ts';

describe('Pool', () => {
  const firstOf = (...items: string[]) => new Pool<string>((isFree) => items.find(isFree));

  it('gives nothing twice once it is recorded, and gives again what was let go', () => {
    const pool = firstOf('a', 'b');
    expect(pool.next(new Set())).toBe('a');
    expect(pool.next(new Set()), 'choosing alone records nothing').toBe('a');
    pool.record('one', ['a'], []);
    expect(pool.next(new Set())).toBe('b');
    expect(pool.next(new Set(['b']))).toBeUndefined();
    pool.record('one', [], ['a']);
    expect(pool.next(new Set())).toBe('a');
  });

  it('is free for its owner and taken for others', () => {
    const pool = firstOf('a');
    pool.record('one', ['a'], []);
    expect([pool.isFree('a', 'one'), pool.isFree('a', 'two'), pool.isFree('a')]).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('does not take from its new owner what the former one gives up late', () => {
    const pool = firstOf('a');
    pool.record('one', ['a'], []);
    pool.record('two', ['a'], []);
    pool.record('one', [], ['a']);
    expect(pool.isFree('a', 'two')).toBe(true);
    expect(pool.isFree('a')).toBe(false);
  });
});

describe('nodePortPool', () => {
  it('stays in the range whatever the random number is', () => {
    expect(nodePortPool(() => 0).next(new Set())).toBe(NODE_PORTS.first);
    expect(nodePortPool(() => 0.999999).next(new Set())).toBe(NODE_PORTS.last);
  });

  it('goes round to find the last free one, and says when there is none', () => {
    const pool = nodePortPool(() => 0.5);
    const all = Array.from(
      { length: NODE_PORTS.last - NODE_PORTS.first + 1 },
      (_, index) => NODE_PORTS.first + index,
    );
    pool.record('x', all.slice(1), []);
    expect(pool.next(new Set())).toBe(NODE_PORTS.first);
    pool.record('y', [NODE_PORTS.first], []);
    expect(pool.next(new Set())).toBeUndefined();
  });
});

describe('clusterIps', () => {
  it('gives the addresses of its range in order, without the first and the last', () => {
    const { pool, family } = clusterIps('10.0.0.0/30');
    expect(family).toBe('IPv4');
    expect(pool.next(new Set())).toBe('10.0.0.1');
    expect(pool.next(new Set())).toBe('10.0.0.2');
    pool.record('x', ['10.0.0.1', '10.0.0.2'], []);
    expect(pool.next(new Set())).toBeUndefined();
  });

  it('writes IPv6 addresses in their short form', () => {
    const { pool, family, contains } = clusterIps('fd00:1::/112');
    expect(family).toBe('IPv6');
    expect(pool.next(new Set())).toBe('fd00:1::1');
    expect(contains('fd00:1::ff')).toBe(true);
    expect(contains('fd00:2::1')).toBe(false);
  });

  it('knows what lies in the range', () => {
    const { contains } = clusterIps('10.0.0.0/24');
    expect(['10.0.0.0', '10.0.0.1', '10.0.0.254', '10.0.1.1'].map(contains)).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });
});

describe('familyOf and isCidr', () => {
  it.each([
    ['10.0.0.1', 'IPv4', false],
    ['::1', 'IPv6', false],
    ['10.0.0.0/8', undefined, true],
    ['fd00::/8', undefined, true],
    ['10.0.0', undefined, false],
    ['10.0.0.0/33', undefined, false],
    ['web', undefined, false],
    ['', undefined, false],
  ])('%s is of family %s; a CIDR: %s', (text, family, cidr) => {
    expect(familyOf(text)).toBe(family);
    expect(isCidr(text)).toBe(cidr);
  });
});
