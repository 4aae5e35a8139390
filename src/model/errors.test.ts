import { describe, expect, it } from 'vitest';
import {
  asBerthError,
  Conflict,
  Denied,
  InvalidSpec,
  isBerthError,
  NotOwned,
  NotReady,
  Throttled,
  Transient,
  Unsupported,
} from './errors.ts';

describe('classified errors', () => {
  it('say what is wrong and then what to do about it', () => {
    const error = new InvalidSpec('InvalidSourceRange', {
      message: 'the entry "x" is not a CIDR',
      remedy: 'Write ADDRESS/PREFIX',
    });
    expect(error.message).toBe('the entry "x" is not a CIDR. Write ADDRESS/PREFIX.');
    expect(error.remedy).toBe('Write ADDRESS/PREFIX');
  });

  it.each([
    ['Is it?', 'Look', 'Is it? Look.'],
    ['It is.', 'Look!', 'It is. Look!'],
    ['It is', '', 'It is.'],
  ])('make sentences of %j and %j', (message, remedy, expected) => {
    expect(new Transient('X', { message, remedy }).message).toBe(expected);
  });

  it.each([
    [InvalidSpec, 'InvalidSpec'],
    [Unsupported, 'Unsupported'],
    [Throttled, 'Throttled'],
    [Transient, 'Transient'],
    [Conflict, 'Conflict'],
    [Denied, 'Denied'],
    [NotOwned, 'NotOwned'],
  ] as const)('%o is of its kind and carries code and cause', (Kind, kind) => {
    const cause = new Error('below');
    const error = new Kind('SomeCode', { message: 'm', remedy: 'r', cause });
    expect(error).toMatchObject({ kind, name: kind, code: 'SomeCode', cause, retryAfterMs: undefined });
    expect(error).toBeInstanceOf(Error);
    expect(isBerthError(error)).toBe(true);
  });

  it('NotReady says when to come back', () => {
    expect(new NotReady('Provisioning', { message: 'm', remedy: 'r', retryAfterMs: 42_000 })).toMatchObject({
      kind: 'NotReady',
      retryAfterMs: 42_000,
    });
  });
});

describe('isBerthError', () => {
  it.each([[undefined], [null], ['text'], [new Error('x')], [{ kind: 'Transient', code: 'x' }]])(
    'is false for %o',
    (value) => {
      expect(isBerthError(value)).toBe(false);
    },
  );

  it('knows an error of another copy of the package by its mark', () => {
    expect(isBerthError({ [Symbol.for('berth.dev/error')]: true })).toBe(true);
  });
});

describe('asBerthError', () => {
  it('leaves a classified error as it is', () => {
    const error = new Denied('AccessDenied', { message: 'm', remedy: 'r' });
    expect(asBerthError(error)).toBe(error);
  });

  it.each([
    [new Error('broken pipe'), 'broken pipe'],
    ['text', 'text'],
    [undefined, 'undefined'],
    [{ status: 503 }, 'status: 503'],
    [Object.create(null), 'null prototype'],
  ])('makes everything else something to try again: %o', (value, text) => {
    const error = asBerthError(value);
    expect(error).toMatchObject({ kind: 'Transient', code: 'SyncLoadBalancerFailed', cause: value });
    expect(error.message).toContain(text);
  });
});
