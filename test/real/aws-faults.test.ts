import { EC2 } from '@aws-sdk/client-ec2';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type LocalBerth, startBerth } from '../fixtures/aws-berth.ts';
import { CREATING, DELETING } from '../fixtures/aws-operations.ts';
import { AwsWorld, type WantedService } from '../fixtures/aws-world.ts';
import { eventually } from '../fixtures/kube-objects.ts';
import { describeWithLocalStack, type LocalStack, startLocalStack } from '../harness/localstack.ts';

/** The incumbent's prefix, which Services in the field have. */
const albl = (name: string): string => `service.beta.kubernetes.io/aws-load-balancer-${name}`;
const PUBLIC = { [albl('scheme')]: 'internet-facing' };
const certificate = (account: string): string =>
  `arn:aws:acm:eu-west-1:${account}:certificate/12345678-1234-1234-1234-123456789012`;

let cloud: LocalStack;
let world: AwsWorld;
let berth: LocalBerth;

/** What people are told about a Service that cannot be served. */
interface Refusal {
  readonly condition: string;
  readonly message: RegExp;
  readonly remedy: RegExp;
}

/** Creates a Service, and expects that condition and event say why it cannot be served and what to do. */
async function expectRefusal(name: string, wanted: WantedService, refusal: Refusal): Promise<void> {
  world.createService(name, wanted);
  await expectTold(name, refusal);
}

async function expectTold(name: string, { condition, message, remedy }: Refusal): Promise<void> {
  await world.told(name, condition);
  const reason = condition.split(' ')[1];
  expect(world.message(name)).toMatch(message);
  expect(world.message(name)).toMatch(new RegExp(`${remedy.source}.*$`));
  await eventually(() =>
    expect(world.events(name)).toContainEqual({
      type: 'Warning',
      reason,
      message: expect.stringMatching(message) as string,
    }),
  );
}

/** What a bystander has: nothing that happens to others may change it. */
async function picture(name: string): Promise<unknown> {
  const { balancer, listeners, targetGroups, tags } = await world.view.behind(world.hostname(name));
  return {
    arn: balancer.LoadBalancerArn,
    listeners: listeners.map(({ ListenerArn }) => ListenerArn),
    targets: targetGroups.map(({ targets }) => targets),
    tags,
  };
}

async function expectUnchanged(name: string, before: unknown): Promise<void> {
  expect(world.condition(name)).toBe('True Provisioned');
  expect(await picture(name)).toEqual(before);
}

async function remove(...names: readonly string[]): Promise<void> {
  for (const name of names) world.deleteService(name);
  await world.gone(names);
}

