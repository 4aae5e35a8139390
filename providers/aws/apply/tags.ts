import { CreateTagsCommand, DeleteTagsCommand } from '@aws-sdk/client-ec2';
import { AddTagsCommand, RemoveTagsCommand } from '@aws-sdk/client-elastic-load-balancing-v2';
import { PIECE } from '../names.ts';
import type { AwsChange, AwsLoadBalancer, Tags } from '../state.ts';
import { asTags, changing, onExisting, type Job } from './job.ts';

interface TagChange {
  readonly id: string;
  readonly set: Tags;
  readonly remove: readonly string[];
}

/** Sets and removes tags of one piece: those of security groups by EC2, the others by ELBv2. */
export async function updateTags(job: Job): Promise<AwsChange> {
  const change = job.step.after as unknown as TagChange;
  const { id } = change;
  await onExisting(job, id, () => (id.startsWith('sg-') ? ofGroup(job, change) : ofElb(job, change)));
  const next = (tags: Tags | undefined): Tags => ({
    ...Object.fromEntries(Object.entries(tags ?? {}).filter(([key]) => !change.remove.includes(key))),
    ...change.set,
  });
  return changing((now) => tagged(now, job.step.key, next));
}

async function ofGroup({ aws, how }: Job, { id, set, remove }: TagChange): Promise<void> {
  if (Object.keys(set).length > 0) {
    await aws.ec2(
      'CreateTags',
      (client, o) => client.send(new CreateTagsCommand({ Resources: [id], Tags: asTags(set) }), o),
      how,
    );
  }
  if (remove.length > 0) {
    const Tags = remove.map((Key) => ({ Key }));
    await aws.ec2(
      'DeleteTags',
      (client, o) => client.send(new DeleteTagsCommand({ Resources: [id], Tags }), o),
      how,
    );
  }
}

async function ofElb({ aws, how }: Job, { id, set, remove }: TagChange): Promise<void> {
  if (Object.keys(set).length > 0) {
    await aws.elb(
      'AddTags',
      (client, o) => client.send(new AddTagsCommand({ ResourceArns: [id], Tags: asTags(set) }), o),
      how,
    );
  }
  if (remove.length > 0) {
    const input = { ResourceArns: [id], TagKeys: [...remove] };
    await aws.elb('RemoveTags', (client, o) => client.send(new RemoveTagsCommand(input), o), how);
  }
}

function tagged(
  now: AwsLoadBalancer,
  piece: string,
  next: (tags: Tags | undefined) => Tags,
): AwsLoadBalancer {
  const { balancer, group } = now;
  if (piece === PIECE.balancer) {
    return balancer === undefined ? now : { ...now, balancer: { ...balancer, tags: next(balancer.tags) } };
  }
  if (piece === PIECE.frontend) {
    return group === undefined ? now : { ...now, group: { ...group, tags: next(group.tags) } };
  }
  const [kind, key = ''] = piece.split(' ');
  const target = kind === 'targetGroup' ? now.targetGroups[key] : undefined;
  if (target !== undefined) {
    return { ...now, targetGroups: { ...now.targetGroups, [key]: { ...target, tags: next(target.tags) } } };
  }
  const listener = kind === 'listener' ? now.listeners[key] : undefined;
  if (listener === undefined) return now;
  return { ...now, listeners: { ...now.listeners, [key]: { ...listener, tags: next(listener.tags) } } };
}
