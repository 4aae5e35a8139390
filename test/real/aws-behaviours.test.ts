/** Behaviours I 94 to 112 as far as AWS has a say in them, on LocalStack. The decisions are in `test/aws-behaviours.test.ts`. */
import {
  AuthorizeSecurityGroupIngressCommand,
  CreateSecurityGroupCommand,
  CreateTagsCommand,
  DeleteTagsCommand,
  RevokeSecurityGroupIngressCommand,
} from '@aws-sdk/client-ec2';
import {
  CreateLoadBalancerCommand,
  DeregisterTargetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { EndpointPort } from '../../src/model/endpoint.ts';
import { aPort, ip } from '../builders.ts';
import { AwsCluster, isProvisioned, twoPorts, type AwsClusterOptions } from '../fixtures/aws-cluster.ts';
import {
  balancerAttributes,
  counts,
  groupAttributes,
  inventory,
  NOTHING,
  rulesOf,
  tagsOf,
  targetsOf,
} from '../fixtures/aws-inventory.ts';
import { albl } from '../fixtures/aws-model.ts';
import { awsWorld, type AwsWorld } from '../fixtures/aws.ts';
import { describeWithLocalStack, startLocalStack, type LocalStack } from '../harness/localstack.ts';

let cloud: LocalStack;
let world: AwsWorld;
let cluster: AwsCluster;

/** A controller that is at work. */
async function begin(options: AwsClusterOptions = {}): Promise<AwsCluster> {
  cluster = new AwsCluster(world, options);
  await cluster.start();
  return cluster;
}

const onlyBalancer = async () => (await inventory(world)).balancers[0]!;
const sweep = () => cluster.controller.sweep(new AbortController().signal);

await describeWithLocalStack(
  'AWS behaviours on LocalStack',
  () => {
    beforeAll(async () => (cloud = await startLocalStack()));
    afterAll(() => cloud.stop());
    beforeEach(async () => (world = await awsWorld(cloud, { vpc: { elasticIps: 3, ipv6: true } })));
    afterEach(async () => {
      await cluster.close();
      await world.close();
    });

    it('B20 deletion protection by annotation: deletion fails and says so; when the annotation goes, it proceeds', async () => {
      await begin();
      cluster.create('web', albl({ attributes: 'deletion_protection.enabled=true' }));
      await cluster.settled();
      expect(await balancerAttributes(world, (await onlyBalancer()).LoadBalancerArn)).toMatchObject({
        'deletion_protection.enabled': 'true',
      });
      cluster.cluster.delete('default/web');
      await cluster.until(
        'the deletion is refused',
        () => cluster.condition('default/web') === 'False DeletionProtected',
      );
      expect(cluster.message('default/web')).toContain('deletion_protection.enabled=true');
      cluster.cluster.edit('default/web', { annotations: {} });
      await cluster.empty();
      expect((await inventory(world)).balancers).toEqual([]);
    });

    it('B101 subnets by role tag, one for each zone; a list is kept; what exists stays while the scheme is the same', async () => {
      await begin();
      cluster.create('internal');
      cluster.create('public', { ports: twoPorts(1), ...albl({ scheme: 'internet-facing' }) });
      await cluster.settled();
      const { balancers } = await inventory(world);
      const subnets = (scheme: string) =>
        balancers
          .find(({ Scheme }) => Scheme === scheme)
          ?.AvailabilityZones?.map(({ SubnetId = '' }) => SubnetId)
          .toSorted();
      expect(subnets('internal')).toEqual(world.vpc.privateSubnets.map(({ id }) => id).toSorted());
      expect(subnets('internet-facing')).toEqual(world.vpc.publicSubnets.map(({ id }) => id).toSorted());
      // Other subnets are for load balancers now; nobody asked the present one to move.
      await world.byHand.ec2.send(
        new DeleteTagsCommand({
          Resources: [world.vpc.privateSubnets[0]!.id],
          Tags: [{ Key: 'kubernetes.io/role/internal-elb' }],
        }),
      );
      await sweep();
      await cluster.settled();
      const after = (await inventory(world)).balancers.find(({ Scheme }) => Scheme === 'internal');
      expect(after?.AvailabilityZones).toHaveLength(3);
    });

    it('B101 named subnets are used in place of what is found, and changed in place', async () => {
      const [first, second] = world.vpc.privateSubnets;
      await world.byHand.ec2.send(
        new CreateTagsCommand({ Resources: [second!.id], Tags: [{ Key: 'Name', Value: 'second' }] }),
      );
      await begin();
      cluster.create('web', albl({ subnets: first!.id }));
      await cluster.settled();
      const before = await onlyBalancer();
      expect(before.AvailabilityZones?.map(({ SubnetId }) => SubnetId)).toEqual([first!.id]);
      cluster.cluster.edit('default/web', albl({ subnets: `${first!.id},second` }));
      await cluster.until(
        'it has both',
        async () => ((await onlyBalancer()).AvailabilityZones ?? []).length === 2,
      );
      await cluster.settled();
      expect((await onlyBalancer()).LoadBalancerArn).toBe(before.LoadBalancerArn);
    });

    it('B101 without any usable subnet the condition has the reason for each candidate', async () => {
      const all = [...world.vpc.privateSubnets, ...world.vpc.publicSubnets].map(({ id }) => id);
      await world.byHand.ec2.send(
        new CreateTagsCommand({
          Resources: all,
          Tags: [{ Key: 'kubernetes.io/cluster/other', Value: 'owned' }],
        }),
      );
      await world.byHand.ec2.send(
        new DeleteTagsCommand({
          Resources: all,
          Tags: [{ Key: `kubernetes.io/cluster/${world.vpc.clusterName}` }],
        }),
      );
      await begin();
      cluster.create('web');
      await cluster.until(
        'the problem is told',
        () => cluster.condition('default/web') === 'False SubnetsNotFound',
      );
      for (const { id } of world.vpc.privateSubnets)
        expect(cluster.message('default/web')).toContain(`${id}: it is tagged for another cluster`);
      expect(cluster.message('default/web')).toMatch(
        /Tag one subnet for each zone with kubernetes\.io\/role\/internal-elb=1/,
      );
    });

    it('B102 another scheme replaces the load balancer; another target type replaces the target group after its listener moved', async () => {
      await begin();
      cluster.create('web', albl({ 'target-group-attributes': 'deregistration_delay.timeout_seconds=1' }));
      await cluster.settled();
      const before = await inventory(world);
      cluster.cluster.edit(
        'default/web',
        albl({
          scheme: 'internet-facing',
          'target-group-attributes': 'deregistration_delay.timeout_seconds=1',
        }),
      );
      await cluster.until(
        'it faces the internet',
        async () => (await onlyBalancer())?.Scheme === 'internet-facing',
      );
      await cluster.settled();
      expect(await counts(world)).toBe('1 load balancers, 1 target groups, 1 listeners, 2 groups, 1 rules');
      expect((await inventory(world)).targetGroups[0]?.TargetGroupArn).toBe(
        before.targetGroups[0]?.TargetGroupArn,
      );
      cluster.cluster.backends = new Map([['default/web', [pod('10.0.44.5')]]]);
      cluster.cluster.edit(
        'default/web',
        albl({
          scheme: 'internet-facing',
          'nlb-target-type': 'ip',
          'target-group-attributes': 'deregistration_delay.timeout_seconds=1',
        }),
      );
      await cluster.until('the old group is gone', async () => {
        const { targetGroups } = await inventory(world);
        return targetGroups.length === 1 && targetGroups[0]?.TargetType === 'ip';
      });
      const { targetGroups, listeners } = await inventory(world);
      expect(listeners[0]?.DefaultActions?.[0]?.TargetGroupArn).toBe(targetGroups[0]?.TargetGroupArn);
      expect(await targetsOf(world, targetGroups[0]?.TargetGroupArn)).toEqual(['10.0.44.5']);
      expect(isProvisioned(cluster.cluster.service('default/web')!)).toBe(true);
    });

    it('B106 rules: missing ones are added and superfluous ones taken away, whatever somebody did to them meanwhile', async () => {
      await begin();
      cluster.create('web', { loadBalancerSourceRanges: ['192.0.2.0/24', '198.51.100.0/24'] });
      await cluster.settled();
      const frontend = (
        await Promise.all(
          (await onlyBalancer()).SecurityGroups!.map(async (id) => [id, await rulesOf(world, id)] as const),
        )
      ).find(([, rules]) => rules.length > 0)![0];
      const permission = (CidrIp: string) => [
        { IpProtocol: 'tcp', FromPort: 80, ToPort: 80, IpRanges: [{ CidrIp }] },
      ];
      const { ec2 } = world.byHand;
      await ec2.send(
        new RevokeSecurityGroupIngressCommand({
          GroupId: frontend,
          IpPermissions: permission('192.0.2.0/24'),
        }),
      );
      await ec2.send(
        new AuthorizeSecurityGroupIngressCommand({
          GroupId: frontend,
          IpPermissions: permission('203.0.113.0/24'),
        }),
      );
      await sweep();
      const asked = ['tcp 80-80 192.0.2.0/24', 'tcp 80-80 198.51.100.0/24'];
      await cluster.until(
        'the rules are back',
        async () => (await rulesOf(world, frontend)).join() === asked.join(),
      );
      // A rule that is there already, and one that is gone already, are no errors.
      await ec2.send(
        new AuthorizeSecurityGroupIngressCommand({
          GroupId: frontend,
          IpPermissions: permission('203.0.113.0/24'),
        }),
      );
      await ec2.send(
        new RevokeSecurityGroupIngressCommand({
          GroupId: frontend,
          IpPermissions: permission('192.0.2.0/24'),
        }),
      );
      cluster.cluster.edit('default/web', {
        loadBalancerSourceRanges: ['198.51.100.0/24', '203.0.113.0/24', '10.0.0.0/8'],
      });
      await cluster.until(
        'the new rules are there',
        async () => (await rulesOf(world, frontend)).length === 3,
      );
      expect(await rulesOf(world, frontend)).toEqual([
        'tcp 80-80 10.0.0.0/8',
        'tcp 80-80 198.51.100.0/24',
        'tcp 80-80 203.0.113.0/24',
      ]);
    });

    it('B106 in a full group old rules go before new ones come', async () => {
      await begin();
      await world.account.settings.set({ rulesLimit: 3 });
      cluster.create('web', { loadBalancerSourceRanges: ['10.0.0.0/16', '10.1.0.0/16', '10.2.0.0/16'] });
      await cluster.settled();
      cluster.cluster.edit('default/web', {
        loadBalancerSourceRanges: ['10.3.0.0/16', '10.4.0.0/16', '10.5.0.0/16'],
      });
      const rules = async () =>
        (
          await Promise.all(((await onlyBalancer()).SecurityGroups ?? []).map((id) => rulesOf(world, id)))
        ).flat();
      await cluster.until('the new rules are there', async () =>
        (await rules()).includes('tcp 80-80 10.5.0.0/16'),
      );
      expect(await rules()).toHaveLength(3);
    });

    it('B107 targets are registered in chunks of 200, and a draining one that comes back is registered again', async () => {
      await world.account.settings.set({ drainScale: 1, targetsLimit: 1_000 });
      const instances = await world.vpc.addInstances(250);
      cluster = new AwsCluster(world);
      for (const instance of instances) cluster.addNode(instance);
      await cluster.start();
      cluster.create('web');
      await cluster.settled();
      const { 'elbv2:RegisterTargets': calls } = await world.account.calls.counts();
      expect(calls).toBe(2);
      const arn = (await inventory(world)).targetGroups[0]?.TargetGroupArn;
      expect(await targetsOf(world, arn)).toHaveLength(253);
      await world.byHand.elb.send(
        new DeregisterTargetsCommand({ TargetGroupArn: arn, Targets: [{ Id: instances[0]!.id }] }),
      );
      expect(await targetsOf(world, arn)).toHaveLength(252);
      await sweep();
      await cluster.until('it is back', async () => (await targetsOf(world, arn)).length === 253);
    });

    it('B109 a load balancer that was made without a security group is told of, not replaced', async () => {
      await begin();
      cluster.create('web', albl({ name: 'bare' }));
      await cluster.settled();
      const tags = Object.entries(await tagsOf(world, (await onlyBalancer()).LoadBalancerArn)).map(
        ([Key, Value]) => ({ Key, Value }),
      );
      cluster.kill();
      // As an earlier tool of the same cluster may have left it behind.
      cluster.cluster.delete('default/web');
      await world.account.reset();
      world = { ...world, ...(await awsWorld(cloud)) };
      await world.byHand.elb.send(
        new CreateLoadBalancerCommand({
          Name: 'bare',
          Type: 'network',
          Scheme: 'internal',
          Subnets: world.vpc.privateSubnets.map(({ id }) => id),
          Tags: tags,
        }),
      );
      await begin();
      cluster.create('web', albl({ name: 'bare' }));
      await cluster.until(
        'it is told',
        () => cluster.condition('default/web') === 'False SecurityGroupImpossible',
      );
      expect((await inventory(world)).balancers).toHaveLength(1);
    });

    it('B110 when AWS fails to answer, nothing half made is in the status', async () => {
      await begin();
      const fault = await world.account.faults.add({
        service: 'ec2',
        operation: 'DescribeSubnets',
        code: 'InternalError',
        status: 500,
      });
      cluster.create('web');
      await cluster.until(
        'the failure is told',
        () => cluster.condition('default/web') === 'Unknown AwsUnavailable',
      );
      expect(cluster.cluster.service('default/web')?.ingress).toEqual([]);
      await fault.remove();
      await cluster.settled();
    });

    it('fixed addresses: Elastic IPs by allocation, private ones by list, and one by loadBalancerIP in its zone', async () => {
      await begin();
      const eips = world.vpc.elasticIps.map(({ allocationId }) => allocationId);
      cluster.create('eips', {
        ports: twoPorts(1),
        ...albl({
          scheme: 'internet-facing',
          subnets: world.vpc.publicSubnets.map(({ id }) => id).join(),
          'eip-allocations': eips.join(),
        }),
      });
      const wish = world.vpc.privateSubnets[1]!.cidr.replace(/\.0\/22$/, '.77');
      cluster.create('one', { ports: twoPorts(2), loadBalancerIP: wish });
      await cluster.settled();
      const { balancers } = await inventory(world);
      const held = balancers
        .find(({ Scheme }) => Scheme === 'internet-facing')
        ?.AvailabilityZones?.flatMap(({ LoadBalancerAddresses = [] }) =>
          LoadBalancerAddresses.map(({ AllocationId }) => AllocationId),
        );
      expect(held?.toSorted()).toEqual(eips.toSorted());
      const single = balancers.find(({ Scheme }) => Scheme === 'internal');
      expect(single?.AvailabilityZones?.map(({ ZoneName }) => ZoneName)).toEqual([
        world.vpc.privateSubnets[1]!.zone,
      ]);
      expect(cluster.reasons('default/one')).toContain('SingleZone');
    });

    it('an Elastic IP asked for by its address is found, used, and free again for the next load balancer', async () => {
      await world.account.settings.set({ interfaceLingerMs: 1_500 });
      await begin();
      const { publicIp } = world.vpc.elasticIps[0]!;
      const asked = { loadBalancerIP: publicIp, ...albl({ scheme: 'internet-facing' }) };
      cluster.create('web', asked);
      await cluster.settled();
      expect((await onlyBalancer()).AvailabilityZones?.[0]?.LoadBalancerAddresses?.[0]?.IpAddress).toBe(
        publicIp,
      );
      // The interfaces of the old one stay a while: the new one waits for them rather than failing.
      cluster.cluster.edit('default/web', {
        ...asked,
        annotations: { ...asked.annotations, 'aws.berth.dev/name': 'x' },
      });
      cluster.cluster.delete('default/web');
      await cluster.empty();
      expect(await counts(world)).toMatch(/^0 load balancers, 0 target groups/);
    });

    it('dual stack, TLS with further certificates, listener and target group attributes, and their later changes', async () => {
      await begin();
      const cert = (name: string) =>
        `arn:aws:acm:${world.account.region}:${world.account.id}:certificate/${name}`;
      const settings = {
        'ip-address-type': 'dualstack',
        'ssl-cert': `${cert('a')},${cert('b')}`,
        'ssl-ports': '443',
        'alpn-policy': 'HTTP2Preferred',
        'listener-attributes.TCP-80': 'tcp.idle_timeout.seconds=400',
        'target-group-attributes': 'preserve_client_ip.enabled=false',
        attributes: 'load_balancing.cross_zone.enabled=true',
        'additional-resource-tags': 'team=edge',
      };
      cluster.create('web', { ports: twoPorts(0), ...albl(settings) });
      await cluster.settled();
      const found = await inventory(world);
      expect(found.balancers[0]?.IpAddressType).toBe('dualstack');
      const tls = found.listeners.find(({ Port }) => Port === 443);
      expect(tls).toMatchObject({
        Protocol: 'TLS',
        SslPolicy: 'ELBSecurityPolicy-2016-08',
        AlpnPolicy: ['HTTP2Preferred'],
      });
      expect(await balancerAttributes(world, found.balancers[0]?.LoadBalancerArn)).toMatchObject({
        'load_balancing.cross_zone.enabled': 'true',
      });
      expect(await groupAttributes(world, found.targetGroups[0]?.TargetGroupArn)).toMatchObject({
        'preserve_client_ip.enabled': 'false',
      });
      expect(await tagsOf(world, tls?.ListenerArn)).toMatchObject({
        team: 'edge',
        'berth.dev/resource': 'listener 443',
      });
      cluster.cluster.edit(
        'default/web',
        albl({
          ...settings,
          'ssl-cert': `${cert('c')},${cert('b')}`,
          'ip-address-type': 'ipv4',
          'additional-resource-tags': 'team=core',
        }),
      );
      await cluster.until(
        'the address type changed',
        async () => (await onlyBalancer()).IpAddressType === 'ipv4',
      );
      await cluster.settled();
      const after = await inventory(world);
      expect(after.listeners.find(({ Port }) => Port === 443)?.Certificates?.[0]?.CertificateArn).toBe(
        cert('c'),
      );
      expect(await tagsOf(world, after.balancers[0]?.LoadBalancerArn)).toMatchObject({ team: 'core' });
      await sweep();
      await cluster.settled();
      expect(cluster.controller.lastSweep[0]?.drifted).toEqual([]);
    });

    it('groups of the user by name; back to the managed one, which is made again', async () => {
      const { GroupId: own } = await world.byHand.ec2.send(
        new CreateSecurityGroupCommand({ GroupName: 'own', Description: 'mine', VpcId: world.vpc.vpcId }),
      );
      await begin();
      cluster.create('web');
      await cluster.settled();
      cluster.cluster.edit('default/web', albl({ 'security-groups': 'own' }));
      await cluster.until(
        'it has the group',
        async () => (await onlyBalancer()).SecurityGroups?.join() === own,
      );
      await cluster.until(
        'the managed one is gone',
        async () => (await inventory(world)).groups.length === 1,
      );
      cluster.cluster.edit('default/web', { annotations: {} });
      await cluster.until(
        'it has two groups',
        async () => (await onlyBalancer()).SecurityGroups?.length === 2,
      );
      await cluster.settled();
      expect((await inventory(world)).groups).toHaveLength(2);
    });

    it('pods as targets come and go with their slices, and their port is opened on the nodes', async () => {
      await begin();
      cluster.cluster.backends = new Map([['default/web', [pod('10.0.44.5'), pod('10.0.44.6')]]]);
      cluster.create('web', albl({ 'nlb-target-type': 'ip' }));
      await cluster.settled();
      const arn = (await inventory(world)).targetGroups[0]?.TargetGroupArn;
      expect(await targetsOf(world, arn)).toEqual(['10.0.44.5', '10.0.44.6']);
      cluster.cluster.backends = new Map([['default/web', [pod('10.0.44.6'), pod('10.0.44.7')]]]);
      cluster.controller.endpointsChanged('default/web');
      await cluster.until(
        'the pods changed',
        async () => (await targetsOf(world, arn)).join() === '10.0.44.6,10.0.44.7',
      );
      expect((await inventory(world)).nodeRules).toMatchObject([
        { IpProtocol: 'tcp', FromPort: 8080, ToPort: 8080 },
      ]);
    });

    it('everything goes with the last Service', async () => {
      await begin();
      cluster.create('web', {
        ports: [aPort(), aPort({ name: 'udp', port: 53, protocol: 'UDP', nodePort: 30_053 })],
      });
      await cluster.settled();
      expect(await counts(world)).toBe('1 load balancers, 2 target groups, 2 listeners, 2 groups, 2 rules');
      cluster.cluster.delete('default/web');
      await cluster.until('nothing is left', async () => (await counts(world)) === NOTHING);
    });
  },
  { control: true },
);

function pod(address: string) {
  const ports: EndpointPort[] = [{ name: '', protocol: 'TCP', port: 8080 }];
  return { address: ip(address), node: 'node-1', ready: true, serving: true, terminating: false, ports };
}
