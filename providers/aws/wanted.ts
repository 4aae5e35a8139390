import type { IpAddress } from '@berth/core';
import { targetTypeOf, type Context, type Desired } from './desired.ts';
import { nameFor, ownerTags } from './names.ts';
import { planPorts, type PortPlan } from './ports.ts';
import { frontendRules } from './rules.ts';
import type { Attributes, AwsLoadBalancer, HealthCheckSpec, Rule, Tags, TargetState } from './state.ts';
import { healthCheckOf } from './health-check.ts';
import { targetGroupAttributes } from './target-group-attributes.ts';
import { targetsOf } from './targets.ts';

/** The security group of a load balancer, as it is wanted. */
export type GroupSpec = { readonly name: string; readonly rules: readonly Rule[] };

/** A load balancer as it is wanted. */
export type BalancerSpec = {
  readonly name: string;
  readonly scheme: string;
  readonly ipAddressType: string;
  /** Ids or names; empty: discovered when it is made, and kept. */
  readonly subnets: readonly string[];
  readonly allocations: readonly string[];
  readonly privateIpv4: readonly string[];
  readonly ipv6: readonly string[];
  /** Addresses that the Service asks for by itself, at most one for each family. */
  readonly addresses: readonly IpAddress[];
  readonly sourceNat: string;
  readonly sourceNatPrefixes: readonly string[];
  /** `frontend` and `backend` stand for the groups that Berth manages; others are ids or names. */
  readonly groups: readonly string[];
  /** Empty: left alone. */
  readonly privateLinkRules: string;
  readonly attributes: Attributes;
};

/** A target group as it is wanted. */
export type TargetGroupSpec = {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly targetType: string;
  readonly ipAddressType: string;
  readonly healthCheck: HealthCheckSpec;
  readonly attributes: Attributes;
  readonly targets: readonly TargetState[];
};

/** A listener as it is wanted. */
export type ListenerSpec = {
  readonly port: number;
  readonly protocol: string;
  /** Key of its target group. */
  readonly targetGroup: string;
  /** The first is the default one. */
  readonly certificates: readonly string[];
  readonly sslPolicy: string;
  readonly alpn: string;
  readonly attributes: Attributes;
};

/** Everything that is wanted of one Service, in AWS's words. */
export interface Wanted {
  readonly group: GroupSpec | undefined;
  readonly balancer: BalancerSpec;
  readonly targetGroups: Readonly<Record<string, TargetGroupSpec>>;
  readonly listeners: Readonly<Record<string, ListenerSpec>>;
  /** Tags of a piece. */
  readonly tags: (piece: string) => Tags;
}

/**
 * What the core wants in AWS's words. What an existing load balancer has and nobody asked to change (its scheme) stays.
 * Throws as `planPorts` and `frontendRules` do.
 */
export function wantedOf(desired: Desired, have: AwsLoadBalancer | undefined, context: Context): Wanted {
  const { plans } = planPorts(desired);
  const groups = plans.map((plan) => targetGroupOf(plan, { desired, plans, context }));
  const listeners = plans.map((plan, index) =>
    listenerOf(plan, groups[index]?.key ?? '', { desired, context }),
  );
  const ipAddressType = ipAddressTypeOf(desired);
  const own = desired.settings.securityGroups.length > 0;
  return {
    group: own
      ? undefined
      : {
          name: nameFor(context.cluster, desired.name, ['group', desired.uid]),
          rules: frontendRules(desired, listeners, ipAddressType === 'dualstack'),
        },
    balancer: balancerOf(desired, have, { context, ipAddressType }),
    targetGroups: Object.fromEntries(groups.map(({ key, spec }) => [key, spec])),
    listeners: Object.fromEntries(listeners.map((listener) => [String(listener.port), listener])),
    tags: (piece) => tagsOf(desired, context, piece),
  };
}

/** `dualstack` when asked for, or when the Service has an IPv6 family. */
export function ipAddressTypeOf({ settings, families }: Desired): string {
  return settings.ipAddressType ?? (families.includes('IPv6') ? 'dualstack' : 'ipv4');
}

/** Who can reach it: what is asked for, else what an existing load balancer has, else the default. */
export function schemeOf({ settings }: Desired, have: AwsLoadBalancer | undefined, context: Context): string {
  const { scheme, internal } = settings;
  if (scheme !== undefined) return scheme;
  if (internal !== undefined) return internal === 'false' ? 'internet-facing' : 'internal';
  return have?.balancer?.scheme ?? context.config.defaultScheme;
}

/** Whether the shared group is attached, and the nodes are opened for it. */
export function usesBackend({ settings }: Desired, { config }: Context): boolean {
  if (settings.securityGroups.length === 0) return true;
  return settings.manageBackendRules ?? config.manageBackendRulesOfOwnGroups;
}

