/** Namespaces (core/v1). Emptying a deleted one is the registry's job, because it needs all other kinds. */
import type { KubeObject } from '../machinery/objects.ts';
import { kindSchema, resource, type ResourceType } from '../machinery/resource.ts';
import { anything, list, str, struct } from '../machinery/schema.ts';
import { ageColumn, nameColumn } from '../machinery/table.ts';

const NAME_LABEL = 'kubernetes.io/metadata.name';
/** The finalizer in `spec.finalizers` of every namespace. */
export const NAMESPACE_FINALIZER = 'kubernetes';

const phaseOf = (namespace: KubeObject): string | undefined =>
  (namespace['status'] as { phase?: string } | undefined)?.phase;

/** The resource `namespaces`. */
export const namespaces: ResourceType = resource({
  plural: 'namespaces',
  singular: 'namespace',
  kind: 'Namespace',
  shortNames: ['ns'],
  namespaced: false,
  status: true,
  names: 'label',
  schema: kindSchema({
    spec: struct({ finalizers: list(str) }),
    status: struct({ phase: str, conditions: list(anything) }),
  }),
  selectable: {
    known: ['status.phase'],
    fields: (each) => ({ 'metadata.name': each.metadata.name, 'status.phase': phaseOf(each) ?? '' }),
  },
  columns: [nameColumn, { name: 'Status', cell: (each) => phaseOf(each) ?? '' }, ageColumn],
  rules: {
    defaults: (next) => {
      if (next.metadata.name !== '')
        next.metadata.labels = { ...next.metadata.labels, [NAME_LABEL]: next.metadata.name };
    },
    prepare: (next, previous) => {
      next['status'] = previous ? previous['status'] : { phase: 'Active' };
      next['spec'] = previous ? previous['spec'] : { finalizers: [NAMESPACE_FINALIZER] };
    },
  },
});
