/** Tables (meta/v1 Table), which is how `kubectl get` wants its answers. */
import type { KubeObject } from './objects.ts';

/** One column. `priority` above 0: shown by `-o wide` only. */
export interface Column {
  readonly name: string;
  readonly type?: 'string' | 'integer' | 'boolean';
  readonly format?: string;
  readonly priority?: number;
  readonly description?: string;
  /** The cell. `now` is the time to count ages from, ms since the epoch. */
  cell(object: KubeObject, now: number): string | number | boolean | null;
}

/** The column that every kind starts with. */
export const nameColumn: Column = {
  name: 'Name',
  format: 'name',
  description: 'Name of the object, unique within its namespace.',
  cell: ({ metadata }) => metadata.name,
};

/** The column that most kinds end with. */
export const ageColumn: Column = {
  name: 'Age',
  description: 'Time since the object was created.',
  cell: ({ metadata }, now) => age(metadata.creationTimestamp, now),
};

/** How long ago `timestamp` was, as kubectl writes it: `42s`, `5m30s`, `3h`, `8d`; `<unknown>` without one. */
export function age(timestamp: string | null | undefined, now: number): string {
  return timestamp === undefined || timestamp === null
    ? '<unknown>'
    : humanDuration(Math.trunc((now - Date.parse(timestamp)) / 1000));
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** Two or three significant figures of a duration in seconds: the format of `HumanDuration` in apimachinery. */
export function humanDuration(seconds: number): string {
  if (seconds < -1) return '<invalid>';
  const [, most, big, small] = UNITS.find(([below]) => seconds < below) ?? [0, 'y', YEAR, undefined];
  if (seconds < 0) return '0s';
  const whole = Math.floor(seconds / big);
  if (small === undefined) return `${whole}${most}`;
  const rest = Math.floor((seconds % big) / small[1]);
  return rest === 0 ? `${whole}${most}` : `${whole}${most}${rest}${small[0]}`;
}

/** Below how many seconds: the unit, its seconds, and the smaller unit that is shown beside it. */
const UNITS: readonly (readonly [number, string, number, (readonly [string, number])?])[] = [
  [2 * MINUTE, 's', 1],
  [10 * MINUTE, 'm', MINUTE, ['s', 1]],
  [3 * HOUR, 'm', MINUTE],
  [8 * HOUR, 'h', HOUR, ['m', MINUTE]],
  [2 * DAY, 'h', HOUR],
  [8 * DAY, 'd', DAY, ['h', HOUR]],
  [2 * YEAR, 'd', DAY],
  [8 * YEAR, 'y', YEAR, ['d', DAY]],
];

/** Which part of each object a row carries: kubectl asks for `Object` when it sorts or filters by fields. */
export type IncludeObject = 'None' | 'Metadata' | 'Object';

/** What a table is made of. */
export interface TableRequest {
  readonly columns: readonly Column[];
  readonly objects: readonly KubeObject[];
  readonly metadata: object;
  readonly include: IncludeObject;
  /** False leaves the column definitions out, as on all but the first event of a watch. */
  readonly headers: boolean;
  readonly now: number;
}

/** A Table object. */
export function table(request: TableRequest): object {
  const definitions = request.columns.map((column) => ({
    name: column.name,
    type: column.type ?? 'string',
    format: column.format ?? '',
    description: column.description ?? '',
    priority: column.priority ?? 0,
  }));
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: request.metadata,
    columnDefinitions: request.headers ? definitions : null,
    rows: request.objects.map((object) => ({
      cells: request.columns.map((column) => column.cell(object, request.now)),
      object: rowObject(object, request.include),
    })),
  };
}

function rowObject(object: KubeObject, include: IncludeObject): object | null {
  if (include === 'None') return null;
  return include === 'Object' ? object : partialMetadata(object);
}

/** The object without everything but its metadata (meta/v1 PartialObjectMetadata). */
export function partialMetadata({ metadata }: KubeObject): object {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}
