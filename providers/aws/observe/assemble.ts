import { compareText } from '@berth/core';
import { PIECE } from '../names.ts';
import type {
  AwsLoadBalancer,
  BalancerState,
  GroupState,
  ListenerState,
  Stray,
  Tags,
  TargetGroupState,
} from '../state.ts';
import type { Owner } from './owners.ts';

/** Something of the fleet, with whose it is. */
export interface Owned<T> {
  readonly owner: Owner;
  readonly found: T;
}

/** What of the fleet carries one Service's tags. */
export interface Parts {
  readonly balancers: Owned<BalancerState>[];
  readonly targetGroups: Owned<TargetGroupState>[];
  readonly groups: Owned<GroupState>[];
}

/** What a read in depth found of it. */
export interface Found {
  readonly parts: Parts;
  readonly balancers: readonly {
    readonly balancer: BalancerState;
    readonly listeners: readonly ListenerState[];
  }[];
  readonly targetGroups: readonly TargetGroupState[];
  readonly tags: ReadonlyMap<string, Tags>;
}

/**
 * Puts the pieces of one Service together. Of what is there twice the oldest load balancer and the first of the others
 * stay, and what belongs to another UID than that goes.
 */
export function assemble({ parts, balancers, targetGroups, tags }: Found): AwsLoadBalancer | undefined {
  const [main, ...furtherBalancers] = balancers.toSorted(
    (a, b) => a.balancer.createdAtMs - b.balancer.createdAtMs || compareText(a.balancer.arn, b.balancer.arn),
  );
  const uids = new Map(
    [...parts.balancers, ...parts.targetGroups].map(({ owner, found }) => [found.arn, owner]),
  );
  const uid = uidOf(main?.balancer.arn, parts, uids);
  if (uid === undefined) return undefined;
  const strays: Stray[] = furtherBalancers.map(({ balancer }) => ({
    kind: 'loadBalancer',
    id: balancer.arn,
  }));
  const byKey: Record<string, TargetGroupState> = {};
  for (const group of targetGroups.toSorted((a, b) => compareText(a.arn, b.arn))) {
    const owner = uids.get(group.arn);
    const name = owner?.piece.slice(PIECE.targetGroup('').length) ?? '';
    if (owner?.uid !== uid || byKey[name] !== undefined) strays.push({ kind: 'targetGroup', id: group.arn });
    else byKey[name] = { ...group, tags: tags.get(group.arn) ?? {} };
  }
  const [frontend, ...furtherGroups] = parts.groups
    .filter(({ owner }) => owner.uid === uid)
    .toSorted((a, b) => compareText(a.found.id, b.found.id));
  const foreign = parts.groups.filter(({ owner }) => owner.uid !== uid);
  strays.push(
    ...[...furtherGroups, ...foreign].map(({ found }) => ({ kind: 'securityGroup' as const, id: found.id })),
  );
  return {
    uid,
    ...(main === undefined
      ? {}
      : { balancer: { ...main.balancer, tags: tags.get(main.balancer.arn) ?? {} } }),
    ...(frontend === undefined ? {} : { group: frontend.found }),
    targetGroups: byKey,
    listeners: Object.fromEntries(
      (main?.listeners ?? []).map((one) => [String(one.port), { ...one, tags: tags.get(one.arn) ?? {} }]),
    ),
    strays: Object.fromEntries(strays.map((stray) => [stray.id, stray])),
  };
}

/** The load balancer's UID, else that of the first piece. */
function uidOf(
  arn: string | undefined,
  parts: Parts,
  owners: ReadonlyMap<string, Owner>,
): string | undefined {
  const main = arn === undefined ? undefined : owners.get(arn);
  return main?.uid ?? [...parts.targetGroups, ...parts.groups][0]?.owner.uid;
}
