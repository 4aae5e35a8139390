import {
  DeleteLoadBalancerCommand,
  type LoadBalancer,
  type SubnetMapping,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import {
  type Address,
  AllocateAddressCommand,
  DeleteNetworkInterfaceCommand,
  DescribeAddressesCommand,
  DescribeNetworkInterfacesCommand,
  EC2Client,
  type NetworkInterface,
  ReleaseAddressCommand,
} from '@aws-sdk/client-ec2';
import { beforeAll, expect, it } from 'vitest';
import type { LocalStack } from '../../harness/localstack.ts';
import { aWorld, refusal, type World } from './world.ts';

/** Expectations on network interfaces, Elastic IPs and private addresses. */
export function addresses(cloud: () => LocalStack): void {
  let world: World;
  beforeAll(async () => {
    world = await aWorld(cloud().account(), { elasticIps: 2 });
  });

  const interfacesOf = async (balancer: LoadBalancer): Promise<NetworkInterface[]> => {
    const name = balancer.LoadBalancerArn!.split(':loadbalancer/')[1];
    const { NetworkInterfaces } = await world.ec2.send(
      new DescribeNetworkInterfacesCommand({
        Filters: [{ Name: 'description', Values: [`ELB ${name}`] }],
      }),
    );
    return NetworkInterfaces ?? [];
  };

  it('are a network interface per subnet, which the account sees but does not manage', async () => {
    const group = await world.securityGroup();
    const balancer = await world.balancer({ SecurityGroups: [group] });
    const interfaces = await interfacesOf(balancer);
    expect(interfaces.map(({ SubnetId }) => SubnetId)).toEqual(world.vpc.publicSubnets.map(({ id }) => id));
    for (const one of interfaces)
      expect(one).toMatchObject({
        InterfaceType: 'network_load_balancer',
        RequesterManaged: true,
        Status: 'in-use',
        Groups: [{ GroupId: group }],
        Attachment: { InstanceOwnerId: 'amazon-aws', Status: 'attached' },
        Association: { IpOwnerId: 'amazon', PublicIp: expect.stringMatching(/^\d+\./) },
      });
    const remove = new DeleteNetworkInterfaceCommand({
      NetworkInterfaceId: interfaces[0]!.NetworkInterfaceId,
    });
    expect(await refusal(world.ec2.send(remove))).toBe('OperationNotPermitted');
  });

  it('are Elastic IPs where they are asked for, until the load balancer is gone', async () => {
    const [elastic] = world.vpc.elasticIps;
    const SubnetMappings = [
      { SubnetId: world.vpc.publicSubnets[0]!.id, AllocationId: elastic!.allocationId },
    ];
    const balancer = await world.balancer({ SubnetMappings });
    expect(balancer.AvailabilityZones?.[0]?.LoadBalancerAddresses).toEqual([
      { IpAddress: elastic!.publicIp, AllocationId: elastic!.allocationId },
    ]);
    const address = async (): Promise<Address | undefined> =>
      (await world.ec2.send(new DescribeAddressesCommand({ AllocationIds: [elastic!.allocationId] })))
        .Addresses?.[0];
    const [networkInterface] = await interfacesOf(balancer);
    expect(await address()).toMatchObject({
      NetworkInterfaceId: networkInterface!.NetworkInterfaceId,
      AssociationId: expect.stringMatching(/^eipassoc-/),
      PrivateIpAddress: networkInterface!.PrivateIpAddress,
    });
    expect(await refusal(world.balancer({ SubnetMappings }))).toBe('ResourceInUse');
    const release = new ReleaseAddressCommand({ AllocationId: elastic!.allocationId });
    expect(await refusal(world.ec2.send(release))).toBe('AuthFailure');
    await world.elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn: balancer.LoadBalancerArn }));
    expect((await address())?.AssociationId).toBeUndefined();
    expect(await interfacesOf(balancer)).toEqual([]);
  });

  it.each([
    ['that do not exist', { Scheme: 'internet-facing', unknown: true }, 'AllocationIdNotFound'],
    ['of an internal load balancer', { Scheme: 'internal', unknown: false }, 'InvalidConfigurationRequest'],
  ] as const)('are refused for Elastic IPs %s', async (_, { Scheme, unknown }, code) => {
    const AllocationId = unknown ? 'eipalloc-0123456789abcdef0' : world.vpc.elasticIps[1]!.allocationId;
    const SubnetMappings = [{ SubnetId: world.vpc.privateSubnets[0]!.id, AllocationId }];
    expect(await refusal(world.balancer({ Scheme, SubnetMappings }))).toBe(code);
  });

  it('of another region are AllocationIdNotFound', async () => {
    const elsewhere = new EC2Client({ ...world.account.sdk, region: 'us-west-2' });
    const { AllocationId } = await elsewhere.send(new AllocateAddressCommand({ Domain: 'vpc' }));
    const SubnetMappings = [{ SubnetId: world.vpc.publicSubnets[0]!.id, AllocationId }];
    expect(await refusal(world.balancer({ SubnetMappings }))).toBe('AllocationIdNotFound');
  });

  it('are private ones of the subnet where an internal load balancer asks for them', async () => {
    const mapping = (PrivateIPv4Address: string): SubnetMapping[] => [
      { SubnetId: world.vpc.privateSubnets[0]!.id, PrivateIPv4Address },
    ];
    const internal = (address: string): Promise<LoadBalancer> =>
      world.balancer({ Scheme: 'internal', SubnetMappings: mapping(address) });
    const balancer = await internal('10.0.40.77');
    expect(balancer.AvailabilityZones?.[0]?.LoadBalancerAddresses).toEqual([
      { PrivateIPv4Address: '10.0.40.77' },
    ]);
    expect((await interfacesOf(balancer))[0]?.PrivateIpAddress).toBe('10.0.40.77');
    expect(await refusal(internal('10.0.40.77'))).toBe('ResourceInUse');
    expect(await refusal(internal('10.0.99.77'))).toBe('InvalidConfigurationRequest');
    expect(await refusal(internal('10.0.40.2'))).toBe('InvalidConfigurationRequest');
    expect(await refusal(world.balancer({ SubnetMappings: mapping('10.0.40.78') }))).toBe(
      'InvalidConfigurationRequest',
    );
  });
}
