import {
  DeleteLoadBalancerCommand,
  DescribeListenersCommand,
  DescribeLoadBalancersCommand,
  DescribeTargetGroupsCommand,
  DescribeTargetHealthCommand,
  RegisterTargetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import {
  AuthorizeSecurityGroupIngressCommand,
  DeleteSecurityGroupCommand,
  DescribeSecurityGroupsCommand,
} from '@aws-sdk/client-ec2';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { LocalStack } from '../../harness/localstack.ts';
import { aWorld, permission, refusal } from './world.ts';

/** Expectations on what takes time. */
export function time(cloud: () => LocalStack): void {
  it('turns provisioning into active, and initial into healthy', async () => {
    const world = await aWorld(cloud().account(), { instances: 1 });
    await world.account.settings.set({ provisioningMs: 400, targetHealthMs: 400 });
    const balancer = await world.balancer();
    expect(balancer.State?.Code).toBe('provisioning');
    const group = await world.group();
    const { TargetGroupArn } = group;
    await world.elb.send(
      new RegisterTargetsCommand({ TargetGroupArn, Targets: [{ Id: world.vpc.instances[0]!.id }] }),
    );
    await world.listener({ on: balancer, to: group });
    const target = async (): Promise<string | undefined> =>
      (await world.elb.send(new DescribeTargetHealthCommand({ TargetGroupArn })))
        .TargetHealthDescriptions?.[0]?.TargetHealth?.State;
    const state = async (): Promise<string | undefined> =>
      (await world.elb.send(new DescribeLoadBalancersCommand({}))).LoadBalancers?.[0]?.State?.Code;
    expect(await target()).toBe('initial');
    await expect.poll(state).toBe('active');
    await expect.poll(target).toBe('healthy');
  });

  it('keeps the interfaces, the Elastic IP and the name of a deleted load balancer for a while', async () => {
    const world = await aWorld(cloud().account(), { instances: 0, elasticIps: 1 });
    await world.account.settings.set({ interfaceLingerMs: 500, nameLingerMs: 500 });
    const group = await world.securityGroup();
    const wish = {
      Name: 'lingers',
      SecurityGroups: [group],
      SubnetMappings: [
        {
          SubnetId: world.vpc.publicSubnets[0]!.id,
          AllocationId: world.vpc.elasticIps[0]!.allocationId,
        },
      ],
    };
    const { LoadBalancerArn } = await world.balancer(wish);
    await world.elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn }));
    expect(await refusal(world.balancer(wish))).toBe('DuplicateLoadBalancerName');
    expect(await refusal(world.balancer({ ...wish, Name: 'other' }))).toBe('ResourceInUse');
    const remove = new DeleteSecurityGroupCommand({ GroupId: group });
    expect(await refusal(world.ec2.send(remove))).toBe('DependencyViolation');
    await expect.poll(() => refusal(world.balancer(wish)), { timeout: 3_000 }).toBe('no error');
  });

  it('passes before something new is described, though it can be used at once', async () => {
    const world = await aWorld(cloud().account(), { instances: 0 });
    await world.account.settings.set({ consistencyMs: 500 });
    const [balancer, group, securityGroup] = [
      await world.balancer(),
      await world.group(),
      await world.securityGroup(),
    ];
    const listener = await world.listener({ on: balancer, to: group });
    await world.ec2.send(
      new AuthorizeSecurityGroupIngressCommand({ GroupId: securityGroup, IpPermissions: [permission(80)] }),
    );
    const reads = {
      LoadBalancerNotFound: () =>
        world.elb.send(new DescribeLoadBalancersCommand({ LoadBalancerArns: [balancer.LoadBalancerArn!] })),
      TargetGroupNotFound: () =>
        world.elb.send(new DescribeTargetGroupsCommand({ TargetGroupArns: [group.TargetGroupArn!] })),
      ListenerNotFound: () =>
        world.elb.send(new DescribeListenersCommand({ ListenerArns: [listener.ListenerArn!] })),
      'InvalidGroup.NotFound': () =>
        world.ec2.send(new DescribeSecurityGroupsCommand({ GroupIds: [securityGroup] })),
    };
    for (const [code, read] of Object.entries(reads)) expect(await refusal(read())).toBe(code);
    await sleep(600);
    for (const read of Object.values(reads)) expect(await refusal(read())).toBe('no error');
  });
}
