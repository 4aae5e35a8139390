import type { Json, Scope, Step, StepVerb } from '@berth/core';

/** When each thing is done: what others need comes first, and what nobody needs any more goes last. */
export const STAGE = {
  /** Security groups, target groups. */
  ground: 0,
  /** The load balancer with its groups; rules; targets. */
  balancer: 1,
  /** Listeners, once there is something behind them. */
  listeners: 2,
  /** What the new listeners have replaced. */
  replaced: 3,
  /** Target groups that nothing forwards to and nothing drains from; groups that nothing carries. */
  leftovers: 4,
} as const;

/** The same for a removal. */
export const TEARDOWN = { protection: 0, balancer: 1, targetGroups: 2, groups: 3 } as const;

/** The parts of a step; the verb follows from before and after unless it is given. */
export interface StepParts {
  readonly scope: Scope;
  readonly resource: string;
  readonly key: string;
  readonly stage: number;
  readonly because: string;
  readonly verb?: StepVerb;
  readonly before?: Json | undefined;
  readonly after?: Json | undefined;
}

/** Makes a step of its parts. */
export function step({ before, after, verb, ...parts }: StepParts): Step {
  return {
    ...parts,
    verb: verb ?? (before === undefined ? 'create' : after === undefined ? 'delete' : 'update'),
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
  };
}

/** Attributes that are asked for and differ; those that nobody names are left alone. */
export function changedAttributes(
  have: Readonly<Record<string, string>> | undefined,
  wanted: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  if (have === undefined) return {};
  return Object.fromEntries(Object.entries(wanted).filter(([key, value]) => have[key] !== value));
}

/** The values of these keys, for the `before` of a step. */
export function pick(
  have: Readonly<Record<string, string>>,
  keys: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.keys(keys).map((key) => [key, have[key] ?? '']));
}

/** Equality of plain values whose keys were written in the same order, as those of this provider are. */
export function same(a: Json | undefined, b: Json | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Equality of lists whose order has no meaning. */
export function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item) => b.includes(item));
}
