import { TAGS } from './names.ts';

/** One statement of an IAM policy. */
interface Statement {
  readonly Sid: string;
  readonly Effect: 'Allow';
  readonly Action: readonly string[];
  readonly Resource: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

/** What the policy depends on. */
export interface PolicyOptions {
  /** The cluster's identity; without it the conditions name a placeholder. */
  readonly clusterId: string | undefined;
  /** Whether the nodes' security groups are opened by Berth. */
  readonly manageNodeRules: boolean;
}

/** What stands for an identity that was not given. */
const PLACEHOLDER = 'CLUSTER-ID';

/** Actions by the statement that allows them; the names are stable, because errors name them. */
const ACTIONS = {
  BerthRead: [
    'ec2:DescribeAddresses',
    'ec2:DescribeInstances',
    'ec2:DescribeNetworkInterfaces',
    'ec2:DescribeRouteTables',
    'ec2:DescribeSecurityGroups',
    'ec2:DescribeSubnets',
    'elasticloadbalancing:DescribeListenerAttributes',
    'elasticloadbalancing:DescribeListenerCertificates',
    'elasticloadbalancing:DescribeListeners',
    'elasticloadbalancing:DescribeLoadBalancerAttributes',
    'elasticloadbalancing:DescribeLoadBalancers',
    'elasticloadbalancing:DescribeTags',
    'elasticloadbalancing:DescribeTargetGroupAttributes',
    'elasticloadbalancing:DescribeTargetGroups',
    'elasticloadbalancing:DescribeTargetHealth',
  ],
  BerthCreate: [
    'elasticloadbalancing:CreateListener',
    'elasticloadbalancing:CreateLoadBalancer',
    'elasticloadbalancing:CreateTargetGroup',
  ],
  BerthTagOnCreate: ['elasticloadbalancing:AddTags'],
  BerthChange: [
    'elasticloadbalancing:AddListenerCertificates',
    'elasticloadbalancing:AddTags',
    'elasticloadbalancing:DeleteListener',
    'elasticloadbalancing:DeleteLoadBalancer',
    'elasticloadbalancing:DeleteTargetGroup',
    'elasticloadbalancing:DeregisterTargets',
    'elasticloadbalancing:ModifyListener',
    'elasticloadbalancing:ModifyListenerAttributes',
    'elasticloadbalancing:ModifyLoadBalancerAttributes',
    'elasticloadbalancing:ModifyTargetGroup',
    'elasticloadbalancing:ModifyTargetGroupAttributes',
    'elasticloadbalancing:RegisterTargets',
    'elasticloadbalancing:RemoveListenerCertificates',
    'elasticloadbalancing:RemoveTags',
    'elasticloadbalancing:SetIpAddressType',
    'elasticloadbalancing:SetSecurityGroups',
    'elasticloadbalancing:SetSubnets',
  ],
  BerthCreateGroup: ['ec2:CreateSecurityGroup'],
  BerthCreateGroupInVpc: ['ec2:CreateSecurityGroup'],
  BerthTagGroupOnCreate: ['ec2:CreateTags'],
  BerthChangeGroup: [
    'ec2:AuthorizeSecurityGroupIngress',
    'ec2:CreateTags',
    'ec2:DeleteSecurityGroup',
    'ec2:DeleteTags',
    'ec2:RevokeSecurityGroupIngress',
  ],
  BerthNodeRules: ['ec2:AuthorizeSecurityGroupIngress', 'ec2:RevokeSecurityGroupIngress'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

const GROUPS = 'arn:aws:ec2:*:*:security-group/*';
const VPCS = 'arn:aws:ec2:*:*:vpc/*';

/** The statement that allows an action; for error messages. */
export function statementOf(action: string): string {
  const found = Object.entries(ACTIONS).find(([, actions]) =>
    (actions as readonly string[]).includes(action),
  );
  return found?.[0] ?? 'BerthRead';
}

/** Every action of the policy, sorted; what a test holds the calls of the provider against. */
export function policyActions(options: PolicyOptions): readonly string[] {
  return [...new Set(statements(options).flatMap(({ Action }) => Action))].toSorted();
}

/**
 * The smallest IAM policy for the chosen features. Everything that writes is conditioned on the cluster's tag: in the
 * request of what is made, on the resource of what is changed. Rules on the nodes' groups cannot be: those groups are
 * somebody else's and carry no tag of ours.
 */
export function iamPolicy(options: PolicyOptions): object {
  return { Version: '2012-10-17', Statement: statements(options) };
}

function statements({ clusterId, manageNodeRules }: PolicyOptions): readonly Statement[] {
  const id = clusterId ?? PLACEHOLDER;
  const inRequest = { StringEquals: { [`aws:RequestTag/${TAGS.cluster}`]: id } };
  const onResource = { StringEquals: { [`aws:ResourceTag/${TAGS.cluster}`]: id } };
  const creating = {
    StringEquals: {
      'elasticloadbalancing:CreateAction': ['CreateListener', 'CreateLoadBalancer', 'CreateTargetGroup'],
      ...inRequest.StringEquals,
    },
  };
  const creatingGroup = {
    StringEquals: { 'ec2:CreateAction': 'CreateSecurityGroup', ...inRequest.StringEquals },
  };
  const allow = (
    Sid: keyof typeof ACTIONS,
    Resource: Statement['Resource'],
    Condition?: Statement['Condition'],
  ): Statement => ({
    Sid,
    Effect: 'Allow',
    Action: ACTIONS[Sid],
    Resource,
    ...(Condition === undefined ? {} : { Condition }),
  });
  return [
    allow('BerthRead', '*'),
    allow('BerthCreate', '*', inRequest),
    allow('BerthTagOnCreate', '*', creating),
    allow('BerthChange', '*', onResource),
    allow('BerthCreateGroup', GROUPS, inRequest),
    allow('BerthCreateGroupInVpc', VPCS),
    allow('BerthTagGroupOnCreate', GROUPS, creatingGroup),
    allow('BerthChangeGroup', GROUPS, onResource),
    ...(manageNodeRules ? [allow('BerthNodeRules', GROUPS)] : []),
  ];
}
