import { NotOwned } from '@berth/core';
import { TAGS } from '../names.ts';
import { readTags } from '../observe/fleet.ts';
import { ownerOf } from '../observe/owners.ts';
import type { Tags } from '../state.ts';
import { tagsOfStep, type Job } from './job.ts';

/**
 * Makes sure that something of the wanted name is what an earlier attempt of this very step made: it carries the tags
 * that the step would have given it.
 *
 * @throws NotOwned when it is somebody else's, or another Service's.
 */
export async function assertOurs(
  job: Job,
  { arn, name }: { readonly arn: string; readonly name: string },
): Promise<Tags> {
  const found = (await readTags(job.aws, [arn], job.how.signal)).get(arn) ?? {};
  checkOurs(job, found, name);
  return found;
}

/** The same for tags that are known. @throws NotOwned */
export function checkOurs(job: Job, found: Tags, name: string): void {
  const wanted = tagsOfStep(job);
  const owned = [TAGS.cluster, TAGS.service, TAGS.uid].every((tag) => found[tag] === wanted[tag]);
  if (owned) return;
  const owner = ownerOf(found, job.context.cluster);
  const whose =
    owner !== undefined
      ? `belongs to the Service ${owner.key}`
      : found[TAGS.cluster] === undefined
        ? 'does not carry the tags of Berth'
        : `belongs to the cluster ${found[TAGS.cluster]}`;
  throw new NotOwned('NotOwned', {
    message: `${name} exists already and ${whose}; it is not touched`,
    remedy: 'Choose another name (annotation name), or remove what has this one',
  });
}
