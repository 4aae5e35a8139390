import { z } from 'zod';
import type { Json } from '@berth/core';
import type { Context, Desired } from './desired.ts';
import type { AwsLoadBalancer, BalancerState, ListenerState, TargetGroupState } from './state.ts';
import { PIECE } from './names.ts';
import type { Names } from './surroundings.ts';
import { wantedOf, type Wanted } from './wanted.ts';

/** What identifies everything of one Service: the load balancer's ARN, the tails of the others. */
const rememberedSchema = z.object({
  lb: z.string(),
  /** By key, the part of the ARN after `targetgroup/`. */
  tg: z.record(z.string(), z.string()),
  /** By port, the last part of the ARN. */
  ls: z.record(z.string(), z.string()),
  /** What the names in annotations stood for. */
  nm: z.object({ subnets: z.record(z.string(), z.string()), groups: z.record(z.string(), z.string()) }),
});

type Remembered = z.output<typeof rememberedSchema>;

/** What to keep on the Service of a load balancer about which nothing is left to do. */
export function remember(
  { balancer, targetGroups, listeners }: AwsLoadBalancer,
  { subnets, groups }: Names,
): Json {
  const tails = <T extends { readonly arn: string }>(
    record: Readonly<Record<string, T>>,
    from: string,
  ): Record<string, string> =>
    Object.fromEntries(
      Object.entries(record).map(([key, { arn }]) => [key, arn.slice(arn.lastIndexOf(from) + 1)]),
    );
  return {
    lb: balancer?.arn ?? '',
    tg: Object.fromEntries(
      Object.entries(targetGroups).map(([key, { arn }]) => [key, arn.split(':targetgroup/')[1] ?? '']),
    ),
    ls: tails(listeners, '/'),
    nm: { subnets, groups },
  };
}

/** What was kept, or `undefined` when it is of another form. */
export function parseRemembered(value: Json): Remembered | undefined {
  return rememberedSchema.safeParse(value).data;
}

/** The ARNs that were kept. */
export function rememberedArns({ lb, tg }: Remembered): {
  readonly balancer: string;
  readonly targetGroups: Readonly<Record<string, string>>;
} {
  const prefix = lb.split(':loadbalancer/')[0] ?? '';
  return {
    balancer: lb,
    targetGroups: Object.fromEntries(
      Object.entries(tg).map(([key, tail]) => [key, `${prefix}:targetgroup/${tail}`]),
    ),
  };
}

/** What the pages show of a load balancer that is remembered. */
export interface Shown {
  readonly balancer: BalancerState;
  readonly group: AwsLoadBalancer['group'];
  readonly targetGroups: Readonly<Record<string, TargetGroupState>>;
}

/**
 * The load balancer as it was when nothing was left to do about it: what the pages show is taken from them, the rest is
 * as it is wanted, because the same is still wanted. `undefined` when the two do not fit together.
 */
export function recall(
  desired: Desired,
  remembered: Remembered,
  {
    shown,
    context,
    sameTargets,
  }: { readonly shown: Shown; readonly context: Context; readonly sameTargets: boolean },
): AwsLoadBalancer | undefined {
  const have: AwsLoadBalancer = {
    uid: desired.uid,
    balancer: shown.balancer,
    targetGroups: shown.targetGroups,
    listeners: {},
    strays: {},
    ...(shown.group === undefined ? {} : { group: shown.group }),
  };
  const wanted = wantedOf(desired, have, context);
  const targetGroups = recallGroups(wanted, shown, sameTargets);
  if (targetGroups === undefined) return undefined;
  const listeners = recallListeners(wanted, remembered, { shown, targetGroups });
  if (listeners === undefined) return undefined;
  const { attributes } = wanted.balancer;
  const balancer = { ...shown.balancer, attributes, tags: wanted.tags(PIECE.balancer) };
  return { ...have, balancer, targetGroups, listeners };
}

function recallGroups(
  wanted: Wanted,
  shown: Shown,
  sameTargets: boolean,
): Readonly<Record<string, TargetGroupState>> | undefined {
  const groups: Record<string, TargetGroupState> = {};
  for (const [key, group] of Object.entries(shown.targetGroups)) {
    const spec = wanted.targetGroups[key];
    if (spec === undefined) return undefined;
    groups[key] = {
      ...group,
      attributes: spec.attributes,
      tags: wanted.tags(PIECE.targetGroup(key)),
      ...(sameTargets ? { targets: spec.targets } : {}),
    };
  }
  return groups;
}

function recallListeners(
  wanted: Wanted,
  remembered: Remembered,
  known: { readonly shown: Shown; readonly targetGroups: Readonly<Record<string, TargetGroupState>> },
): Readonly<Record<string, ListenerState>> | undefined {
  const prefix = known.shown.balancer.arn.replace(':loadbalancer/', ':listener/');
  const listeners: Record<string, ListenerState> = {};
  for (const [port, tail] of Object.entries(remembered.ls)) {
    const spec = wanted.listeners[port];
    const group = known.targetGroups[spec?.targetGroup ?? ''];
    if (spec === undefined || group === undefined) return undefined;
    const { targetGroup: _key, ...rest } = spec;
    const tags = wanted.tags(PIECE.listener(port));
    listeners[port] = { ...rest, arn: `${prefix}/${tail}`, targetGroups: [group.arn], tags };
  }
  return listeners;
}
