import { createHash } from 'node:crypto';
import { DescribeNetworkInterfacesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { ElasticLoadBalancingV2Client } from '@aws-sdk/client-elastic-load-balancing-v2';
import { CONTRACT, type Host, type LoadBalancer, type PlanRequest, type Provider } from '@berth/core';
import { apply } from './apply.ts';
import type { Actor } from './apply/job.ts';
import { capabilities } from './capabilities.ts';
import { check } from './check.ts';
import { AwsCalls } from './cloud/aws-calls.ts';
import { Batcher } from './cloud/batcher.ts';
import { configSchema, type AwsConfig } from './config.ts';
import { targetTypeOf, type Context } from './desired.ts';
import { iamPolicy } from './iam-policy.ts';
import { ingress } from './ingress.ts';
import { leftovers } from './leftovers.ts';
import { needsOf } from './needs.ts';
import { observe, type Observer } from './observe.ts';
import { paged, readFleet, type Fleet } from './observe/fleet.ts';
import { Owners } from './observe/owners.ts';
import { Recents, SETTLE_MS } from './observe/recents.ts';
import { plan } from './plan.ts';
import { remember } from './remember.ts';
import { INCUMBENT } from './setting-kinds.ts';
import { settings, type AwsSettings } from './settings.ts';
import type { AwsEnvironment, AwsLoadBalancer, AwsShared } from './state.ts';
import { Surroundings } from './surroundings.ts';

/** Version of the planner: what an older one remembered is read anew. */
const PLANNER = 1;

/** How long questions that can share a call wait for each other, in milliseconds. */
const WINDOW_MS = 25;

/** A deletion is read again after this time when nothing was found, in milliseconds. */
const CONFIRM_MS = 30_000;

/** Security groups in one question about interfaces (EC2 API, values of a filter). */
const GROUPS_PER_CALL = 200;

/** The provider with its own types. */
export type AwsProvider = Provider<AwsLoadBalancer, AwsSettings, AwsShared, AwsEnvironment>;

/** The SDK's clients; given by tests and by who embeds the provider with credentials of their own. */
export interface AwsClients {
  readonly ec2: EC2Client;
  readonly elb: ElasticLoadBalancingV2Client;
}

/**
 * Network Load Balancers through ELBv2. Credentials, region and endpoint are found as every AWS SDK finds them
 * (environment, profile, pod identity, instance role), unless the configuration names region and endpoint.
 */
export function createAwsProvider(config: AwsConfig, host: Host, clients = clientsOf(config)): AwsProvider {
  const { clock, metrics } = host;
  const aws = new AwsCalls({ ...clients, clock, metrics });
  const context: Context = { cluster: { id: host.cluster.id }, config };
  const actor = actorOf({ aws, context, host });
  const observer: Observer = {
    ...actor,
    fleet: new Batcher<Fleet>({
      clock,
      windowMs: WINDOW_MS,
      size: 1,
      load: async (_keys, signal) => new Map([['fleet', await readFleet(aws, context, signal)]]),
    }),
  };
  return {
    contract: CONTRACT,
    name: 'aws',
    classes: ['berth.dev/aws'],
    capabilities,
    settings,
    prefixes: [INCUMBENT],
    planner: `${PLANNER}-${createHash('sha256').update(JSON.stringify(config)).digest('hex').slice(0, 8)}`,
    settleMs: CONFIRM_MS,
    targetsOf: (values) => (targetTypeOf(values, context) === 'instance' ? 'nodePort' : 'podIP'),
    nodeLabelsOf: ({ targetNodeLabels }) => targetNodeLabels,
    check: (desired) => check(desired, context),
    needs: (desired) => needsOf(desired, context),
    leftovers: (desired, observed) => leftovers(desired, observed, context),
    remember: ({ settings: { subnets, securityGroups } }: LoadBalancer<AwsSettings>, observed) =>
      remember(observed, actor.surroundings.namesOf(subnets, securityGroups)),
    observe: (signal, keys, recollected) => observe(observer, { keys, recollected }, signal),
    plan: (request: PlanRequest<AwsSettings>, observed) => plan(request, observed, context),
    apply: (step, observed, signal) => apply(actor, step, { observed, signal }),
    ingress,
    close: () => {
      aws.close();
      return Promise.resolve();
    },
  };
}

function clientsOf({ region, endpoint }: AwsConfig): AwsClients {
  const options = {
    // The limiter of this provider sees every refusal; the SDK would hide them and try by itself.
    maxAttempts: 1,
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
  };
  return { ec2: new EC2Client(options), elb: new ElasticLoadBalancingV2Client(options) };
}

function actorOf({
  aws,
  context,
  host,
}: {
  readonly aws: AwsCalls;
  readonly context: Context;
  readonly host: Host;
}): Actor {
  const { clock, log } = host;
  return {
    aws,
    context,
    surroundings: new Surroundings(aws, context.config, host.cluster.name),
    owners: new Owners(),
    recents: new Recents(clock),
    interfaces: new Batcher<readonly string[]>({
      clock,
      windowMs: WINDOW_MS,
      size: GROUPS_PER_CALL,
      load: (groups, signal) => readInterfaces(aws, groups, signal),
    }),
    log,
  };
}

/** Which interfaces use which of these groups: one question for all that wait to be deleted. */
async function readInterfaces(
  aws: AwsCalls,
  groups: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const Filters = [{ Name: 'group-id', Values: [...groups] }];
  const found = await paged((NextToken) =>
    aws
      .ec2(
        'DescribeNetworkInterfaces',
        (client, o) => client.send(new DescribeNetworkInterfacesCommand({ Filters, NextToken }), o),
        { signal, urgent: true },
      )
      .then(({ NetworkInterfaces = [], NextToken: next }) => ({ items: NetworkInterfaces, next })),
  );
  const users = new Map<string, string[]>(groups.map((group) => [group, []]));
  for (const { NetworkInterfaceId = '', Groups = [] } of found) {
    for (const { GroupId = '' } of Groups) users.get(GroupId)?.push(NetworkInterfaceId);
  }
  return users;
}

/** For how long what was just made is kept though a read does not show it, in milliseconds. */
export { SETTLE_MS };

/** Commands of the provider's own. */
const commands = {
  'iam-policy': {
    description:
      'Print the smallest IAM policy for the configured features, conditioned on the cluster’s tag.',
    run: (config: AwsConfig, cluster: { readonly id: string | undefined }): string =>
      `${JSON.stringify(iamPolicy({ clusterId: cluster.id, manageNodeRules: config.manageNodeRules }), null, 2)}\n`,
  },
};

/** What the core loads for `--provider aws`. */
const factory = Object.assign(
  (config: AwsConfig, host: Host): AwsProvider => createAwsProvider(config, host),
  {
    configSchema,
    commands,
  },
);

export default factory;
