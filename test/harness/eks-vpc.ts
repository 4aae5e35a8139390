import type * as Ec2 from '@aws-sdk/client-ec2';
import type { CloudAccount } from './localstack.ts';

/** What to lay out. */
export interface EksVpcOptions {
  /** Default `test`. */
  readonly clusterName?: string;
  /** Default 3. */
  readonly instances?: number;
  /** Elastic IPs that nothing uses yet. Default 0. */
  readonly elasticIps?: number;
  /** Default: one that LocalStack knows. */
  readonly imageId?: string;
  /** Whether VPC and subnets have IPv6 too. Default false. */
  readonly ipv6?: boolean;
}

/** A subnet of the VPC. */
export interface VpcSubnet {
  readonly id: string;
  readonly zone: string;
  readonly cidr: string;
}

/** A node's instance. */
export interface VpcInstance {
  readonly id: string;
  readonly zone: string;
  readonly privateIp: string;
  /** As the cloud's node controller writes it in the Node. */
  readonly providerID: string;
}

/** The network of an EKS cluster, with the tags that controllers look for. */
export interface EksVpc {
  readonly vpcId: string;
  readonly clusterName: string;
  readonly zones: readonly string[];
  /** One per zone, with the role tag for load balancers that face the internet and a route to it. */
  readonly publicSubnets: readonly VpcSubnet[];
  /** One per zone, with the role tag for internal load balancers. */
  readonly privateSubnets: readonly VpcSubnet[];
  /** The security group that every instance has; owned by the cluster. */
  readonly nodeSecurityGroup: string;
  readonly instances: readonly VpcInstance[];
  readonly elasticIps: readonly { readonly allocationId: string; readonly publicIp: string }[];
  /** Starts further instances, spread over the private subnets. */
  addInstances(count: number): Promise<readonly VpcInstance[]>;
  terminate(instance: VpcInstance): Promise<void>;
}

/**
 * Lays out a VPC the way EKS users have it: three zones with a public and a private subnet each, an internet gateway, a
 * public and a private route table, a node security group, instances in the private subnets. None of it is recorded.
 *
 * @throws what the SDK throws.
 */
export async function eksVpc(account: CloudAccount, options: EksVpcOptions = {}): Promise<EksVpc> {
  const sdk = await import('@aws-sdk/client-ec2');
  const ec2 = new sdk.EC2Client(account.byHand);
  const layout: Layout = {
    ec2,
    sdk,
    imageId: options.imageId ?? 'ami-12c6146b',
    cluster: options.clusterName ?? 'test',
    vpcId: '',
  };
  const created = await ec2.send(
    new sdk.CreateVpcCommand({
      CidrBlock: '10.0.0.0/16',
      AmazonProvidedIpv6CidrBlock: options.ipv6 ?? false,
      TagSpecifications: [tagged('vpc', layout)],
    }),
  );
  const vpcId = required(created.Vpc?.VpcId);
  const here: Layout = { ...layout, vpcId };
  const zones = ['a', 'b', 'c'].map((letter) => account.region + letter);
  const prefix = options.ipv6 ? await ipv6Prefix(here) : undefined;
  const subnets = (kind: 'public' | 'private'): Promise<VpcSubnet[]> =>
    Promise.all(zones.map((zone, index) => createSubnet(here, { kind, zone, index, prefix })));
  const [publicSubnets, privateSubnets] = [await subnets('public'), await subnets('private')];
  await connect(here, publicSubnets, privateSubnets);
  const nodeSecurityGroup = await createNodeGroup(here);
  const start = (count: number): Promise<VpcInstance[]> =>
    startInstances(here, { count, subnets: privateSubnets, group: nodeSecurityGroup });
  return {
    vpcId,
    clusterName: here.cluster,
    zones,
    publicSubnets,
    privateSubnets,
    nodeSecurityGroup,
    instances: await start(options.instances ?? 3),
    elasticIps: await allocate(here, options.elasticIps ?? 0),
    addInstances: start,
    terminate: async ({ id }) =>
      void (await ec2.send(new sdk.TerminateInstancesCommand({ InstanceIds: [id] }))),
  };
}

interface Layout {
  readonly ec2: Ec2.EC2Client;
  readonly sdk: typeof Ec2;
  readonly imageId: string;
  readonly cluster: string;
  readonly vpcId: string;
}

function tagged(
  kind: 'vpc' | 'subnet' | 'security-group' | 'instance' | 'route-table' | 'internet-gateway',
  layout: Layout,
  further: readonly Ec2.Tag[] = [],
): { ResourceType: typeof kind; Tags: Ec2.Tag[] } {
  const ownership = kind === 'instance' || kind === 'security-group' ? 'owned' : 'shared';
  const own: Ec2.Tag[] = [
    { Key: 'Name', Value: `${layout.cluster}-${kind}` },
    { Key: `kubernetes.io/cluster/${layout.cluster}`, Value: ownership },
  ];
  return { ResourceType: kind, Tags: [...own, ...further] };
}

