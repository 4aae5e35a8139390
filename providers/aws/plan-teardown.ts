import type { ServiceKey, Step } from '@berth/core';
import type { AwsSettings } from './settings.ts';
import type { AwsLoadBalancer, Stray } from './state.ts';
import { STAGE, step, TEARDOWN } from './steps.ts';

/** The API's name of deletion protection. */
export const DELETION_PROTECTION = 'deletion_protection.enabled';

/**
 * The steps that leave nothing, from what was observed alone: the load balancer (its listeners go with it), target
 * groups, security group. Protection that the Service does not ask for (any more) is taken off; where it does, or
 * nobody is left to ask, AWS refuses the deletion and people are told.
 */
export function planTeardown(
  scope: ServiceKey,
  have: AwsLoadBalancer,
  settings: AwsSettings | undefined,
): readonly Step[] {
  const because = `Service ${scope} wants no load balancer any more`;
  return [
    ...balancerSteps(scope, have, { because, settings }),
    ...Object.entries(have.targetGroups).map(([key, { arn, name }]) =>
      step({
        scope,
        resource: 'targetGroup',
        key,
        stage: TEARDOWN.targetGroups,
        before: { arn, name },
        because,
      }),
    ),
    ...(have.group === undefined
      ? []
      : [
          step({
            scope,
            resource: 'securityGroup',
            key: 'frontend',
            stage: TEARDOWN.groups,
            before: { id: have.group.id, name: have.group.name },
            because,
          }),
        ]),
    ...straySteps(scope, have, {
      loadBalancer: TEARDOWN.balancer,
      targetGroup: TEARDOWN.targetGroups,
      securityGroup: TEARDOWN.groups,
    }),
  ];
}

function balancerSteps(
  scope: ServiceKey,
  { balancer }: AwsLoadBalancer,
  { because, settings }: { readonly because: string; readonly settings: AwsSettings | undefined },
): readonly Step[] {
  if (balancer === undefined) return [];
  const key = scope.slice(scope.indexOf('/') + 1);
  const keeps = settings === undefined || settings.attributes[DELETION_PROTECTION] === 'true';
  const locked = balancer.attributes?.[DELETION_PROTECTION] === 'true';
  const before = { arn: balancer.arn, name: balancer.name };
  const deletion = step({ scope, resource: 'loadBalancer', key, stage: TEARDOWN.balancer, before, because });
  if (!locked || keeps) return [deletion];
  return [
    step({
      scope,
      resource: 'loadBalancerAttributes',
      key,
      stage: TEARDOWN.protection,
      verb: 'update',
      before: { [DELETION_PROTECTION]: 'true' },
      after: { [DELETION_PROTECTION]: 'false' },
      because: 'the Service does not ask for deletion protection any more',
    }),
    deletion,
  ];
}

/** What is there twice goes after everything else is in place. */
export function planStrays(scope: ServiceKey, have: AwsLoadBalancer | undefined): readonly Step[] {
  if (have === undefined) return [];
  return straySteps(scope, have, {
    loadBalancer: STAGE.listeners,
    targetGroup: STAGE.replaced,
    securityGroup: STAGE.leftovers,
  });
}

function straySteps(
  scope: ServiceKey,
  { strays }: AwsLoadBalancer,
  stages: Readonly<Record<Stray['kind'], number>>,
): readonly Step[] {
  return Object.values(strays).map(({ kind, id }) =>
    step({
      scope,
      resource: 'stray',
      key: id,
      stage: stages[kind],
      before: { kind, id },
      because: `a second ${kind} carries the tags of Service ${scope}`,
    }),
  );
}
