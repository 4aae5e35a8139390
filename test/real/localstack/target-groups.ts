import {
  DeleteListenerCommand,
  DeleteLoadBalancerCommand,
  DeleteTargetGroupCommand,
  DeregisterTargetsCommand,
  DescribeTargetGroupAttributesCommand,
  DescribeTargetGroupsCommand,
  DescribeTargetHealthCommand,
  ModifyLoadBalancerAttributesCommand,
  ModifyTargetGroupAttributesCommand,
  ModifyTargetGroupCommand,
  type ModifyTargetGroupCommandInput,
  RegisterTargetsCommand,
  type TargetDescription,
  type TargetGroup,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { StopInstancesCommand } from '@aws-sdk/client-ec2';
import { beforeAll, expect, it } from 'vitest';
import type { LocalStack } from '../../harness/localstack.ts';
import { asMap, aWorld, refusal, type World } from './world.ts';

/** Expectations on target groups, registration and health. */
export function targetGroups(cloud: () => LocalStack): void {
  let world: World;
  beforeAll(async () => {
    world = await aWorld(cloud().account(), { instances: 6 });
  });

  const register = (group: TargetGroup, Targets: TargetDescription[]): Promise<unknown> =>
    world.elb.send(new RegisterTargetsCommand({ TargetGroupArn: group.TargetGroupArn, Targets }));
  const deregister = (group: TargetGroup, Targets: TargetDescription[]): Promise<unknown> =>
    world.elb.send(new DeregisterTargetsCommand({ TargetGroupArn: group.TargetGroupArn, Targets }));
  const health = async (group: TargetGroup): Promise<Record<string, string>> => {
    const { TargetHealthDescriptions } = await world.elb.send(
      new DescribeTargetHealthCommand({ TargetGroupArn: group.TargetGroupArn }),
    );
    return Object.fromEntries(
      (TargetHealthDescriptions ?? []).map(({ Target, TargetHealth }) => [
        `${Target?.Id}:${Target?.Port}`,
        [TargetHealth?.State, TargetHealth?.Reason].join(' ').trim(),
      ]),
    );
  };

  it('have the health check and attributes of a Network Load Balancer', async () => {
    const group = await world.group({ Name: 'defaults' });
    expect(group).toMatchObject({
      TargetGroupArn: expect.stringMatching(/:targetgroup\/defaults\/[0-9a-f]{16}$/),
      TargetType: 'instance',
      IpAddressType: 'ipv4',
      HealthCheckProtocol: 'TCP',
      HealthCheckPort: 'traffic-port',
      HealthCheckIntervalSeconds: 30,
      HealthCheckTimeoutSeconds: 10,
      HealthyThresholdCount: 5,
      UnhealthyThresholdCount: 2,
    });
    expect(group.HealthCheckPath).toBeUndefined();
    const attributes = async ({ TargetGroupArn }: TargetGroup): Promise<Record<string, string>> =>
      asMap((await world.elb.send(new DescribeTargetGroupAttributesCommand({ TargetGroupArn }))).Attributes);
    expect(await attributes(group)).toMatchObject({
      'deregistration_delay.timeout_seconds': '300',
      'deregistration_delay.connection_termination.enabled': 'false',
      'preserve_client_ip.enabled': 'true',
      'proxy_protocol_v2.enabled': 'false',
      'stickiness.type': 'source_ip',
      'load_balancing.cross_zone.enabled': 'use_load_balancer_configuration',
      'target_health_state.unhealthy.connection_termination.enabled': 'true',
    });
    expect(await attributes(await world.group({ TargetType: 'ip' }))).toMatchObject({
      'preserve_client_ip.enabled': 'false',
    });
    expect(await attributes(await world.group({ TargetType: 'ip', Protocol: 'UDP' }))).toMatchObject({
      'preserve_client_ip.enabled': 'true',
      'deregistration_delay.connection_termination.enabled': 'true',
    });
  });

  it('of the same name and settings are the same one, with other settings DuplicateTargetGroupName', async () => {
    const first = await world.group({ Name: 'same' });
    expect((await world.group({ Name: 'same' })).TargetGroupArn).toBe(first.TargetGroupArn);
    expect(await refusal(world.group({ Name: 'same', Port: 1 }))).toBe('DuplicateTargetGroupName');
    expect(await refusal(world.group({ Name: 'same', HealthCheckPort: '10256' }))).toBe(
      'DuplicateTargetGroupName',
    );
  });

  it.each([
    ['a name of 33 characters', { Name: 'n'.repeat(33) }, 'ValidationError'],
    ['an unknown VPC', { VpcId: 'vpc-0123456789abcdef0' }, 'ValidationError'],
    ['an interval of 4 s', { HealthCheckIntervalSeconds: 4 }, 'ValidationError'],
    ['11 as a threshold', { HealthyThresholdCount: 11 }, 'ValidationError'],
    ['health checks over UDP', { HealthCheckProtocol: 'UDP' as const }, 'ValidationError'],
    ['a path for a check over TCP', { HealthCheckPath: '/' }, 'InvalidConfigurationRequest'],
    ['a named health check port', { HealthCheckPort: 'http' }, 'ValidationError'],
    ['port 0', { Port: 0 }, 'ValidationError'],
  ])('are refused with %s', async (_, wish, code) => {
    expect(await refusal(world.group(wish))).toBe(code);
  });

  it('change their health check in place, and lose path and matcher with HTTP', async () => {
    const { TargetGroupArn } = await world.group();
    const modify = async (
      wish: Omit<ModifyTargetGroupCommandInput, 'TargetGroupArn'>,
    ): Promise<TargetGroup> =>
      (await world.elb.send(new ModifyTargetGroupCommand({ TargetGroupArn, ...wish }))).TargetGroups![0]!;
    expect(
      await modify({
        HealthCheckProtocol: 'HTTP',
        HealthCheckPort: '31000',
        HealthCheckPath: '/healthz',
        HealthCheckIntervalSeconds: 10,
        HealthCheckTimeoutSeconds: 6,
      }),
    ).toMatchObject({ HealthCheckPath: '/healthz', Matcher: { HttpCode: '200-399' } });
    const after = await modify({ HealthCheckProtocol: 'TCP' });
    expect(after).toMatchObject({ HealthCheckPort: '31000', HealthCheckIntervalSeconds: 10 });
    expect(after.HealthCheckPath).toBeUndefined();
    expect(after.Matcher).toBeUndefined();
  });

  it('keep client addresses of UDP, and know their own attributes only', async () => {
    const set = async (group: TargetGroup, Key: string, Value: string): Promise<string> =>
      refusal(
        world.elb.send(
          new ModifyTargetGroupAttributesCommand({
            TargetGroupArn: group.TargetGroupArn,
            Attributes: [{ Key, Value }],
          }),
        ),
      );
    const [tcp, udp] = [await world.group(), await world.group({ Protocol: 'UDP' })];
    expect(await set(tcp, 'preserve_client_ip.enabled', 'false')).toBe('no error');
    expect(await set(udp, 'preserve_client_ip.enabled', 'false')).toBe('InvalidConfigurationRequest');
    expect(await set(tcp, 'slow_start.duration_seconds', '30')).toBe('ValidationError');
    expect(await set(tcp, 'deregistration_delay.timeout_seconds', '3601')).toBe('ValidationError');
  });

  it('take an instance on several ports, and let go of the port that is named', async () => {
    const group = await world.group();
    const Id = world.vpc.instances[0]!.id;
    await register(group, [{ Id }, { Id, Port: 30_081 }]);
    expect(Object.keys(await health(group))).toEqual([`${Id}:30080`, `${Id}:30081`]);
    await deregister(group, [{ Id }]);
    expect(Object.keys(await health(group))).toEqual([`${Id}:30081`]);
    await deregister(group, [{ Id }, { Id: world.vpc.instances[1]!.id }]);
    expect(Object.keys(await health(group))).toEqual([`${Id}:30081`]);
  });

  it('refuse the whole call for one instance that does not exist or does not run', async () => {
    const group = await world.group();
    const [good, stopped] = world.vpc.instances;
    const [missing] = ['i-0123456789abcdef0'];
    expect(await refusal(register(group, [{ Id: good!.id }, { Id: missing! }]))).toBe('InvalidTarget');
    await world.ec2.send(new StopInstancesCommand({ InstanceIds: [stopped!.id] }));
    expect(await refusal(register(group, [{ Id: stopped!.id }]))).toBe('InvalidTarget');
    expect(await health(group)).toEqual({});
    expect(await refusal(register(group, [{ Id: '10.0.0.1' }]))).toBe('ValidationError');
    const many = Array.from({ length: 201 }, (_, index) => ({ Id: good!.id, Port: index + 1 }));
    expect(await refusal(register(group, many))).toBe('ValidationError');
  });

  it('take addresses of the VPC with their zone, and others only with a zone that is named', async () => {
    const group = await world.group({ TargetType: 'ip' });
    await register(group, [{ Id: '10.0.44.9' }, { Id: '192.168.7.7', AvailabilityZone: 'all' }]);
    const { TargetHealthDescriptions } = await world.elb.send(
      new DescribeTargetHealthCommand({ TargetGroupArn: group.TargetGroupArn }),
    );
    expect(TargetHealthDescriptions?.map(({ Target }) => Target?.AvailabilityZone)).toEqual([
      'eu-west-1b',
      'all',
    ]);
    for (const Id of ['192.168.7.8', '8.8.8.8', 'fd00::1', 'i-0123456789abcdef0'])
      expect(await refusal(register(group, [{ Id }]))).toBe('ValidationError');
  });

  it('are unused until a listener forwards to them, then healthy where their zone is enabled', async () => {
    const group = await world.group();
    const [a, b] = ['eu-west-1a', 'eu-west-1b'].map((zone) =>
      world.vpc.instances.find((instance) => instance.zone === zone),
    );
    await register(group, [{ Id: a!.id }, { Id: b!.id }]);
    expect(Object.values(await health(group))).toEqual(['unused Target.NotInUse', 'unused Target.NotInUse']);
    const balancer = await world.balancer({ Subnets: [world.vpc.publicSubnets[0]!.id] });
    const listener = await world.listener({ on: balancer, to: group });
    expect(await health(group)).toEqual({
      [`${a!.id}:30080`]: 'healthy',
      [`${b!.id}:30080`]: 'unused Target.NotInUse',
    });
    await world.elb.send(
      new ModifyLoadBalancerAttributesCommand({
        LoadBalancerArn: balancer.LoadBalancerArn,
        Attributes: [{ Key: 'load_balancing.cross_zone.enabled', Value: 'true' }],
      }),
    );
    expect(Object.values(await health(group))).toEqual(['healthy', 'healthy']);
    await world.account.settings.set({ unhealthyTargets: [b!.id] });
    expect((await health(group))[`${b!.id}:30080`]).toBe('unhealthy Target.FailedHealthChecks');
    await world.account.settings.set({ unhealthyTargets: [] });
    await world.elb.send(new DeleteListenerCommand({ ListenerArn: listener.ListenerArn }));
    expect(Object.values(await health(group))).toEqual(['unused Target.NotInUse', 'unused Target.NotInUse']);
  });

  it('answer for a named target that is not registered', async () => {
    const group = await world.group();
    const { TargetHealthDescriptions } = await world.elb.send(
      new DescribeTargetHealthCommand({
        TargetGroupArn: group.TargetGroupArn,
        Targets: [{ Id: world.vpc.instances[0]!.id }],
      }),
    );
    expect(TargetHealthDescriptions?.[0]?.TargetHealth).toMatchObject({
      State: 'unused',
      Reason: 'Target.NotRegistered',
    });
  });

  it('drain what is deregistered, or whose instance is gone, and take it back on a new registration', async () => {
    await world.account.settings.set({ drainScale: 0.004 });
    const group = await world.group();
    const balancer = await world.balancer();
    await world.listener({ on: balancer, to: group });
    const [gone] = await world.vpc.addInstances(1);
    const kept = world.vpc.instances.at(-1)!;
    await register(group, [{ Id: gone!.id }, { Id: kept.id }]);
    await deregister(group, [{ Id: kept.id }]);
    await world.vpc.terminate(gone!);
    const draining = 'draining Target.DeregistrationInProgress';
    expect(Object.values(await health(group))).toEqual([draining, draining]);
    await register(group, [{ Id: kept.id }]);
    expect((await health(group))[`${kept.id}:30080`]).toBe('healthy');
    await expect.poll(() => health(group), { timeout: 5_000 }).toEqual({ [`${kept.id}:30080`]: 'healthy' });
  });

  it('go at once from a group that no load balancer uses any more', async () => {
    await world.account.settings.set({ drainScale: 1 });
    const group = await world.group();
    const balancer = await world.balancer();
    await world.listener({ on: balancer, to: group });
    const targets = [{ Id: world.vpc.instances.at(-1)!.id }];
    await register(group, targets);
    await world.elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn: balancer.LoadBalancerArn }));
    await deregister(group, targets);
    expect(await health(group)).toEqual({});
  });

  it('in use cannot be deleted, and one that is not there is deleted without an error', async () => {
    const group = await world.group();
    const balancer = await world.balancer();
    await world.listener({ on: balancer, to: group });
    const remove = (): Promise<unknown> =>
      world.elb.send(new DeleteTargetGroupCommand({ TargetGroupArn: group.TargetGroupArn }));
    expect(await refusal(remove())).toBe('ResourceInUse');
    await world.elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn: balancer.LoadBalancerArn }));
    await remove();
    await remove();
    const describe = new DescribeTargetGroupsCommand({ TargetGroupArns: [group.TargetGroupArn!] });
    expect(await refusal(world.elb.send(describe))).toBe('TargetGroupNotFound');
  });

  it('count every registration towards the targets of their load balancer', async () => {
    const other = await aWorld(cloud().account(), { instances: 3 });
    await other.account.settings.set({ targetsLimit: 2 });
    const send = ({ TargetGroupArn }: TargetGroup, ...Targets: TargetDescription[]) =>
      other.elb.send(new RegisterTargetsCommand({ TargetGroupArn, Targets }));
    const balancer = await other.balancer();
    const [first, second] = [await other.group(), await other.group()];
    await other.listener({ on: balancer, to: first });
    const Id = other.vpc.instances[0]!.id;
    await send(first, { Id }, { Id: other.vpc.instances[1]!.id });
    await send(second, { Id, Port: 1 }, { Id, Port: 2 });
    expect(await refusal(other.listener({ on: balancer, to: second, Port: 81 }))).toBe('TooManyTargets');
    await send(first, { Id, Port: 1 });
    expect(await refusal(send(first, { Id, Port: 2 }))).toBe('TooManyTargets');
  });
}
