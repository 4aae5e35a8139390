/** JSON merge patch (RFC 7386) and JSON patch (RFC 6902). Strategic merge patches live in `strategic.ts`. */
import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from './objects.ts';
import { ApiError, badRequest } from './status.ts';

/** Applies a JSON merge patch; the target is not changed. RFC 7386 section 2. */
export function mergePatch(target: Json, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key] ?? null, value);
  }
  return result;
}

/** True for JSON objects, false for lists, scalars and null. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly from?: string;
  readonly value?: Json;
}

/**
 * Applies a JSON patch; the target is not changed.
 *
 * @throws ApiError 400 when the patch is not a list of operations, 422 when an operation cannot be applied (a failed
 *   `test`, a path that leads nowhere), as the API server answers.
 */
export function jsonPatch(target: Json, patch: Json): Json {
  if (!Array.isArray(patch) || !patch.every(isOperation)) {
    throw badRequest('json: cannot unmarshal the patch: expected a list of operations with op and path');
  }
  let document = structuredClone(target);
  for (const operation of patch as unknown as Operation[]) document = applyOperation(document, operation);
  return document;
}

function isOperation(value: Json): boolean {
  return isObject(value) && typeof value['op'] === 'string' && typeof value['path'] === 'string';
}

function applyOperation(document: Json, operation: Operation): Json {
  const { op, path } = operation;
  switch (op) {
    case 'test':
      if (!isDeepStrictEqual(read(document, path), operation.value ?? null)) {
        throw refused(`testing value ${path} failed`);
      }
      return document;
    case 'add':
      return write(document, path, { insert: true, value: operation.value ?? null });
    case 'replace':
      if (read(document, path) === undefined)
        throw refused(`replace operation does not apply: doc is missing key: ${path}`);
      return write(document, path, { insert: false, value: operation.value ?? null });
    case 'remove':
      return remove(document, path);
    case 'copy':
    case 'move': {
      const value = read(document, operation.from ?? '');
      if (value === undefined)
        throw refused(`${op} operation does not apply: doc is missing from path: ${operation.from}`);
      const rest = op === 'move' ? remove(document, operation.from ?? '') : document;
      return write(rest, path, { insert: true, value: structuredClone(value) });
    }
    default:
      throw refused(`unexpected kind: ${op}`);
  }
}

function refused(message: string): ApiError {
  return new ApiError(422, 'Invalid', {
    message: `the server rejected our request due to an error in our request: ${message}`,
    details: {},
  });
}

/** RFC 6901: `~1` is a slash, `~0` a tilde. */
function segments(pointer: string): string[] {
  if (pointer === '') return [];
  if (!pointer.startsWith('/')) throw refused(`invalid path: ${pointer}`);
  return pointer
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function step(container: Json | undefined, key: string): Json | undefined {
  if (Array.isArray(container)) return /^\d+$/.test(key) ? container[Number(key)] : undefined;
  return isObject(container) && Object.hasOwn(container, key) ? container[key] : undefined;
}

function read(document: Json, pointer: string): Json | undefined {
  return segments(pointer).reduce<Json | undefined>(step, document);
}

function parentOf(document: Json, pointer: string): { parent: Json[] | JsonObject; key: string } {
  const path = segments(pointer);
  const key = path.pop() ?? '';
  const parent = path.reduce<Json | undefined>(step, document);
  if (!Array.isArray(parent) && !isObject(parent)) throw refused(`doc is missing path: ${pointer}`);
  return { parent, key };
}

function write(document: Json, pointer: string, change: { insert: boolean; value: Json }): Json {
  if (pointer === '') return change.value;
  const { parent, key } = parentOf(document, pointer);
  if (isObject(parent)) {
    Object.defineProperty(parent, key, {
      value: change.value,
      enumerable: true,
      writable: true,
      configurable: true,
    });
    return document;
  }
  const index = key === '-' ? parent.length : Number(key);
  if (!/^(\d+|-)$/.test(key) || index > parent.length) throw refused(`invalid index: ${pointer}`);
  parent.splice(index, change.insert ? 0 : 1, change.value);
  return document;
}

function remove(document: Json, pointer: string): Json {
  const { parent, key } = parentOf(document, pointer);
  if (step(parent, key) === undefined)
    throw refused(`remove operation does not apply: doc is missing key: ${pointer}`);
  if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
  return document;
}
