import { describe, expect, it } from 'vitest';
import { age, humanDuration, nameColumn, table } from './table.ts';

const MINUTE = 60;
const HOUR = 3600;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

describe('humanDuration', () => {
  it.each([
    [-5, '<invalid>'],
    [-1, '0s'],
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [9 * MINUTE + 59, '9m59s'],
    [10 * MINUTE + 1, '10m'],
    [179 * MINUTE, '179m'],
    [3 * HOUR, '3h'],
    [3 * HOUR + 59 * MINUTE, '3h59m'],
    [8 * HOUR + 59 * MINUTE, '8h'],
    [47 * HOUR, '47h'],
    [48 * HOUR, '2d'],
    [7 * DAY + 23 * HOUR, '7d23h'],
    [8 * DAY + HOUR, '8d'],
    [2 * YEAR, '2y'],
    [2 * YEAR + DAY, '2y1d'],
    [9 * YEAR + 20 * DAY, '9y'],
  ])('writes %d s as kubectl does', (seconds, text) => {
    expect(humanDuration(seconds)).toBe(text);
  });
});

describe('age', () => {
  const now = Date.parse('2024-01-01T00:01:30Z');

  it('counts from the timestamp', () => {
    expect(age('2024-01-01T00:00:00Z', now)).toBe('90s');
  });

  it('is unknown without one', () => {
    expect(age(undefined, now)).toBe('<unknown>');
  });
});

describe('table', () => {
  const object = { apiVersion: 'v1', kind: 'Thing', metadata: { name: 'a' }, spec: { size: 1 } };
  const request = { columns: [nameColumn], objects: [object], metadata: {}, headers: true, now: 0 };

  it('has a row of cells for each object, which carries the metadata', () => {
    expect(table({ ...request, include: 'Metadata' })).toMatchObject({
      columnDefinitions: [{ name: 'Name', type: 'string', format: 'name', priority: 0 }],
      rows: [{ cells: ['a'], object: { kind: 'PartialObjectMetadata', metadata: { name: 'a' } } }],
    });
  });

  it('carries the whole object or nothing when asked to, and no headers', () => {
    expect(table({ ...request, include: 'Object' })).toMatchObject({ rows: [{ object }] });
    expect(table({ ...request, include: 'None', headers: false })).toMatchObject({
      columnDefinitions: null,
      rows: [{ object: null }],
    });
  });
});
