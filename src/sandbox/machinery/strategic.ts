/**
 * Strategic merge patches, as kubectl sends them for built-in kinds. What merges how comes from the schema's
 * `mergeKey`s. Directives: `$patch: delete|replace|merge`, `$deleteFromPrimitiveList/FIELD`, `$retainKeys`,
 * `$setElementOrder/FIELD`.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from './objects.ts';
import { isObject } from './patch.ts';
import type { Field, ListField } from './schema.ts';
import { badRequest } from './status.ts';

const PATCH = '$patch';
const RETAIN = '$retainKeys';
const ORDER = '$setElementOrder/';
const DELETE_FROM = '$deleteFromPrimitiveList/';

/**
 * Applies a strategic merge patch to an object described by `field`; the target is not changed.
 *
 * @throws ApiError 400 for a directive that is not one, or a list item without its merge key
 */
export function strategicMerge(target: JsonObject, patch: JsonObject, field: Field | undefined): JsonObject {
  const directive = patch[PATCH];
  if (directive === 'delete') return {};
  if (directive === 'replace') return withoutDirectives(patch) as JsonObject;
  if (directive !== undefined && directive !== 'merge') {
    throw badRequest(`unknown patch type ${JSON.stringify(directive)} in map`);
  }
  const result = retainKeys(target, patch[RETAIN]);
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith(DELETE_FROM)) deleteFromList(result, key.slice(DELETE_FROM.length), value);
    else if (!key.startsWith('$')) mergeField(result, key, { value, field: innerField(field, key) });
  }
  for (const [key, value] of Object.entries(patch)) {
    const name = key.startsWith(ORDER) ? key.slice(ORDER.length) : key;
    // Without a directive the patch's own items say the order.
    if (name !== key || patch[ORDER + name] === undefined)
      orderList(result, name, { order: value, target, field });
  }
  return result;
}

function retainKeys(target: JsonObject, retained: Json | undefined): JsonObject {
  if (!Array.isArray(retained)) return { ...target };
  return Object.fromEntries(Object.entries(target).filter(([key]) => retained.includes(key)));
}

function innerField(field: Field | undefined, key: string): Field | undefined {
  if (field?.kind === 'object') return field.fields[key];
  return field?.kind === 'map' ? field.value : undefined;
}

function mergeField(result: JsonObject, key: string, patch: { value: Json; field: Field | undefined }): void {
  const { value, field } = patch;
  const current = result[key];
  if (value === null) delete result[key];
  else if (isObject(value)) result[key] = strategicMerge(isObject(current) ? current : {}, value, field);
  else if (Array.isArray(value) && field?.kind === 'list' && field.mergeKey !== undefined) {
    result[key] = mergeList(Array.isArray(current) ? current : [], value, field);
  } else result[key] = withoutDirectives(value);
}

function mergeList(current: Json[], patch: Json[], field: ListField): Json[] {
  if (field.mergeKey === '') return [...current, ...patch.filter((item) => !current.includes(item))];
  if (patch.some((item) => isObject(item) && item[PATCH] === 'replace' && Object.keys(item).length === 1)) {
    return withoutDirectives(
      patch.filter((item) => !(isObject(item) && item[PATCH] === 'replace')),
    ) as Json[];
  }
  const result = [...current];
  for (const item of patch) mergeItem(result, item, field);
  return result;
}

/** Joins by the merge key alone, as the server does: of two Service ports with one number the first is meant. */
function mergeItem(result: Json[], item: Json, field: ListField): void {
  const key = field.mergeKey ?? '';
  if (!isObject(item) || item[key] === undefined) {
    throw badRequest(`map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
  }
  const same = (other: Json): boolean => isObject(other) && isDeepStrictEqual(other[key], item[key]);
  if (item[PATCH] === 'delete') {
    result.splice(0, result.length, ...result.filter((other) => !same(other)));
    return;
  }
  const index = result.findIndex(same);
  const existing = result[index];
  if (isObject(existing)) result[index] = strategicMerge(existing, item, field.item);
  else result.push(strategicMerge({}, item, field.item));
}

function deleteFromList(result: JsonObject, key: string, gone: Json): void {
  const current = result[key];
  if (Array.isArray(current) && Array.isArray(gone))
    result[key] = current.filter((item) => !gone.includes(item));
}

/**
 * Puts a merged list in order: items named in `order` as they are named, the others as they were. Where a named item and
 * another one meet, the named one comes first, unless both were there before and the other one was in front.
 */
function orderList(
  result: JsonObject,
  key: string,
  by: { order: Json; target: JsonObject; field: Field | undefined },
): void {
  const merged = result[key];
  const field = innerField(by.field, key);
  if (!Array.isArray(merged) || !Array.isArray(by.order)) return;
  if (field?.kind !== 'list' || field.mergeKey === undefined) return;
  const { mergeKey } = field;
  const id = (item: Json): string => JSON.stringify(isObject(item) ? (item[mergeKey] ?? null) : item);
  const ranks = (list: Json | undefined): Map<string, number> =>
    new Map((Array.isArray(list) ? list : []).map((item, index) => [id(item), index]));
  const [order, before] = [ranks(by.order), ranks(by.target[key])];
  const named = merged.filter((item) => order.has(id(item)));
  named.sort((a, b) => (order.get(id(a)) ?? 0) - (order.get(id(b)) ?? 0));
  const others = merged.filter((item) => !order.has(id(item)));
  result[key] = interleave(named, others, (item) => before.get(id(item)));
}

function interleave(named: Json[], others: Json[], before: (item: Json) => number | undefined): Json[] {
  const result: Json[] = [];
  while (named.length > 0 || others.length > 0) {
    const [name, other] = [named[0], others[0]];
    const [was, otherWas] = [name, other].map((item) => (item === undefined ? undefined : before(item)));
    const otherFirst = name === undefined || (was !== undefined && otherWas !== undefined && otherWas < was);
    const next = other !== undefined && otherFirst ? others.shift() : named.shift();
    if (next !== undefined) result.push(next);
  }
  return result;
}

/** A part of a patch that becomes part of the object sheds its directives and its nulls. */
function withoutDirectives(value: Json): Json {
  if (Array.isArray(value)) {
    return value.filter((item) => !(isObject(item) && item[PATCH] === 'delete')).map(withoutDirectives);
  }
  if (!isObject(value)) return value;
  const entries = Object.entries(value).filter(([key, inner]) => !key.startsWith('$') && inner !== null);
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutDirectives(inner)]));
}
