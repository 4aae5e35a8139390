/** What an update takes over from the stored object, and what it means: small pure rules of the registry. */
import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from './objects.ts';
import type { ResourceType } from './resource.ts';
import { badRequest } from './status.ts';

/** The namespace of the request is the object's; another one in the body is a mistake. @throws ApiError 400 */
export function matchNamespace(at: { type: ResourceType; namespace: string }, next: KubeObject): void {
  const { metadata } = next;
  if (!at.type.namespaced) {
    delete metadata.namespace;
    return;
  }
  if (metadata.namespace !== undefined && metadata.namespace !== at.namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  metadata.namespace = at.namespace;
}

/** The name of the request is the object's. @throws ApiError 400 */
export function matchName(ref: { name: string }, next: KubeObject): void {
  if (next.metadata.name === '') throw badRequest('resource name may not be empty');
  if (next.metadata.name === ref.name) return;
  throw badRequest(
    `the name of the object (${next.metadata.name}) does not match the name on the URL (${ref.name})`,
  );
}

/** What an update cannot set is taken over from the stored object; a status update takes all but the status. */
export function takeOver(
  type: ResourceType,
  change: { next: KubeObject; previous: KubeObject },
  status: boolean,
): void {
  const { next, previous } = change;
  if (status) {
    if (!type.statusCarriesMetadata) next.metadata = structuredClone(previous.metadata);
    for (const field of Object.keys(type.schema.fields)) {
      if (!STATUS_FIELDS.has(field)) restore(next, previous, field);
    }
  }
  for (const field of SYSTEM_FIELDS) {
    const stored = previous.metadata[field];
    if (stored !== undefined) Object.assign(next.metadata, { [field]: stored });
    else if (!CHECKED_FIELDS.has(field)) delete next.metadata[field];
  }
  next.metadata.uid ??= previous.metadata.uid ?? '';
}

const STATUS_FIELDS = new Set(['apiVersion', 'kind', 'metadata', 'status']);
/** These are not dropped: setting them is refused. */
const CHECKED_FIELDS: ReadonlySet<string> = new Set(['deletionTimestamp', 'deletionGracePeriodSeconds']);
const SYSTEM_FIELDS = [
  'creationTimestamp',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'generation',
] as const;

function restore(next: KubeObject, previous: KubeObject, field: string): void {
  if (previous[field] === undefined) delete next[field];
  else next[field] = structuredClone(previous[field]);
}

/** True when a deleted object has lost its last finalizer. */
export function isFinished(next: KubeObject): boolean {
  const { deletionTimestamp, finalizers } = next.metadata;
  return deletionTimestamp !== undefined && !finalizers?.length && namespaceFinalizers(next).length === 0;
}

/** True when anything but metadata and status differs: then `metadata.generation` grows. */
export function specChanged(next: KubeObject, previous: KubeObject): boolean {
  const fields = new Set(
    [...Object.keys(next), ...Object.keys(previous)].filter((field) => !NOT_SPEC.has(field)),
  );
  return [...fields].some((field) => !isDeepStrictEqual(next[field], previous[field]));
}

const NOT_SPEC = new Set(['apiVersion', 'kind', 'metadata', 'status']);

/** `spec.finalizers`, which namespaces have beside the finalizers in their metadata. */
export function namespaceFinalizers(object: KubeObject): readonly string[] {
  const spec = object['spec'] as { finalizers?: string[] } | undefined;
  return object.kind === 'Namespace' ? (spec?.finalizers ?? []) : [];
}