await describeWithLocalStack(
  'what goes wrong on AWS ends in a reason with a remedy, and leaves other Services alone',
  () => {
    let before: unknown;
    beforeAll(async () => {
      cloud = await startLocalStack();
      world = await AwsWorld.open({ cloud, vpcOptions: { elasticIps: 3 } });
      berth = startBerth({ world });
      await berth.acting;
      world.createService('bystander', { ports: [80, 443] });
      await world.served(['bystander']);
      before = await picture('bystander');
    });
    afterEach(async () => {
      await world.account.faults.clear();
      await expectUnchanged('bystander', before);
    });
    afterAll(async () => {
      await berth?.stop();
      await world?.close();
      await cloud?.stop();
    });

    it('an Elastic IP that is associated already: AddressInUse, and it is given when it becomes free', async () => {
      const annotations = {
        ...PUBLIC,
        [albl('eip-allocations')]: world.vpc.elasticIps.map(({ allocationId }) => allocationId).join(', '),
      };
      world.createService('first', { annotations });
      await world.served(['first']);
      await expectRefusal(
        'second',
        { annotations },
        {
          condition: 'False AddressInUse',
          message: /eipalloc-.* in use/,
          remedy: /Ask for an address that is free/,
        },
      );
      expect(world.condition('first')).toBe('True Provisioned');
      await remove('first');
      await world.served(['second']);
      await remove('second');
    });

    it('an Elastic IP of another region, by its allocation or by its address: EipNotFound', async () => {
      const elsewhere = new EC2({ ...world.account.byHand, region: 'us-east-1' });
      const { AllocationId = '', PublicIp = '' } = await elsewhere.allocateAddress({ Domain: 'vpc' });
      elsewhere.destroy();
      const [subnet] = world.vpc.publicSubnets;
      const byAllocation = {
        ...PUBLIC,
        [albl('subnets')]: subnet!.id,
        [albl('eip-allocations')]: AllocationId,
      };
      await expectRefusal(
        'by-allocation',
        { annotations: byAllocation },
        { condition: 'False EipNotFound', message: new RegExp(AllocationId), remedy: /of this region/ },
      );
      await expectRefusal(
        'by-address',
        { annotations: PUBLIC, spec: { loadBalancerIP: PublicIp } },
        { condition: 'False EipNotFound', message: new RegExp(PublicIp), remedy: /Elastic IP of the region/ },
      );
      await remove('by-allocation', 'by-address');
      expect(await world.view.balancers()).toHaveLength(1);
    });

    it('an address outside of every subnet: AddressOutsideSubnets, which names the blocks', async () => {
      await expectRefusal(
        'outside',
        { spec: { loadBalancerIP: '192.168.7.7' } },
        {
          condition: 'False AddressOutsideSubnets',
          message: /192\.168\.7\.7 lies in no subnet.*10\.0\.40\.0\/22/,
          remedy: /Ask for an address of one of the subnets/,
        },
      );
      world.patchService('outside', { spec: { loadBalancerIP: '10.0.40.77' } });
      await world.served(['outside']);
      expect(await addressesOf('outside')).toContain('10.0.40.77');
      await remove('outside');
    });

    it('a certificate that does not exist: CertificateNotFound, and served once another is named', async () => {
      const exists = certificate(world.account.id);
      await world.account.settings.set({ certificates: [exists] });
      const missing = exists.replace(/2$/, '3');
      await expectRefusal(
        'tls',
        { ports: [443], annotations: { [albl('ssl-cert')]: missing } },
        {
          condition: 'False CertificateNotFound',
          message: /CreateListener/,
          remedy: /Name a certificate in ssl-cert/,
        },
      );
      world.patchService('tls', { metadata: { annotations: { [albl('ssl-cert')]: exists } } });
      await world.served(['tls']);
      const { listeners } = await world.view.behind(world.hostname('tls'));
      expect(listeners[0]?.Certificates?.map(({ CertificateArn }) => CertificateArn)).toEqual([exists]);
      await remove('tls');
    });

    it('51 ports: TooManyPorts, without one call', async () => {
      const ports = Array.from({ length: 51 }, (_, index) => 1_000 + index);
      const counts = await world.calls(() =>
        expectRefusal(
          'many',
          { ports },
          { condition: 'False TooManyPorts', message: /51 ports.*50 listeners/, remedy: /Spread the ports/ },
        ),
      );
      expect(counts).toEqual({});
      await remove('many');
    });

    it('a quota: QuotaExceeded with what was asked, and served once there is room', async () => {
      await world.account.settings.set({ loadBalancersLimit: 1 });
      await expectRefusal(
        'full',
        {},
        {
          condition: 'False QuotaExceeded',
          message: /elasticloadbalancing:CreateLoadBalancer/,
          remedy: /Ask AWS for a higher quota/,
        },
      );
      await world.account.settings.set({ loadBalancersLimit: 50 });
      await world.served(['full']);
      expect(await world.view.balancers()).toHaveLength(2);
      await remove('full');
    });

    describe('an operation that the IAM policy does not allow: AccessDenied with the operation and the statement', () => {
      it.each(CREATING)('%s %s', async (service, operation) => {
        await world.account.faults.deny(service, operation);
        const action = `${service === 'elbv2' ? 'elasticloadbalancing' : service}:${operation}`;
        const name = operation.toLowerCase();
        await expectRefusal(
          name,
          {},
          {
            condition: 'False AccessDenied',
            message: new RegExp(action),
            remedy: new RegExp(`Allow ${action} .* statement Berth\\w+ of .berth iam-policy.`),
          },
        );
        await world.account.faults.clear();
        await world.served([name]);
        expect(await targetsOf(name)).toHaveLength(2);
        await remove(name);
      });

      it.each(DELETING)(
        '%s %s, and the Service waits for its load balancer to be gone',
        async (service, operation) => {
          const name = operation.toLowerCase();
          world.createService(name);
          await world.served([name]);
          await world.account.faults.deny(service, operation);
          world.deleteService(name);
          await expectTold(name, {
            condition: 'False AccessDenied',
            message: new RegExp(`:${operation}`),
            remedy: /statement Berth\w+/,
          });
          expect(world.service(name)?.finalizers).toEqual(['berth.dev/load-balancer']);
          await world.account.faults.clear();
          await world.gone([name]);
        },
      );
    });

    it('credentials that expire in the middle: CredentialsInvalid, and it goes on where it was', async () => {
      const { faults } = world.account;
      await faults.add({ service: 'elbv2', skip: 2, code: 'ExpiredToken', status: 403 });
      await faults.add({ service: 'ec2', skip: 2, code: 'RequestExpired' });
      await expectRefusal(
        'expiring',
        { ports: [80, 443] },
        {
          condition: 'False CredentialsInvalid',
          message: /expired|injected/i,
          remedy: /Renew the credentials/,
        },
      );
      await faults.clear();
      await world.served(['expiring']);
      expect(await world.view.balancers()).toHaveLength(2);
      expect(await world.view.targetGroups()).toHaveLength(4);
      await remove('expiring');
    });

    it('a load balancer of the wanted name without our tags: NotOwned, and it is not touched', async () => {
      const subnets = world.vpc.privateSubnets.map(({ id }) => id);
      const { LoadBalancers } = await world.view.elb.createLoadBalancer({
        Name: 'theirs',
        Type: 'network',
        Scheme: 'internal',
        Subnets: subnets,
        Tags: [{ Key: 'team', Value: 'network' }],
      });
      const arn = LoadBalancers![0]!.LoadBalancerArn!;
      const look = async (): Promise<unknown> => ({
        balancer: (await world.view.balancers()).find(({ LoadBalancerArn }) => LoadBalancerArn === arn),
        listeners: await world.view.listeners(arn),
        tags: await world.view.tags([arn]),
      });
      const untouched = await look();
      await expectRefusal(
        'greedy',
        { annotations: { [albl('name')]: 'theirs' } },
        {
          condition: 'False NotOwned',
          message: /theirs exists already.*not touched/,
          remedy: /Choose another name/,
        },
      );
      world.patchService('greedy', { metadata: { annotations: { [albl('name')]: 'ours' } } });
      await world.served(['greedy']);
      await remove('greedy');
      expect(await look()).toEqual(untouched);
      await world.view.elb.deleteLoadBalancer({ LoadBalancerArn: arn });
    });

    it('a node without providerID and one on Fargate: events, and the others are targets', async () => {
      world.joinOddNode('unready', undefined);
      world.joinOddNode('fargate', 'aws:///eu-west-1a/1234567890-abcdef/fargate-ip-10-0-40-9');
      world.createService('odd');
      await world.served(['odd']);
      await eventually(() => {
        const told = world.events('odd').filter(({ reason }) => reason === 'TargetWithoutInstance');
        expect(told.map(({ message }) => message).toSorted()).toEqual([
          expect.stringMatching(/node fargate is no target: its providerID aws:.*fargate/),
          expect.stringMatching(/node unready is no target: it has no providerID yet/),
        ]);
      });
      expect(await targetsOf('odd')).toEqual(world.vpc.instances.map(({ id }) => id).toSorted());
      for (const name of ['unready', 'fargate']) world.sandbox.objects.delete({ resource: 'nodes', name });
      await remove('odd');
    });

    it('a node whose instance is gone: the others are targets all the same', async () => {
      const [gone] = await world.vpc.addInstances(1);
      await world.vpc.terminate(gone!);
      world.joinOddNode('ghost', gone!.providerID, gone!.privateIp);
      world.createService('haunted');
      await world.served(['haunted']);
      const others = world.vpc.instances.map(({ id }) => id).toSorted();
      await eventually(async () => expect(await targetsOf('haunted')).toEqual(others));
      expect(await world.view.rulesOf(world.vpc.nodeSecurityGroup)).toHaveLength(1);
      world.sandbox.objects.delete({ resource: 'nodes', name: 'ghost' });
      await remove('haunted');
    });
  },
  { control: true },
);

