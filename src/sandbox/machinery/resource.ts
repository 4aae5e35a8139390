/** What the sandbox knows about one kind of object: its names, its fields, its rules. */
import type { KubeObject } from './objects.ts';
import {
  anything,
  bool,
  int,
  kept,
  list,
  object,
  type ObjectField,
  str,
  strings,
  struct,
  time,
} from './schema.ts';
import type { SelectableFields } from './selectors.ts';
import type { FieldErrors } from './status.ts';
import type { Column } from './table.ts';

/** One served resource. */
export interface ResourceType {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly schema: ObjectField;
  /** Whether `/status` exists; then the main resource does not change the status, nor the other way round. */
  readonly status: boolean;
  /** Whether metadata travels in a status update: it does for built-in kinds, not for custom resources. */
  readonly statusCarriesMetadata: boolean;
  /** Whether `metadata.generation` counts changes of anything but metadata and status. */
  readonly generation: boolean;
  /** Strategic merge patches exist for built-in kinds only. */
  readonly strategicMerge: boolean;
  /** A PUT to a name that does not exist creates it. */
  readonly createOnUpdate: boolean;
  /** A PUT without resourceVersion overwrites whatever is there. */
  readonly unconditionalUpdate: boolean;
  /** DELETE answers with the object instead of a Status. */
  readonly returnsDeleted: boolean;
  /** Names: `subdomain` (RFC 1123, dots allowed), `label` (RFC 1123) or `label1035` (starts with a letter). */
  readonly names: 'subdomain' | 'label' | 'label1035';
  readonly columns: readonly Column[];
  /** Beside `metadata.name` and `metadata.namespace`. */
  readonly selectable: { readonly known: readonly string[]; readonly fields: SelectableFields };
  readonly rules: Rules;
}

/** The kind's own rules, called in this order. All may change `next` except the validations. */
export interface Rules {
  /** Fills in what was left out. Also runs on every decoded update and patch. */
  defaults?(next: KubeObject): void;
  /** What admission plug-ins would change on creation. */
  admit?(next: KubeObject): void;
  /** Gives out what comes from a pool. Must not record it: `stored` does. @throws ApiError */
  allocate?(next: KubeObject, previous: KubeObject | undefined): void;
  /** Clears what may not be set, or no longer applies. */
  prepare?(next: KubeObject, previous: KubeObject | undefined): void;
  validate?(next: KubeObject, errors: FieldErrors, previous: KubeObject | undefined): void;
  validateStatus?(next: KubeObject, errors: FieldErrors, previous: KubeObject): void;
  /** The object was written (`next`) or removed (`next` undefined). */
  stored?(next: KubeObject | undefined, previous: KubeObject | undefined): void;
}

/** `PLURAL.GROUP`, or the plural alone in the core group: the name of the collection. */
export function resourceId(type: Pick<ResourceType, 'group' | 'plural'>): string {
  return type.group === '' ? type.plural : `${type.plural}.${type.group}`;
}

/** `v1` or `GROUP/VERSION`. */
export function apiVersionOf(type: Pick<ResourceType, 'group' | 'version'>): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}

const ownerReference = object({
  apiVersion: str,
  kind: str,
  name: str,
  uid: str,
  controller: kept(bool),
  blockOwnerDeletion: kept(bool),
});

/** meta/v1 ObjectMeta. `managedFields` is accepted and dropped: the sandbox has no server-side apply. */
export const objectMeta: ObjectField = struct({
  name: str,
  generateName: str,
  namespace: str,
  selfLink: str,
  uid: str,
  resourceVersion: str,
  generation: int,
  creationTimestamp: time,
  deletionTimestamp: time,
  deletionGracePeriodSeconds: kept(int),
  labels: strings,
  annotations: strings,
  finalizers: list(str, ''),
  ownerReferences: list(ownerReference, 'uid'),
  managedFields: anything,
});

/** A kind's schema: type, metadata and its own fields. */
export function kindSchema(fields: ObjectField['fields']): ObjectField {
  return struct({ apiVersion: str, kind: str, metadata: objectMeta, ...fields });
}

/** Fills the attributes that most kinds share. */
export function resource(
  type: Pick<ResourceType, 'plural' | 'singular' | 'kind' | 'schema' | 'columns'> & Partial<ResourceType>,
): ResourceType {
  return {
    group: '',
    version: 'v1',
    shortNames: [],
    categories: [],
    namespaced: true,
    status: false,
    statusCarriesMetadata: true,
    generation: false,
    strategicMerge: true,
    createOnUpdate: false,
    unconditionalUpdate: true,
    returnsDeleted: false,
    names: 'subdomain',
    selectable: { known: [], fields: () => ({}) },
    rules: {},
    ...type,
  };
}
