/** Kinds with few rules: EndpointSlices, Events, Leases, ConfigMaps, Secrets, Pods. */
import type { EndpointSliceObject, KubeObject } from '../machinery/objects.ts';
import { kindSchema, resource, type ResourceType } from '../machinery/resource.ts';
import {
  anything,
  bool,
  int,
  kept,
  list,
  microTime,
  object,
  str,
  strings,
  struct,
  time,
} from '../machinery/schema.ts';
import type { FieldErrors } from '../machinery/status.ts';
import { age, ageColumn, nameColumn } from '../machinery/table.ts';

const objectReference = object({
  kind: str,
  namespace: str,
  name: str,
  uid: str,
  apiVersion: str,
  resourceVersion: str,
  fieldPath: str,
});

const endpoint = object({
  addresses: kept(list(str)),
  conditions: struct({ ready: kept(bool), serving: kept(bool), terminating: kept(bool) }),
  hostname: kept(str),
  targetRef: kept(objectReference),
  deprecatedTopology: strings,
  nodeName: kept(str),
  zone: kept(str),
  hints: kept(anything),
});

const slice = (each: KubeObject): EndpointSliceObject => each as EndpointSliceObject;

/** discovery.k8s.io/v1 EndpointSlices. */
export const endpointSlices: ResourceType = resource({
  group: 'discovery.k8s.io',
  plural: 'endpointslices',
  singular: 'endpointslice',
  kind: 'EndpointSlice',
  generation: true,
  schema: kindSchema({
    addressType: str,
    endpoints: kept(list(endpoint)),
    ports: kept(
      list(object({ name: kept(str), protocol: kept(str), port: kept(int), appProtocol: kept(str) })),
    ),
  }),
  columns: [
    nameColumn,
    { name: 'AddressType', cell: (each) => slice(each).addressType },
    {
      name: 'Ports',
      cell: (each) => shortList((slice(each).ports ?? []).map(({ port, name }) => `${port ?? name ?? '*'}`)),
    },
    {
      name: 'Endpoints',
      cell: (each) => shortList(slice(each).endpoints.flatMap(({ addresses }) => addresses)),
    },
    ageColumn,
  ],
  rules: {
    defaults: (next) => {
      slice(next).endpoints ??= [];
      for (const port of slice(next).ports ?? []) {
        port.protocol ??= 'TCP';
        port.name ??= '';
      }
    },
    validate: (next, errors, previous) => validateSlice(slice(next), errors, previous && slice(previous)),
  },
});

function validateSlice(next: EndpointSliceObject, errors: FieldErrors, previous?: EndpointSliceObject): void {
  if (next.addressType === undefined) errors.required('addressType');
  else errors.oneOf('addressType', next.addressType, ['FQDN', 'IPv4', 'IPv6']);
  if (previous && previous.addressType !== next.addressType) {
    errors.invalid('addressType', next.addressType, 'field is immutable');
  }
  for (const [index, { addresses }] of next.endpoints.entries()) {
    if (!addresses?.length)
      errors.required(`endpoints[${index}].addresses`, 'must contain at least 1 address');
  }
}

/** Three items, then how many there are beyond them; `<unset>` for none. */
function shortList(items: readonly string[]): string {
  if (items.length === 0) return '<unset>';
  const shown = items.slice(0, 3).join(',');
  return items.length > 3 ? `${shown} + ${items.length - 3} more...` : shown;
}

/** What a table needs of an Event. */
interface EventObject extends KubeObject {
  involvedObject: { kind?: string; name?: string; namespace?: string; fieldPath?: string } & Record<
    string,
    string
  >;
  source?: { component?: string; host?: string };
  reportingComponent?: string;
  reportingInstance?: string;
  series?: { count?: number; lastObservedTime?: string };
  type?: string;
  reason?: string;
  message?: string;
  count?: number;
  firstTimestamp?: string;
  lastTimestamp?: string;
  eventTime?: string;
}

