/** Events (core/v1). */
import type { KubeObject } from '../machinery/objects.ts';
import { kindSchema, resource, type ResourceType } from '../machinery/resource.ts';
import { int, kept, microTime, object, shown, str, struct, time } from '../machinery/schema.ts';
import type { FieldErrors } from '../machinery/status.ts';
import { age, nameColumn } from '../machinery/table.ts';
import { objectReference } from './endpointslice.ts';

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
  firstTimestamp: string | null;
  lastTimestamp: string | null;
  eventTime: string | null;
  action?: string;
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
    firstTimestamp: shown(time, null),
    lastTimestamp: shown(time, null),
    count: int,
    type: str,
    eventTime: shown(microTime, null),
    series: kept(object({ count: int, lastObservedTime: microTime })),
    action: str,
    related: kept(objectReference),
    reportingComponent: shown(str, ''),
    reportingInstance: shown(str, ''),
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
    validate: (next, errors) => validate(event(next), errors),
  },
});

function validate(next: EventObject, errors: FieldErrors): void {
  const involved = next.involvedObject?.namespace ?? '';
  const { namespace = '' } = next.metadata;
  // Events about objects without a namespace live in `default`.
  if (involved !== namespace && (involved !== '' || namespace !== 'default')) {
    errors.invalid('involvedObject.namespace', involved, 'does not match event.namespace');
  }
  // With `eventTime` an event is of the newer form, which demands more.
  if (next.eventTime === null) return;
  for (const field of ['reportingComponent', 'reportingInstance', 'action', 'reason'] as const) {
    if (!next[field]) errors.required(field);
  }
}

function firstSeen(each: EventObject, now: number): string {
  return age(each.firstTimestamp ?? each.eventTime, now);
}

function lastSeen(each: EventObject, now: number): string {
  if (each.series) return age(each.series.lastObservedTime, now);
  return each.lastTimestamp === null ? firstSeen(each, now) : age(each.lastTimestamp, now);
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
