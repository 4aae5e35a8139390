import { describe, expect, it } from 'vitest';
import { duration, flag, listenAddress, listenText, oneOf, shown, text, wholeNumber } from './values.ts';

describe('a duration', () => {
  it.each([
    ['90s', 90_000],
    ['10m', 600_000],
    ['1h', 3_600_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1_500],
    ['1000ms', 1_000],
  ])('%s is %d ms', (value, ms) => {
    expect(duration(1_000).parse(value)).toBe(ms);
  });

  it.each(['', '10', 10, '10 m', '-1s', '1d', 'm', '1m ', null, undefined, true])(
    'is not %j, because there is no number with a unit',
    (value) => {
      expect(duration(1_000).parse(value)).toBeUndefined();
    },
  );

  it('is refused below its least value, which the expectation names', () => {
    expect(duration(1_000).parse('999ms')).toBeUndefined();
    expect(duration(1_000).expected).toBe('a duration such as 90s, 10m or 1h, at least 1s');
    expect(duration(100).parse('100ms')).toBe(100);
    expect(duration(100).expected).toContain('at least 100ms');
  });
});

describe('a place to listen', () => {
  it.each([
    ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
    ['[::1]:0', { host: '::1', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65_535 }],
  ])('%s is read, and written back as it was', (value, address) => {
    expect(listenAddress.parse(value)).toEqual(address);
    expect(listenText(address)).toBe(value);
  });

  it.each(['8080', ':8080', '127.0.0.1', '127.0.0.1:65536', '::1:80', '[nonsense]:80', 8080, ''])(
    'is not %j',
    (value) => {
      expect(listenAddress.parse(value)).toBeUndefined();
    },
  );
});

describe('other kinds of values', () => {
  it('a whole number may be text (a flag) or a number (a file), within its bounds', () => {
    const kind = wholeNumber(1, 10);
    expect(['1', 10, '10'].map(kind.parse)).toEqual([1, 10, 10]);
    expect(['0', 11, 1.5, '1.5', '', ' 1', true, null].map(kind.parse)).toEqual(Array(8).fill(undefined));
  });

  it('a word is one of the list, in exactly its spelling', () => {
    const kind = oneOf(['enforce', 'observe']);
    expect(['enforce', 'Enforce', '', 1].map(kind.parse)).toEqual([
      'enforce',
      undefined,
      undefined,
      undefined,
    ]);
    expect(kind.expected).toBe('one of enforce, observe');
  });

  it('text is anything but nothing', () => {
    expect(['a', '', ' ', 1, null].map(text.parse)).toEqual([
      'a',
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('a flag in a file is true or false, and no word for them', () => {
    expect([true, false, 'true', 1, null].map(flag.parse)).toEqual([
      true,
      false,
      undefined,
      undefined,
      undefined,
    ]);
  });
});

it('a value in a message is short and on one line', () => {
  expect(shown('a\nb')).toBe('"a\\nb"');
  expect(shown(undefined)).toBe('nothing');
  expect(shown('x'.repeat(100))).toHaveLength(60);
});
