/** Applies a patch of any kind to a stored object and decodes the result. */
import { type DecodeOptions, report, tryDecode } from './decode.ts';
import type { Json, JsonObject, KubeObject } from './objects.ts';
import { isObject, jsonPatch, mergePatch } from './patch.ts';
import type { ResourceType } from './resource.ts';
import { badRequest, FieldErrors, invalid, unsupportedMediaType } from './status.ts';
import { strategicMerge } from './strategic.ts';

/** The kinds of patch, by content type. Server-side apply is left out. */
export const PATCH_TYPES = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
} as const;

/** How a patch is written. */
export type PatchKind = (typeof PATCH_TYPES)[keyof typeof PATCH_TYPES];

/**
 * The patched object.
 *
 * @throws ApiError 400 for a body that is no patch, 415 for a strategic merge of a custom resource, 422 when the result
 *   does not decode, or has unknown fields under `Strict`
 */
export function applyPatch(
  type: ResourceType,
  patch: { kind: PatchKind; body: Json; target: KubeObject },
  options: DecodeOptions,
): KubeObject {
  const target = patch.target as unknown as JsonObject;
  const patched = patchedJson(type, { ...patch, target });
  if (!isObject(patched)) throw badRequest('the patch does not leave a JSON object');
  const { object, unknown, problem } = tryDecode(type, patched);
  const refuse = (why: string): Error => {
    const errors = new FieldErrors();
    errors.invalid('patch', JSON.stringify(patched), why);
    return invalid(undefined, '', errors.causes);
  };
  if (problem !== undefined) throw refuse(problem);
  report(unknown, options, (text) => refuse(`strict decoding error: ${text}`));
  return structuredClone(object);
}

function patchedJson(type: ResourceType, patch: { kind: PatchKind; body: Json; target: JsonObject }): Json {
  if (patch.kind === 'json') return jsonPatch(patch.target, patch.body);
  if (!isObject(patch.body)) throw badRequest('the patch is not a JSON object');
  if (patch.kind === 'merge') return mergePatch(patch.target, patch.body);
  if (!type.strategicMerge) {
    throw unsupportedMediaType(Object.keys(PATCH_TYPES).filter((each) => !each.includes('strategic')));
  }
  return strategicMerge(patch.target, patch.body, type.schema);
}
