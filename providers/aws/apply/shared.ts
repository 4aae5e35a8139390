import { asBerthError, Conflict, REASONS } from '@berth/core';
import { awsCode } from '../cloud/errors.ts';
import { ruleMark } from '../names.ts';
import type { AwsChange } from '../state.ts';
import { after, changeRules, createGroup, deleteGroup, type RuleChange } from './groups.ts';
import type { Job } from './job.ts';

/** Reads about the instances of new nodes. Changes nothing but what is known. */
export async function lookAtNodes(job: Job): Promise<AwsChange> {
  const { look } = job.step.after as { readonly look: readonly string[] };
  await job.surroundings.lookAt(look, job.how.signal);
  return { environment: () => job.surroundings.environment };
}

/** The group that every load balancer carries. It has no rules: the nodes' rules name it. */
export async function createBackend(job: Job): Promise<AwsChange> {
  const backend = await createGroup(job, 'Load balancers of the cluster, managed by Berth');
  const change: AwsChange = { shared: (now) => ({ ...now, backend }) };
  job.recents.made(backend.id, {
    scope: 'shared',
    change,
    shows: (_found, shared) => shared.backend?.id === backend.id,
  });
  return change;
}

/**
 * Deletes it, once nothing carries it.
 *
 * @throws Conflict when something that was not seen names it, such as a rule on a node's group: the core looks again.
 */
export async function deleteBackend(job: Job): Promise<AwsChange> {
  const { id } = job.step.before as { readonly id: string };
  try {
    await deleteGroup(job, id);
  } catch (error) {
    const { message, cause } = asBerthError(error);
    if (awsCode(cause) !== 'DependencyViolation') throw error;
    throw new Conflict('ConflictObserved', { message, remedy: REASONS.ConflictObserved.remedy, cause });
  }
  return { shared: ({ backend: _gone, ...now }) => now };
}

/** Our rules on a group of the nodes. They carry the cluster's identity, and no others are touched. */
export async function updateNodeRules(job: Job): Promise<AwsChange> {
  const { key } = job.step;
  const { authorize, revoke } = job.step.after as unknown as RuleChange;
  const change = { authorize, revoke, mark: ruleMark(job.context.cluster) };
  await changeRules(job, key, change);
  return {
    shared: (now) => ({
      ...now,
      nodeRules: { ...now.nodeRules, [key]: after(now.nodeRules[key] ?? [], change) },
    }),
  };
}
