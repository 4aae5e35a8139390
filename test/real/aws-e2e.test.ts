import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type BerthProgram,
  type LocalBerth,
  type ProgramRun,
  startBerth,
  startBerthProgram,
} from '../fixtures/aws-berth.ts';
import type { SeenLoadBalancer } from '../fixtures/aws-view.ts';
import { ruleTexts } from '../fixtures/aws-view.ts';
import { AwsWorld, type WantedService } from '../fixtures/aws-world.ts';
import { eventually } from '../fixtures/kube-objects.ts';
import { describeWithLocalStack, type LocalStack, startLocalStack } from '../harness/localstack.ts';

/** The class that the incumbent serves. */
const CLASS = 'service.k8s.aws/nlb';

/** The incumbent's annotations, by the part of their names that differs. */
function albl(annotations: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(annotations).map(([name, value]) => [
      `service.beta.kubernetes.io/aws-load-balancer-${name}`,
      value,
    ]),
  );
}

let cloud: LocalStack;
let world: AwsWorld;

await describeWithLocalStack(
  '`berth run --provider aws`',
  () => {
    let berth: BerthProgram | undefined;
    beforeAll(async () => {
      cloud = await startLocalStack();
    });
    afterEach(async () => {
      await berth?.close();
      await world.close();
    });
    afterAll(() => cloud?.stop());

    const start = async (run: ProgramRun): Promise<void> => {
      berth = await startBerthProgram(world, run);
      await berth.says(/leading/);
    };
    /** A whole life of a Service; what is left of it in the account. */
    const live = async (): Promise<readonly string[]> => {
      world.createService('web', { ports: [80, 443] });
      await world.served(['web']);
      const { balancer, listeners, targetGroups } = await world.view.behind(world.hostname('web'));
      const instances = world.vpc.instances.map(({ id }) => id).toSorted();
      expect(balancer.VpcId).toBe(world.vpc.vpcId);
      expect(listeners.map(({ Port }) => Port)).toEqual([80, 443]);
      expect(targetGroups.map(({ targets }) => targets)).toEqual([instances, instances]);
      world.deleteService('web');
      await world.gone(['web']);
      await world.quiet();
      return await world.leftovers();
    };

    it('needs a kubeconfig, AWS_REGION, AWS_ENDPOINT_URL, --cluster-name and --aws-vpc-id, and nothing more', async () => {
      world = await AwsWorld.open({ cloud });
      await start({ args: ['--cluster-name', 'test', '--aws-vpc-id', world.vpc.vpcId] });
      expect(await live()).toEqual([]);
    });

    it("finds the VPC from the nodes' instances without --aws-vpc-id", async () => {
      world = await AwsWorld.open({ cloud });
      await start({ args: ['--cluster-name', 'test'] });
      expect(await live()).toEqual([]);
    });

    it('waits for a node that tells the VPC', async () => {
      world = await AwsWorld.open({ cloud, nodes: 0 });
      await start({ args: ['--cluster-name', 'test'] });
      world.createService('early');
      await world.told('early', 'Unknown VpcUnknown');
      await world.joinNodes(1);
      await world.served(['early'], 30_000);
      expect((await world.view.behind(world.hostname('early'))).balancer.VpcId).toBe(world.vpc.vpcId);
    });

    it('leaves alone what others serve: another class, or none', async () => {
      world = await AwsWorld.open({ cloud });
      await start({ args: ['--cluster-name', 'test', '--aws-vpc-id', world.vpc.vpcId] });
      await world.quiet();
      const counts = await world.calls(async () => {
        world.createService('theirs', { spec: { loadBalancerClass: CLASS } });
        world.createService('in-tree', { spec: { loadBalancerClass: null } });
        world.createService('ours');
        await world.served(['ours']);
      });
      expect(counts['elbv2:CreateLoadBalancer']).toBe(1);
      await eventually(() =>
        expect(world.events('ours')).toContainEqual(
          expect.objectContaining({ reason: 'EnsuredLoadBalancer' }),
        ),
      );
      for (const name of ['theirs', 'in-tree']) {
        expect(world.service(name)).toMatchObject({ finalizers: [], ingress: [], conditions: [] });
        expect(world.events(name)).toEqual([]);
      }
    });
  },
  { control: true },
);

