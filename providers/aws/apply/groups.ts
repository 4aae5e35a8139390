import {
  AuthorizeSecurityGroupIngressCommand,
  CreateSecurityGroupCommand,
  DeleteSecurityGroupCommand,
  DescribeSecurityGroupsCommand,
  RevokeSecurityGroupIngressCommand,
  type IpPermission,
} from '@aws-sdk/client-ec2';
import { isBerthError } from '@berth/core';
import { awsCode } from '../cloud/errors.ts';
import { parseGroup } from '../observe/parse.ts';
import { missingRules } from '../rules.ts';
import type { AwsChange, GroupState, Rule } from '../state.ts';
import { checkOurs } from './ownership.ts';
import {
  adding,
  asTags,
  changing,
  deleting,
  inUse,
  missing,
  onExisting,
  tagsOfStep,
  type Job,
} from './job.ts';

/** When to look again whether a security group is free, in milliseconds. */
const GROUP_MS = 10_000;

/** The group of one load balancer: created with its tags, or found as an earlier attempt left it. */
export async function createFrontend(job: Job): Promise<AwsChange> {
  const group = await createGroup(job, `Load balancer of Service ${job.step.scope}, managed by Berth`);
  const change = adding(job, (now) => ({ ...now, group: now.group?.id === group.id ? now.group : group }));
  job.recents.made(group.id, {
    scope: job.step.scope,
    change,
    shows: (found) => found?.group?.id === group.id || found?.strays[group.id] !== undefined,
  });
  return change;
}

/** Creates a group, or takes the one that an earlier attempt made. @throws NotOwned */
export async function createGroup(job: Job, Description: string): Promise<GroupState> {
  const { name } = job.step.after as { readonly name: string };
  const tags = tagsOfStep(job);
  const VpcId = job.surroundings.vpc;
  const input = {
    GroupName: name,
    Description,
    VpcId,
    TagSpecifications: [{ ResourceType: 'security-group' as const, Tags: asTags(tags) }],
  };
  try {
    const { GroupId = '' } = await job.aws.ec2(
      'CreateSecurityGroup',
      (client, o) => client.send(new CreateSecurityGroupCommand(input), o),
      job.how,
    );
    return { id: GroupId, name, rules: [], tags };
  } catch (error) {
    if (awsCode(error) !== 'InvalidGroup.Duplicate') throw error;
    return await findGroup(job, { name, vpc: VpcId });
  }
}

async function findGroup(
  job: Job,
  { name, vpc }: { readonly name: string; readonly vpc: string },
): Promise<GroupState> {
  const Filters = [
    { Name: 'group-name', Values: [name] },
    { Name: 'vpc-id', Values: [vpc] },
  ];
  const { SecurityGroups = [] } = await job.aws.ec2(
    'DescribeSecurityGroups',
    (client, o) => client.send(new DescribeSecurityGroupsCommand({ Filters }), o),
    job.how,
  );
  const [raw] = SecurityGroups;
  if (raw === undefined) throw missing(`the security group ${name}`);
  const group = parseGroup(raw);
  checkOurs(job, group.tags, `the security group ${name}`);
  return group;
}

/** Rules of a load balancer's own group. */
export async function updateFrontendRules(job: Job): Promise<AwsChange> {
  const id = job.have?.group?.id;
  if (id === undefined) throw missing(`the security group of ${job.step.scope}`);
  const { authorize, revoke } = job.step.after as unknown as RuleChange;
  await changeRules(job, id, { authorize, revoke });
  return changing((now) =>
    now.group === undefined
      ? now
      : { ...now, group: { ...now.group, rules: after(now.group.rules, { authorize, revoke }) } },
  );
}

/** Rules to add and to take away. */
export interface RuleChange {
  readonly authorize: readonly Rule[];
  readonly revoke: readonly Rule[];
  /** Marks rules on groups that are not ours. */
  readonly mark?: string;
}

/** The rules after a change. */
export function after(rules: readonly Rule[], { authorize, revoke }: RuleChange): readonly Rule[] {
  return [...missingRules(rules, revoke), ...missingRules(authorize, rules)];
}

/**
 * Adds rules before it takes others away, so that nothing is cut off meanwhile; where the group is full, the other way
 * round. What is there already, or gone already, is no error.
 */
export async function changeRules(job: Job, GroupId: string, change: RuleChange): Promise<void> {
  const { authorize, revoke } = change;
  try {
    await authorizeRules(job, GroupId, change);
  } catch (error) {
    if (awsCode(error) !== 'RulesPerSecurityGroupLimitExceeded' || revoke.length === 0) throw error;
    await revokeRules(job, GroupId, change);
    await authorizeRules(job, GroupId, { ...change, authorize });
    return;
  }
  await revokeRules(job, GroupId, change);
}

