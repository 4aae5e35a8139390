import { inspect } from 'node:util';

/**
 * Errors are named for what the core must do about them; `code` is the reason that people see in the Event, the
 * condition, the metric and `berth explain`. Providers throw these; anything else counts as `Transient`.
 */
export type ErrorKind =
  | 'InvalidSpec'
  | 'Unsupported'
  | 'NotReady'
  | 'Throttled'
  | 'Transient'
  | 'Conflict'
  | 'Denied'
  | 'NotOwned';

/** What every error carries: what happened, and what to do about it. */
export interface ErrorDetails {
  /** What is wrong: names the field and the value. No trailing full stop needed. */
  readonly message: string;
  /** What the reader can do about it. */
  readonly remedy: string;
  readonly cause?: unknown;
}

const mark = Symbol.for('berth.dev/error');

/** Base of all classified errors. Its message ends with the remedy. */
export abstract class BerthError extends Error {
  abstract readonly kind: ErrorKind;
  readonly code: string;
  readonly remedy: string;
  /** Milliseconds after which to try again, obeyed exactly when set. */
  readonly retryAfterMs: number | undefined;
  readonly [mark] = true;

  constructor(code: string, details: ErrorDetails & { readonly retryAfterMs?: number }) {
    super(`${sentence(details.message)} ${sentence(details.remedy)}`.trim(), { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.remedy = details.remedy;
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** The Service asks for something that is wrong; nothing is tried again until it is edited. */
export class InvalidSpec extends BerthError {
  readonly kind = 'InvalidSpec';
}

/** The Service asks for something that the provider cannot do; nothing is tried again until it is edited. */
export class Unsupported extends BerthError {
  readonly kind = 'Unsupported';
}

/** Something takes time; planned again after exactly `retryAfterMs`. Not an error for people. */
export class NotReady extends BerthError {
  readonly kind = 'NotReady';
  // oxlint-disable-next-line eslint/no-useless-constructor -- it narrows: a NotReady always says when to come back
  constructor(code: string, details: ErrorDetails & { readonly retryAfterMs: number }) {
    super(code, details);
  }
}

/** The other side asks for fewer calls. */
export class Throttled extends BerthError {
  readonly kind = 'Throttled';
}

/** It may work the next time: a time-out, a 5xx, a broken connection. */
export class Transient extends BerthError {
  readonly kind = 'Transient';
}

/** What was observed is no longer true; the key is observed again before it is planned again. */
export class Conflict extends BerthError {
  readonly kind = 'Conflict';
}

/** Credentials, permissions or a quota stand in the way; a person has to act outside the Service. */
export class Denied extends BerthError {
  readonly kind = 'Denied';
}

/** Something of this name exists and is not ours; it is never touched. */
export class NotOwned extends BerthError {
  readonly kind = 'NotOwned';
}

/** Whether the value is one of the classified errors, also when another copy of this package made it. */
export function isBerthError(value: unknown): value is BerthError {
  return typeof value === 'object' && value !== null && mark in value;
}

/** How deep a classified error may be wrapped in others. */
const MAX_CAUSES = 8;

/**
 * Any thrown value as a classified error: one that others are wrapped around (by `cause`) is taken out; what is none
 * becomes `Transient` with code `SyncLoadBalancerFailed`.
 */
export function asBerthError(value: unknown): BerthError {
  let inner = value;
  for (let depth = 0; depth <= MAX_CAUSES && !isBerthError(inner); depth++) {
    inner = inner instanceof Error ? inner.cause : undefined;
  }
  if (isBerthError(inner)) return inner;
  return new Transient('SyncLoadBalancerFailed', {
    message: value instanceof Error ? value.message : typeof value === 'string' ? value : inspect(value),
    remedy: 'Berth tries again by itself; if it lasts, the log has the cause',
    cause: value,
  });
}

function sentence(text: string): string {
  const trimmed = text.trim();
  return trimmed === '' || /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}
