/** From a request's body to an object: kind and version checked, unknown fields dropped or refused. */
import type { Json, JsonObject, KubeObject } from './objects.ts';
import { isObject } from './patch.ts';
import { apiVersionOf, type ResourceType } from './resource.ts';
import { DecodeError, decode } from './schema.ts';
import { badRequest } from './status.ts';

/** The query parameter `fieldValidation`. */
export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

/** How to decode. */
export interface DecodeOptions {
  readonly fieldValidation?: FieldValidation;
  readonly warn?: (text: string) => void;
}

/**
 * Decodes a body.
 *
 * @throws ApiError 400 for another kind or version, a value of the wrong type, or an unknown field under `Strict`
 */
export function decodeObject(type: ResourceType, body: Json, options: DecodeOptions = {}): KubeObject {
  if (!isObject(body)) throw badRequest('the body of the request is not a JSON object');
  const { object, unknown, problem } = tryDecode(type, body);
  if (problem !== undefined) throw badRequest(problem);
  report(unknown, options, (text) => badRequest(`strict decoding error: ${text}`));
  return object;
}

/** Decodes without throwing. `problem` says what is wrong with kind, version or a value. */
export function tryDecode(
  type: ResourceType,
  body: JsonObject,
): { object: KubeObject; unknown: string[]; problem?: string } {
  const expected = { apiVersion: apiVersionOf(type), kind: type.kind };
  const { apiVersion = expected.apiVersion, kind = expected.kind } = body;
  const unknown: string[] = [];
  const empty = { object: { ...expected, metadata: { name: '' } }, unknown };
  if (apiVersion !== expected.apiVersion) {
    const data = `the API version in the data (${String(apiVersion)})`;
    return { ...empty, problem: `${data} does not match the expected API version (${expected.apiVersion})` };
  }
  if (kind !== expected.kind) {
    return {
      ...empty,
      problem: `the kind in the data (${String(kind)}) does not match the expected kind (${expected.kind})`,
    };
  }
  try {
    const decoded = decode(type.schema, body, { path: '', unknown }) as JsonObject;
    const metadata = {
      name: '',
      ...(decoded['metadata'] as JsonObject | undefined),
    } as KubeObject['metadata'];
    delete (metadata as unknown as JsonObject)['managedFields'];
    delete (metadata as unknown as JsonObject)['selfLink'];
    return { object: { ...decoded, ...expected, metadata }, unknown };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    const what = `${type.kind} in version "${type.version}" cannot be handled as a ${type.kind}`;
    return { ...empty, problem: `${what}: ${error.message}` };
  }
}

/** Treats unknown fields as `fieldValidation` says. */
export function report(
  unknown: readonly string[],
  options: DecodeOptions,
  refuse: (text: string) => Error,
): void {
  const texts = unknown.map((path) => `unknown field "${path}"`);
  if (texts.length === 0) return;
  if (options.fieldValidation === 'Strict') throw refuse(texts.join(', '));
  if (options.fieldValidation === 'Warn') for (const text of texts) options.warn?.(text);
}
