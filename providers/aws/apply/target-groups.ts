import {
  CreateTargetGroupCommand,
  DeleteTargetGroupCommand,
  DeregisterTargetsCommand,
  DescribeTargetGroupsCommand,
  ModifyTargetGroupAttributesCommand,
  ModifyTargetGroupCommand,
  RegisterTargetsCommand,
  type TargetDescription,
  type TargetGroup,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { NotReady } from '@berth/core';
import { isGone } from '../cloud/aws-calls.ts';
import { chunks } from '../cloud/batcher.ts';
import { awsCode } from '../cloud/errors.ts';
import { PIECE, TAGS } from '../names.ts';
import { readTargetGroup } from '../observe/deep.ts';
import { parseTargetGroup } from '../observe/parse.ts';
import type {
  Attributes,
  AwsChange,
  AwsLoadBalancer,
  HealthCheckSpec,
  TargetGroupState,
  TargetState,
} from '../state.ts';
import type { TargetGroupSpec } from '../wanted.ts';
import {
  adding,
  asTags,
  changing,
  deleting,
  missing,
  onExisting,
  tagsOfStep,
  without,
  type Job,
} from './job.ts';
import { assertOurs } from './ownership.ts';

/** Targets in one call (ELBv2 API, RegisterTargets). */
const TARGETS_PER_CALL = 200;

/** Creates a target group, or takes the one that an earlier attempt made. */
export async function createTargetGroup(job: Job): Promise<AwsChange> {
  const { key, scope } = job.step;
  const group = await create(job, job.step.after as unknown as TargetGroupSpec);
  job.owners.set(group.arn, {
    key: scope,
    uid: tagsOfStep(job)[TAGS.uid] ?? '',
    piece: PIECE.targetGroup(key),
  });
  const change = adding(job, (now) =>
    now.targetGroups[key]?.arn === group.arn
      ? now
      : { ...now, targetGroups: { ...now.targetGroups, [key]: group } },
  );
  const shows = (found: AwsLoadBalancer | undefined): boolean =>
    found?.targetGroups[key]?.arn === group.arn || found?.strays[group.arn] !== undefined;
  job.recents.made(group.arn, { scope, change, shows });
  return change;
}

async function create(job: Job, spec: TargetGroupSpec): Promise<TargetGroupState> {
  const tags = tagsOfStep(job);
  const input = {
    Name: spec.name,
    Protocol: spec.protocol as 'TCP',
    Port: spec.port,
    VpcId: job.surroundings.vpc,
    TargetType: spec.targetType as 'instance',
    IpAddressType: spec.ipAddressType as 'ipv4',
    ...healthCheckInput(spec.healthCheck),
    Tags: asTags(tags),
  };
  let made: TargetGroup | undefined;
  try {
    const { TargetGroups = [] } = await job.aws.elb(
      'CreateTargetGroup',
      (client, o) => client.send(new CreateTargetGroupCommand(input), o),
      job.how,
    );
    made = TargetGroups[0];
  } catch (error) {
    if (awsCode(error) !== 'DuplicateTargetGroupName') throw error;
    const found = await findByName(job, spec.name);
    if (found === undefined) throw missing(`the target group ${spec.name}`);
    return await adopt(job, found);
  }
  const group = parseTargetGroup(made ?? {});
  // AWS answers a create with what exists if it looks the same; one that is in use is not new.
  const used = (made?.LoadBalancerArns ?? []).length > 0;
  return used ? await adopt(job, group) : { ...group, targets: [], attributes: {}, tags };
}

async function adopt(job: Job, group: TargetGroupState): Promise<TargetGroupState> {
  const tags = await assertOurs(job, { arn: group.arn, name: `the target group ${group.name}` });
  const read = await readTargetGroup({ aws: job.aws, signal: job.how.signal }, group);
  if (read === undefined) throw missing(`the target group ${group.name}`);
  return { ...read, tags };
}

async function findByName({ aws, how }: Job, name: string): Promise<TargetGroupState | undefined> {
  try {
    const { TargetGroups = [] } = await aws.elb(
      'DescribeTargetGroups',
      (client, o) => client.send(new DescribeTargetGroupsCommand({ Names: [name] }), o),
      how,
    );
    return TargetGroups[0] === undefined ? undefined : parseTargetGroup(TargetGroups[0]);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function healthCheckInput({
  protocol,
  port,
  interval,
  timeout,
  healthy,
  unhealthy,
  path,
  codes,
}: HealthCheckSpec) {
  return {
    HealthCheckProtocol: protocol as 'TCP',
    HealthCheckPort: port,
    HealthCheckIntervalSeconds: interval,
    HealthCheckTimeoutSeconds: timeout,
    HealthyThresholdCount: healthy,
    UnhealthyThresholdCount: unhealthy,
    ...(path === undefined ? {} : { HealthCheckPath: path }),
    ...(codes === undefined ? {} : { Matcher: { HttpCode: codes } }),
  };
}

/** Changes how the targets are probed. */
export async function updateHealthCheck(job: Job): Promise<AwsChange> {
  const { arn } = existing(job);
  const healthCheck = job.step.after as HealthCheckSpec;
  await onExisting(job, arn, () =>
    job.aws.elb(
      'ModifyTargetGroup',
      (client, o) =>
        client.send(
          new ModifyTargetGroupCommand({ TargetGroupArn: arn, ...healthCheckInput(healthCheck) }),
          o,
        ),
      job.how,
    ),
  );
  return changingGroup(job, (group) => ({ ...group, healthCheck }));
}

/** Sets attributes; those not named stay as they are. */
export async function updateTargetGroupAttributes(job: Job): Promise<AwsChange> {
  const { arn } = existing(job);
  const attributes = job.step.after as Attributes;
  await onExisting(job, arn, () =>
    job.aws.elb(
      'ModifyTargetGroupAttributes',
      (client, o) =>
        client.send(
          new ModifyTargetGroupAttributesCommand({ TargetGroupArn: arn, Attributes: asTags(attributes) }),
          o,
        ),
      job.how,
    ),
  );
  return changingGroup(job, (group) => ({ ...group, attributes: { ...group.attributes, ...attributes } }));
}

/**
 * Takes targets out, then adds others, so that a quota is not in the way. Targets that AWS refuses because their
 * instance is gone are found out and left out, so that one does not keep the others away.
 */
export async function updateTargets(job: Job): Promise<AwsChange> {
  const { arn } = existing(job);
  const { register, deregister } = job.step.after as {
    readonly register: readonly TargetState[];
    readonly deregister: readonly TargetState[];
  };
  for (const chunk of chunks(deregister, TARGETS_PER_CALL)) await takeOut(job, arn, chunk);
  const added: TargetState[] = [];
  for (const chunk of chunks(register, TARGETS_PER_CALL)) added.push(...(await add(job, arn, chunk)));
  const change = changingGroup(job, (group) => ({
    ...group,
    draining: group.draining || deregister.length > 0,
    targets: [
      ...(group.targets ?? []).filter(
        (one) => ![...deregister, ...added].some((other) => isSame(one, other)),
      ),
      ...added,
    ],
  }));
  return { ...change, environment: () => job.surroundings.environment };
}

async function takeOut(job: Job, TargetGroupArn: string, targets: readonly TargetState[]): Promise<void> {
  await onExisting(job, TargetGroupArn, () =>
    job.aws.elb(
      'DeregisterTargets',
      (client, o) =>
        client.send(new DeregisterTargetsCommand({ TargetGroupArn, Targets: described(job, targets) }), o),
      job.how,
    ),
  );
}

async function add(
  job: Job,
  TargetGroupArn: string,
  targets: readonly TargetState[],
): Promise<readonly TargetState[]> {
  const send = (some: readonly TargetState[]): Promise<unknown> =>
    onExisting(job, TargetGroupArn, () =>
      job.aws.elb(
        'RegisterTargets',
        (client, o) =>
          client.send(new RegisterTargetsCommand({ TargetGroupArn, Targets: described(job, some) }), o),
        job.how,
      ),
    );
  try {
    await send(targets);
    return targets;
  } catch (error) {
    if (!['InvalidTarget', 'InvalidInstanceID.NotFound'].includes(awsCode(error))) throw error;
    await job.surroundings.lookAt(
      targets.map(({ id }) => id),
      job.how.signal,
    );
    const { instances } = job.surroundings.environment;
    const usable = targets.filter(({ id }) => instances[id]?.usable === true);
    if (usable.length === targets.length) throw error;
    job.log.warn(
      {
        targetGroup: TargetGroupArn,
        instances: targets.filter((one) => !usable.includes(one)).map(({ id }) => id),
      },
      'instances that do not run, or are in another VPC, are left out',
    );
    if (usable.length > 0) await send(usable);
    return usable;
  }
}

/** Instances are on the group's own port; addresses have ports of their own, and a zone where they are not in the VPC. */
function described(job: Job, targets: readonly TargetState[]): TargetDescription[] {
  const nodes = existing(job).targetType === 'instance';
  return targets.map(({ id, port }) => (nodes ? { Id: id } : { Id: id, Port: port }));
}

function isSame(a: TargetState, b: TargetState): boolean {
  return a.id === b.id && a.port === b.port;
}

/** Deletes a target group that nothing forwards to. */
export async function deleteTargetGroup(job: Job): Promise<AwsChange> {
  const { arn } = job.step.before as { readonly arn: string };
  await deleteGroupArn(job, arn);
  const { key } = job.step;
  return changing((now) =>
    now.targetGroups[key]?.arn === arn ? { ...now, targetGroups: without(now.targetGroups, key) } : now,
  );
}

/** For how long connections may go on after a target group was replaced, when its attribute is not known, in seconds. */
const DEFAULT_DELAY_SECONDS = 300;

/**
 * Deletes a target group that another one replaced, once its deregistration delay is over: it stays as it is until
 * then, so that connections through it can end.
 *
 * @throws NotReady `TargetGroupDraining`.
 */
export async function deleteReplaced(job: Job): Promise<AwsChange> {
  const { arn } = job.step.before as { readonly arn: string };
  const delay = job.have?.targetGroups[job.step.key]?.attributes?.['deregistration_delay.timeout_seconds'];
  const leftMs = job.recents.retire(arn, Number(delay ?? DEFAULT_DELAY_SECONDS) * 1_000);
  if (leftMs > 0) {
    throw new NotReady('TargetGroupDraining', {
      message: `the target group ${arn} was replaced and its connections may end first`,
      remedy: 'Berth deletes it by itself',
      retryAfterMs: leftMs,
    });
  }
  return await deleteTargetGroup(job);
}

/** Deletes a target group by its ARN. */
export async function deleteGroupArn(job: Job, TargetGroupArn: string): Promise<void> {
  await deleting(`the target group ${TargetGroupArn}`, () =>
    job.aws.elb(
      'DeleteTargetGroup',
      (client, o) => client.send(new DeleteTargetGroupCommand({ TargetGroupArn }), o),
      job.how,
    ),
  );
  job.recents.gone(TargetGroupArn);
}

function existing({ have, step }: Job): TargetGroupState {
  const group = have?.targetGroups[step.key];
  if (group === undefined) throw missing(`the target group ${step.key}`);
  return group;
}

function changingGroup({ step }: Job, change: (group: TargetGroupState) => TargetGroupState): AwsChange {
  return changing((now) => {
    const group = now.targetGroups[step.key];
    return group === undefined
      ? now
      : { ...now, targetGroups: { ...now.targetGroups, [step.key]: change(group) } };
  });
}
