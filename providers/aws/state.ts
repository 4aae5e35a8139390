import type { Change, Observed, ObservedLoadBalancer } from '@berth/core';

/**
 * What the provider sees of AWS. Type aliases and plain values, so that they are `Json`. A member that is `undefined`
 * where the type allows it was not read, and is trusted to be as it was made.
 */
export type Tags = Readonly<Record<string, string>>;

/** Attributes by key, as the API has them: all values are text. */
export type Attributes = Readonly<Record<string, string>>;

/** One inbound rule: a protocol, a port range (ICMP: type and code), and who may send. */
export type Rule = {
  readonly protocol: string;
  readonly from: number;
  readonly to: number;
  /** A CIDR, `pl-…` or `sg-…`. */
  readonly source: string;
};

/** A security group that Berth made. */
export type GroupState = {
  readonly id: string;
  readonly name: string;
  readonly rules: readonly Rule[];
  readonly tags: Tags;
};

/** One zone of a load balancer. */
export type ZoneState = {
  readonly zone: string;
  readonly subnet: string;
  readonly allocation?: string;
  /** All addresses that DescribeLoadBalancers tells of. */
  readonly addresses: readonly string[];
};

/** A Network Load Balancer. */
export type BalancerState = {
  readonly arn: string;
  readonly name: string;
  readonly dnsName: string;
  readonly scheme: string;
  readonly ipAddressType: string;
  readonly vpc: string;
  /** `provisioning`, `active`, `active_impaired` or `failed`. */
  readonly status: string;
  readonly zones: readonly ZoneState[];
  readonly groups: readonly string[];
  readonly sourceNat: string;
  readonly privateLinkRules: string;
  /** Milliseconds since the epoch, by AWS's clock. */
  readonly createdAtMs: number;
  readonly attributes?: Attributes;
  readonly tags?: Tags;
};

/** How targets are probed, in the API's own words. */
export type HealthCheckSpec = {
  readonly protocol: string;
  readonly port: string;
  readonly interval: number;
  readonly timeout: number;
  readonly healthy: number;
  readonly unhealthy: number;
  /** HTTP and HTTPS only. */
  readonly path?: string;
  readonly codes?: string;
};

/** A target: an instance on the group's port, or an address on a port of its own. */
export type TargetState = {
  readonly id: string;
  readonly port: number;
};

/** A target group. */
export type TargetGroupState = {
  readonly arn: string;
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly targetType: string;
  readonly ipAddressType: string;
  readonly healthCheck: HealthCheckSpec;
  /** Registered ones; a draining target counts as absent. */
  readonly targets?: readonly TargetState[];
  /** Whether targets are still draining. */
  readonly draining: boolean;
  readonly attributes?: Attributes;
  readonly tags?: Tags;
};

/** A listener. */
export type ListenerState = {
  readonly arn: string;
  readonly port: number;
  readonly protocol: string;
  /** ARNs of what it forwards to; Berth's own listeners have one. */
  readonly targetGroups: readonly string[];
  readonly certificates: readonly string[];
  readonly sslPolicy?: string;
  readonly alpn?: string;
  readonly attributes?: Attributes;
  readonly tags?: Tags;
};

/** Everything of one Service, complete or half made. */
export interface AwsLoadBalancer extends ObservedLoadBalancer {
  readonly group?: GroupState;
  readonly balancer?: BalancerState;
  /** By key: `TCP:30080`. */
  readonly targetGroups: Readonly<Record<string, TargetGroupState>>;
  /** By port. */
  readonly listeners: Readonly<Record<string, ListenerState>>;
  /** More of the same that carries this Service's tags and has no place above, by ARN or id; it is removed. */
  readonly strays: Readonly<Record<string, Stray>>;
}

/** Something of ours that is there twice. */
export type Stray = {
  readonly kind: 'loadBalancer' | 'targetGroup' | 'securityGroup';
  readonly id: string;
};

/** What the cluster owns once. */
export interface AwsShared {
  /** The group that every load balancer carries, so that the nodes' rules can name it. */
  readonly backend?: GroupState;
  /** Our rules on other people's security groups, by group. */
  readonly nodeRules: Readonly<Record<string, readonly Rule[]>>;
}

/** What surrounds us, as far as it was needed and read. */
export interface AwsEnvironment {
  readonly vpc?: string;
  /** Instances of nodes by id. */
  readonly instances: Readonly<Record<string, InstanceState>>;
  /** Security groups by the name that an annotation gives them. */
  readonly groupNames: Readonly<Record<string, string>>;
  /** Subnet ids by the name that an annotation gives them. */
  readonly subnetNames: Readonly<Record<string, string>>;
}

/** An instance behind a node. */
export type InstanceState = {
  /** Whether it can be a target: it runs, in the cluster's VPC. */
  readonly usable: boolean;
  readonly vpc: string;
  /** The security group that is opened for the load balancers. */
  readonly group: string;
};

/** Nothing read. */
export const NO_ENVIRONMENT: AwsEnvironment = { instances: {}, groupNames: {}, subnetNames: {} };

/** The provider's observed state. */
export type AwsObserved = Observed<AwsLoadBalancer, AwsShared, AwsEnvironment>;

/** What a step of the provider changed. */
export type AwsChange = Change<AwsLoadBalancer, AwsShared, AwsEnvironment>;

/** A load balancer of which nothing is there yet. */
export function emptyLoadBalancer(uid: string): AwsLoadBalancer {
  return { uid, targetGroups: {}, listeners: {}, strays: {} };
}

/** Whether nothing is left of it, so that it can be forgotten. */
export function isEmpty(have: AwsLoadBalancer): boolean {
  const { group, balancer, targetGroups, listeners, strays } = have;
  const counted = [targetGroups, listeners, strays].every((record) => Object.keys(record).length === 0);
  return group === undefined && balancer === undefined && counted;
}

/** The rule as text: equal text means that it is the same rule. */
export function ruleText({ protocol, from, to, source }: Rule): string {
  return `${protocol} ${from}-${to} ${source}`;
}
