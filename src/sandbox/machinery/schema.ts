/**
 * A small description of a resource's fields. One description serves decoding (wrong types are refused, unknown fields
 * are dropped and reported, zero values vanish as they do from Go structs with `omitempty`) and strategic merge patches
 * (which lists merge, by which key).
 */
import type { Json, JsonObject } from './objects.ts';

/** What all fields have in common. */
interface Omission {
  /** The zero value (`0`, `""`, `false`, empty) is kept, as for Go pointers. */
  readonly keep?: boolean;
  /** What stands there when nobody sets it, for Go fields without `omitempty`: `null` for lists and times, `""`, `0`. */
  readonly absent?: Json;
}

/** How one field reads. */
export type Field =
  | (Omission & { readonly kind: 'string' | 'int' | 'bool' | 'time' | 'microTime' | 'intOrString' | 'any' })
  | ObjectField
  | (Omission & { readonly kind: 'map'; readonly value: Field })
  | ListField;

/** An object with named fields. */
export interface ObjectField extends Omission {
  readonly kind: 'object';
  readonly fields: Readonly<Record<string, Field>>;
  /** Present even when nobody sets it, as Go structs that are not pointers are. */
  readonly always?: boolean;
}

/**
 * A list. `mergeKey` names the key by which a strategic merge patch joins items (`patchMergeKey` in the Go types);
 * `mergeKey: ''` is a set of plain values; without it the list is replaced as a whole.
 */
export interface ListField extends Omission {
  readonly kind: 'list';
  readonly item: Field;
  readonly mergeKey?: string;
}

export const str: Field = { kind: 'string' };
export const int: Field = { kind: 'int' };
export const bool: Field = { kind: 'bool' };
export const time: Field = { kind: 'time' };
export const microTime: Field = { kind: 'microTime' };
export const intOrString: Field = { kind: 'intOrString' };
export const anything: Field = { kind: 'any', keep: true };
export const strings: Field = { kind: 'map', value: { kind: 'string', keep: true } };
export const object = (fields: Readonly<Record<string, Field>>): ObjectField => ({ kind: 'object', fields });
/** An object that is always there, if only as `{}`. */
export const struct = (fields: Readonly<Record<string, Field>>): ObjectField => ({
  ...object(fields),
  keep: true,
  always: true,
});
/** Keeps the zero value, as a Go pointer does. */
export const kept = <T extends Field>(field: T): T => ({ ...field, keep: true });
/** Stands there as `value` when nobody sets it: a Go field without `omitempty`. */
export const shown = <T extends Field>(field: T, value: Json): T => ({ ...field, absent: value });
/** Items keep their zero values: only the list as a whole can be left out. */
export const list = (item: Field, mergeKey?: string): ListField => ({
  kind: 'list',
  item: kept(item),
  ...(mergeKey === undefined ? {} : { mergeKey }),
});

/** A value of the wrong type. The message is what the API server would say, up to the wording of Go's decoder. */
export class DecodeError extends Error {}

/** Decodes `value`; returns undefined for what is to be left out. Paths of unknown fields are added to `unknown`. */
export function decode(field: Field, value: Json, at: { path: string; unknown: string[] }): Json | undefined {
  if (value === null) return undefined;
  const decoded = decodePresent(field, value, at);
  return field.keep || !isZero(decoded) ? decoded : undefined;
}

function decodePresent(field: Field, value: Json, at: { path: string; unknown: string[] }): Json {
  switch (field.kind) {
    case 'any':
      return value;
    case 'object':
      return decodeObject(field, expectObject(value, at.path), at);
    case 'map':
      return mapValues(expectObject(value, at.path), (inner, key) =>
        decode(field.value, inner, { ...at, path: `${at.path}.${key}` }),
      );
    case 'list':
      if (!Array.isArray(value)) throw mismatch(at.path, value, 'a list');
      return value.flatMap((item, index) => {
        // A null among objects is an empty one, as it is in Go.
        const value = item === null && field.item.kind === 'object' ? {} : item;
        const decoded = decode(field.item, value, { ...at, path: `${at.path}[${index}]` });
        return decoded === undefined ? [] : [decoded];
      });
    default:
      return decodeScalar(field.kind, value, at.path);
  }
}

function decodeObject(
  field: ObjectField,
  value: JsonObject,
  at: { path: string; unknown: string[] },
): JsonObject {
  const known = field.fields;
  const result = mapValues(value, (inner, key) => {
    const path = at.path === '' ? key : `${at.path}.${key}`;
    const described = Object.hasOwn(known, key) ? known[key] : undefined;
    if (described === undefined) at.unknown.push(path);
    return described === undefined ? undefined : decode(described, inner, { ...at, path });
  });
  for (const [key, inner] of Object.entries(known)) {
    if (inner.kind === 'object' && inner.always) result[key] ??= decodeObject(inner, {}, at);
    else if (inner.absent !== undefined) result[key] ??= inner.absent;
  }
  return result;
}

type Scalar = 'string' | 'int' | 'bool' | 'time' | 'microTime' | 'intOrString';

function decodeScalar(kind: Scalar, value: Json, path: string): Json {
  const isInt = typeof value === 'number' && Number.isInteger(value);
  if (kind === 'string' && typeof value === 'string') return value;
  if (kind === 'int' && isInt) return value;
  if (kind === 'bool' && typeof value === 'boolean') return value;
  if (kind === 'intOrString' && (isInt || typeof value === 'string')) return value;
  if (kind === 'time' && typeof value === 'string') return readTime(value, path);
  if (kind === 'microTime' && typeof value === 'string') return readMicroTime(value, path);
  throw mismatch(path, value, EXPECTED[kind]);
}

const EXPECTED: Readonly<Record<Scalar, string>> = {
  string: 'a string',
  int: 'a whole number',
  bool: 'true or false',
  intOrString: 'a whole number or a string',
  time: 'a time as RFC 3339 has it',
  microTime: 'a time as RFC 3339 has it, with six digits of a second',
};

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** meta/v1 Time: any RFC 3339 time, kept in whole seconds. */
function readTime(value: string, path: string): string {
  const at = new Date(value);
  if (!RFC3339.test(value) || Number.isNaN(at.getTime())) throw mismatch(path, value, EXPECTED.time);
  return `${at.toISOString().slice(0, 19)}Z`;
}

/** meta/v1 MicroTime is parsed with a layout that demands exactly six fractional digits. */
function readMicroTime(value: string, path: string): string {
  const fraction = RFC3339.exec(value)?.[1];
  if (fraction?.length !== 7) throw mismatch(path, value, EXPECTED.microTime);
  return `${new Date(value).toISOString().slice(0, 19)}${fraction}Z`;
}

function mismatch(path: string, value: Json, expected: string): DecodeError {
  return new DecodeError(`${path}: expected ${expected}, got ${JSON.stringify(value)}`);
}

function expectObject(value: Json, path: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw mismatch(path === '' ? 'body' : path, value, 'an object');
  }
  return value;
}

function mapValues(value: JsonObject, map: (inner: Json, key: string) => Json | undefined): JsonObject {
  const result: JsonObject = {};
  for (const [key, inner] of Object.entries(value)) {
    const mapped = map(inner, key);
    // Plain assignment would call the setter of __proto__.
    if (mapped !== undefined) Object.defineProperty(result, key, { value: mapped, ...PLAIN });
  }
  return result;
}

const PLAIN = { enumerable: true, writable: true, configurable: true };

function isZero(value: Json): boolean {
  if (typeof value === 'object') return value === null || Object.keys(value).length === 0;
  return value === '' || value === 0 || value === false;
}
