import type { ServiceKey } from '../model/service.ts';

/** What a step does to a resource. */
export type StepVerb = 'create' | 'update' | 'replace' | 'delete';

/** A plain JSON value: what `before` and `after` of a printed step are made of. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json | undefined };

/** What a plan is for: one load balancer, or what all load balancers of this cluster share. */
export type Scope = ServiceKey | typeof SHARED;

/** The scope of resources that belong to the cluster rather than to one Service; never a Service's key. */
export const SHARED = 'shared';

/**
 * One change, as data: it can be printed, compared and carried out. Steps name their siblings by key; identifiers
 * that the other side chooses are resolved from the observed state when the step is carried out.
 */
export interface Step {
  readonly scope: Scope;
  readonly verb: StepVerb;
  /** Kind of thing in the provider's own words: `listener`, `targetGroup`. */
  readonly resource: string;
  /** Which one of its kind: `443/TCP`. Unique with `resource` inside a scope. */
  readonly key: string;
  /** Steps of one stage are independent and run side by side; a stage begins when the one before it is done. */
  readonly stage: number;
  readonly before?: Json;
  readonly after?: Json;
  /** Why, for people: "port 443/TCP is in the Service but has no listener". */
  readonly because: string;
}

const VERBS: readonly StepVerb[] = ['delete', 'replace', 'update', 'create'];

/** The total order of a plan: stage, then verb (delete, replace, update, create), resource, key. */
export function compareSteps(a: Step, b: Step): number {
  return (
    a.stage - b.stage ||
    VERBS.indexOf(a.verb) - VERBS.indexOf(b.verb) ||
    compareText(a.resource, b.resource) ||
    compareText(a.key, b.key)
  );
}

/** Steps in the total order of `compareSteps`; the input is left alone. */
export function ordered(steps: readonly Step[]): readonly Step[] {
  return steps.toSorted(compareSteps);
}

/** A sorted plan cut into its stages. */
export function stagesOf(steps: readonly Step[]): readonly (readonly Step[])[] {
  const stages = Map.groupBy(ordered(steps), (step) => step.stage);
  return [...stages.values()];
}

/** The step in one line: `create listener 443/TCP: because`. */
export function stepText(step: Step): string {
  return `${step.verb} ${step.resource} ${step.key}: ${step.because}`;
}

/** Compares by code unit, so that the order is the same on every machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
