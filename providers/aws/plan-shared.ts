import { compareText, SHARED, type SharedDesired, type Step } from '@berth/core';
import type { Context } from './desired.ts';
import { nameFor, PIECE, sharedTags } from './names.ts';
import { BACKEND, rulesFor } from './needs.ts';
import { missingRules } from './rules.ts';
import { ruleText, type AwsObserved, type Rule } from './state.ts';
import { step } from './steps.ts';
import { instanceOf } from './targets.ts';

/** Reading about nodes, then the group that names the load balancers, then the rules that name the group. */
const SHARED_STAGE = { nodes: 0, group: 1, rules: 2 } as const;

/**
 * What the cluster owns once: the group that every load balancer carries, and the rules on the nodes' groups that let
 * it in. Their number depends on how many security groups the nodes have, not on how many Services there are.
 */
export function planShared(
  desired: SharedDesired | undefined,
  observed: AwsObserved,
  context: Context,
): readonly Step[] {
  if (desired === undefined) return removal(observed, context);
  const attached = desired.needs.includes(BACKEND);
  const unknown = desired.targets
    .flatMap((target) => instanceOf(target) ?? [])
    .filter((id) => observed.environment.instances[id] === undefined)
    // Without the shared group all that is needed of the nodes is their VPC.
    .filter(() => attached || observed.environment.vpc === undefined)
    .toSorted(compareText);
  const look =
    unknown.length === 0
      ? []
      : [
          step({
            scope: SHARED,
            resource: 'nodes',
            key: 'instances',
            stage: SHARED_STAGE.nodes,
            verb: 'update',
            after: { look: unknown },
            because: `${unknown.length} ${unknown.length === 1 ? 'node is' : 'nodes are'} new; their VPC and security groups are read`,
          }),
        ];
  if (!attached) return look;
  return [...look, ...groupSteps(observed, context), ...ruleSteps(desired, observed, context)];
}

function groupSteps({ shared }: AwsObserved, context: Context): readonly Step[] {
  if (shared.backend !== undefined) return [];
  const { cluster } = context;
  return [
    step({
      scope: SHARED,
      resource: 'securityGroup',
      key: 'backend',
      stage: SHARED_STAGE.group,
      after: { name: nameFor(cluster, 'backend', ['backend']), tags: sharedTags(cluster, PIECE.backend) },
      because: 'the load balancers need a group that the rules of the nodes can name',
    }),
  ];
}

/** The rules of each node group. What other Services may still need is not revoked before all of them are known. */
function ruleSteps(
  desired: SharedDesired,
  { environment, shared }: AwsObserved,
  context: Context,
): readonly Step[] {
  const { backend } = shared;
  if (backend === undefined || !context.config.manageNodeRules) return [];
  const wanted = rulesFor(desired.needs, backend.id, context);
  const instances = desired.targets.flatMap((target) => {
    const id = instanceOf(target);
    return id === undefined ? [] : (environment.instances[id] ?? []);
  });
  const groups = new Set(
    instances.filter(({ usable, group }) => usable && group !== '').map(({ group }) => group),
  );
  // A group that no node has any more: known only once every node has been looked at.
  const known = desired.targets.every((target) => {
    const id = instanceOf(target);
    return id === undefined || environment.instances[id] !== undefined;
  });
  const all = new Set([...groups, ...Object.keys(shared.nodeRules)]);
  return [...all].flatMap((group) => {
    const have = shared.nodeRules[group] ?? [];
    const want = groups.has(group) ? wanted : [];
    const settled = desired.complete && known && groups.size > 0;
    return ruleStep(group, missingRules(want, have), settled ? missingRules(have, want) : []);
  });
}

function ruleStep(group: string, authorize: readonly Rule[], revoke: readonly Rule[]): readonly Step[] {
  if (authorize.length === 0 && revoke.length === 0) return [];
  const because = [
    ...authorize.map((rule) => `+${ruleText(rule)}`),
    ...revoke.map((rule) => `-${ruleText(rule)}`),
  ].join(', ');
  return [
    step({
      scope: SHARED,
      resource: 'nodeRules',
      key: group,
      stage: SHARED_STAGE.rules,
      verb: 'update',
      after: { authorize, revoke },
      because: `the nodes' group ${group} must let the load balancers in: ${because}`,
    }),
  ];
}

/** Rules before the group that they name. */
function removal({ shared }: AwsObserved, { config }: Context): readonly Step[] {
  const because = 'no Service needs a load balancer any more';
  return [
    ...Object.entries(shared.nodeRules)
      .filter(([, rules]) => rules.length > 0)
      .map(([group, revoke]) =>
        step({
          scope: SHARED,
          resource: 'nodeRules',
          key: group,
          stage: 0,
          verb: 'update',
          after: { authorize: [], revoke },
          because,
        }),
      ),
    ...(shared.backend === undefined || shared.backend.id === config.backendSecurityGroup
      ? []
      : [
          step({
            scope: SHARED,
            resource: 'securityGroup',
            key: 'backend',
            stage: 1,
            before: { id: shared.backend.id, name: shared.backend.name },
            because,
          }),
        ]),
  ];
}
