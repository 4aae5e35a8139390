import type { ServiceKey } from '@berth/core';
import { TAGS, type Cluster } from '../names.ts';
import type { Tags } from '../state.ts';

/** Whose something is, and what it is for. */
export interface Owner {
  readonly key: ServiceKey;
  readonly uid: string;
  /** As in the tag `berth.dev/resource`. */
  readonly piece: string;
}

/** The owner that tags name; `undefined` for what is not this cluster's, or does not say whose it is. */
export function ownerOf(tags: Tags, cluster: Cluster): Owner | undefined {
  const { [TAGS.service]: key, [TAGS.uid]: uid, [TAGS.resource]: piece } = tags;
  if (tags[TAGS.cluster] !== cluster.id) return undefined;
  if (key === undefined || uid === undefined || piece === undefined) return undefined;
  return { key, uid, piece };
}

/**
 * Whose each ARN is, so that tags are read once. An ARN is never used again; what is known of it holds until somebody
 * takes the cluster's tag away, which a read in depth sees.
 */
export class Owners {
  readonly #owners = new Map<string, Owner | undefined>();

  /** Whether the ARN was looked up. */
  knows(arn: string): boolean {
    return this.#owners.has(arn);
  }

  /** Its owner; `undefined` when it is not ours. */
  get(arn: string): Owner | undefined {
    return this.#owners.get(arn);
  }

  /** Notes whose it is; `undefined`: not ours. */
  set(arn: string, owner: Owner | undefined): void {
    this.#owners.set(arn, owner);
  }

  /** Forgets ARNs that are not there any more. */
  keep(arns: ReadonlySet<string>): void {
    for (const arn of this.#owners.keys()) if (!arns.has(arn)) this.#owners.delete(arn);
  }
}
