/** POST, PUT, PATCH and DELETE. */
import { parse as parseYaml } from 'yaml';
import { PATCH_TYPES } from '../machinery/apply-patch.ts';
import type { FieldValidation } from '../machinery/decode.ts';
import { deepFreeze, type Json, type JsonObject, type KubeObject } from '../machinery/objects.ts';
import { isObject } from '../machinery/patch.ts';
import type { DeleteOptions, WriteOptions } from '../machinery/registry.ts';
import {
  type ApiError,
  badRequest,
  FieldErrors,
  invalid,
  unsupportedMediaType,
} from '../machinery/status.ts';
import { Entry } from '../machinery/store.ts';
import { listJson, predicateOf, prefixOf, type ReadContext } from './list.ts';
import { decodeProtobuf, PROTOBUF } from './protobuf.ts';
import { includeObject, json, type Reply, shape } from './respond.ts';
import type { Route } from './route.ts';

/** Everything a write needs beside its route. */
export interface WriteContext extends ReadContext {
  readonly contentType: string;
  readonly body: Buffer;
  readonly warn: (text: string) => void;
}

/** Carries out a write. @throws ApiError */
export function write(route: Route, context: WriteContext): Reply {
  switch (route.verb) {
    case 'create':
      return createOne(route, context);
    case 'update':
      return updateOne(route, context);
    case 'patch':
      return patchOne(route, context);
    case 'delete':
      return deleteOne(route, context);
    default:
      return deleteMany(route, context);
  }
}

function createOne(route: Route, context: WriteContext): Reply {
  const object = context.registry.create(route, readObject(context), optionsOf(route, context));
  return reply(201, { route, object, context });
}

function updateOne(route: Route, context: WriteContext): Reply {
  const { object, created } = context.registry.update(route, readObject(context), optionsOf(route, context));
  return reply(created ? 201 : 200, { route, object, context });
}

function patchOne(route: Route, context: WriteContext): Reply {
  const types: Readonly<Record<string, (typeof PATCH_TYPES)[keyof typeof PATCH_TYPES]>> = PATCH_TYPES;
  const kind = types[context.contentType];
  if (kind === undefined) throw unsupportedMediaType(Object.keys(PATCH_TYPES));
  const body = parseJson(context.body);
  const object = context.registry.patch(route, { kind, body }, optionsOf(route, context));
  return reply(200, { route, object, context });
}

function deleteOne(route: Route, context: WriteContext): Reply {
  const { object, gone } = context.registry.delete(route, deleteOptions(route, context));
  if (!gone || route.type.returnsDeleted) return reply(200, { route, object, context });
  const { group, plural } = route.type;
  const details = {
    name: route.name,
    ...(group === '' ? {} : { group }),
    kind: plural,
    uid: object.metadata.uid,
  };
  return json(200, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details });
}

/** Answers with what was there. Preconditions make no sense here. */
function deleteMany(route: Route, context: WriteContext): Reply {
  const { registry } = context;
  const { dryRun = false } = deleteOptions(route, context);
  const predicate = predicateOf(route);
  const entries = registry.collection(route.type).entries(prefixOf(route));
  const chosen = entries.filter(({ object }) => predicate?.(object) ?? true);
  for (const { object } of chosen) {
    const { namespace = '', name } = object.metadata;
    registry.delete({ type: route.type, namespace, name }, { dryRun });
  }
  const metadata = { resourceVersion: String(registry.store.revision) };
  return { code: 200, body: listJson(route.type, metadata, chosen) };
}

function reply(code: number, answer: { route: Route; object: KubeObject; context: ReadContext }): Reply {
  const { route, object, context } = answer;
  if (context.format === 'object') return { code, body: new Entry(deepFreeze(object)).json };
  const as = { format: context.format, include: includeObject(route.query), now: context.now };
  return json(code, shape(route.type, object, as));
}

function optionsOf(route: Route, { warn }: WriteContext): WriteOptions {
  const validation = route.query.get('fieldValidation') ?? 'Warn';
  if (!['Ignore', 'Warn', 'Strict'].includes(validation)) {
    throw invalidOption(route, {
      field: 'fieldValidation',
      value: validation,
      supported: ['Ignore', 'Warn', 'Strict'],
    });
  }
  return {
    dryRun: isDryRun(route, route.query.getAll('dryRun')),
    fieldValidation: validation as FieldValidation,
    status: route.subresource === 'status',
    warn,
  };
}

function isDryRun(route: Route, values: readonly string[]): boolean {
  for (const value of values)
    if (value !== 'All') throw invalidOption(route, { field: 'dryRun', value, supported: ['All'] });
  return values.length > 0;
}

function invalidOption(
  route: Route,
  option: { field: string; value: string; supported: readonly string[] },
): ApiError {
  const errors = new FieldErrors();
  errors.oneOf(option.field, option.value, option.supported);
  const kind = OPTIONS[route.verb] ?? 'DeleteOptions';
  return invalid({ group: 'meta.k8s.io', plural: '', kind }, '', errors.causes);
}

const OPTIONS: Readonly<Record<string, string>> = {
  create: 'CreateOptions',
  update: 'UpdateOptions',
  patch: 'PatchOptions',
};

/** DeleteOptions come in the body, or in the query when there is no body. */
function deleteOptions(route: Route, context: WriteContext): DeleteOptions {
  const body: JsonObject = context.body.length === 0 ? {} : readObject(context);
  const preconditions = isObject(body['preconditions']) ? body['preconditions'] : {};
  const dryRun = Array.isArray(body['dryRun']) ? body['dryRun'].map(String) : route.query.getAll('dryRun');
  const policy = body['propagationPolicy'] ?? route.query.get('propagationPolicy');
  const policies = ['Foreground', 'Background', 'Orphan'];
  if (typeof policy === 'string' && !policies.includes(policy)) {
    throw invalidOption(route, { field: 'propagationPolicy', value: policy, supported: policies });
  }
  const { uid, resourceVersion } = preconditions;
  return {
    dryRun: isDryRun(route, dryRun),
    ...(typeof uid === 'string' ? { uid } : {}),
    ...(typeof resourceVersion === 'string' ? { resourceVersion } : {}),
  };
}

const JSON_TYPES = ['', 'application/json'];
const YAML_TYPES = ['application/yaml', 'application/x-yaml', 'text/yaml'];

function readObject({ contentType, body }: WriteContext): JsonObject {
  if (contentType === PROTOBUF) return decodeProtobuf(body);
  if (!JSON_TYPES.includes(contentType) && !YAML_TYPES.includes(contentType)) {
    throw unsupportedMediaType(['application/json', 'application/yaml']);
  }
  const value = YAML_TYPES.includes(contentType) ? readYaml(body) : parseJson(body);
  if (!isObject(value)) throw badRequest('the body of the request is not an object');
  return value;
}

function parseJson(body: Buffer): Json {
  try {
    return JSON.parse(body.toString()) as Json;
  } catch (error) {
    throw badRequest(`the body of the request is not JSON: ${(error as Error).message}`);
  }
}

function readYaml(body: Buffer): Json {
  try {
    return parseYaml(body.toString()) as Json;
  } catch (error) {
    throw badRequest(`the body of the request is not YAML: ${(error as Error).message}`);
  }
}
