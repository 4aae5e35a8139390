/** Rules for `metadata` that hold for every kind (api/validation/objectmeta.go's rules, in our words). */
import type { KubeObject, ObjectMeta } from './objects.ts';
import type { ResourceType } from './resource.ts';
import type { FieldErrors } from './status.ts';

const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const LABEL_1035 = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const QUALIFIED = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/;
const LABEL_VALUE = /^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$/;
const ANNOTATIONS_LIMIT_BYTES = 256 * 1024;

const NAME_RULES = {
  subdomain: {
    pattern: SUBDOMAIN,
    length: 253,
    why: "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
  },
  label: {
    pattern: LABEL,
    length: 63,
    why: "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
  },
  label1035: {
    pattern: LABEL_1035,
    length: 63,
    why: "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
  },
} as const;

/** True for DNS subdomains as RFC 1123 has them, 253 characters at most. */
export function isSubdomain(name: string): boolean {
  return name.length <= 253 && SUBDOMAIN.test(name);
}

/** True for DNS labels as RFC 1123 has them, 63 characters at most. */
export function isDnsLabel(name: string): boolean {
  return name.length <= 63 && LABEL.test(name);
}

/** Why `key` is not a qualified name (`[DNS subdomain/]name`), or undefined when it is one. */
export function qualifiedNameProblem(key: string): string | undefined {
  const parts = key.split('/');
  const name = parts.pop() ?? '';
  const [prefix] = parts;
  if (parts.length > 1)
    return "a qualified name must consist of alphanumeric characters, '-', '_' or '.', with an optional DNS subdomain prefix and '/'";
  if (prefix === '') return 'prefix part must be non-empty';
  if (prefix !== undefined && !isSubdomain(prefix)) return `prefix part ${NAME_RULES.subdomain.why}`;
  if (name === '') return 'name part must be non-empty';
  if (name.length > 63) return 'name part must be no more than 63 bytes';
  return QUALIFIED.test(name)
    ? undefined
    : "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
}

/** Checks the metadata of an object that is created or updated. */
export function validateMeta(type: ResourceType, next: KubeObject, errors: FieldErrors): void {
  const { metadata } = next;
  validateName(type, metadata, errors);
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    const problem = qualifiedNameProblem(key);
    if (problem !== undefined) errors.invalid('metadata.labels', key, problem);
    validateLabelValue('metadata.labels', value, errors);
  }
  validateAnnotations(metadata.annotations ?? {}, errors);
  validateFinalizers(type, metadata, errors);
  for (const owner of metadata.ownerReferences ?? []) {
    for (const field of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if (!owner[field]) errors.invalid(`metadata.ownerReferences.${field}`, '', 'must not be empty');
    }
  }
}

/** Finalizers of the core group's kinds are either Kubernetes' own or carry a domain. */
function validateFinalizers(type: ResourceType, metadata: ObjectMeta, errors: FieldErrors): void {
  for (const [index, finalizer] of (metadata.finalizers ?? []).entries()) {
    const problem = qualifiedNameProblem(finalizer);
    if (problem !== undefined) errors.invalid('metadata.finalizers', finalizer, problem);
    if (type.group !== '' || finalizer.includes('/') || STANDARD_FINALIZERS.has(finalizer)) continue;
    const why = 'name is neither a standard finalizer name nor is it fully qualified';
    errors.invalid(`metadata.finalizers[${index}]`, finalizer, why);
  }
}

const STANDARD_FINALIZERS = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);

/** A label's value: empty, or up to 63 of `[A-Za-z0-9._-]` with alphanumeric ends. */
export function validateLabelValue(field: string, value: string, errors: FieldErrors): void {
  if (value.length > 63) errors.invalid(field, value, 'must be no more than 63 bytes');
  else if (!LABEL_VALUE.test(value)) {
    errors.invalid(
      field,
      value,
      "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    );
  }
}

function validateName(type: ResourceType, metadata: ObjectMeta, errors: FieldErrors): void {
  const rule = NAME_RULES[type.names];
  if (metadata.name === '') errors.required('metadata.name', 'name or generateName is required');
  else if (metadata.name.length > rule.length) {
    errors.invalid('metadata.name', metadata.name, `must be no more than ${rule.length} characters`);
  } else if (!rule.pattern.test(metadata.name)) errors.invalid('metadata.name', metadata.name, rule.why);
}

function validateAnnotations(annotations: Readonly<Record<string, string>>, errors: FieldErrors): void {
  let size = 0;
  for (const [key, value] of Object.entries(annotations)) {
    size += Buffer.byteLength(key) + Buffer.byteLength(value);
    const problem = qualifiedNameProblem(key.toLowerCase());
    if (problem !== undefined) errors.invalid('metadata.annotations', key, problem);
  }
  if (size <= ANNOTATIONS_LIMIT_BYTES) return;
  errors.tooLong('metadata.annotations', ANNOTATIONS_LIMIT_BYTES);
}

/** Checks what an update may not change: uid, and new finalizers on an object that is being deleted. */
export function validateMetaUpdate(next: ObjectMeta, previous: ObjectMeta, errors: FieldErrors): void {
  for (const field of ['uid', 'deletionTimestamp', 'deletionGracePeriodSeconds'] as const) {
    if (next[field] !== previous[field])
      errors.invalid(`metadata.${field}`, next[field], 'field is immutable');
  }
  if (previous.deletionTimestamp === undefined) return;
  const added = (next.finalizers ?? []).filter((each) => !previous.finalizers?.includes(each));
  if (added.length === 0) return;
  const names = added.map((each) => `"${each}"`).join(', ');
  errors.forbidden(
    'metadata.finalizers',
    `no new finalizers can be added if the object is being deleted, found new finalizers []string{${names}}`,
  );
}
