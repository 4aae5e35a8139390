import { ordered, type Step } from '@berth/core';
import type { Context, Desired } from './desired.ts';
import type { AwsLoadBalancer } from './state.ts';
import { STAGE, step } from './steps.ts';
import { wantedOf } from './wanted.ts';

/**
 * What nothing uses any more and nobody waits for: target groups that others have replaced, which go once their
 * connections had the time to end; the managed security group, where the user's own have replaced it.
 */
export function leftovers(desired: Desired, have: AwsLoadBalancer, context: Context): readonly Step[] {
  const wanted = wantedOf(desired, have, context);
  const used = new Set(Object.values(have.listeners).flatMap(({ targetGroups }) => targetGroups));
  const groups = Object.entries(have.targetGroups)
    .filter(([key, { arn }]) => wanted.targetGroups[key] === undefined && !used.has(arn))
    .map(([key, { arn, name }]) =>
      step({
        scope: desired.key,
        resource: 'replacedTargetGroup',
        key,
        stage: STAGE.leftovers,
        before: { arn, name },
        because: `no port of the Service uses the target group ${key} any more`,
      }),
    );
  const { group } = have;
  const unattached = group !== undefined && have.balancer?.groups.includes(group.id) !== true;
  if (wanted.group !== undefined || !unattached) return ordered(groups);
  return ordered([
    ...groups,
    step({
      scope: desired.key,
      resource: 'securityGroup',
      key: 'frontend',
      stage: STAGE.leftovers,
      before: { id: group.id, name: group.name },
      because: 'security-groups names the groups to use, so the managed one is not needed',
    }),
  ]);
}
