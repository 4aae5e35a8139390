import {
  DescribeLoadBalancersCommand,
  DescribeTargetGroupsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import {
  DescribeAddressesCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSecurityGroupsCommand,
  EC2Client,
} from '@aws-sdk/client-ec2';
import { beforeAll, expect, it } from 'vitest';
import type { LocalStack } from '../../harness/localstack.ts';
import { aWorld, refusal, type World } from './world.ts';

let names = 0;

/** Expectations on faults, delays, records and the separation of accounts. */
export function faults(cloud: () => LocalStack): void {
  let world: World;
  beforeAll(async () => {
    world = await aWorld(cloud().account(), { instances: 0 });
  });
  const list = (): Promise<unknown> => world.elb.send(new DescribeLoadBalancersCommand({}));

  it('fail the wanted calls of the wanted operation, before they take effect', async () => {
    const fault = await world.account.faults.add({
      service: 'elbv2',
      operation: 'CreateTargetGroup',
      skip: 1,
      times: 1,
      code: 'InternalFailure',
      status: 500,
    });
    await list();
    const codes: string[] = [];
    for (const Name of ['f1', 'f2', 'f3']) codes.push(await refusal(world.group({ Name })));
    expect(codes).toEqual(['no error', 'InternalFailure', 'no error']);
    expect(await fault.hits()).toBe(1);
    const describe = new DescribeTargetGroupsCommand({ Names: ['f2'] });
    expect(await refusal(world.elb.send(describe))).toBe('TargetGroupNotFound');
    await world.account.faults.clear();
  });

  it.each([
    ['an error', { code: 'InternalFailure', status: 500 }, 'InternalFailure'],
    ['a closed connection', { disconnect: true }, 'ECONNRESET'],
  ])('hide with %s that a call took effect', async (_, effect, outcome) => {
    const Name = `hidden-${++names}`;
    await world.account.faults.add({ operation: 'CreateTargetGroup', times: 1, after: true, ...effect });
    const created = world.group({ Name });
    const error = await created.then(
      () => undefined,
      (thrown: Error & { code?: string }) => thrown,
    );
    expect([error?.name, error?.code, error?.message].join(' ')).toMatch(
      outcome === 'ECONNRESET' ? /ECONNRESET|socket hang up/ : outcome,
    );
    const { TargetGroups } = await world.elb.send(new DescribeTargetGroupsCommand({ Names: [Name] }));
    expect(TargetGroups).toHaveLength(1);
    await world.account.faults.clear();
  });

  it('throttle each service by its own bucket, with its own error', async () => {
    await world.account.faults.add({ rate: 0.1, burst: 2 });
    const groups = (): Promise<unknown> => world.ec2.send(new DescribeSecurityGroupsCommand({}));
    const codes: string[] = [];
    for (const call of [list, groups, list, groups, list, groups]) codes.push(await refusal(call()));
    expect(codes).toEqual([
      'no error',
      'no error',
      'no error',
      'no error',
      'Throttling',
      'RequestLimitExceeded',
    ]);
    await world.account.faults.clear();
    expect(await refusal(list())).toBe('no error');
  });

  it('refuse an operation or expired credentials with the codes of each service', async () => {
    const denied = await world.account.faults.deny('elbv2', 'DescribeLoadBalancers');
    expect(await refusal(list())).toBe('AccessDenied');
    await denied.remove();
    await world.account.faults.deny('ec2', 'CreateSecurityGroup');
    expect(await refusal(world.securityGroup())).toBe('UnauthorizedOperation');
    await world.account.faults.expireCredentials();
    expect(await refusal(list())).toBe('ExpiredToken');
    expect(await refusal(world.ec2.send(new DescribeAddressesCommand({})))).toBe('RequestExpired');
    await world.account.faults.clear();
  });

  it('delay every call without making calls wait for each other', async () => {
    await world.account.settings.set({ latencyMs: 400 });
    const start = performance.now();
    await Promise.all(Array.from({ length: 20 }, list));
    const elapsed = performance.now() - start;
    await world.account.settings.set({ latencyMs: 0 });
    expect(elapsed).toBeGreaterThan(390);
    expect(elapsed).toBeLessThan(20 * 400);
  });

  it('record every call with its parameters and outcome, and nothing of other accounts', async () => {
    const other = await aWorld(cloud().account(), { instances: 0 });
    await world.account.calls.reset();
    await list();
    await refusal(world.group({ Name: 'bad.name' }));
    await other.group();
    expect(await world.account.calls.counts()).toEqual({
      'elbv2:DescribeLoadBalancers': 1,
      'elbv2:CreateTargetGroup': 1,
    });
    expect(await world.account.calls.total()).toBe(2);
    expect((await world.account.calls.list()).at(-1)).toMatchObject({
      service: 'elbv2',
      operation: 'CreateTargetGroup',
      parameters: { Name: 'bad.name', Port: 30_080 },
      outcome: 'ValidationError',
    });
  });

  it('leave what a test does by hand alone, and unrecorded', async () => {
    const account = cloud().account();
    await account.faults.deny('ec2', '*');
    await account.settings.set({ latencyMs: 60_000 });
    const byHand = new EC2Client(account.byHand);
    expect(await refusal(byHand.send(new DescribeAddressesCommand({})))).toBe('no error');
    expect(await account.calls.counts()).toEqual({});
    expect(await cloud().operations()).toEqual(
      expect.arrayContaining(['ec2:CreateSecurityGroup', 'elbv2:CreateTargetGroup']),
    );
    expect(await cloud().operations()).not.toContain('ec2:CreateVpc');
  });

  it('of one account leave another alone, and a reset leaves nothing', async () => {
    const account = cloud().account();
    const other = await aWorld(account, { instances: 1 });
    await other.balancer();
    await account.settings.set({ latencyMs: 1 });
    await account.faults.deny('elbv2', '*');
    expect(await refusal(list())).toBe('no error');
    await account.reset();
    expect(await account.calls.total()).toBe(0);
    expect((await account.settings.get()).latencyMs).toBe(0);
    const { LoadBalancers } = await other.elb.send(new DescribeLoadBalancersCommand({}));
    expect(LoadBalancers).toEqual([]);
    const { NetworkInterfaces } = await other.ec2.send(new DescribeNetworkInterfacesCommand({}));
    expect(NetworkInterfaces ?? []).toEqual([]);
  });

  it('that do not exist are an error of the test', async () => {
    const wrong = { lateness: 1 } as unknown as { latencyMs: number };
    await expect(world.account.settings.set(wrong)).rejects.toThrow('lateness');
    await expect(world.account.faults.add({ kode: 'x' } as object)).rejects.toThrow('kode');
  });
}
