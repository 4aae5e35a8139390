import { describe, expect, it } from 'vitest';
import { isBerthError } from '@berth/core';
import { verdictOf } from '../../../src/cli/errors.ts';
import type { PlainError } from './protocol.ts';
import { wireEnded, wireError } from './errors.ts';

const failed = (code: string, call: string): PlainError => ({ message: `${call}: ${code}`, code, call });

describe('errors of the wire', () => {
  it.each([
    [failed('EPERM', 'socket'), 'MissingCapability', /lacks CAP_NET_RAW/, 3],
    [failed('EPERM', 'bind'), 'MissingCapability', /\[NET_RAW\]/, 3],
    [failed('EADDRINUSE', 'bind'), 'HeartbeatUnavailable', /free UDP port 7947/, 3],
    [failed('EADDRNOTAVAIL', 'bind'), 'HeartbeatUnavailable', /hostNetwork: true/, 3],
    [failed('EPERM', 'setsockopt'), 'WireFailed', /started again/, 1],
    [{ message: 'the wire’s thread ended' }, 'WireFailed', /started again/, 1],
  ])('%o ends the speaker as %s, in one line that ends with the remedy', (...[error, code, words, exit]) => {
    const ended = wireEnded(error);
    expect(isBerthError(ended) && ended.code).toBe(code);
    const { lines, exitCode } = verdictOf(ended);
    expect(lines).toEqual([expect.stringMatching(words)]);
    expect(lines[0]).not.toContain('\n');
    expect(exitCode).toBe(exit);
    const remedy = isBerthError(ended) ? ended.remedy : '';
    expect(remedy).toMatch(/^[A-Z]/);
    expect(lines[0]?.endsWith(`. ${remedy}.`)).toBe(true);
  });

  it('that the wire survives do not ask for a new start', () => {
    expect(wireError(failed('ENODEV', 'bind')).message).toMatch(/Berth goes on without it/);
  });

  it('that have a remedy already get no second one', () => {
    expect(wireError({ message: 'it cannot be looked for. Remedy: berth doctor lists why.' }).message).toBe(
      'it cannot be looked for. Remedy: berth doctor lists why.',
    );
  });
});
