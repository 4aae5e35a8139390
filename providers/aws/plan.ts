import { ordered, SHARED, type PlanRequest, type Step } from '@berth/core';
import type { Context, Desired } from './desired.ts';
import { isReplaced, planBalancer } from './plan-balancer.ts';
import { planGroup } from './plan-group.ts';
import { planListeners } from './plan-listeners.ts';
import { planShared } from './plan-shared.ts';
import { planStrays, planTeardown } from './plan-teardown.ts';
import { planTags } from './plan-tags.ts';
import { planTargetGroups } from './plan-target-groups.ts';
import type { AwsSettings } from './settings.ts';
import type { AwsLoadBalancer, AwsObserved } from './state.ts';
import { wantedOf, type Wanted } from './wanted.ts';

/** What the planners of the pieces compare. */
export interface Comparison {
  readonly desired: Desired;
  readonly wanted: Wanted;
  /** Undefined: nothing is there. */
  readonly have: AwsLoadBalancer | undefined;
  readonly observed: AwsObserved;
  readonly context: Context;
}

/**
 * The steps from what is to what is wanted. Pure. Order: security group and target groups; the load balancer with the
 * groups that it needs from the beginning, beside rules and targets; listeners; then what they replaced.
 */
export function plan(
  request: PlanRequest<AwsSettings>,
  observed: AwsObserved,
  context: Context,
): readonly Step[] {
  if (request.scope === SHARED) return ordered(planShared(request.desired, observed, context));
  const { key, desired } = request;
  const have = observed.loadBalancers.get(key);
  if (desired === undefined) {
    return have === undefined ? [] : ordered(planTeardown(key, have, request.settings));
  }
  // The core removes another Service's load balancer first; a plan is total, so it says so here as well.
  if (have !== undefined && have.uid !== desired.uid) return ordered(planTeardown(key, have, undefined));
  const comparison = { desired, wanted: wantedOf(desired, have, context), have, observed, context };
  const kept = isReplaced(comparison) ? { ...comparison, have: withoutBalancer(have) } : comparison;
  return ordered([
    ...planGroup(comparison),
    ...planTargetGroups(comparison),
    ...planBalancer(comparison),
    ...planListeners(kept),
    ...planTags(kept),
    ...planStrays(key, have),
  ]);
}

/** What is left when the load balancer goes. */
function withoutBalancer(have: AwsLoadBalancer | undefined): AwsLoadBalancer | undefined {
  if (have === undefined) return undefined;
  const { balancer: _gone, ...rest } = have;
  return { ...rest, listeners: {} };
}