await describeWithLocalStack(
  "a Service with the incumbent's class and annotations gets the load balancer that its documentation describes",
  () => {
    let berth: LocalBerth;
    beforeAll(async () => {
      cloud = await startLocalStack();
      world = await AwsWorld.open({ cloud, nodes: 3, vpcOptions: { elasticIps: 3, ipv6: true } });
      berth = startBerth({ world, classes: [CLASS] });
      await berth.acting;
    });
    afterAll(async () => {
      await berth?.stop();
      await world?.close();
      await cloud?.stop();
    });

    const serve = async (wanted: WantedService): Promise<SeenLoadBalancer> => {
      world.createService('nlb', { ...wanted, spec: { loadBalancerClass: CLASS, ...wanted.spec } });
      await world.served(['nlb']);
      return await world.view.behind(world.hostname('nlb'));
    };
    afterEach(async () => {
      if (world.service('nlb') !== undefined) world.deleteService('nlb');
      await world.gone(['nlb']);
    });

    it('external, instance targets, internet-facing: public subnets, every node on the node port', async () => {
      const annotations = albl({
        type: 'external',
        'nlb-target-type': 'instance',
        scheme: 'internet-facing',
      });
      const { balancer, targetGroups } = await serve({ annotations });
      expect(balancer).toMatchObject({ Type: 'network', Scheme: 'internet-facing', IpAddressType: 'ipv4' });
      const subnets = balancer.AvailabilityZones?.map(({ SubnetId }) => SubnetId).toSorted();
      expect(subnets).toEqual(world.vpc.publicSubnets.map(({ id }) => id).toSorted());
      expect(targetGroups[0]?.group).toMatchObject({
        TargetType: 'instance',
        Protocol: 'TCP',
        Port: world.service('nlb')?.ports[0]?.nodePort,
      });
      expect(targetGroups[0]?.targets).toEqual(world.vpc.instances.map(({ id }) => id).toSorted());
    });

    it('nlb-ip and nlb-target-type ip: the ready pods on their own port', async () => {
      const addresses = ['10.0.40.51', '10.0.44.52'];
      world.sandbox.objects.create('endpointslices', {
        metadata: { name: 'nlb-1', labels: { 'kubernetes.io/service-name': 'nlb' } },
        addressType: 'IPv4',
        ports: [{ name: 'p80', port: 8080, protocol: 'TCP' }],
        endpoints: [
          ...addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
          { addresses: ['10.0.44.53'], conditions: { ready: false } },
        ],
      });
      const { targetGroups } = await serve({ annotations: albl({ 'nlb-target-type': 'ip' }) });
      expect(targetGroups[0]?.group.TargetType).toBe('ip');
      expect(targetGroups[0]?.targets).toEqual(addresses);
      world.sandbox.objects.delete({ resource: 'endpointslices', name: 'nlb-1' });
    });

    it('internal by default, with the addresses that are asked for in its subnets', async () => {
      const { privateSubnets } = world.vpc;
      const addresses = ['10.0.40.15', '10.0.44.16', '10.0.48.17'];
      const annotations = albl({
        subnets: privateSubnets.map(({ id }) => id).join(', '),
        'private-ipv4-addresses': addresses.join(', '),
      });
      const { balancer } = await serve({ annotations });
      expect(balancer.Scheme).toBe('internal');
      const zones = balancer.AvailabilityZones ?? [];
      const given = zones.map(({ LoadBalancerAddresses }) => LoadBalancerAddresses?.[0]?.PrivateIPv4Address);
      expect(given.toSorted()).toEqual(addresses);
    });

    it('Elastic IPs, one for each zone', async () => {
      const { elasticIps } = world.vpc;
      const annotations = albl({
        scheme: 'internet-facing',
        'eip-allocations': elasticIps.map(({ allocationId }) => allocationId).join(','),
      });
      const { balancer } = await serve({ annotations });
      const zones = balancer.AvailabilityZones ?? [];
      const given = zones.map(({ LoadBalancerAddresses }) => LoadBalancerAddresses?.[0]?.AllocationId);
      expect(given.toSorted()).toEqual(elasticIps.map(({ allocationId }) => allocationId).toSorted());
    });

    it('TLS on the ports of ssl-ports, with certificates, policy, ALPN and encryption to the targets', async () => {
      const arn = (last: number): string =>
        `arn:aws:acm:eu-west-1:${world.account.id}:certificate/12345678-1234-1234-1234-12345678901${last}`;
      const annotations = albl({
        'ssl-cert': `${arn(1)},${arn(2)}`,
        'ssl-ports': '443, custom-port',
        'ssl-negotiation-policy': 'ELBSecurityPolicy-TLS13-1-2-2021-06',
        'backend-protocol': 'ssl',
        'alpn-policy': 'HTTP2Preferred',
      });
      const ports = [
        { name: 'plain', port: 80 },
        { name: 'tls', port: 443 },
        { name: 'custom-port', port: 8443 },
      ];
      const { listeners, targetGroups } = await serve({ annotations, ports });
      expect(listeners.map(({ Port, Protocol }) => `${Port} ${Protocol}`)).toEqual([
        '80 TCP',
        '443 TLS',
        '8443 TLS',
      ]);
      expect(targetGroups.map(({ group }) => group.Protocol)).toEqual(['TCP', 'TLS', 'TLS']);
      for (const listener of listeners.slice(1)) {
        expect(listener).toMatchObject({
          SslPolicy: 'ELBSecurityPolicy-TLS13-1-2-2021-06',
          AlpnPolicy: ['HTTP2Preferred'],
          Certificates: [{ CertificateArn: arn(1) }],
        });
        const all = await world.view.elb.describeListenerCertificates({ ListenerArn: listener.ListenerArn });
        expect(all.Certificates?.map(({ CertificateArn }) => CertificateArn)).toContain(arn(2));
      }
    });

    it('proxy protocol and target group attributes, for all ports and for one', async () => {
      const annotations = albl({
        'proxy-protocol': '*',
        'target-group-attributes':
          'preserve_client_ip.enabled=false, deregistration_delay.timeout_seconds=120',
        'target-group-attributes.443':
          'deregistration_delay.timeout_seconds=30, stickiness.enabled=true, stickiness.type=source_ip',
      });
      const { targetGroups } = await serve({ annotations, ports: [80, 443] });
      const common = { 'proxy_protocol_v2.enabled': 'true', 'preserve_client_ip.enabled': 'false' };
      expect(targetGroups[0]?.attributes).toMatchObject({
        ...common,
        'deregistration_delay.timeout_seconds': '120',
        'stickiness.enabled': 'false',
      });
      expect(targetGroups[1]?.attributes).toMatchObject({
        ...common,
        'deregistration_delay.timeout_seconds': '30',
        'stickiness.enabled': 'true',
        'stickiness.type': 'source_ip',
      });
    });

    it('load balancer attributes, and the older annotations that set one each', async () => {
      const annotations = albl({
        attributes:
          'load_balancing.cross_zone.enabled=false,dns_record.client_routing_policy=availability_zone_affinity',
        'cross-zone-load-balancing-enabled': 'true',
        'access-log-enabled': 'true',
        'access-log-s3-bucket-name': 'my-access-log-bucket',
        'access-log-s3-bucket-prefix': 'my-app',
      });
      const { attributes } = await serve({ annotations });
      expect(attributes).toMatchObject({
        'load_balancing.cross_zone.enabled': 'true',
        'dns_record.client_routing_policy': 'availability_zone_affinity',
        'access_logs.s3.enabled': 'true',
        'access_logs.s3.bucket': 'my-access-log-bucket',
        'access_logs.s3.prefix': 'my-app',
        'deletion_protection.enabled': 'false',
      });
    });

    it('health checks as they are asked for', async () => {
      const annotations = albl({
        'healthcheck-protocol': 'http',
        'healthcheck-port': '80',
        'healthcheck-path': '/ping',
        'healthcheck-healthy-threshold': '4',
        'healthcheck-unhealthy-threshold': '5',
        'healthcheck-timeout': '7',
        'healthcheck-interval': '15',
        'healthcheck-success-codes': '200-299',
      });
      const { targetGroups } = await serve({ annotations });
      expect(targetGroups[0]?.group).toMatchObject({
        HealthCheckProtocol: 'HTTP',
        HealthCheckPort: '80',
        HealthCheckPath: '/ping',
        HealthyThresholdCount: 4,
        UnhealthyThresholdCount: 5,
        HealthCheckTimeoutSeconds: 7,
        HealthCheckIntervalSeconds: 15,
        Matcher: { HttpCode: '200-299' },
      });
    });

    it('externalTrafficPolicy Local asks the healthCheckNodePort', async () => {
      const { targetGroups } = await serve({ spec: { externalTrafficPolicy: 'Local' } });
      expect(targetGroups[0]?.group).toMatchObject({
        HealthCheckProtocol: 'HTTP',
        HealthCheckPath: '/healthz',
        HealthCheckPort: String(world.service('nlb')?.healthCheckNodePort),
      });
    });

    it('source ranges open the load balancer for them alone', async () => {
      const { groups } = await serve({
        ports: [80],
        spec: { loadBalancerSourceRanges: ['10.0.0.0/8', '192.0.2.0/24'] },
      });
      expect(groups.flatMap(ruleTexts)).toEqual(['tcp 80-80 10.0.0.0/8', 'tcp 80-80 192.0.2.0/24']);
    });

    it('additional tags are on everything, beside those that say whose it is', async () => {
      const annotations = albl({ 'additional-resource-tags': 'Environment=dev,Team=test' });
      const { balancer, tags, targetGroups, listeners, groups } = await serve({ annotations });
      const wanted = { Environment: 'dev', Team: 'test', 'berth.dev/service': 'default/nlb' };
      const listenerTags = await world.view.tags(listeners.map(({ ListenerArn = '' }) => ListenerArn));
      for (const one of [tags, ...targetGroups.map(({ tags }) => tags), ...listenerTags.values()])
        expect(one).toMatchObject(wanted);
      expect(listenerTags.size).toBe(1);
      const [frontend] = groups;
      expect(Object.fromEntries((frontend?.Tags ?? []).map(({ Key, Value }) => [Key, Value]))).toMatchObject(
        wanted,
      );
      expect(balancer.SecurityGroups).toHaveLength(2);
    });

    it('target node labels choose the nodes', async () => {
      const [name, instance] = [...world.nodes][0]!;
      const labels = { label1: 'value1', label2: 'value2' };
      world.sandbox.objects.patch({ resource: 'nodes', name }, { metadata: { labels } });
      const annotations = albl({ 'target-node-labels': 'label1=value1, label2=value2' });
      const { targetGroups } = await serve({ annotations });
      await eventually(async () =>
        expect(await world.view.targets(targetGroups[0]?.group.TargetGroupArn ?? '')).toEqual([instance.id]),
      );
    });

    it('dual stack, and TCP and UDP on one port share a listener', async () => {
      const annotations = albl({
        'ip-address-type': 'dualstack',
        'enable-prefix-for-ipv6-source-nat': 'on',
        'enable-tcp-udp-listener': 'true',
      });
      const ports = [
        { name: 'dns-tcp', port: 53, protocol: 'TCP', nodePort: 30_053 },
        { name: 'dns-udp', port: 53, protocol: 'UDP', nodePort: 30_053 },
      ];
      const { balancer, listeners, groups } = await serve({ annotations, ports });
      expect(balancer).toMatchObject({ IpAddressType: 'dualstack', EnablePrefixForIpv6SourceNat: 'on' });
      expect(listeners.map(({ Port, Protocol }) => `${Port} ${Protocol}`)).toEqual(['53 TCP_UDP']);
      expect(groups.flatMap(ruleTexts)).toEqual([
        'tcp 53-53 0.0.0.0/0',
        'tcp 53-53 ::/0',
        'udp 53-53 0.0.0.0/0',
        'udp 53-53 ::/0',
      ]);
    });

    describe('and what is not carried out is told in an event that names it', () => {
      it.each([
        ['quic-enabled-ports', '80'],
        ['minimum-load-balancer-capacity', 'CapacityUnits=1'],
        ['multi-cluster-target-group', 'true'],
        ['disable-nlb-sg', 'true'],
      ])('%s', async (name, value) => {
        await serve({ annotations: albl({ [name]: value }) });
        await eventually(() =>
          expect(world.events('nlb')).toContainEqual({
            type: 'Warning',
            reason: 'AnnotationUnsupported',
            message: expect.stringContaining(`aws-load-balancer-${name}`) as string,
          }),
        );
      });
    });
  },
  { control: true },
);
