import { describe, expect, it } from 'vitest';
import { CAPABILITIES, DEFAULT_CAPABILITIES } from './capabilities.ts';
import { note, REASONS, type Reason } from './reasons.ts';
import { statusAddresses } from './service.ts';
import { parseIp } from './address.ts';

describe('the table of capabilities', () => {
  it('has an entry for each capability and no other', () => {
    expect(Object.keys(CAPABILITIES).toSorted()).toEqual(Object.keys(DEFAULT_CAPABILITIES).toSorted());
  });

  it.each(Object.entries(CAPABILITIES))(
    '%s: the documented default is the one in the code',
    (name, { default: documented }) => {
      const value = DEFAULT_CAPABILITIES[name as keyof typeof DEFAULT_CAPABILITIES];
      expect(Array.isArray(value) ? value.join(', ') : String(value)).toBe(documented);
    },
  );

  it.each(Object.entries(CAPABILITIES))(
    '%s: meaning and reaction are written down',
    (_name, { meaning, reaction }) => {
      expect(meaning).not.toBe('');
      expect(reaction).not.toBe('');
    },
  );

  it('names in its reactions only reason codes that exist', () => {
    const codes = Object.values(CAPABILITIES).flatMap(
      ({ reaction }) => reaction.match(/\b[A-Z][a-z]+([A-Z][a-zA-Z]+)+\b/g) ?? [],
    );
    const known: readonly string[] = [...Object.keys(REASONS), 'PreferDualStack', 'ClientIP'];
    expect(codes.filter((code) => !known.includes(code))).toEqual([]);
    expect(codes).toContain('SourceRangesUnsupported');
  });
});

describe('the reason codes', () => {
  /** What needs nothing done by anybody. */
  const FINE: readonly string[] = ['Provisioned', 'Ensuring'];

  it.each(Object.entries(REASONS as Readonly<Record<string, Reason>>))(
    '%s is CamelCase and has a meaning and a remedy',
    (code, { meaning, remedy }) => {
      expect(code).toMatch(/^([A-Z][a-z]*)+$/);
      expect(meaning).not.toBe('');
      expect(remedy === '').toBe(FINE.includes(code));
      expect(`${meaning}${remedy}`).not.toMatch(/[.]$/);
    },
  );

  it('a note ends with the remedy', () => {
    expect(note('NoPorts', 'spec.ports', 'spec.ports is empty')).toEqual({
      code: 'NoPorts',
      severity: 'Warning',
      subject: 'spec.ports',
      message: 'spec.ports is empty. Add at least one entry to spec.ports.',
    });
    expect(note('Ensuring', 'x', 'it is being made').message).toBe('it is being made');
  });
});

describe('statusAddresses', () => {
  it('B69 reads the addresses of a status in order, without what is garbage', () => {
    const ingress = [
      { hostname: 'lb.example.com' },
      { ip: '2001:DB8::1' },
      { ip: 'none' },
      { ip: '192.0.2.1' },
    ];
    expect(statusAddresses({ ingress }, parseIp)).toEqual(['2001:db8::1', '192.0.2.1']);
  });
});
