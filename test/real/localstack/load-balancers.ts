import {
  DeleteLoadBalancerCommand,
  DescribeLoadBalancerAttributesCommand,
  DescribeLoadBalancersCommand,
  DescribeTagsCommand,
  type LoadBalancer,
  ModifyLoadBalancerAttributesCommand,
  SetIpAddressTypeCommand,
  SetSecurityGroupsCommand,
  SetSubnetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import {
  CreateSubnetCommand,
  CreateVpcCommand,
  DescribeNetworkInterfacesCommand,
  EC2Client,
} from '@aws-sdk/client-ec2';
import { beforeAll, expect, it } from 'vitest';
import type { LocalStack } from '../../harness/localstack.ts';
import { asMap, aWorld, refusal, type World } from './world.ts';

/** Expectations on load balancers. */
export function loadBalancers(cloud: () => LocalStack): void {
  let world: World;
  beforeAll(async () => {
    world = await aWorld(cloud().account());
  });

  it('have the ARN, DNS name and state of a Network Load Balancer', async () => {
    const balancer = await world.balancer({ Name: 'shape' });
    expect(balancer).toMatchObject({
      LoadBalancerArn: expect.stringMatching(
        new RegExp(
          `^arn:aws:elasticloadbalancing:eu-west-1:${world.account.id}:loadbalancer/net/shape/[0-9a-f]{16}$`,
        ),
      ),
      DNSName: expect.stringMatching(/^shape-[0-9a-f]{16}\.elb\.eu-west-1\.amazonaws\.com$/),
      CanonicalHostedZoneId: 'Z2IFOLAFXWLO4F',
      Scheme: 'internet-facing',
      Type: 'network',
      IpAddressType: 'ipv4',
      VpcId: world.vpc.vpcId,
      State: { Code: 'active' },
    });
    expect(balancer.SecurityGroups).toBeUndefined();
    expect(balancer.AvailabilityZones?.map(({ ZoneName }) => ZoneName)).toEqual(world.vpc.zones);
    expect(Math.abs(balancer.CreatedTime!.getTime() - Date.now())).toBeLessThan(60_000);
  });

  it('of the same name and settings are the same one, whatever the tags of the second call', async () => {
    const first = await world.balancer({ Name: 'same', Tags: [{ Key: 'a', Value: '1' }] });
    const second = await world.balancer({ Name: 'same', Tags: [{ Key: 'a', Value: '2' }] });
    expect(second.LoadBalancerArn).toBe(first.LoadBalancerArn);
    const { TagDescriptions } = await world.elb.send(
      new DescribeTagsCommand({ ResourceArns: [first.LoadBalancerArn!] }),
    );
    expect(asMap(TagDescriptions?.[0]?.Tags)).toEqual({ a: '1' });
  });

  it('of the same name with other settings are DuplicateLoadBalancerName', async () => {
    await world.balancer({ Name: 'taken' });
    expect(await refusal(world.balancer({ Name: 'taken', Scheme: 'internal' }))).toBe(
      'DuplicateLoadBalancerName',
    );
    expect(await refusal(world.balancer({ Name: 'taken', Subnets: [world.vpc.publicSubnets[0]!.id] }))).toBe(
      'DuplicateLoadBalancerName',
    );
  });

  it.each([
    ['a name of 33 characters', { Name: 'n'.repeat(33) }, 'ValidationError'],
    ['a name with a dot', { Name: 'a.b' }, 'ValidationError'],
    ['a name that ends with a hyphen', { Name: 'a-' }, 'ValidationError'],
    ['a name that begins with internal-', { Name: 'internal-a' }, 'ValidationError'],
    ['an unknown subnet', { Subnets: ['subnet-0123456789abcdef0'] }, 'SubnetNotFound'],
    ['an unknown security group', { SecurityGroups: ['sg-0123456789abcdef0'] }, 'InvalidSecurityGroup'],
    ['an unknown scheme', { Scheme: 'sideways' as 'internal' }, 'ValidationError'],
    ['dual stack in subnets without IPv6', { IpAddressType: 'dualstack' as const }, 'ValidationError'],
    ['two equal tag keys', { Tags: ['1', '2'].map((Value) => ({ Key: 'a', Value })) }, 'DuplicateTagKeys'],
    [
      '51 tags',
      { Tags: Array.from({ length: 51 }, (_, index) => ({ Key: `k${index}`, Value: '' })) },
      'TooManyTags',
    ],
  ])('are refused with %s', async (_, wish, code) => {
    expect(await refusal(world.balancer(wish))).toBe(code);
  });

  it('are refused in two subnets of one zone and without any', async () => {
    const [publicSubnet, privateSubnet] = [world.vpc.publicSubnets[0]!.id, world.vpc.privateSubnets[0]!.id];
    expect(await refusal(world.balancer({ Subnets: [publicSubnet, privateSubnet] }))).toBe(
      'InvalidConfigurationRequest',
    );
    expect(await refusal(world.balancer({ SubnetMappings: [] }))).toBe('ValidationError');
    expect((await world.balancer({ Subnets: [publicSubnet] })).AvailabilityZones).toHaveLength(1);
  });

  it('have the attributes of a new Network Load Balancer, which can be changed by name', async () => {
    const { LoadBalancerArn } = await world.balancer();
    const read = async (): Promise<Record<string, string>> =>
      asMap(
        (await world.elb.send(new DescribeLoadBalancerAttributesCommand({ LoadBalancerArn }))).Attributes,
      );
    const before = await read();
    expect(before).toMatchObject({
      'deletion_protection.enabled': 'false',
      'load_balancing.cross_zone.enabled': 'false',
      'access_logs.s3.enabled': 'false',
      'dns_record.client_routing_policy': 'any_availability_zone',
    });
    const set = (Key: string, Value: string): Promise<unknown> =>
      world.elb.send(
        new ModifyLoadBalancerAttributesCommand({ LoadBalancerArn, Attributes: [{ Key, Value }] }),
      );
    await set('load_balancing.cross_zone.enabled', 'true');
    expect(await read()).toEqual({ ...before, 'load_balancing.cross_zone.enabled': 'true' });
    expect(await refusal(set('idle_timeout.timeout_seconds', '60'))).toBe('ValidationError');
    expect(await refusal(set('load_balancing.cross_zone.enabled', 'yes'))).toBe('ValidationError');
    expect(await refusal(set('access_logs.s3.enabled', 'true'))).toBe('InvalidConfigurationRequest');
  });

  it('that are protected against deletion stay, and one that is not there is deleted without an error', async () => {
    const { LoadBalancerArn } = await world.balancer();
    const protect = (Value: string): Promise<unknown> =>
      world.elb.send(
        new ModifyLoadBalancerAttributesCommand({
          LoadBalancerArn,
          Attributes: [{ Key: 'deletion_protection.enabled', Value }],
        }),
      );
    await protect('true');
    const remove = (): Promise<unknown> => world.elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn }));
    expect(await refusal(remove())).toBe('OperationNotPermitted');
    await protect('false');
    await remove();
    await remove();
    const describe = new DescribeLoadBalancersCommand({ LoadBalancerArns: [LoadBalancerArn!] });
    expect(await refusal(world.elb.send(describe))).toBe('LoadBalancerNotFound');
  });

  it('take other security groups only when they were created with one', async () => {
    const [first, second] = [await world.securityGroup(), await world.securityGroup()];
    const set = (balancer: LoadBalancer, SecurityGroups: string[]): Promise<unknown> =>
      world.elb.send(
        new SetSecurityGroupsCommand({ LoadBalancerArn: balancer.LoadBalancerArn, SecurityGroups }),
      );
    const without = await world.balancer();
    expect(await refusal(set(without, [first]))).toBe('InvalidConfigurationRequest');
    const withOne = await world.balancer({ SecurityGroups: [first] });
    await set(withOne, [second]);
    const { NetworkInterfaces } = await world.ec2.send(
      new DescribeNetworkInterfacesCommand({ Filters: [{ Name: 'group-id', Values: [second] }] }),
    );
    expect(NetworkInterfaces).toHaveLength(3);
  });

  it('gain and lose zones, but keep the subnet of a zone that stays', async () => {
    const [a, b, c] = world.vpc.publicSubnets.map(({ id }) => id);
    const { LoadBalancerArn } = await world.balancer({ Subnets: [a!, b!] });
    const set = async (Subnets: string[]): Promise<(string | undefined)[] | undefined> =>
      (await world.elb.send(new SetSubnetsCommand({ LoadBalancerArn, Subnets }))).AvailabilityZones?.map(
        ({ SubnetId }) => SubnetId,
      );
    expect(await set([a!, b!, c!])).toEqual([a, b, c]);
    expect(await set([b!, c!])).toEqual([b, c]);
    expect(await refusal(set([world.vpc.privateSubnets[1]!.id, c!]))).toBe('InvalidConfigurationRequest');
    const name = LoadBalancerArn!.split(':loadbalancer/')[1];
    const { NetworkInterfaces } = await world.ec2.send(
      new DescribeNetworkInterfacesCommand({
        Filters: [{ Name: 'description', Values: [`ELB ${name}`] }],
      }),
    );
    expect(NetworkInterfaces?.map(({ SubnetId }) => SubnetId).toSorted()).toEqual([b, c].toSorted());
  });

  it('of dual stack need IPv6 in their subnets, and a prefix for source NAT to balance UDP', async () => {
    const dual = await aWorld(cloud().account(), { ipv6: true, instances: 0 });
    const balancer = await dual.balancer({ IpAddressType: 'dualstack' });
    const group = await dual.group({ Protocol: 'UDP' });
    const udp = { on: balancer, to: group, Protocol: 'UDP' as const };
    expect(await refusal(dual.listener(udp))).toBe('InvalidConfigurationRequest');
    await dual.elb.send(
      new SetSubnetsCommand({
        LoadBalancerArn: balancer.LoadBalancerArn,
        SubnetMappings: dual.vpc.publicSubnets.map(({ id }) => ({
          SubnetId: id,
          SourceNatIpv6Prefix: 'auto_assigned',
        })),
        EnablePrefixForIpv6SourceNat: 'on',
      }),
    );
    expect(await dual.listener(udp)).toMatchObject({ Protocol: 'UDP' });
    const single = await world.balancer();
    const change = new SetIpAddressTypeCommand({
      LoadBalancerArn: single.LoadBalancerArn,
      IpAddressType: 'dualstack',
    });
    expect(await refusal(world.elb.send(change))).toBe('ValidationError');
  });

  it('that face the internet need an internet gateway in the VPC, and free addresses in each subnet', async () => {
    const ec2 = new EC2Client(world.account.byHand);
    const { Vpc } = await ec2.send(new CreateVpcCommand({ CidrBlock: '10.9.0.0/16' }));
    const { Subnet } = await ec2.send(
      new CreateSubnetCommand({ VpcId: Vpc!.VpcId, CidrBlock: '10.9.0.0/28' }),
    );
    const Subnets = [Subnet!.SubnetId!];
    expect(await refusal(world.balancer({ Subnets }))).toBe('InvalidSubnet');
    const codes: string[] = [];
    // A /28 has 11 addresses for use; each load balancer takes one, and eight have to be free.
    for (let index = 0; index < 5; index++)
      codes.push(await refusal(world.balancer({ Subnets, Scheme: 'internal' })));
    expect(codes).toEqual(['no error', 'no error', 'no error', 'no error', 'InvalidSubnet']);
  });

  it('are limited in number', async () => {
    const other = await aWorld(cloud().account(), { instances: 0 });
    await other.account.settings.set({ loadBalancersLimit: 1 });
    await other.balancer();
    expect(await refusal(other.balancer())).toBe('TooManyLoadBalancers');
  });
}
