import {
  DeleteListenerCommand,
  DescribeListenersCommand,
  DescribeLoadBalancersCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { afterAll, beforeAll, it } from 'vitest';
import { conformanceCases, runCase, type ConformanceSubject } from '../../src/conformance/index.ts';
import { awsWorld, conformanceWorld, targetsOf, type AwsWorld } from '../fixtures/aws.ts';
import { describeWithLocalStack, startLocalStack, type LocalStack } from '../harness/localstack.ts';

let cloud: LocalStack;
await describeWithLocalStack(
  'the aws provider keeps the provider contract on LocalStack',
  () => {
    beforeAll(async () => (cloud = await startLocalStack()));
    afterAll(() => cloud.stop());
    for (const one of conformanceCases) {
      // oxlint-disable-next-line vitest/valid-title, vitest/expect-expect -- both are in the case, which is data
      it(one.name, async ({ skip }) => {
        const world = await awsWorld(cloud, { vpc: { instances: 3, ipv6: true } });
        // A drain of 300 s must not be over in the middle of a case.
        await world.account.settings.set({ drainScale: 1 });
        const outcome = await runCase(one, await subjectOf(world));
        if (outcome.kind === 'skipped') skip(outcome.reason);
      });
    }
  },
  { control: true },
);

/** The kit's subject over one world: three nodes, an address of a private subnet, one annotation that matters. */
async function subjectOf(world: AwsWorld): Promise<ConformanceSubject> {
  const [subnet] = world.vpc.privateSubnets;
  const address = subnet?.cidr.replace(/\.0\/22$/, '.200') ?? '';
  return {
    name: 'aws',
    create: async () => ({
      ...(await conformanceWorld(world, { vpcId: world.vpc.vpcId })),
      drift: async () => {
        const { elb } = world.byHand;
        const { LoadBalancers = [] } = await elb.send(new DescribeLoadBalancersCommand({}));
        const arn = LoadBalancers[0]?.LoadBalancerArn;
        const { Listeners = [] } = await elb.send(new DescribeListenersCommand({ LoadBalancerArn: arn }));
        await elb.send(new DeleteListenerCommand({ ListenerArn: Listeners[0]?.ListenerArn }));
      },
    }),
    targets: targetsOf(world.vpc),
    addresses: [address],
    annotation: ['aws.berth.dev/attributes', 'load_balancing.cross_zone.enabled=true'],
    targetsPerPort: true,
  };
}
