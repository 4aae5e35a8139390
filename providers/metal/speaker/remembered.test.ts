import { describe, expect, it } from 'vitest';
import { Remembered } from './remembered.ts';

describe('what is remembered', () => {
  it('is given again for the same parts, and made anew for other ones, fewer or more', () => {
    const remembered = new Remembered<object>();
    const [a, b] = [{}, {}];
    const made = [[a, b], [a, b], [b, a], [b], [b, a], [b, a]].map((parts) =>
      remembered.of('key', parts, () => ({})),
    );
    expect(made.map((one) => made.indexOf(one))).toEqual([0, 0, 2, 3, 4, 4]);
  });

  it('is not fooled by a list of parts that is changed in place', () => {
    const remembered = new Remembered<object>();
    const parts: object[] = [{}];
    const first = remembered.of('key', parts, () => ({}));
    parts.push({});
    expect(remembered.of('key', parts, () => ({}))).not.toBe(first);
  });

  it('outlives a round that asks for it, not one that does not', () => {
    const remembered = new Remembered<object>();
    const [kept, left] = ['kept', 'left'].map((key) => remembered.of(key, [], () => ({})));
    remembered.endRound();
    expect(remembered.of('kept', [], () => ({}))).toBe(kept);
    remembered.endRound();
    expect(remembered.of('kept', [], () => ({}))).toBe(kept);
    expect(remembered.of('left', [], () => ({}))).not.toBe(left);
  });
});
