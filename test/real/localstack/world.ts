import {
  CreateListenerCommand,
  type CreateListenerCommandInput,
  CreateLoadBalancerCommand,
  type CreateLoadBalancerCommandInput,
  CreateTargetGroupCommand,
  type CreateTargetGroupCommandInput,
  ElasticLoadBalancingV2Client,
  type Listener,
  type LoadBalancer,
  type TargetGroup,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { CreateSecurityGroupCommand, EC2Client, type IpPermission } from '@aws-sdk/client-ec2';
import { type CloudAccount, eksVpc, type EksVpc, type EksVpcOptions } from '../../harness/localstack.ts';

/** The clients of an account, a VPC in it, and short forms of what most tests make. */
export interface World {
  readonly account: CloudAccount;
  readonly elb: ElasticLoadBalancingV2Client;
  readonly ec2: EC2Client;
  readonly vpc: EksVpc;
  balancer(wish?: Partial<CreateLoadBalancerCommandInput>): Promise<LoadBalancer>;
  group(wish?: Partial<CreateTargetGroupCommandInput>): Promise<TargetGroup>;
  listener(wish: ListenerWish): Promise<Listener>;
  securityGroup(): Promise<string>;
}

/** A listener's load balancer and target group, and what differs from TCP on port 80. */
export type ListenerWish = Partial<CreateListenerCommandInput> & {
  readonly on: LoadBalancer;
  readonly to: TargetGroup;
};

let names = 0;

/** Lays out a VPC in the account. */
export async function aWorld(account: CloudAccount, options: EksVpcOptions = {}): Promise<World> {
  const [elb, ec2] = [new ElasticLoadBalancingV2Client(account.sdk), new EC2Client(account.sdk)];
  const vpc = await eksVpc(account, options);
  return {
    account,
    elb,
    ec2,
    vpc,
    balancer: async (wish = {}) => {
      const subnets = (wish.Scheme === 'internal' ? vpc.privateSubnets : vpc.publicSubnets).map(
        ({ id }) => id,
      );
      const { LoadBalancers } = await elb.send(
        new CreateLoadBalancerCommand({
          Name: `lb-${++names}`,
          Type: 'network',
          ...(wish.Subnets || wish.SubnetMappings ? {} : { Subnets: subnets }),
          ...wish,
        }),
      );
      return LoadBalancers![0]!;
    },
    group: async (wish = {}) => {
      const { TargetGroups } = await elb.send(
        new CreateTargetGroupCommand({
          Name: `tg-${++names}`,
          Protocol: 'TCP',
          Port: 30_080,
          VpcId: vpc.vpcId,
          ...wish,
        }),
      );
      return TargetGroups![0]!;
    },
    listener: async ({ on, to, ...wish }) => {
      const { Listeners } = await elb.send(
        new CreateListenerCommand({
          LoadBalancerArn: on.LoadBalancerArn,
          Protocol: 'TCP',
          Port: 80,
          DefaultActions: [{ Type: 'forward', TargetGroupArn: to.TargetGroupArn }],
          ...wish,
        }),
      );
      return Listeners![0]!;
    },
    securityGroup: async () => {
      const { GroupId } = await ec2.send(
        new CreateSecurityGroupCommand({
          GroupName: `sg-${++names}`,
          Description: 'test',
          VpcId: vpc.vpcId,
        }),
      );
      return GroupId!;
    },
  };
}

/** The code of the error with which a call is refused. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    const { Code, name } = error as Error & { Code?: string };
    return Code ?? name;
  }
  return 'no error';
}

/** TCP on one port from everywhere. */
export const permission = (port: number, cidr = '0.0.0.0/0'): IpPermission => ({
  IpProtocol: 'tcp',
  FromPort: port,
  ToPort: port,
  IpRanges: [{ CidrIp: cidr }],
});

/** Tags or attributes by key. */
export const asMap = (
  list: readonly { readonly Key?: string | undefined; readonly Value?: string | undefined }[] | undefined,
): Record<string, string> => Object.fromEntries((list ?? []).map(({ Key, Value }) => [Key, Value]));
