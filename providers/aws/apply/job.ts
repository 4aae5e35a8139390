import { NotReady, type Log, type Step } from '@berth/core';
import { awsCode } from '../cloud/errors.ts';
import { isGone, type AwsCalls } from '../cloud/aws-calls.ts';
import type { Batcher } from '../cloud/batcher.ts';
import type { CallOptions } from '../cloud/limiter.ts';
import type { Context } from '../desired.ts';
import { TAGS } from '../names.ts';
import type { Owners } from '../observe/owners.ts';
import type { Recents } from '../observe/recents.ts';
import {
  emptyLoadBalancer,
  isEmpty,
  type AwsChange,
  type AwsLoadBalancer,
  type AwsObserved,
  type Tags,
} from '../state.ts';
import type { Surroundings } from '../surroundings.ts';

/** What steps are carried out with. */
export interface Actor {
  readonly aws: AwsCalls;
  readonly context: Context;
  readonly surroundings: Surroundings;
  readonly owners: Owners;
  readonly recents: Recents;
  /** Network interfaces that still use a security group, by group. */
  readonly interfaces: Batcher<readonly string[]>;
  readonly log: Log;
}

/** One step that is carried out. */
export interface Job extends Actor {
  readonly step: Step;
  readonly observed: AwsObserved;
  /** What is observed of the step's load balancer. */
  readonly have: AwsLoadBalancer | undefined;
  /** How its calls are made: deletions go first. */
  readonly how: CallOptions;
}

/** When to try again what AWS shows only after a moment, in milliseconds. */
export const MOMENT_MS = 2_000;

/** What a create step says: the tags among the rest. */
export function tagsOfStep({ step }: Job): Tags {
  return (step.after as { readonly tags?: Tags } | undefined)?.tags ?? {};
}

/** Tags as both services take them. */
export function asTags(tags: Tags): { Key: string; Value: string }[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}

/** A change of the load balancer that a create step begins or adds to. */
export function adding(job: Job, add: (now: AwsLoadBalancer) => AwsLoadBalancer): AwsChange {
  const uid = tagsOfStep(job)[TAGS.uid] ?? '';
  return { loadBalancer: (now) => add(now ?? emptyLoadBalancer(uid)) };
}

/** A change of a load balancer that is there; one that is gone meanwhile stays so. */
export function changing(change: (now: AwsLoadBalancer) => AwsLoadBalancer): AwsChange {
  return {
    loadBalancer: (now) => {
      if (now === undefined) return undefined;
      const next = change(now);
      return isEmpty(next) ? undefined : next;
    },
  };
}

/** The record without one entry. */
export function without<T>(record: Readonly<Record<string, T>>, name: string): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => key !== name));
}

/**
 * Carries out a deletion: what is not there counts as deleted; what is in use is tried again a moment later.
 *
 * @throws NotReady `StillInUse` naming what is in use.
 */
export async function deleting(what: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (isGone(error)) return;
    if (['ResourceInUse', 'DependencyViolation'].includes(awsCode(error)))
      throw inUse(what, MOMENT_MS, error);
    throw error;
  }
}

/** What cannot be deleted yet. */
export function inUse(what: string, retryAfterMs: number, cause?: unknown): NotReady {
  return new NotReady('StillInUse', {
    message: `${what} is still in use`,
    remedy: 'Berth tries again by itself; if it lasts, look who uses it',
    retryAfterMs,
    cause,
  });
}

/**
 * Carries out a change of something that is there. Where AWS says that it is not, and it was made a moment ago, it is
 * only not visible everywhere yet; otherwise it is gone, and the core looks again.
 *
 * @throws NotReady `NotVisibleYet`; Conflict.
 */
export async function onExisting<T>({ recents }: Actor, id: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isGone(error)) throw error;
    if (!recents.isYoung(id)) {
      recents.gone(id);
      throw error;
    }
    throw new NotReady('NotVisibleYet', {
      message: `${id} was made a moment ago and is not visible everywhere yet`,
      remedy: 'Berth tries again by itself',
      retryAfterMs: MOMENT_MS,
      cause: error,
    });
  }
}

/** A sibling that a step names and that is not there (any more): the core looks again. */
export function missing(what: string): NotReady {
  return new NotReady('SiblingMissing', {
    message: `${what} is not there yet`,
    remedy: 'Berth tries again by itself',
    retryAfterMs: MOMENT_MS,
  });
}
