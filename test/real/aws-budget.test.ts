import { DescribeSecurityGroupsCommand } from '@aws-sdk/client-ec2';
import {
  DeleteListenerCommand,
  DescribeListenersCommand,
  DescribeLoadBalancersCommand,
  DescribeTargetGroupsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AwsCluster, twoPorts } from '../fixtures/aws-cluster.ts';
import { awsWorld, type AwsWorld } from '../fixtures/aws.ts';
import { describeWithLocalStack, startLocalStack, type LocalStack } from '../harness/localstack.ts';

const SERVICES = 50;
const NODES = 20;
const CREATES_PER_SERVICE = 9;

let cloud: LocalStack;
let world: AwsWorld;
let cluster: AwsCluster;

/** What the work cost, by operation, and how long it took in milliseconds. */
async function cost(
  work: () => Promise<void>,
): Promise<{ calls: number; ms: number; by: Record<string, number> }> {
  await world.account.calls.reset();
  const begun = performance.now();
  await work();
  const ms = Math.round(performance.now() - begun);
  const by = { ...(await world.account.calls.counts()) };
  const calls = Object.values(by).reduce((sum, count) => sum + count, 0);
  console.log(JSON.stringify({ calls, ms, by }));
  return { calls, ms, by };
}

await describeWithLocalStack(
  'calls that 50 Services of 2 ports on 20 nodes cost',
  () => {
    beforeAll(async () => {
      cloud = await startLocalStack();
      world = await awsWorld(cloud, { vpc: { instances: NODES } });
      await world.account.settings.set({ latencyMs: 50 });
      cluster = new AwsCluster(world);
    });
    afterAll(async () => {
      await cluster?.close();
      await cloud.stop();
    });

    it('creating them costs nine calls each and a constant number beside', async () => {
      const { by, calls, ms } = await cost(async () => {
        await cluster.start();
        for (let index = 0; index < SERVICES; index++)
          cluster.create(`web-${index}`, { ports: twoPorts(index) });
        await cluster.settled();
      });
      expect(calls).toBeLessThanOrEqual(470);
      expect(ms).toBeLessThan(6_000);
      expect(by).toEqual({
        // The pages at the start, and what is needed once: instances, subnets, route tables.
        'elbv2:DescribeLoadBalancers': 1,
        'elbv2:DescribeTargetGroups': 1,
        'ec2:DescribeSecurityGroups': 1,
        'ec2:DescribeInstances': 1,
        'ec2:DescribeSubnets': 1,
        'ec2:DescribeRouteTables': 1,
        'ec2:CreateSecurityGroup': SERVICES + 1,
        'ec2:AuthorizeSecurityGroupIngress': SERVICES + 1,
        'elbv2:CreateLoadBalancer': SERVICES,
        'elbv2:CreateTargetGroup': 2 * SERVICES,
        'elbv2:RegisterTargets': 2 * SERVICES,
        'elbv2:CreateListener': 2 * SERVICES,
      });
      expect(calls).toBe(SERVICES * CREATES_PER_SERVICE + 8);
    });

    it('each Service took two patches', () => {
      expect(cluster.cluster.patches.filter(({ key }) => key === 'default/web-7')).toHaveLength(2);
    });

    it('the nodes have one rule, whatever the number of Services', async () => {
      const { SecurityGroups = [] } = await world.byHand.ec2.send(
        new DescribeSecurityGroupsCommand({ GroupIds: [world.vpc.nodeSecurityGroup] }),
      );
      const rules = SecurityGroups[0]?.IpPermissions ?? [];
      expect(rules).toHaveLength(1);
      expect(rules[0]).toMatchObject({ IpProtocol: 'tcp', FromPort: 30_000, ToPort: 32_767 });
    });

    it('nothing when nothing changes', async () => {
      const { calls } = await cost(async () => {
        for (const service of cluster.cluster.services.list())
          cluster.cluster.edit(`default/${service.name}`, { labels: { touched: 'yes' } });
        cluster.controller.enqueue('aws', undefined, 'a resync');
        await new Promise((resolve) => setTimeout(resolve, 500));
        await cluster.settled();
      });
      expect(calls).toBe(0);
    });

    it('a restart without any change costs a handful of pages', async () => {
      const { by, calls, ms } = await cost(async () => {
        await cluster.restart();
        await cluster.settled();
        await new Promise((resolve) => setTimeout(resolve, 300));
      });
      expect(calls).toBeLessThanOrEqual(12);
      expect(ms).toBeLessThan(2_000);
      expect(by).toEqual({
        'elbv2:DescribeLoadBalancers': 1,
        'elbv2:DescribeTargetGroups': 1,
        // Ours, and those with our rules.
        'ec2:DescribeSecurityGroups': 2,
        'ec2:DescribeInstances': 1,
      });
    });

    it('a node that joins costs one call for each target group, and one or two beside', async () => {
      const [instance] = await world.vpc.addInstances(1);
      const { by, ms } = await cost(async () => {
        cluster.addNode(instance!);
        await registered(NODES + 1);
      });
      expect(ms).toBeLessThan(4_000);
      expect(by).toEqual({ 'ec2:DescribeInstances': 1, 'elbv2:RegisterTargets': 2 * SERVICES });
    });

    it('ten nodes that join at once cost the same', async () => {
      const instances = await world.vpc.addInstances(10);
      const { by, ms } = await cost(async () => {
        for (const instance of instances) cluster.addNode(instance);
        await registered(NODES + 11);
      });
      expect(ms).toBeLessThan(4_000);
      expect(by).toEqual({ 'ec2:DescribeInstances': 1, 'elbv2:RegisterTargets': 2 * SERVICES });
    });

    it('a node that leaves costs one call for each target group', async () => {
      const { by, ms } = await cost(async () => {
        cluster.cluster.removeNode(`node-${world.vpc.instances[0]!.id}`);
        await registered(NODES + 10);
      });
      expect(ms).toBeLessThan(4_000);
      expect(by).toEqual({ 'elbv2:DeregisterTargets': 2 * SERVICES });
    });

    it('a changed port of ten Services moves a listener and its rule, and nothing else', async () => {
      const { by, ms } = await cost(async () => {
        for (let index = 0; index < 10; index++) {
          const [first, second] = twoPorts(index);
          cluster.cluster.edit(`default/web-${index}`, { ports: [{ ...first!, port: 8080 }, second!] });
        }
        await cluster.until(
          'ten Services have the port',
          () =>
            cluster.cluster.services
              .list()
              .filter(({ ingress }) => ingress[0]?.ports?.some(({ port }) => port === 8080)).length === 10 &&
            cluster.controller.idle,
        );
      });
      expect(ms).toBeLessThan(1_000);
      expect(by).toEqual({
        'ec2:AuthorizeSecurityGroupIngress': 10,
        'ec2:RevokeSecurityGroupIngress': 10,
        'elbv2:CreateListener': 10,
        'elbv2:DeleteListener': 10,
      });
    });

    it('a listener that somebody deleted is back after the next sweep', async () => {
      const { elb } = world.byHand;
      const { LoadBalancers = [] } = await elb.send(new DescribeLoadBalancersCommand({}));
      const arn = LoadBalancers[3]?.LoadBalancerArn;
      const listeners = async () =>
        (await elb.send(new DescribeListenersCommand({ LoadBalancerArn: arn }))).Listeners ?? [];
      const before = await listeners();
      await elb.send(new DeleteListenerCommand({ ListenerArn: before[0]?.ListenerArn }));
      await cluster.controller.sweep(new AbortController().signal);
      await cluster.settled();
      expect((await listeners()).map(({ Port }) => Port).toSorted()).toEqual(
        before.map(({ Port }) => Port).toSorted(),
      );
    });

    it('deleting them costs five calls each at most, and leaves nothing', async () => {
      const { calls, by, ms } = await cost(async () => {
        for (const { name } of cluster.cluster.services.list()) cluster.cluster.delete(`default/${name}`);
        await cluster.empty();
        await cluster.until('the shared group is gone', async () => (await ourGroups()) === 0);
      });
      expect(ms).toBeLessThan(6_000);
      expect(calls).toBeLessThanOrEqual(250);
      const { 'ec2:DescribeNetworkInterfaces': looks, ...rest } = by;
      // How many groups are asked about in one question depends on when their load balancers are gone.
      expect(looks).toBeLessThanOrEqual(SERVICES - 1);
      expect(rest).toEqual({
        'elbv2:DeleteLoadBalancer': SERVICES,
        'elbv2:DeleteTargetGroup': 2 * SERVICES,
        'ec2:DeleteSecurityGroup': SERVICES + 1,
        'ec2:RevokeSecurityGroupIngress': 1,
      });
      const { LoadBalancers } = await world.byHand.elb.send(new DescribeLoadBalancersCommand({}));
      const { TargetGroups } = await world.byHand.elb.send(new DescribeTargetGroupsCommand({}));
      expect([LoadBalancers, TargetGroups]).toEqual([[], []]);
    });
  },
  { control: true },
);

