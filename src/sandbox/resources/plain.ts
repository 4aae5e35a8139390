/** Kinds with few rules: Leases, ConfigMaps, Secrets, Pods. */
import type { KubeObject } from '../machinery/objects.ts';
import { kindSchema, resource, type ResourceType } from '../machinery/resource.ts';
import { anything, bool, int, kept, microTime, str, strings, struct } from '../machinery/schema.ts';
import { ageColumn, nameColumn } from '../machinery/table.ts';

/** coordination.k8s.io/v1 Leases. An update must name the resourceVersion it builds on. */
export const leases: ResourceType = resource({
  group: 'coordination.k8s.io',
  plural: 'leases',
  singular: 'lease',
  kind: 'Lease',
  createOnUpdate: true,
  unconditionalUpdate: false,
  schema: kindSchema({
    spec: struct({
      holderIdentity: kept(str),
      leaseDurationSeconds: kept(int),
      acquireTime: microTime,
      renewTime: microTime,
      leaseTransitions: kept(int),
    }),
  }),
  columns: [nameColumn, { name: 'Holder', cell: (each) => leaseSpec(each).holderIdentity ?? '' }, ageColumn],
  rules: {
    validate: (next, errors) => {
      const { leaseDurationSeconds, leaseTransitions } = leaseSpec(next);
      if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0) {
        errors.invalid('spec.leaseDurationSeconds', leaseDurationSeconds, 'must be greater than 0');
      }
      if (leaseTransitions !== undefined && leaseTransitions < 0) {
        errors.invalid('spec.leaseTransitions', leaseTransitions, 'must be greater than or equal to 0');
      }
    },
  },
});

interface LeaseSpec {
  holderIdentity?: string;
  leaseDurationSeconds?: number;
  leaseTransitions?: number;
}

function leaseSpec(lease: KubeObject): LeaseSpec {
  return (lease['spec'] ?? {}) as LeaseSpec;
}

const count = (each: KubeObject, ...fields: string[]): number =>
  fields.reduce((sum, field) => sum + Object.keys((each[field] ?? {}) as object).length, 0);

/** core/v1 ConfigMaps. */
export const configMaps: ResourceType = resource({
  plural: 'configmaps',
  singular: 'configmap',
  kind: 'ConfigMap',
  shortNames: ['cm'],
  schema: kindSchema({ data: strings, binaryData: strings, immutable: kept(bool) }),
  columns: [
    nameColumn,
    { name: 'Data', type: 'integer', cell: (each) => count(each, 'data', 'binaryData') },
    ageColumn,
  ],
});

/** core/v1 Secrets. `stringData` becomes `data`, in base64. */
export const secrets: ResourceType = resource({
  plural: 'secrets',
  singular: 'secret',
  kind: 'Secret',
  schema: kindSchema({ data: strings, stringData: strings, type: str, immutable: kept(bool) }),
  columns: [
    nameColumn,
    { name: 'Type', cell: (each) => String(each['type']) },
    { name: 'Data', type: 'integer', cell: (each) => count(each, 'data') },
    ageColumn,
  ],
  rules: {
    defaults: (next) => {
      next['type'] ??= 'Opaque';
      const plain = (next['stringData'] ?? {}) as Record<string, string>;
      const encoded = Object.entries(plain).map(([key, value]) => [
        key,
        Buffer.from(value).toString('base64'),
      ]);
      if (encoded.length > 0) next['data'] = { ...(next['data'] as object), ...Object.fromEntries(encoded) };
      delete next['stringData'];
    },
  },
});

/** core/v1 Pods, stored and no more: they are here because `kubectl drain` and `describe node` list them. */
export const pods: ResourceType = resource({
  plural: 'pods',
  singular: 'pod',
  kind: 'Pod',
  shortNames: ['po'],
  categories: ['all'],
  schema: kindSchema({ spec: kept(anything), status: kept(anything) }),
  status: true,
  selectable: {
    known: ['spec.nodeName', 'status.phase'],
    fields: (each) => ({
      'metadata.name': each.metadata.name,
      'metadata.namespace': each.metadata.namespace ?? '',
      'spec.nodeName': String((each['spec'] as { nodeName?: string } | undefined)?.nodeName ?? ''),
      'status.phase': String((each['status'] as { phase?: string } | undefined)?.phase ?? ''),
    }),
  },
  columns: [
    nameColumn,
    {
      name: 'Status',
      cell: (each) => String((each['status'] as { phase?: string } | undefined)?.phase ?? 'Unknown'),
    },
    ageColumn,
  ],
});
