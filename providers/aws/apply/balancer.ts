import {
  CreateLoadBalancerCommand,
  DeleteLoadBalancerCommand,
  DescribeLoadBalancersCommand,
  ModifyLoadBalancerAttributesCommand,
  SetIpAddressTypeCommand,
  SetSecurityGroupsCommand,
  SetSubnetsCommand,
  type CreateLoadBalancerCommandInput,
  type LoadBalancer,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { Denied, InvalidSpec, NotReady, Unsupported } from '@berth/core';
import { isGone } from '../cloud/aws-calls.ts';
import { awsCode } from '../cloud/errors.ts';
import { PIECE, TAGS } from '../names.ts';
import { readBalancerAttributes } from '../observe/deep.ts';
import { parseBalancer } from '../observe/parse.ts';
import type { Attributes, AwsChange, AwsLoadBalancer, BalancerState, Tags } from '../state.ts';
import { sameSet } from '../steps.ts';
import type { BalancerSpec } from '../wanted.ts';
import { adding, asTags, changing, deleting, missing, onExisting, tagsOfStep, type Job } from './job.ts';
import { mappingsFor } from './mappings.ts';
import { assertOurs } from './ownership.ts';

/** When to try again what a deleted load balancer may still hold, in milliseconds. */
const RELEASE_MS = 10_000;

/** Creates the load balancer with everything that cannot be given to it later. */
export async function createBalancer(job: Job): Promise<AwsChange> {
  const { tags: _tags, ...spec } = job.step.after as unknown as BalancerSpec & { readonly tags: Tags };
  const balancer = await create(job, spec);
  const scope = job.step.scope;
  job.owners.set(balancer.arn, { key: scope, uid: tagsOfStep(job)[TAGS.uid] ?? '', piece: PIECE.balancer });
  const change = adding(job, (now) =>
    now.balancer?.arn === balancer.arn ? now : { ...now, balancer, listeners: {} },
  );
  const shows = (found: AwsLoadBalancer | undefined): boolean =>
    found?.balancer?.arn === balancer.arn || found?.strays[balancer.arn] !== undefined;
  job.recents.made(balancer.arn, { scope, change, shows });
  return { ...change, environment: () => job.surroundings.environment };
}

async function create(job: Job, spec: BalancerSpec): Promise<BalancerState> {
  const tags = tagsOfStep(job);
  const input: CreateLoadBalancerCommandInput = {
    Name: spec.name,
    Type: 'network',
    Scheme: spec.scheme as 'internal',
    IpAddressType: spec.ipAddressType as 'ipv4',
    SubnetMappings: await mappingsFor(job, spec),
    SecurityGroups: [...(await groupsFor(job, spec.groups))],
    Tags: asTags(tags),
    ...(spec.sourceNat === '' ? {} : { EnablePrefixForIpv6SourceNat: spec.sourceNat as 'on' }),
  };
  const since = job.aws.now;
  let made: LoadBalancer | undefined;
  try {
    const { LoadBalancers = [] } = await job.aws.elb(
      'CreateLoadBalancer',
      (client, o) => client.send(new CreateLoadBalancerCommand(input), o),
      job.how,
    );
    made = LoadBalancers[0];
  } catch (error) {
    return await afterRefusal(job, spec, error);
  }
  const balancer = parseBalancer(made ?? {});
  // AWS answers a create with what exists if it looks the same; then its tags say whose it is.
  const isNew = !job.owners.knows(balancer.arn) && !job.aws.isOlder(balancer.createdAtMs, since);
  if (isNew) return { ...balancer, attributes: {}, tags };
  return await adopt(job, balancer);
}

async function adopt(job: Job, balancer: BalancerState): Promise<BalancerState> {
  const tags = await assertOurs(job, { arn: balancer.arn, name: `the load balancer ${balancer.name}` });
  const attributes = await readBalancerAttributes({ aws: job.aws, signal: job.how.signal }, balancer.arn);
  return { ...balancer, attributes, tags };
}

/** What AWS refused because of something that has the name or an address: ours from before, or somebody else's. */
async function afterRefusal(job: Job, spec: BalancerSpec, error: unknown): Promise<BalancerState> {
  const code = awsCode(error);
  if (code === 'DuplicateLoadBalancerName') {
    const found = await findByName(job, spec.name);
    if (found !== undefined) return await adopt(job, found);
    throw held(`the name ${spec.name}`, error);
  }
  if (code === 'ResourceInUse') {
    const fixed = [...spec.addresses, ...spec.allocations, ...spec.privateIpv4, ...spec.ipv6];
    if (fixed.some((one) => job.recents.wasReleased(one))) throw held(fixed.join(', '), error);
    throw new InvalidSpec('AddressInUse', {
      message: `${fixed.join(', ')} is in use by something else (${error instanceof Error ? error.message : ''})`,
      remedy: 'Ask for an address that is free, or release it where it is used',
      cause: error,
    });
  }
  throw error;
}

async function findByName({ aws, how }: Job, name: string): Promise<BalancerState | undefined> {
  try {
    const { LoadBalancers = [] } = await aws.elb(
      'DescribeLoadBalancers',
      (client, o) => client.send(new DescribeLoadBalancersCommand({ Names: [name] }), o),
      how,
    );
    return LoadBalancers[0] === undefined ? undefined : parseBalancer(LoadBalancers[0]);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function held(what: string, cause: unknown): NotReady {
  return new NotReady('StillHeld', {
    message: `${what} is still held by a load balancer that was deleted a moment ago`,
    remedy: 'Berth tries again by itself',
    retryAfterMs: RELEASE_MS,
    cause,
  });
}

/** Security groups by id. */
async function groupsFor(job: Job, groups: readonly string[]): Promise<readonly string[]> {
  const names = groups.filter((one) => one !== 'frontend' && one !== 'backend' && !one.startsWith('sg-'));
  const known = names.length === 0 ? {} : await job.surroundings.groupsByName(names, job.how.signal);
  return groups.map((one) => {
    if (one === 'frontend') return required(job.have?.group?.id, 'the security group of the load balancer');
    if (one === 'backend') return required(job.observed.shared.backend?.id, 'the shared security group');
    if (one.startsWith('sg-')) return one;
    const id = known[one];
    if (id !== undefined) return id;
    throw new InvalidSpec('SecurityGroupNotFound', {
      message: `annotation security-groups names ${one}, and the VPC has no security group of this name`,
      remedy: 'Correct the name, or give the id (sg-…)',
    });
  });
}

function required(id: string | undefined, what: string): string {
  if (id === undefined) throw missing(what);
  return id;
}

/** Changes what AWS can change of a load balancer: address type, subnets, groups, source NAT. */
export async function updateBalancer(job: Job): Promise<AwsChange> {
  const present = job.have?.balancer;
  if (present === undefined) throw missing(`the load balancer of ${job.step.scope}`);
  const change = job.step.after as Partial<BalancerSpec>;
  let next = present;
  if (change.ipAddressType !== undefined && change.subnets === undefined)
    next = await setAddressType(job, next, change.ipAddressType);
  if (change.subnets !== undefined || change.sourceNat !== undefined)
    next = await setSubnets(job, next, change);
  if (change.groups !== undefined || change.privateLinkRules !== undefined)
    next = await setGroups(job, next, change);
  return {
    ...changing((now) => ({ ...now, balancer: next })),
    environment: () => job.surroundings.environment,
  };
}

async function setAddressType(
  job: Job,
  balancer: BalancerState,
  ipAddressType: string,
): Promise<BalancerState> {
  const LoadBalancerArn = balancer.arn;
  await onExisting(job, LoadBalancerArn, () =>
    job.aws.elb(
      'SetIpAddressType',
      (client, o) =>
        client.send(
          new SetIpAddressTypeCommand({ LoadBalancerArn, IpAddressType: ipAddressType as 'ipv4' }),
          o,
        ),
      job.how,
    ),
  );
  return { ...balancer, ipAddressType };
}

async function setSubnets(
  job: Job,
  balancer: BalancerState,
  change: Partial<BalancerSpec>,
): Promise<BalancerState> {
  const spec: BalancerSpec = {
    name: balancer.name,
    scheme: balancer.scheme,
    ipAddressType: change.ipAddressType ?? balancer.ipAddressType,
    subnets: change.subnets ?? balancer.zones.map(({ subnet }) => subnet),
    allocations: change.allocations ?? [],
    privateIpv4: change.privateIpv4 ?? [],
    ipv6: change.ipv6 ?? [],
    addresses: [],
    sourceNat: change.sourceNat ?? '',
    sourceNatPrefixes: change.sourceNatPrefixes ?? [],
    groups: [],
    privateLinkRules: '',
    attributes: {},
  };
  const SubnetMappings = await mappingsFor(job, spec);
  const wanted = SubnetMappings.flatMap(({ SubnetId }) => SubnetId ?? []);
  const present = balancer.zones.map(({ subnet }) => subnet);
  // The names of an annotation stood for what is there already.
  if (spec.sourceNat === '' && change.ipAddressType === undefined && sameSet(wanted, present))
    return balancer;
  const answer = await onExisting(job, balancer.arn, () =>
    job.aws.elb(
      'SetSubnets',
      (client, o) =>
        client.send(
          new SetSubnetsCommand({
            LoadBalancerArn: balancer.arn,
            SubnetMappings,
            IpAddressType: spec.ipAddressType as 'ipv4',
            ...(spec.sourceNat === '' ? {} : { EnablePrefixForIpv6SourceNat: spec.sourceNat as 'on' }),
          }),
          o,
        ),
      job.how,
    ),
  );
  const { zones } = parseBalancer({ AvailabilityZones: answer.AvailabilityZones });
  const sourceNat = spec.sourceNat === '' ? balancer.sourceNat : spec.sourceNat;
  return { ...balancer, zones, sourceNat, ipAddressType: spec.ipAddressType };
}

async function setGroups(
  job: Job,
  balancer: BalancerState,
  change: Partial<BalancerSpec>,
): Promise<BalancerState> {
  if (balancer.groups.length === 0) throw groupless(balancer);
  const SecurityGroups = change.groups === undefined ? balancer.groups : await groupsFor(job, change.groups);
  const { privateLinkRules } = change;
  if (privateLinkRules === undefined && sameSet(SecurityGroups, balancer.groups)) return balancer;
  await onExisting(job, balancer.arn, () =>
    job.aws.elb(
      'SetSecurityGroups',
      (client, o) =>
        client.send(
          new SetSecurityGroupsCommand({
            LoadBalancerArn: balancer.arn,
            SecurityGroups: [...SecurityGroups],
            ...(privateLinkRules === undefined
              ? {}
              : { EnforceSecurityGroupInboundRulesOnPrivateLinkTraffic: privateLinkRules as 'on' }),
          }),
          o,
        ),
      job.how,
    ),
  );
  return {
    ...balancer,
    groups: SecurityGroups,
    privateLinkRules: privateLinkRules ?? balancer.privateLinkRules,
  };
}

function groupless({ name }: BalancerState): Unsupported {
  return new Unsupported('SecurityGroupImpossible', {
    message: `the load balancer ${name} was made without a security group, and AWS never lets it have one`,
    remedy: 'Delete the Service and create it again, which gives another address',
  });
}

/** Deletes a load balancer that AWS cannot change, and makes the one that is wanted. */
export async function replaceBalancer(job: Job): Promise<AwsChange> {
  const { arn } = job.step.before as { readonly arn: string };
  await deleteArn(job, arn, job.have?.balancer);
  return await createBalancer(job);
}

/** Deletes a load balancer; its listeners go with it. */
export async function deleteBalancer(job: Job): Promise<AwsChange> {
  const { arn } = job.step.before as { readonly arn: string };
  await deleteArn(job, arn, job.have?.balancer);
  return changing(({ balancer, ...now }) =>
    balancer === undefined || balancer.arn === arn ? { ...now, listeners: {} } : { ...now, balancer },
  );
}

/** Deletes a load balancer by its ARN. @throws Denied `DeletionProtected`, `LoadBalancerInUse` */
export async function deleteArn(
  job: Job,
  LoadBalancerArn: string,
  known: BalancerState | undefined,
): Promise<void> {
  try {
    await deleting(`the load balancer ${LoadBalancerArn}`, () =>
      job.aws.elb(
        'DeleteLoadBalancer',
        (client, o) => client.send(new DeleteLoadBalancerCommand({ LoadBalancerArn }), o),
        job.how,
      ),
    );
  } catch (error) {
    if (awsCode(error) !== 'OperationNotPermitted') throw error;
    throw new Denied('DeletionProtected', {
      message: `the load balancer ${known?.name ?? LoadBalancerArn} is protected against deletion`,
      remedy:
        'Remove deletion_protection.enabled=true from the annotation attributes, or turn the protection off in AWS',
      cause: error,
    });
  }
  job.recents.gone(LoadBalancerArn);
  const zones = known?.zones ?? [];
  job.recents.released(
    ...(known === undefined ? [] : [known.name]),
    ...zones.flatMap(({ allocation, addresses }) => [
      ...addresses,
      ...(allocation === undefined ? [] : [allocation]),
    ]),
  );
}

/** Sets attributes; those not named stay as they are. */
export async function updateBalancerAttributes(job: Job): Promise<AwsChange> {
  const arn = job.have?.balancer?.arn;
  if (arn === undefined) throw missing(`the load balancer of ${job.step.scope}`);
  const attributes = job.step.after as Attributes;
  await onExisting(job, arn, () =>
    job.aws.elb(
      'ModifyLoadBalancerAttributes',
      (client, o) =>
        client.send(
          new ModifyLoadBalancerAttributesCommand({ LoadBalancerArn: arn, Attributes: asTags(attributes) }),
          o,
        ),
      job.how,
    ),
  );
  return changing((now) =>
    now.balancer === undefined
      ? now
      : { ...now, balancer: { ...now.balancer, attributes: { ...now.balancer.attributes, ...attributes } } },
  );
}
