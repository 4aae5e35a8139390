import { DescribeSecurityGroupsCommand, type SecurityGroup } from '@aws-sdk/client-ec2';
import {
  DescribeLoadBalancersCommand,
  DescribeTagsCommand,
  DescribeTargetGroupsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import type { AwsCalls } from '../cloud/aws-calls.ts';
import { chunks } from '../cloud/batcher.ts';
import type { Context } from '../desired.ts';
import { namePrefix, ruleMark, TAGS } from '../names.ts';
import type { BalancerState, GroupState, Rule, Tags, TargetGroupState } from '../state.ts';
import { parseBalancer, parseGroup, parseRules, parseTags, parseTargetGroup } from './parse.ts';

/** ARNs in one DescribeTags (ELBv2 API). */
const TAGS_PER_CALL = 20;
/** Largest page of ELBv2 and of DescribeSecurityGroups. */
const ELB_PAGE = 400;
const EC2_PAGE = 1_000;

/** Everything that pages show, whosever it is; what it is of is told by tags. */
export interface Fleet {
  /** Network Load Balancers by ARN. */
  readonly balancers: ReadonlyMap<string, BalancerState>;
  /** Target groups with a name that this cluster makes up, by ARN. */
  readonly targetGroups: ReadonlyMap<string, TargetGroupState>;
  /** Security groups with this cluster's tag. */
  readonly groups: readonly GroupState[];
}

/** Reads the fleet: three lists, side by side. */
export async function readFleet(aws: AwsCalls, context: Context, signal: AbortSignal): Promise<Fleet> {
  const [balancers, targetGroups, groups] = await Promise.all([
    readBalancers(aws, context, signal),
    readTargetGroups(aws, context, signal),
    readGroups(aws, [{ Name: `tag:${TAGS.cluster}`, Values: [context.cluster.id] }], signal),
  ]);
  return {
    balancers: new Map(balancers.map((one) => [one.arn, one])),
    targetGroups: new Map(targetGroups.map((one) => [one.arn, one])),
    groups: groups.map(parseGroup),
  };
}

/** Our rules on other people's groups: those that name the shared group and carry the cluster's identity. */
export async function readNodeRules(
  aws: AwsCalls,
  { context, backend }: { readonly context: Context; readonly backend: string },
  signal: AbortSignal,
): Promise<Readonly<Record<string, readonly Rule[]>>> {
  const found = await readGroups(aws, [{ Name: 'ip-permission.group-id', Values: [backend] }], signal);
  const mark = ruleMark(context.cluster);
  const ours = found.map((group) => {
    const rules = parseRules(group, (description, source) => source === backend && description === mark);
    return [group.GroupId ?? '', rules] as const;
  });
  return Object.fromEntries(ours.filter(([, rules]) => rules.length > 0));
}

/** Tags of load balancers, listeners and target groups; one that is gone has none. */
export async function readTags(
  aws: AwsCalls,
  arns: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Tags>> {
  const pages = await Promise.all(
    chunks(arns, TAGS_PER_CALL).map((chunk) =>
      aws.elb(
        'DescribeTags',
        (client, o) => client.send(new DescribeTagsCommand({ ResourceArns: [...chunk] }), o),
        {
          signal,
        },
      ),
    ),
  );
  const found = pages.flatMap(({ TagDescriptions = [] }) => TagDescriptions);
  return new Map(found.map(({ ResourceArn = '', Tags = [] }) => [ResourceArn, parseTags(Tags)]));
}

async function readBalancers(
  aws: AwsCalls,
  { config }: Context,
  signal: AbortSignal,
): Promise<readonly BalancerState[]> {
  const found = await paged((Marker) =>
    aws
      .elb(
        'DescribeLoadBalancers',
        (client, o) => client.send(new DescribeLoadBalancersCommand({ PageSize: ELB_PAGE, Marker }), o),
        { signal },
      )
      .then(({ LoadBalancers = [], NextMarker }) => ({ items: LoadBalancers, next: NextMarker })),
  );
  return found
    .filter(({ Type, VpcId }) => Type === 'network' && (config.vpcId === undefined || VpcId === config.vpcId))
    .map(parseBalancer);
}

async function readTargetGroups(
  aws: AwsCalls,
  { cluster }: Context,
  signal: AbortSignal,
): Promise<readonly TargetGroupState[]> {
  const prefix = namePrefix(cluster);
  const found = await paged((Marker) =>
    aws
      .elb(
        'DescribeTargetGroups',
        (client, o) => client.send(new DescribeTargetGroupsCommand({ PageSize: ELB_PAGE, Marker }), o),
        { signal },
      )
      .then(({ TargetGroups = [], NextMarker }) => ({ items: TargetGroups, next: NextMarker })),
  );
  return found.filter(({ TargetGroupName = '' }) => TargetGroupName.startsWith(prefix)).map(parseTargetGroup);
}

async function readGroups(
  aws: AwsCalls,
  Filters: { Name: string; Values: string[] }[],
  signal: AbortSignal,
): Promise<readonly SecurityGroup[]> {
  return await paged((NextToken) =>
    aws
      .ec2(
        'DescribeSecurityGroups',
        (client, o) =>
          client.send(new DescribeSecurityGroupsCommand({ Filters, MaxResults: EC2_PAGE, NextToken }), o),
        { signal },
      )
      .then(({ SecurityGroups = [], NextToken: next }) => ({ items: SecurityGroups, next })),
  );
}

/** All pages of a list. */
export async function paged<T>(
  read: (
    marker: string | undefined,
  ) => Promise<{ readonly items: readonly T[]; readonly next: string | undefined }>,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (let marker: string | undefined; ;) {
    const { items, next } = await read(marker);
    all.push(...items);
    if (next === undefined || next === '') return all;
    marker = next;
  }
}
