import { z } from 'zod';
import type { Json } from '@berth/core';
import type { Context, Desired } from './desired.ts';
import type { AwsLoadBalancer, BalancerState, ListenerState, TargetGroupState } from './state.ts';
import { PIECE } from './names.ts';
import type { Names } from './surroundings.ts';
import { wantedOf } from './wanted.ts';

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
  const before = { uid: desired.uid, ...shown, listeners: {}, strays: {} };
  const wanted = wantedOf(
    desired,
    { ...before, ...(shown.group === undefined ? {} : { group: shown.group }) } as AwsLoadBalancer,
    context,
  );
  const targetGroups: Record<string, TargetGroupState> = {};
  for (const [key, group] of Object.entries(shown.targetGroups)) {
    const spec = wanted.targetGroups[key];
    if (spec === undefined) return undefined;
    targetGroups[key] = {
      ...group,
      attributes: spec.attributes,
      tags: wanted.tags(PIECE.targetGroup(key)),
      ...(sameTargets ? { targets: spec.targets } : {}),
    };
  }
  const listeners: Record<string, ListenerState> = {};
  for (const [port, tail] of Object.entries(remembered.ls)) {
    const spec = wanted.listeners[port];
    const group = targetGroups[spec?.targetGroup ?? ''];
    if (spec === undefined || group === undefined) return undefined;
    listeners[port] = {
      arn: `${shown.balancer.arn.replace(':loadbalancer/', ':listener/')}/${tail}`,
      port: spec.port,
      protocol: spec.protocol,
      targetGroups: [group.arn],
      certificates: spec.certificates,
      sslPolicy: spec.sslPolicy,
      alpn: spec.alpn,
      attributes: spec.attributes,
      tags: wanted.tags(PIECE.listener(port)),
    };
  }
  const balancer = {
    ...shown.balancer,
    attributes: wanted.balancer.attributes,
    tags: wanted.tags(PIECE.balancer),
  };
  return {
    uid: desired.uid,
    balancer,
    targetGroups,
    listeners,
    strays: {},
    ...(shown.group === undefined ? {} : { group: shown.group }),
  };
}
