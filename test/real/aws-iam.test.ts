/** The IAM policy allows what the provider calls, and nothing that it never calls. */
import { CreateTagsCommand, DeleteTagsCommand, DescribeSecurityGroupsCommand } from '@aws-sdk/client-ec2';
import { AddTagsCommand } from '@aws-sdk/client-elastic-load-balancing-v2';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { iamPolicy, policyActions, statementOf } from '../../providers/aws/iam-policy.ts';
import { AwsCluster, twoPorts } from '../fixtures/aws-cluster.ts';
import { inventory } from '../fixtures/aws-inventory.ts';
import { albl } from '../fixtures/aws-model.ts';
import { awsWorld, type AwsWorld } from '../fixtures/aws.ts';
import { describeWithLocalStack, startLocalStack, type LocalStack } from '../harness/localstack.ts';

const OPTIONS = { clusterId: 'a-cluster', manageNodeRules: true };

let cloud: LocalStack;
let world: AwsWorld;
let cluster: AwsCluster;

/** Goes through everything that the provider can be made to do, so that each of its calls is made at least once. */
async function tour(): Promise<void> {
  const cert = (name: string): string =>
    `arn:aws:acm:${world.account.region}:${world.account.id}:certificate/${name}`;
  const [first, second] = world.vpc.privateSubnets;
  const before = {
    subnets: first!.id,
    'ssl-cert': `${cert('a')},${cert('b')}`,
    'ssl-ports': '443',
    'listener-attributes.TCP-80': 'tcp.idle_timeout.seconds=400',
    'target-group-attributes': 'deregistration_delay.timeout_seconds=0',
    attributes: 'load_balancing.cross_zone.enabled=true',
    'additional-resource-tags': 'team=a',
  };
  const after = {
    ...before,
    subnets: `${first!.id},${second!.id}`,
    'ssl-cert': `${cert('c')},${cert('d')}`,
    'healthcheck-interval': '20',
    'additional-resource-tags': 'stage=b',
  };
  cluster.create('web', { ports: twoPorts(0), ...albl(before) });
  const scheme = albl({ scheme: 'internet-facing' });
  cluster.create('fixed', {
    ports: twoPorts(2),
    loadBalancerIP: world.vpc.elasticIps[0]!.publicIp,
    ...scheme,
  });
  await cluster.settled();
  await cluster.controller.sweep(new AbortController().signal);
  cluster.cluster.edit('default/web', albl(after));
  await cluster.until('it is changed', async () => (await subnetsOf()) === 2 && cluster.controller.idle);
  cluster.cluster.edit('default/web', albl({ ...after, 'ip-address-type': 'dualstack' }));
  await cluster.until('it is dual stack', async () => (await web())?.IpAddressType === 'dualstack');
  cluster.cluster.edit('default/web', albl({ ...after, 'security-groups': world.vpc.nodeSecurityGroup }));
  await cluster.until('it has the group', async () => (await web())?.SecurityGroups?.length === 1);
  cluster.cluster.edit('default/web', {
    ports: [twoPorts(7)[0]!],
    loadBalancerSourceRanges: ['10.0.0.0/8'],
    ...albl({ subnets: after.subnets }),
  });
  await cluster.until(
    'it has one port',
    async () => (await web())?.SecurityGroups?.length === 2 && cluster.controller.idle,
  );
  cluster.cluster.removeNode(`node-${world.vpc.instances[0]!.id}`);
  await new Promise((resolve) => setTimeout(resolve, 500));
  await byHand();
  await cluster.controller.sweep(new AbortController().signal);
  await cluster.settled();
  for (const name of ['web', 'fixed']) cluster.cluster.delete(`default/${name}`);
  await cluster.empty();
  await cluster.until('nothing is left', async () => (await inventory(world)).groups.length === 0);
}

/** Somebody changes tags, which are set and removed again. */
async function byHand(): Promise<void> {
  const { elb, ec2 } = world.byHand;
  const Tags = [{ Key: 'stray', Value: 'x' }];
  await elb.send(new AddTagsCommand({ ResourceArns: [(await web())!.LoadBalancerArn!], Tags }));
  const Filters = [{ Name: 'tag:berth.dev/resource', Values: ['frontendGroup'] }];
  const { SecurityGroups = [] } = await ec2.send(new DescribeSecurityGroupsCommand({ Filters }));
  const Resources = SecurityGroups.map(({ GroupId = '' }) => GroupId);
  await ec2.send(new CreateTagsCommand({ Resources, Tags }));
  await ec2.send(new DeleteTagsCommand({ Resources, Tags: [{ Key: 'team' }] }));
  const uid = [{ Key: 'berth.dev/service-uid', Value: 'changed' }];
  await elb.send(new AddTagsCommand({ ResourceArns: [(await web())!.LoadBalancerArn!], Tags: uid }));
}

const web = async () => (await inventory(world)).balancers.find(({ Scheme }) => Scheme === 'internal');
const subnetsOf = async (): Promise<number> => (await web())?.AvailabilityZones?.length ?? 0;

await describeWithLocalStack(
  'the IAM policy of the aws provider',
  () => {
    beforeAll(async () => {
      cloud = await startLocalStack();
      world = await awsWorld(cloud, { vpc: { elasticIps: 1, ipv6: true } });
      cluster = new AwsCluster(world, { config: { defaultTags: { owner: 'us' } } });
      await cluster.start();
    });
    afterAll(async () => {
      await cluster.close();
      await cloud.stop();
    });

    it('allows every call that is made, and nothing that is never called', async () => {
      await tour();
      const called = Object.keys(await world.account.calls.counts())
        .map((operation) => operation.replace(/^elbv2:/, 'elasticloadbalancing:'))
        .toSorted();
      expect(called).toEqual(policyActions(OPTIONS));
    });

    it('conditions every write on the cluster’s tag, except rules on the nodes’ groups', () => {
      const { Statement } = iamPolicy(OPTIONS) as {
        Statement: { Sid: string; Action: string[]; Condition?: object }[];
      };
      const free = Statement.filter(
        ({ Condition }) => !JSON.stringify(Condition ?? {}).includes('a-cluster'),
      );
      // To create a group the VPC has to be named as well, and a VPC carries no tag of ours.
      expect(free.map(({ Sid }) => Sid)).toEqual(['BerthRead', 'BerthCreateGroupInVpc', 'BerthNodeRules']);
      expect(
        Statement.find(({ Sid }) => Sid === 'BerthRead')?.Action.filter((one) => !one.includes(':Describe')),
      ).toEqual([]);
      expect(Statement.find(({ Sid }) => Sid === 'BerthNodeRules')?.Action).toHaveLength(2);
    });

    it('leaves the nodes’ groups out when they are looked after by somebody else', () => {
      const policy = JSON.stringify(iamPolicy({ ...OPTIONS, manageNodeRules: false }));
      expect(policy).not.toContain('BerthNodeRules');
      expect(JSON.stringify(iamPolicy(OPTIONS))).toContain('BerthNodeRules');
    });

    it('names for every action the statement that allows it', () => {
      expect(statementOf('elasticloadbalancing:CreateLoadBalancer')).toBe('BerthCreate');
      expect(statementOf('ec2:DescribeSubnets')).toBe('BerthRead');
    });
  },
  { control: true },
);
