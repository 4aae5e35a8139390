import { DeleteLoadBalancerCommand } from '@aws-sdk/client-elastic-load-balancing-v2';
import {
  AuthorizeSecurityGroupIngressCommand,
  type AuthorizeSecurityGroupIngressCommandOutput,
  CreateManagedPrefixListCommand,
  DeleteSecurityGroupCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSecurityGroupsCommand,
  DescribeSecurityGroupRulesCommand,
  type IpPermission,
  RevokeSecurityGroupIngressCommand,
  type SecurityGroupRule,
} from '@aws-sdk/client-ec2';
import { beforeAll, expect, it } from 'vitest';
import type { LocalStack } from '../../harness/localstack.ts';
import { aWorld, permission, refusal, type World } from './world.ts';

/** Expectations on security groups. */
export function securityGroups(cloud: () => LocalStack): void {
  let world: World;
  beforeAll(async () => {
    world = await aWorld(cloud().account());
  });
  const authorize = (
    GroupId: string,
    ...IpPermissions: IpPermission[]
  ): Promise<AuthorizeSecurityGroupIngressCommandOutput> =>
    world.ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions }));
  const rulesOf = async (group: string): Promise<SecurityGroupRule[]> => {
    const { SecurityGroupRules } = await world.ec2.send(
      new DescribeSecurityGroupRulesCommand({ Filters: [{ Name: 'group-id', Values: [group] }] }),
    );
    return SecurityGroupRules!.filter(({ IsEgress }) => !IsEgress);
  };

  it('get all rules of a call or none, and answer with each of them', async () => {
    const group = await world.securityGroup();
    const { SecurityGroupRules } = await authorize(group, permission(80), permission(443));
    expect(SecurityGroupRules?.map(({ FromPort, CidrIpv4 }) => [FromPort, CidrIpv4])).toEqual([
      [80, '0.0.0.0/0'],
      [443, '0.0.0.0/0'],
    ]);
    expect(await refusal(authorize(group, permission(81), permission(80)))).toBe(
      'InvalidPermission.Duplicate',
    );
    expect((await rulesOf(group)).map(({ FromPort }) => FromPort)).toEqual([80, 443]);
    const revoke = (...IpPermissions: IpPermission[]): Promise<unknown> =>
      world.ec2.send(new RevokeSecurityGroupIngressCommand({ GroupId: group, IpPermissions }));
    expect(await refusal(revoke(permission(80), permission(81)))).toBe('InvalidPermission.NotFound');
    expect(await rulesOf(group)).toHaveLength(2);
    await revoke(permission(80));
    expect((await rulesOf(group)).map(({ FromPort }) => FromPort)).toEqual([443]);
  });

  it('show the description of every kind of source', async () => {
    const [group, source] = [await world.securityGroup(), await world.securityGroup()];
    const { PrefixList } = await world.ec2.send(
      new CreateManagedPrefixListCommand({
        PrefixListName: 'clients',
        MaxEntries: 10,
        AddressFamily: 'IPv4',
      }),
    );
    const ports = { IpProtocol: 'tcp', FromPort: 80, ToPort: 80 };
    await authorize(
      group,
      { ...ports, IpRanges: [{ CidrIp: '10.0.0.0/8', Description: 'range' }] },
      { ...ports, UserIdGroupPairs: [{ GroupId: source, Description: 'group' }] },
      { ...ports, PrefixListIds: [{ PrefixListId: PrefixList!.PrefixListId, Description: 'list' }] },
    );
    expect((await rulesOf(group)).map(({ Description }) => Description)).toEqual(['range', 'group', 'list']);
    const { SecurityGroups } = await world.ec2.send(new DescribeSecurityGroupsCommand({ GroupIds: [group] }));
    expect(SecurityGroups?.[0]?.IpPermissions).toMatchObject([
      {
        IpRanges: [{ Description: 'range' }],
        UserIdGroupPairs: [{ Description: 'group' }],
        PrefixListIds: [{ Description: 'list' }],
      },
    ]);
  });

  it('hold a rule by protocol, ports and source, whatever its description and the bits behind the prefix', async () => {
    const [group, source] = [await world.securityGroup(), await world.securityGroup()];
    const fromGroup = (Description?: string): IpPermission => ({
      IpProtocol: 'tcp',
      FromPort: 80,
      ToPort: 80,
      UserIdGroupPairs: [{ GroupId: source, ...(Description ? { Description } : {}) }],
    });
    await authorize(group, fromGroup('one'), permission(80, '10.1.2.3/8'));
    expect((await rulesOf(group)).map(({ CidrIpv4 }) => CidrIpv4)).toEqual([undefined, '10.0.0.0/8']);
    expect(await refusal(authorize(group, fromGroup('two')))).toBe('InvalidPermission.Duplicate');
    expect(await refusal(authorize(group, permission(80, '10.9.9.9/8')))).toBe('InvalidPermission.Duplicate');
    await world.ec2.send(
      new RevokeSecurityGroupIngressCommand({
        GroupId: group,
        IpPermissions: [fromGroup(), permission(80, '10.0.0.0/8')],
      }),
    );
    expect(await rulesOf(group)).toEqual([]);
  });

  it('are found on the network interfaces that have them, also on those of instances', async () => {
    const { NetworkInterfaces } = await world.ec2.send(
      new DescribeNetworkInterfacesCommand({
        Filters: [{ Name: 'group-id', Values: [world.vpc.nodeSecurityGroup] }],
      }),
    );
    const instances = NetworkInterfaces?.map(({ Attachment }) => Attachment?.InstanceId);
    expect(instances?.toSorted()).toEqual(world.vpc.instances.map(({ id }) => id).toSorted());
  });

  it('have 60 rules a family at most, where a prefix list counts as all its entries', async () => {
    const group = await world.securityGroup();
    const ports = Array.from({ length: 60 }, (_, index) => permission(index + 1));
    await authorize(group, ...ports);
    expect(await refusal(authorize(group, permission(61)))).toBe('RulesPerSecurityGroupLimitExceeded');
    const v6 = { IpProtocol: 'tcp', FromPort: 1, ToPort: 1, Ipv6Ranges: [{ CidrIpv6: '::/0' }] };
    expect(await refusal(authorize(group, v6))).toBe('no error');
    const other = await world.securityGroup();
    const { PrefixList } = await world.ec2.send(
      new CreateManagedPrefixListCommand({
        PrefixListName: 'large',
        MaxEntries: 61,
        AddressFamily: 'IPv4',
      }),
    );
    const PrefixListIds = [{ PrefixListId: PrefixList!.PrefixListId }];
    expect(
      await refusal(authorize(other, { IpProtocol: 'tcp', FromPort: 1, ToPort: 1, PrefixListIds })),
    ).toBe('RulesPerSecurityGroupLimitExceeded');
    expect(await rulesOf(other)).toEqual([]);
  });

  it('stay while an interface has them or a rule of another group names them', async () => {
    const [used, named, naming] = [
      await world.securityGroup(),
      await world.securityGroup(),
      await world.securityGroup(),
    ];
    const remove = (GroupId: string): Promise<unknown> =>
      world.ec2.send(new DeleteSecurityGroupCommand({ GroupId }));
    const rule = {
      IpProtocol: 'tcp',
      FromPort: 80,
      ToPort: 80,
      UserIdGroupPairs: [{ GroupId: named }],
    };
    await authorize(naming, rule);
    await authorize(named, rule);
    expect(await refusal(remove(named))).toBe('DependencyViolation');
    await remove(naming);
    await remove(named);
    expect(await refusal(remove(named))).toBe('InvalidGroup.NotFound');
    const { LoadBalancerArn } = await world.balancer({ SecurityGroups: [used] });
    expect(await refusal(remove(used))).toBe('DependencyViolation');
    expect(await refusal(remove(world.vpc.nodeSecurityGroup))).toBe('DependencyViolation');
    await world.elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn }));
    await remove(used);
  });
}