await describeWithLocalStack(
  'the same with every call above 10 a second (burst 20) throttled, for each service',
  () => {
    beforeAll(async () => {
      cloud = await startLocalStack();
      world = await awsWorld(cloud, { vpc: { instances: NODES } });
      await world.account.settings.set({ latencyMs: 50 });
      await world.account.faults.add({ rate: 10, burst: 20 });
      cluster = new AwsCluster(world);
      await cluster.start();
    });
    afterAll(async () => {
      await cluster?.close();
      await cloud.stop();
    });

    it('creating takes little longer than the floor of 33 s, and few calls in vain', async () => {
      const { calls, ms } = await cost(async () => {
        for (let index = 0; index < SERVICES; index++)
          cluster.create(`web-${index}`, { ports: twoPorts(index) });
        await cluster.settled();
      });
      expect(ms).toBeLessThan(40_000);
      expect(calls).toBeLessThanOrEqual(520);
    });

    it('deleting leaves nothing', async () => {
      const { ms } = await cost(async () => {
        for (const { name } of cluster.cluster.services.list()) cluster.cluster.delete(`default/${name}`);
        await cluster.empty();
        await cluster.until('the shared group is gone', async () => (await ourGroups()) === 0);
      });
      expect(ms).toBeLessThan(30_000);
      const { LoadBalancers } = await world.byHand.elb.send(new DescribeLoadBalancersCommand({}));
      const { TargetGroups } = await world.byHand.elb.send(new DescribeTargetGroupsCommand({}));
      expect([LoadBalancers, TargetGroups]).toEqual([[], []]);
    });
  },
  { control: true },
);

async function ourGroups(): Promise<number> {
  const Filters = [{ Name: 'tag-key', Values: ['berth.dev/cluster'] }];
  const { SecurityGroups = [] } = await world.byHand.ec2.send(new DescribeSecurityGroupsCommand({ Filters }));
  return SecurityGroups.length;
}

/** Waits until all target groups have this many targets, by what the controller knows. */
async function registered(count: number): Promise<void> {
  const state = (): boolean =>
    cluster.controller.idle &&
    [...cluster.controller.runtimes[0]!.state.view.loadBalancers.values()].every((one) =>
      Object.values(
        (one as unknown as { targetGroups: Record<string, { targets: unknown[] }> }).targetGroups,
      ).every(({ targets }) => targets.length === count),
    );
  await cluster.until(`all target groups have ${count} targets`, state);
}