const event = (each: KubeObject): EventObject => each as EventObject;

const eventFields = (each: KubeObject): Record<string, string> => {
  const { involvedObject = {}, type, reason, source, reportingComponent, metadata } = event(each);
  const involved = [
    'kind',
    'namespace',
    'name',
    'uid',
    'apiVersion',
    'resourceVersion',
    'fieldPath',
  ] as const;
  return {
    'metadata.name': metadata.name,
    'metadata.namespace': metadata.namespace ?? '',
    ...Object.fromEntries(involved.map((field) => [`involvedObject.${field}`, involvedObject[field] ?? ''])),
    reason: reason ?? '',
    type: type ?? '',
    source: source?.component ?? reportingComponent ?? '',
    reportingComponent: reportingComponent ?? '',
  };
};

/** core/v1 Events. */
export const events: ResourceType = resource({
  plural: 'events',
  singular: 'event',
  kind: 'Event',
  shortNames: ['ev'],
  createOnUpdate: true,
  schema: kindSchema({
    involvedObject: struct(objectReference.fields),
    reason: str,
    message: str,
    source: struct({ component: str, host: str }),
    firstTimestamp: time,
    lastTimestamp: time,
    count: int,
    type: str,
    eventTime: microTime,
    series: kept(object({ count: int, lastObservedTime: microTime })),
    action: str,
    related: kept(objectReference),
    reportingComponent: kept(str),
    reportingInstance: kept(str),
  }),
  selectable: {
    known: [
      ...['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'].map(
        (field) => `involvedObject.${field}`,
      ),
      'reason',
      'type',
      'source',
      'reportingComponent',
    ],
    fields: eventFields,
  },
  columns: [
    { name: 'Last Seen', cell: (each, now) => lastSeen(event(each), now) },
    { name: 'Type', cell: (each) => event(each).type ?? '' },
    { name: 'Reason', cell: (each) => event(each).reason ?? '' },
    { name: 'Object', cell: (each) => involvedText(event(each)) },
    { name: 'Subobject', priority: 1, cell: (each) => event(each).involvedObject?.fieldPath ?? '' },
    { name: 'Source', priority: 1, cell: (each) => sourceText(event(each)) },
    { name: 'Message', cell: (each) => (event(each).message ?? '').trim() },
    { name: 'First Seen', priority: 1, cell: (each, now) => firstSeen(event(each), now) },
    { name: 'Count', priority: 1, cell: (each) => event(each).series?.count ?? event(each).count ?? 1 },
    { ...nameColumn, priority: 1 },
  ],
  rules: {
    defaults: (next) => {
      event(next).reportingComponent ??= '';
      event(next).reportingInstance ??= '';
    },
    validate: (next, errors) => {
      const involved = event(next).involvedObject?.namespace ?? '';
      const { namespace = '' } = next.metadata;
      // Events about objects without a namespace live in `default`.
      if (involved === namespace || (involved === '' && namespace === 'default')) return;
      errors.invalid('involvedObject.namespace', involved, 'does not match event.namespace');
    },
  },
});

function firstSeen(each: EventObject, now: number): string {
  return age(each.firstTimestamp ?? each.eventTime, now);
}

function lastSeen(each: EventObject, now: number): string {
  if (each.series) return age(each.series.lastObservedTime, now);
  return each.lastTimestamp === undefined ? firstSeen(each, now) : age(each.lastTimestamp, now);
}

function involvedText({ involvedObject = {} }: EventObject): string {
  const kind = (involvedObject.kind ?? '').toLowerCase();
  return involvedObject.name === undefined ? kind : `${kind}/${involvedObject.name}`;
}

function sourceText({ source, reportingComponent, reportingInstance }: EventObject): string {
  const host = source?.host || reportingInstance;
  const component = source?.component || reportingComponent || '';
  return host ? `${component}, ${host}` : component;
}

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
      strategy: kept(str),
      preferredHolder: kept(str),
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
