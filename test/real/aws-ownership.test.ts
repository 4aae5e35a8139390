/** What is ours, what is not, and the rules that keep it from leaking and fighting; each with its test. */
import {
  AuthorizeSecurityGroupIngressCommand,
  CreateSecurityGroupCommand,
  RevokeSecurityGroupIngressCommand,
} from '@aws-sdk/client-ec2';
import {
  AddTagsCommand,
  CreateLoadBalancerCommand,
  CreateTargetGroupCommand,
  DeleteListenerCommand,
  DeleteLoadBalancerCommand,
  DeleteTargetGroupCommand,
  ModifyLoadBalancerAttributesCommand,
  RemoveTagsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { nameFor } from '../../providers/aws/names.ts';
import { systemClock } from '../../src/provider/clock.ts';
import type { Clock } from '../../src/provider/spi.ts';
import { aPort } from '../builders.ts';
import { AwsCluster, twoPorts, type AwsClusterOptions } from '../fixtures/aws-cluster.ts';
import {
  balancerAttributes,
  counts,
  inventory,
  NOTHING,
  rulesOf,
  tagsOf,
} from '../fixtures/aws-inventory.ts';
import { albl } from '../fixtures/aws-model.ts';
import { awsWorld, type AwsWorld } from '../fixtures/aws.ts';
import { describeWithLocalStack, startLocalStack, type LocalStack } from '../harness/localstack.ts';

let cloud: LocalStack;
let world: AwsWorld;
const running: AwsCluster[] = [];

/** A controller that is at work; several may be. */
async function begin(options: AwsClusterOptions = {}): Promise<AwsCluster> {
  const cluster = new AwsCluster(world, options);
  running.push(cluster);
  await cluster.start();
  return cluster;
}

const sweep = (cluster: AwsCluster) => cluster.controller.sweep(new AbortController().signal);
const ONE = '1 load balancers, 1 target groups, 1 listeners, 2 groups, 1 rules';

/** The system's clock, which a test can put forward. Timers are real. */
function shiftable(): Clock & { shift(ms: number): void } {
  let offset = 0;
  return {
    ...systemClock,
    monotonic: () => systemClock.monotonic() + offset,
    shift: (ms) => (offset += ms),
  };
}

await describeWithLocalStack(
  'ownership on LocalStack',
  () => {
    beforeAll(async () => (cloud = await startLocalStack()));
    afterAll(() => cloud.stop());
    beforeEach(async () => (world = await awsWorld(cloud)));
    afterEach(async () => {
      await Promise.all(running.splice(0).map((cluster) => cluster.close()));
      await world.close();
    });

    describe('whose it is', () => {
      it('two clusters in one account with the same namespaces, names and nodes never touch each other', async () => {
        const [one, two] = [
          await begin({ clusterId: 'cluster-one' }),
          await begin({ clusterId: 'cluster-two' }),
        ];
        for (const cluster of [one, two]) {
          cluster.create('web');
          await cluster.settled();
        }
        expect(await counts(world)).toBe('2 load balancers, 2 target groups, 2 listeners, 4 groups, 1 rules');
        // One permission with two sources: each cluster's shared group.
        expect(await rulesOf(world, world.vpc.nodeSecurityGroup)).toHaveLength(2);
        for (const cluster of [one, two]) {
          await sweep(cluster);
          expect(cluster.controller.lastSweep[0]).toMatchObject({ drifted: [], orphans: [] });
        }
        one.cluster.delete('default/web');
        await one.empty();
        await one.until('its shared group is gone', async () => (await counts(world)) === ONE);
        await sweep(two);
        await two.settled();
        expect(two.controller.lastSweep[0]?.drifted).toEqual([]);
        expect(await tagsOf(world, (await inventory(world)).balancers[0]?.LoadBalancerArn)).toMatchObject({
          'berth.dev/cluster': 'cluster-two',
        });
      });

      it('a load balancer of the wanted name without our tags is refused and not touched', async () => {
        await world.byHand.elb.send(
          new CreateLoadBalancerCommand({
            Name: 'taken',
            Type: 'network',
            Scheme: 'internal',
            Subnets: [world.vpc.privateSubnets[0]!.id],
          }),
        );
        const before = (await inventory(world)).balancers[0];
        const cluster = await begin();
        cluster.create('web', albl({ name: 'taken' }));
        await cluster.until('it is told', () => cluster.condition('default/web') === 'False NotOwned');
        expect(cluster.message('default/web')).toContain(
          'taken exists already and does not carry the tags of Berth',
        );
        expect((await inventory(world)).balancers).toEqual([before]);
        cluster.cluster.delete('default/web');
        await cluster.empty();
        expect((await inventory(world)).balancers).toEqual([before]);
      });

      it('the same settings make no difference: what was there before the call belongs to whoever its tags say', async () => {
        const cluster = await begin();
        cluster.create('first', albl({ name: 'shared-name' }));
        await cluster.settled();
        cluster.create('second', { ports: twoPorts(5), ...albl({ name: 'shared-name' }) });
        await cluster.until('it is told', () => cluster.condition('default/second') === 'False NotOwned');
        expect(cluster.message('default/second')).toContain('belongs to the Service default/first');
        expect((await inventory(world)).balancers).toHaveLength(1);
      });

      it('a target group or security group of our name without our tags is refused and not touched', async () => {
        const cluster = await begin();
        const id = { id: world.host.cluster.id };
        const { VpcId, GroupName } = {
          VpcId: world.vpc.vpcId,
          GroupName: nameFor(id, 'group', ['group', 'uid-of-group']),
        };
        await world.byHand.ec2.send(
          new CreateSecurityGroupCommand({ GroupName, VpcId, Description: 'somebody else' }),
        );
        cluster.create('group');
        await cluster.until('it is told', () => cluster.condition('default/group') === 'False NotOwned');
        const Name = nameFor(id, 'target', ['target group', 'uid-of-target', 'TCP:30090']);
        await world.byHand.elb.send(new CreateTargetGroupCommand({ Name, VpcId, Protocol: 'UDP', Port: 1 }));
        cluster.create('target', { ports: [aPort({ nodePort: 30_090 })] });
        await cluster.until('it is told', () => cluster.condition('default/target') === 'False NotOwned');
        expect(cluster.message('default/target')).toContain(Name);
      });

      it('what loses our tag is not ours any more, and is never touched again', async () => {
        const cluster = await begin();
        cluster.create('web');
        await cluster.settled();
        const [before] = (await inventory(world)).balancers;
        await world.byHand.elb.send(
          new RemoveTagsCommand({ ResourceArns: [before!.LoadBalancerArn!], TagKeys: ['berth.dev/cluster'] }),
        );
        await sweep(cluster);
        await cluster.until('it is told', () => cluster.condition('default/web') === 'False NotOwned');
        cluster.cluster.delete('default/web');
        await cluster.until(
          'the deletion waits for its target group',
          async () => (await inventory(world)).balancers.length === 1,
        );
        expect((await inventory(world)).balancers[0]?.LoadBalancerArn).toBe(before?.LoadBalancerArn);
      });
    });

    describe('drift', () => {
      it('an attribute, a tag and a node rule that somebody changed are planned back', async () => {
        const cluster = await begin();
        cluster.create('web', albl({ attributes: 'load_balancing.cross_zone.enabled=true' }));
        await cluster.settled();
        const arn = (await inventory(world)).balancers[0]!.LoadBalancerArn!;
        const { elb, ec2 } = world.byHand;
        const Attributes = [{ Key: 'load_balancing.cross_zone.enabled', Value: 'false' }];
        await elb.send(new ModifyLoadBalancerAttributesCommand({ LoadBalancerArn: arn, Attributes }));
        await elb.send(
          new AddTagsCommand({
            ResourceArns: [arn],
            Tags: [{ Key: 'berth.dev/service', Value: 'default/other' }],
          }),
        );
        const [permission] = (await inventory(world)).nodeRules;
        await ec2.send(
          new RevokeSecurityGroupIngressCommand({
            GroupId: world.vpc.nodeSecurityGroup,
            IpPermissions: [permission!],
          }),
        );
        await sweep(cluster);
        await cluster.until(
          'the node rule is back',
          async () => (await inventory(world)).nodeRules.length === 1,
        );
        await cluster.until(
          'the attribute is back',
          async () => (await balancerAttributes(world, arn))['load_balancing.cross_zone.enabled'] === 'true',
        );
        await cluster.until(
          'the tag is back',
          async () => (await tagsOf(world, arn))['berth.dev/service'] === 'default/web',
        );
        expect(cluster.controller.lastSweep[0]?.drifted.map(({ key }) => key)).toEqual(['default/web']);
      });

      it('a load balancer, and a target group, that somebody deleted are made again', async () => {
        const cluster = await begin();
        cluster.create('web', { ports: twoPorts(0) });
        await cluster.settled();
        // Seen once, so that it does not count as too new to be shown.
        await sweep(cluster);
        const before = await inventory(world);
        await world.byHand.elb.send(
          new DeleteLoadBalancerCommand({ LoadBalancerArn: before.balancers[0]?.LoadBalancerArn }),
        );
        await world.byHand.elb.send(
          new DeleteTargetGroupCommand({ TargetGroupArn: before.targetGroups[0]?.TargetGroupArn }),
        );
        await sweep(cluster);
        const whole = '1 load balancers, 2 target groups, 2 listeners, 2 groups, 1 rules';
        await cluster.until(
          'it is whole',
          async () => (await counts(world)) === whole && cluster.controller.idle,
        );
        const [after] = (await inventory(world)).balancers;
        expect(cluster.cluster.service('default/web')?.ingress[0]?.hostname).toBe(after?.DNSName);
      });

      it('a change that meets something that is gone looks again and makes it whole, without a sweep', async () => {
        const cluster = await begin();
        cluster.create('web');
        await cluster.settled();
        // Seen once, so that it does not count as too new to be shown.
        await sweep(cluster);
        await world.byHand.elb.send(
          new DeleteLoadBalancerCommand({
            LoadBalancerArn: (await inventory(world)).balancers[0]?.LoadBalancerArn,
          }),
        );
        cluster.cluster.edit('default/web', { ports: [aPort({ port: 8080 })] });
        await cluster.until(
          'it is whole',
          async () => (await counts(world)) === ONE && cluster.controller.idle,
        );
        expect((await inventory(world)).listeners[0]?.Port).toBe(8080);
      });

      it('under --drift=observe it is only reported', async () => {
        const cluster = await begin({ settings: { drift: 'observe' } });
        cluster.create('web');
        await cluster.settled();
        await sweep(cluster);
        await world.byHand.elb.send(
          new DeleteListenerCommand({ ListenerArn: (await inventory(world)).listeners[0]?.ListenerArn }),
        );
        const [report] = await sweep(cluster);
        expect(
          report?.drifted.map(({ steps }) => steps.map(({ verb, resource }) => `${verb} ${resource}`)),
        ).toEqual([['create listener']]);
        await new Promise((resolve) => setTimeout(resolve, 300));
        expect((await inventory(world)).listeners).toEqual([]);
      });
    });

    describe('orphans', () => {
      it('what belongs to no Service is reported, and deleted with --delete-orphans after an hour and two looks', async () => {
        const clock = shiftable();
        const cluster = await begin({ clock, settings: { deleteOrphans: true } });
        cluster.create('web');
        await cluster.settled();
        // Somebody took the finalizer away, and the Service went without us.
        cluster.kill();
        cluster.cluster.edit('default/web', { finalizers: [] });
        cluster.cluster.delete('default/web');
        cluster.revive();
        await cluster.start();
        const [first] = await sweep(cluster);
        expect(first?.orphans).toMatchObject([{ key: 'default/web', ripe: false }]);
        expect((await inventory(world)).balancers).toHaveLength(1);
        clock.shift(3_600_000);
        await sweep(cluster);
        await cluster.until('nothing is left', async () => (await counts(world)) === NOTHING);
      });
    });

    describe('what AWS shows late', () => {
      it('what was just made stays known although a read does not show it, and is not made twice', async () => {
        await world.account.settings.set({ consistencyMs: 2_000 });
        const cluster = await begin();
        cluster.create('web');
        await cluster.settled();
        await world.account.calls.reset();
        await sweep(cluster);
        await cluster.settled();
        const made = Object.entries(await world.account.calls.counts()).filter(([operation]) =>
          operation.includes(':Create'),
        );
        expect(made).toEqual([]);
        await new Promise((resolve) => setTimeout(resolve, 2_100));
        await sweep(cluster);
        await cluster.settled();
        expect(await counts(world)).toBe(ONE);
      });

      it('a deletion that finds nothing looks again before it lets the Service go', async () => {
        await world.account.settings.set({ consistencyMs: 1_500 });
        const cluster = await begin({ settleMs: 2_500 });
        cluster.create('web');
        await cluster.settled();
        cluster.kill();
        cluster.cluster.delete('default/web');
        cluster.revive();
        await cluster.start();
        await cluster.until(
          'it waits',
          () => cluster.condition('default/web') === 'Unknown DeletionUnconfirmed',
        );
        await cluster.empty();
        await cluster.until('nothing is left', async () => (await counts(world)) === NOTHING);
        expect(await counts(world)).toBe(NOTHING);
      });

      it('a name that our own deleted load balancer still holds is waited for', async () => {
        await world.account.settings.set({ nameLingerMs: 1_500 });
        const cluster = await begin();
        cluster.create('web', albl({ name: 'fixed' }));
        await cluster.settled();
        cluster.cluster.edit('default/web', albl({ name: 'fixed', scheme: 'internet-facing' }));
        await cluster.until('it waits', () => cluster.condition('default/web') === 'Unknown StillHeld');
        await cluster.settled();
        expect(
          (await inventory(world)).balancers.map(({ LoadBalancerName, Scheme }) => [
            LoadBalancerName,
            Scheme,
          ]),
        ).toEqual([['fixed', 'internet-facing']]);
      });

      it('a security group goes when the interfaces of its load balancer are gone, and says what it waits for', async () => {
        await world.account.settings.set({ interfaceLingerMs: 1_000 });
        const cluster = await begin();
        cluster.create('web');
        await cluster.settled();
        cluster.cluster.delete('default/web');
        await cluster.until('it waits', () => cluster.condition('default/web') === 'Unknown StillInUse');
        expect(cluster.message('default/web')).toMatch(/security group sg-\w+ \(by eni-/);
        await cluster.until('nothing is left', async () => (await counts(world)) === NOTHING);
      });

      it('somebody else’s rules on the nodes’ group stay', async () => {
        const GroupId = world.vpc.nodeSecurityGroup;
        const theirs = { IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: '10.0.0.0/8' }] };
        await world.byHand.ec2.send(
          new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions: [theirs] }),
        );
        const cluster = await begin();
        cluster.create('web');
        await cluster.settled();
        await sweep(cluster);
        cluster.cluster.delete('default/web');
        await cluster.until(
          'only theirs is left',
          async () => (await rulesOf(world, GroupId)).join() === 'tcp 22-22 10.0.0.0/8',
        );
        await cluster.empty();
        expect(await rulesOf(world, GroupId)).toEqual(['tcp 22-22 10.0.0.0/8']);
      });
    });
  },
  { control: true },
);
