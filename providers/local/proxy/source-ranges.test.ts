import { describe, expect, it } from 'vitest';
import { SourceRanges } from './source-ranges.ts';

describe('source ranges', () => {
  it.each([
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['192.0.2.7/32', '192.0.2.7', true],
    ['192.0.2.7/32', '192.0.2.8', false],
    ['10.0.0.0/8', '::ffff:10.1.1.1', true],
    ['10.0.0.0/8', '2001:db8::1', false],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['0.0.0.0/0', '203.0.113.9', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['::/0', '2001:db8::1', true],
  ])('%s for the client %s: %s', (cidr, client, allowed) => {
    expect(new SourceRanges([cidr]).allows(client)).toBe(allowed);
  });

  it('are open to everybody when there are none, or when they cover both families', () => {
    expect(new SourceRanges([]).open).toBe(true);
    expect(new SourceRanges(['::/0', '0.0.0.0/0']).open).toBe(true);
    expect(new SourceRanges(['0.0.0.0/0']).open).toBe(false);
  });

  it('turn away a client whose address is not known any more', () => {
    expect(new SourceRanges(['0.0.0.0/0']).allows(undefined)).toBe(false);
  });

  it('refuse an entry that is not a CIDR', () => {
    expect(() => new SourceRanges(['10.0.0.0'])).toThrow(TypeError);
  });
});
