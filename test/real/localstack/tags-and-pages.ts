import {
  AddTagsCommand,
  DeleteLoadBalancerCommand,
  DescribeLoadBalancersCommand,
  type DescribeLoadBalancersCommandOutput,
  DescribeTagsCommand,
  type DescribeTagsCommandOutput,
  DescribeTargetGroupsCommand,
  RemoveTagsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { DescribeSecurityGroupsCommand, type DescribeSecurityGroupsCommandOutput } from '@aws-sdk/client-ec2';
import { beforeAll, expect, it } from 'vitest';
import type { LocalStack } from '../../harness/localstack.ts';
import { asMap, aWorld, refusal, type World } from './world.ts';

/** Expectations on tags and on paged reads. */
export function tagsAndPages(cloud: () => LocalStack): void {
  let world: World;
  beforeAll(async () => {
    world = await aWorld(cloud().account(), { instances: 0 });
  });

  it('are described for 20 resources a call, and an unknown one fails the call', async () => {
    const groups = await Promise.all(
      Array.from({ length: 21 }, (_, index) => world.group({ Tags: [{ Key: 'n', Value: String(index) }] })),
    );
    const arns = groups.map(({ TargetGroupArn }) => TargetGroupArn!);
    const describe = (ResourceArns: string[]): Promise<DescribeTagsCommandOutput> =>
      world.elb.send(new DescribeTagsCommand({ ResourceArns }));
    const { TagDescriptions } = await describe(arns.slice(0, 20));
    expect(TagDescriptions?.map(({ Tags }) => Tags?.[0]?.Value)).toEqual(
      Array.from({ length: 20 }, (_, index) => String(index)),
    );
    expect(await refusal(describe(arns))).toBe('ValidationError');
    expect(await refusal(describe([arns[0]!, `${arns[1]!}0`]))).toBe('TargetGroupNotFound');
  });

  it('are added, replaced and removed by key, 50 at most', async () => {
    const balancer = await world.balancer({ Tags: [{ Key: 'kept', Value: 'yes' }] });
    const ResourceArns = [balancer.LoadBalancerArn!];
    await world.elb.send(
      new AddTagsCommand({
        ResourceArns,
        Tags: [
          { Key: 'kept', Value: 'still' },
          { Key: 'gone', Value: '' },
        ],
      }),
    );
    await world.elb.send(new RemoveTagsCommand({ ResourceArns, TagKeys: ['gone', 'never-there'] }));
    const { TagDescriptions } = await world.elb.send(new DescribeTagsCommand({ ResourceArns }));
    expect(asMap(TagDescriptions?.[0]?.Tags)).toEqual({ kept: 'still' });
    const fifty = Array.from({ length: 50 }, (_, index) => ({ Key: `k${index}`, Value: '' }));
    expect(await refusal(world.elb.send(new AddTagsCommand({ ResourceArns, Tags: fifty })))).toBe(
      'TooManyTags',
    );
  });

  it('pages of load balancers and target groups lose and repeat nothing while others are deleted', async () => {
    const other = await aWorld(cloud().account(), { instances: 0 });
    const all: string[] = [];
    for (let index = 0; index < 7; index++) all.push((await other.balancer()).LoadBalancerArn!);
    const describe = async (Marker?: string): Promise<DescribeLoadBalancersCommandOutput> =>
      other.elb.send(new DescribeLoadBalancersCommand({ PageSize: 3, ...(Marker ? { Marker } : {}) }));
    const first = await describe();
    expect(first.LoadBalancers?.map(({ LoadBalancerArn }) => LoadBalancerArn)).toEqual(all.slice(0, 3));
    await other.elb.send(new DeleteLoadBalancerCommand({ LoadBalancerArn: all[0] }));
    const second = await describe(first.NextMarker);
    const third = await describe(second.NextMarker);
    expect(
      [...second.LoadBalancers!, ...third.LoadBalancers!].map(({ LoadBalancerArn }) => LoadBalancerArn),
    ).toEqual(all.slice(3));
    expect(third.NextMarker).toBeUndefined();
    const tooLarge = new DescribeTargetGroupsCommand({ PageSize: 401 });
    expect(await refusal(other.elb.send(tooLarge))).toBe('ValidationError');
  });

  it('pages of security groups are cut where the caller asks for it', async () => {
    for (let index = 0; index < 7; index++) await world.securityGroup();
    const seen: (string | undefined)[] = [];
    let NextToken: string | undefined;
    do {
      const page: DescribeSecurityGroupsCommandOutput = await world.ec2.send(
        new DescribeSecurityGroupsCommand({ MaxResults: 5, NextToken }),
      );
      expect(page.SecurityGroups!.length).toBeLessThanOrEqual(5);
      seen.push(...page.SecurityGroups!.map(({ GroupId }) => GroupId));
      ({ NextToken } = page);
    } while (NextToken);
    expect(new Set(seen).size).toBe(seen.length);
    const { SecurityGroups } = await world.ec2.send(new DescribeSecurityGroupsCommand({}));
    expect(seen.length).toBe(SecurityGroups!.length);
  });
}
