import { SHARED, type Step } from '@berth/core';
import {
  createBalancer,
  deleteArn,
  deleteBalancer,
  replaceBalancer,
  updateBalancer,
  updateBalancerAttributes,
} from './apply/balancer.ts';
import { createFrontend, deleteFrontend, deleteGroup, updateFrontendRules } from './apply/groups.ts';
import { changing, without, type Actor, type Job } from './apply/job.ts';
import {
  createListener,
  deleteListener,
  updateCertificates,
  updateListener,
  updateListenerAttributes,
} from './apply/listeners.ts';
import { createBackend, deleteBackend, lookAtNodes, updateNodeRules } from './apply/shared.ts';
import { updateTags } from './apply/tags.ts';
import {
  createTargetGroup,
  deleteGroupArn,
  deleteReplaced,
  deleteTargetGroup,
  updateHealthCheck,
  updateTargetGroupAttributes,
  updateTargets,
} from './apply/target-groups.ts';
import type { AwsChange, AwsObserved, Stray } from './state.ts';

type Work = (job: Job) => Promise<AwsChange>;

/** What each step does, by verb and resource. */
const WORK: Readonly<Record<string, Work>> = {
  'create securityGroup': createFrontend,
  'delete securityGroup': deleteFrontend,
  'update rules': updateFrontendRules,
  'create loadBalancer': createBalancer,
  'update loadBalancer': updateBalancer,
  'replace loadBalancer': replaceBalancer,
  'delete loadBalancer': deleteBalancer,
  'update loadBalancerAttributes': updateBalancerAttributes,
  'create targetGroup': createTargetGroup,
  'delete targetGroup': deleteTargetGroup,
  'delete replacedTargetGroup': deleteReplaced,
  'update healthCheck': updateHealthCheck,
  'update targetGroupAttributes': updateTargetGroupAttributes,
  'update targets': updateTargets,
  'create listener': createListener,
  'update listener': updateListener,
  'delete listener': deleteListener,
  'update certificates': updateCertificates,
  'update listenerAttributes': updateListenerAttributes,
  'update tags': updateTags,
  'delete stray': deleteStray,
};

/** The same for what the cluster owns once. */
const SHARED_WORK: Readonly<Record<string, Work>> = {
  'update nodes': lookAtNodes,
  'create securityGroup': createBackend,
  'delete securityGroup': deleteBackend,
  'update nodeRules': updateNodeRules,
};

/**
 * Carries out one step. A create that an earlier attempt carried out already is recognised by name and tags; a
 * deletion of what is gone is success; a change of what is gone is a `Conflict`.
 *
 * @throws NotReady for what takes time; NotOwned for what has the name and is somebody else's; others by AWS's codes.
 */
export async function apply(
  actor: Actor,
  step: Step,
  { observed, signal }: { readonly observed: AwsObserved; readonly signal: AbortSignal },
): Promise<AwsChange> {
  signal.throwIfAborted();
  const name = `${step.verb} ${step.resource}`;
  const work = (step.scope === SHARED ? SHARED_WORK : WORK)[name];
  if (work === undefined) throw new TypeError(`the provider aws has no step ${name}`);
  const have = observed.loadBalancers.get(step.scope);
  return await work({ ...actor, step, observed, have, how: { signal, urgent: step.verb === 'delete' } });
}

async function deleteStray(job: Job): Promise<AwsChange> {
  const { kind, id } = job.step.before as Stray;
  if (kind === 'loadBalancer') await deleteArn(job, id, undefined);
  else if (kind === 'targetGroup') await deleteGroupArn(job, id);
  else await deleteGroup(job, id);
  return changing((now) => ({ ...now, strays: without(now.strays, id) }));
}