function balancerOf(
  desired: Desired,
  have: AwsLoadBalancer | undefined,
  { context, ipAddressType }: { readonly context: Context; readonly ipAddressType: string },
): BalancerSpec {
  const { settings, uid } = desired;
  const scheme = schemeOf(desired, have, context);
  const frontend = settings.securityGroups.length === 0 ? ['frontend'] : settings.securityGroups;
  return {
    // The name has the scheme in it, because one that replaces another must be able to exist beside it.
    name: settings.name ?? nameFor(context.cluster, desired.name, ['balancer', uid, scheme]),
    scheme,
    ipAddressType,
    subnets: settings.subnets,
    allocations: settings.eipAllocations,
    privateIpv4: settings.privateIpv4Addresses,
    ipv6: settings.ipv6Addresses,
    addresses: desired.addresses,
    sourceNat: settings.ipv6SourceNat ?? '',
    sourceNatPrefixes: settings.sourceNatPrefixes,
    groups: usesBackend(desired, context) ? [...frontend, 'backend'] : frontend,
    privateLinkRules: settings.privateLinkRules ?? '',
    attributes: balancerAttributes(settings),
  };
}

/** The map, overridden by the older annotations that set one attribute each. */
function balancerAttributes(settings: Desired['settings']): Attributes {
  const { crossZone, accessLog, accessLogBucket, accessLogPrefix } = settings;
  return {
    ...settings.attributes,
    ...(crossZone === undefined ? {} : { 'load_balancing.cross_zone.enabled': String(crossZone) }),
    ...(accessLog === undefined ? {} : { 'access_logs.s3.enabled': String(accessLog) }),
    ...(accessLogBucket === undefined ? {} : { 'access_logs.s3.bucket': accessLogBucket }),
    ...(accessLogPrefix === undefined ? {} : { 'access_logs.s3.prefix': accessLogPrefix }),
  };
}

interface PortContext {
  readonly desired: Desired;
  readonly plans: readonly PortPlan[];
  readonly context: Context;
}

function targetGroupOf(
  plan: PortPlan,
  { desired, plans, context }: PortContext,
): { readonly key: string; readonly spec: TargetGroupSpec } {
  const targetType = targetTypeOf(desired.settings, context);
  const protocol = targetProtocol(plan, desired);
  const ipv6 = desired.families[0] === 'IPv6';
  const key = targetGroupKey(plan, { protocol, targetType, ipv6, plans });
  return {
    key,
    spec: {
      name: nameFor(context.cluster, desired.name, ['target group', desired.uid, key]),
      protocol,
      port: targetType === 'instance' ? plan.source.nodePort : podPort(plan),
      targetType,
      ipAddressType: ipv6 ? 'ipv6' : 'ipv4',
      healthCheck: healthCheckOf(plan, desired, { context, plans }),
      attributes: targetGroupAttributes(plan, desired),
      targets: targetsOf(plan, desired, targetType),
    },
  };
}

/** The group's own port; the API wants one though every pod has its own: 1 where only a name is known. */
function podPort({ source }: PortPlan): number {
  return typeof source.targetPort === 'number' ? source.targetPort : 1;
}

function targetProtocol({ protocol }: PortPlan, { settings }: Desired): string {
  if (protocol !== 'TLS') return protocol;
  return settings.backendProtocol === 'ssl' || settings.backendProtocol === 'tls' ? 'TLS' : 'TCP';
}

/**
 * Everything of a target group that cannot be changed, so that a change of it makes another one beside it. It has the
 * node port and not the Service's port: changing the latter moves a listener and nothing else.
 */
function targetGroupKey(
  { source }: PortPlan,
  of: {
    readonly protocol: string;
    readonly targetType: string;
    readonly ipv6: boolean;
    readonly plans: readonly PortPlan[];
  },
): string {
  const family = of.ipv6 ? ':ipv6' : '';
  if (of.targetType === 'instance') return `${of.protocol}:${source.nodePort}${family}`;
  const alike = of.plans.filter((other) => other.source.targetPort === source.targetPort);
  const distinct = alike.length > 1 ? `@${source.port}` : '';
  return `${of.protocol}:ip:${source.targetPort}${distinct}${family}`;
}

function listenerOf(
  { port, protocol, source }: PortPlan,
  targetGroup: string,
  { desired, context }: { readonly desired: Desired; readonly context: Context },
): ListenerSpec {
  const { settings } = desired;
  const tls = protocol === 'TLS';
  const byName = Object.entries(settings.listenerAttributes).filter(([suffix]) =>
    [`${protocol}-${port}`, `${source.protocol}-${port}`].includes(suffix),
  );
  return {
    port,
    protocol,
    targetGroup,
    certificates: tls ? settings.sslCert : [],
    sslPolicy: tls ? (settings.sslPolicy ?? context.config.defaultSslPolicy) : '',
    alpn: tls ? (settings.alpnPolicy ?? 'None') : 'None',
    attributes: tls ? {} : Object.assign({}, ...byName.map(([, attributes]) => attributes)),
  };
}

/** Ours win over the configuration's, and those over the annotation's; keys that others look after are left out. */
function tagsOf(desired: Desired, { cluster, config }: Context, piece: string): Tags {
  const merged = {
    ...desired.settings.additionalTags,
    ...config.defaultTags,
    ...ownerTags(cluster, desired, piece),
  };
  return Object.fromEntries(
    Object.entries(merged).filter(
      ([key]) => !config.externalManagedTags.includes(key) && !key.startsWith('aws:'),
    ),
  );
}
