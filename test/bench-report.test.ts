import { describe, expect, it } from 'vitest';
import {
  allMet,
  machineFacts,
  type Measurement,
  meets,
  quantile,
  type Report,
  reportText,
} from './bench/report.ts';

const aMeasurement = (parts: Partial<Measurement>): Measurement => ({
  id: 'a',
  what: 'a thing',
  value: 1,
  unit: 'ms',
  ...parts,
});

const aReport = (...measurements: Measurement[]): Report => ({
  bench: 'test',
  machine: machineFacts(),
  setup: {},
  measurements,
  caveats: ['one caveat'],
});

describe('a benchmark report', () => {
  it.each([
    [{ atMost: 10 }, 10, 10.1],
    [{ atLeast: 10 }, 10, 9.9],
    [{ exactly: 2 }, 2, 2.003],
    [{ between: [1, 2] as const }, 2, 2.1],
  ])('holds a figure against %j: %d meets it, %d misses it', (target, good, bad) => {
    expect(meets({ value: good, target })).toBe(true);
    expect(meets({ value: bad, target })).toBe(false);
    expect(meets({ value: Number.NaN, target }), 'what was not measured').toBe(false);
  });

  it('says MISS beside what missed its target, and how many did', () => {
    const missed = aMeasurement({ what: 'slow thing', value: 1_234, target: { atMost: 1_000 } });
    const held = aMeasurement({ what: 'quick thing', value: 5, target: { atMost: 1_000 } });
    const report = aReport(missed, held, aMeasurement({ what: 'a figure to know' }));
    const lines = reportText(report).split('\n');
    const line = (what: string): string | undefined => lines.find((text) => text.startsWith(what));
    expect(line('slow thing')).toMatch(/<= 1,000 ms +1,234 ms +MISS$/);
    expect(line('quick thing')).toMatch(/5 ms +ok$/);
    expect(line('a figure to know')).toMatch(/1 ms$/);
    expect(lines.at(-1)).toBe('1 of 2 targets met, 1 MISSED');
    expect(lines).toContain('- one caveat');
    expect(allMet(report)).toBe(false);
    expect(allMet(aReport(held))).toBe(true);
  });

  it('takes the quantile that it says', () => {
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
    expect(quantile([3, 1, 2], 1)).toBe(3);
    expect(quantile([], 0.5)).toBeNaN();
  });
});
