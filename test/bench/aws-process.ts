import { join } from 'node:path';
import type { AwsWorld } from '../fixtures/aws-world.ts';
import { BerthProcess, launch } from './berth-process.ts';

/** How Berth is started. */
export interface StartOptions {
  readonly world: AwsWorld;
  /** Where its configuration and its log go. */
  readonly dir: string;
  /** Arguments of its node process. */
  readonly nodeArgs: readonly string[];
  /** As in the configuration file; the default otherwise. */
  readonly sweepInterval?: string;
}

/** One `berth run --provider aws`, leader election included. */
export class AwsBerth extends BerthProcess {
  /** Starts it; everything but the VPC and the API server is as it is by default. */
  static async start({ world, dir, nodeArgs, sweepInterval }: StartOptions): Promise<AwsBerth> {
    const kubeconfig = join(dir, 'kubeconfig');
    await world.sandbox.writeKubeconfig(kubeconfig);
    const settings = {
      kubeconfig,
      clusterName: world.vpc.clusterName,
      providers: { aws: { config: { vpcId: world.vpc.vpcId } } },
      ...(sweepInterval === undefined ? {} : { sweepInterval }),
    };
    const env = { PATH: '/usr/bin:/bin', HOME: dir, ...world.account.env };
    return new AwsBerth(await launch({ dir, settings, nodeArgs, env }));
  }
}
