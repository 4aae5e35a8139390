import type { Step } from '@berth/core';
import type { Comparison } from './plan.ts';
import { missingRules } from './rules.ts';
import { ruleText } from './state.ts';
import { STAGE, step } from './steps.ts';
import { PIECE } from './names.ts';

/** The load balancer's own security group and its rules; where the user's own replace it, `leftovers` removes it. */
export function planGroup({ desired, wanted, have }: Comparison): readonly Step[] {
  const { key: scope } = desired;
  const { group } = wanted;
  const present = have?.group;
  if (group === undefined) return [];
  const steps: Step[] = [];
  if (present === undefined) {
    steps.push(
      step({
        scope,
        resource: 'securityGroup',
        key: 'frontend',
        stage: STAGE.ground,
        after: { name: group.name, tags: wanted.tags(PIECE.frontend) },
        because: `Service ${scope} has no security group for its load balancer`,
      }),
    );
  }
  const authorize = missingRules(group.rules, present?.rules ?? []);
  const revoke = missingRules(present?.rules ?? [], group.rules);
  if (authorize.length > 0 || revoke.length > 0) {
    steps.push(
      step({
        scope,
        resource: 'rules',
        key: 'frontend',
        stage: STAGE.balancer,
        verb: 'update',
        after: { authorize, revoke },
        because: [
          ...authorize.map((rule) => `+${ruleText(rule)}`),
          ...revoke.map((rule) => `-${ruleText(rule)}`),
        ].join(', '),
      }),
    );
  }
  return steps;
}