function required<T>(value: T | undefined): T {
  if (value === undefined)
    throw new Error('EC2 answered without what was asked for. Look into the log of LocalStack.');
  return value;
}

/** The first seven bytes of the /56 that EC2 gave to the VPC, as in `2600:1f10:1234:ab`. */
async function ipv6Prefix({ ec2, sdk, vpcId }: Layout): Promise<string> {
  const { Vpcs } = await ec2.send(new sdk.DescribeVpcsCommand({ VpcIds: [vpcId] }));
  const block = required(Vpcs?.[0]?.Ipv6CidrBlockAssociationSet?.[0]?.Ipv6CidrBlock);
  return block.replace(/00::\/56$/, '');
}

interface SubnetWish {
  readonly kind: 'public' | 'private';
  readonly zone: string;
  readonly index: number;
  readonly prefix: string | undefined;
}

async function createSubnet(layout: Layout, wish: SubnetWish): Promise<VpcSubnet> {
  const number = wish.index + (wish.kind === 'public' ? 0 : 10);
  const role = wish.kind === 'public' ? 'kubernetes.io/role/elb' : 'kubernetes.io/role/internal-elb';
  const { Subnet } = await layout.ec2.send(
    new layout.sdk.CreateSubnetCommand({
      VpcId: layout.vpcId,
      CidrBlock: `10.0.${number * 4}.0/22`,
      ...(wish.prefix === undefined
        ? {}
        : { Ipv6CidrBlock: `${wish.prefix}${String(number).padStart(2, '0')}::/64` }),
      AvailabilityZone: wish.zone,
      TagSpecifications: [tagged('subnet', layout, [{ Key: role, Value: '1' }])],
    }),
  );
  const made: Ec2.Subnet = required(Subnet);
  return { id: required(made.SubnetId), zone: wish.zone, cidr: required(made.CidrBlock) };
}

/** Public subnets get a route to an internet gateway, private ones a table without. */
async function connect(
  layout: Layout,
  publicSubnets: readonly VpcSubnet[],
  privateSubnets: readonly VpcSubnet[],
): Promise<void> {
  const { ec2, sdk, vpcId: VpcId } = layout;
  const specification = tagged('internet-gateway', layout);
  const { InternetGateway } = await ec2.send(
    new sdk.CreateInternetGatewayCommand({ TagSpecifications: [specification] }),
  );
  const gateway = required(InternetGateway?.InternetGatewayId);
  await ec2.send(new sdk.AttachInternetGatewayCommand({ VpcId, InternetGatewayId: gateway }));
  for (const subnets of [publicSubnets, privateSubnets]) {
    const { RouteTable } = await ec2.send(
      new sdk.CreateRouteTableCommand({
        VpcId,
        TagSpecifications: [tagged('route-table', layout)],
      }),
    );
    const RouteTableId = required(RouteTable?.RouteTableId);
    if (subnets === publicSubnets)
      await ec2.send(
        new sdk.CreateRouteCommand({
          RouteTableId,
          DestinationCidrBlock: '0.0.0.0/0',
          GatewayId: gateway,
        }),
      );
    await Promise.all(
      subnets.map(({ id }) => ec2.send(new sdk.AssociateRouteTableCommand({ RouteTableId, SubnetId: id }))),
    );
  }
}

async function createNodeGroup(layout: Layout): Promise<string> {
  const { GroupId } = await layout.ec2.send(
    new layout.sdk.CreateSecurityGroupCommand({
      VpcId: layout.vpcId,
      GroupName: `${layout.cluster}-nodes`,
      Description: 'Nodes of the cluster',
      TagSpecifications: [tagged('security-group', layout)],
    }),
  );
  return required(GroupId);
}

async function startInstances(
  layout: Layout,
  wish: { readonly count: number; readonly subnets: readonly VpcSubnet[]; readonly group: string },
): Promise<VpcInstance[]> {
  const share = (index: number): number => Math.ceil((wish.count - index) / wish.subnets.length);
  const parts = await Promise.all(
    wish.subnets.map(async (subnet, index) => {
      if (share(index) < 1) return [];
      const { Instances } = await layout.ec2.send(
        new layout.sdk.RunInstancesCommand({
          ImageId: layout.imageId,
          MinCount: share(index),
          MaxCount: share(index),
          SubnetId: subnet.id,
          SecurityGroupIds: [wish.group],
          TagSpecifications: [tagged('instance', layout)],
        }),
      );
      return required(Instances).map((instance) => ({
        id: required(instance.InstanceId),
        zone: subnet.zone,
        privateIp: required(instance.PrivateIpAddress),
        providerID: `aws:///${subnet.zone}/${required(instance.InstanceId)}`,
      }));
    }),
  );
  return parts.flat();
}

async function allocate(
  { ec2, sdk }: Layout,
  count: number,
): Promise<{ allocationId: string; publicIp: string }[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const { AllocationId, PublicIp } = await ec2.send(new sdk.AllocateAddressCommand({ Domain: 'vpc' }));
      return { allocationId: required(AllocationId), publicIp: required(PublicIp) };
    }),
  );
}