async function authorizeRules(job: Job, GroupId: string, { authorize, mark }: RuleChange): Promise<void> {
  if (authorize.length === 0) return;
  const send = (rules: readonly Rule[]): Promise<unknown> =>
    onExisting(job, GroupId, () =>
      job.aws.ec2(
        'AuthorizeSecurityGroupIngress',
        (client, o) =>
          client.send(
            new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions: permissions(rules, mark) }),
            o,
          ),
        job.how,
      ),
    );
  try {
    await send(authorize);
  } catch (error) {
    if (awsCode(error) !== 'InvalidPermission.Duplicate') throw error;
    // All or nothing: one that is there already kept the others away.
    const present = await readRules(job, GroupId);
    const missingOnes = missingRules(authorize, present);
    if (missingOnes.length > 0) await send(missingOnes);
  }
}

async function revokeRules(job: Job, GroupId: string, { revoke }: RuleChange): Promise<void> {
  if (revoke.length === 0) return;
  const send = (rules: readonly Rule[]): Promise<unknown> =>
    job.aws.ec2(
      'RevokeSecurityGroupIngress',
      (client, o) =>
        client.send(new RevokeSecurityGroupIngressCommand({ GroupId, IpPermissions: permissions(rules) }), o),
      job.how,
    );
  try {
    await send(revoke);
  } catch (error) {
    if (isBerthError(error) && error.kind === 'Conflict') return;
    if (awsCode(error) !== 'InvalidPermission.NotFound') throw error;
    const present = await readRules(job, GroupId);
    const left = revoke.filter((rule) => missingRules([rule], present).length === 0);
    if (left.length > 0) await send(left);
  }
}

async function readRules(job: Job, GroupId: string): Promise<readonly Rule[]> {
  const { SecurityGroups = [] } = await job.aws.ec2(
    'DescribeSecurityGroups',
    (client, o) => client.send(new DescribeSecurityGroupsCommand({ GroupIds: [GroupId] }), o),
    job.how,
  );
  return SecurityGroups.flatMap((group) => parseGroup(group).rules);
}

/** One permission for each protocol and port range, with all its sources. */
function permissions(rules: readonly Rule[], mark?: string): IpPermission[] {
  const Description = mark === undefined ? {} : { Description: mark };
  const grouped = Map.groupBy(rules, ({ protocol, from, to }) => `${protocol} ${from} ${to}`);
  return [...grouped.values()].map((group) => {
    const [{ protocol, from, to } = { protocol: '', from: 0, to: 0 }] = group;
    const sources = group.map(({ source }) => source);
    const of = (test: (source: string) => boolean): string[] => sources.filter(test);
    const groups = of((source) => source.startsWith('sg-'));
    const lists = of((source) => source.startsWith('pl-'));
    const ipv6 = of((source) => source.includes(':'));
    const ipv4 = of(
      (source) => !source.includes(':') && !source.startsWith('sg-') && !source.startsWith('pl-'),
    );
    return {
      IpProtocol: protocol,
      FromPort: from,
      ToPort: to,
      ...(ipv4.length > 0 ? { IpRanges: ipv4.map((CidrIp) => ({ CidrIp, ...Description })) } : {}),
      ...(ipv6.length > 0 ? { Ipv6Ranges: ipv6.map((CidrIpv6) => ({ CidrIpv6, ...Description })) } : {}),
      ...(lists.length > 0
        ? { PrefixListIds: lists.map((PrefixListId) => ({ PrefixListId, ...Description })) }
        : {}),
      ...(groups.length > 0
        ? { UserIdGroupPairs: groups.map((GroupId) => ({ GroupId, ...Description })) }
        : {}),
    };
  });
}

/** Deletes the group of one load balancer once nothing uses it. */
export async function deleteFrontend(job: Job): Promise<AwsChange> {
  const { id } = job.step.before as { readonly id: string };
  await deleteGroup(job, id);
  return changing(({ group, ...now }) => (group?.id === id || group === undefined ? now : { ...now, group }));
}

/**
 * Deletes a group. The interfaces of a deleted load balancer stay for a while; one call shows it for all groups that
 * wait, and no deletion is tried that AWS would refuse.
 *
 * @throws NotReady `StillInUse` naming the interfaces.
 */
export async function deleteGroup(job: Job, GroupId: string): Promise<void> {
  const users = (await job.interfaces.get(GroupId, job.how.signal)) ?? [];
  if (users.length > 0) throw inUse(`the security group ${GroupId} (by ${users.join(', ')})`, GROUP_MS);
  await deleting(`the security group ${GroupId}`, () =>
    job.aws.ec2(
      'DeleteSecurityGroup',
      (client, o) => client.send(new DeleteSecurityGroupCommand({ GroupId }), o),
      job.how,
    ),
  );
  job.recents.gone(GroupId);
}