/** The addresses that the load balancer of a Service was given. */
async function addressesOf(name: string): Promise<readonly (string | undefined)[]> {
  const { balancer } = await world.view.behind(world.hostname(name));
  const zones = balancer.AvailabilityZones ?? [];
  return zones.flatMap(({ LoadBalancerAddresses = [] }) =>
    LoadBalancerAddresses.map(({ PrivateIPv4Address, IpAddress }) => PrivateIPv4Address ?? IpAddress),
  );
}

/** Targets of the first port's target group. */
async function targetsOf(name: string): Promise<readonly string[]> {
  const { targetGroups } = await world.view.behind(world.hostname(name));
  return targetGroups[0]?.targets ?? [];
}

await describeWithLocalStack(
  'subnets that cannot be used',
  () => {
    beforeAll(async () => {
      cloud = await startLocalStack();
      world = await AwsWorld.open({ cloud, vpcOptions: { clusterName: 'neighbour' } });
      berth = startBerth({ world, clusterName: 'test' });
      await berth.acting;
    });
    afterAll(async () => {
      await berth?.stop();
      await world?.close();
      await cloud?.stop();
    });

    it('are named one by one with the reason against each: SubnetsNotFound, until there is one that can', async () => {
      const { publicSubnets, privateSubnets } = world.vpc;
      await expectRefusal(
        'web',
        {},
        {
          condition: 'False SubnetsNotFound',
          message: /no subnet can be used/,
          remedy: /Tag one subnet for each zone with kubernetes\.io\/role\/internal-elb=1/,
        },
      );
      for (const { id } of publicSubnets)
        expect(world.message('web')).toContain(`${id}: it has not the tag kubernetes.io/role/internal-elb`);
      for (const { id } of privateSubnets)
        expect(world.message('web')).toContain(
          `${id}: it is tagged for another cluster (kubernetes.io/cluster/neighbour)`,
        );
      await world.view.ec2.createTags({
        Resources: [privateSubnets[0]!.id],
        Tags: [{ Key: 'kubernetes.io/cluster/test', Value: 'shared' }],
      });
      await world.served(['web']);
      const { balancer } = await world.view.behind(world.hostname('web'));
      expect(balancer.AvailabilityZones?.map(({ SubnetId }) => SubnetId)).toEqual([privateSubnets[0]!.id]);
    });
  },
  { control: true },
);
