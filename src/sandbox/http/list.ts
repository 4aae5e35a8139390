/** GET of one object and of lists: selectors, pages that show one moment, tables. */
import type { Registry } from '../machinery/registry.ts';
import { apiVersionOf, type ResourceType } from '../machinery/resource.ts';
import { fieldSelector, labelSelector, metadataFields, type Predicate } from '../machinery/selectors.ts';
import { ApiError, badRequest, expired, FieldErrors } from '../machinery/status.ts';
import type { Entry } from '../machinery/store.ts';
import { partialMetadata, table } from '../machinery/table.ts';
import { type Format, includeObject, json, type Reply, shape } from './respond.ts';
import type { Route } from './route.ts';

/** Everything a read needs beside its route. */
export interface ReadContext {
  readonly registry: Registry;
  readonly format: Format;
  readonly now: number;
}

/** GET of one object. @throws ApiError 404 */
export function getOne(route: Route, { registry, format, now }: ReadContext): Reply {
  const entry = registry.get(route);
  if (format === 'object') return { code: 200, body: entry.json };
  return json(200, shape(route.type, entry.object, { format, include: includeObject(route.query), now }));
}

/** The selectors of a list or watch. @throws ApiError 400 */
export function predicateOf({
  type,
  query,
  name,
}: Pick<Route, 'type' | 'query' | 'name'>): Predicate | undefined {
  const labels = query.get('labelSelector') ?? '';
  const fields = query.get('fieldSelector') ?? '';
  const { known, fields: own } = type.selectable;
  const tests: Predicate[] = [];
  if (labels !== '') tests.push(labelSelector(labels));
  if (fields !== '') {
    tests.push(
      fieldSelector(fields, {
        known: ['metadata.name', ...(type.namespaced ? ['metadata.namespace'] : []), ...known],
        fields: known.length > 0 ? own : metadataFields,
      }),
    );
  }
  if (name !== '') tests.push((object) => object.metadata.name === name);
  return tests.length === 0 ? undefined : (object) => tests.every((test) => test(object));
}

/** The key prefix of a namespace, or of everything. */
export function prefixOf(route: Pick<Route, 'namespace'>): string {
  return route.namespace === '' ? '' : `${route.namespace}/`;
}

interface Page {
  readonly entries: readonly Entry[];
  readonly revision: number;
  readonly next?: string;
  readonly remaining?: number;
}

/** GET of a collection. @throws ApiError 400, 410 (the page's moment is forgotten), 504 (version from the future) */
export function getList(route: Route, context: ReadContext): Reply {
  const { type } = route;
  const page = pageOf(route, context.registry);
  const metadata = {
    resourceVersion: String(page.revision),
    ...(page.next === undefined ? {} : { continue: page.next }),
    ...(page.remaining === undefined ? {} : { remainingItemCount: page.remaining }),
  };
  const objects = page.entries.map(({ object }) => object);
  if (context.format === 'table') {
    const include = includeObject(route.query);
    return json(
      200,
      table({ columns: type.columns, objects, metadata, include, headers: true, now: context.now }),
    );
  }
  if (context.format === 'metadata') {
    const items = objects.map(partialMetadata);
    return json(200, { kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1', metadata, items });
  }
  return { code: 200, body: listJson(type, metadata, page.entries) };
}

/** A list in JSON, put together from the JSON of its items. Items of built-in kinds carry no kind, as in Go's lists. */
export function listJson(
  type: ResourceType,
  metadata: object,
  entries: readonly Pick<Entry, 'json' | 'bare'>[],
): string {
  const builtIn = type.strategicMerge;
  const items = entries.map((entry) => (builtIn ? entry.bare : entry.json)).join(',');
  const head = JSON.stringify({ kind: `${type.kind}List`, apiVersion: apiVersionOf(type), metadata });
  return `${head.slice(0, -1)},"items":[${items}]}`;
}

function pageOf(route: Route, registry: Registry): Page {
  const { query } = route;
  forbidInitialEvents(query);
  const limit = readCount(query.get('limit') ?? '');
  readCount(query.get('timeoutSeconds') ?? '');
  const token = query.get('continue') ?? '';
  const from = token === '' ? { revision: exactRevision(query, limit), after: '' } : readToken(token);
  const revision = from.revision ?? registry.store.revision;
  tooNew(query.get('resourceVersion') ?? '', registry.store.revision);
  const all = registry.collection(route.type).entriesAt(revision, prefixOf(route));
  if (all === undefined) throw expired(token === '' ? tooOld(revision) : CONTINUE_TOO_OLD);
  const predicate = predicateOf(route);
  const matching = predicate ? all.filter(({ object }) => predicate(object)) : all;
  const start = from.after === '' ? 0 : matching.findIndex(({ key }) => key > from.after);
  const rest = start < 0 ? [] : matching.slice(start);
  if (limit <= 0 || rest.length <= limit) return { entries: rest, revision };
  const entries = rest.slice(0, limit);
  return {
    entries,
    revision,
    next: writeToken({ revision, after: entries.at(-1)?.key ?? '' }),
    // With selectors the server does not count what is left.
    ...(predicate ? {} : { remaining: rest.length - limit }),
  };
}

/** A list shows the newest state, unless exactly one version was asked for; with a limit, a version means exactly that. */
function exactRevision(query: URLSearchParams, limit: number): number | undefined {
  const version = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  validateMatch(match, version);
  const revision = readRevision(version);
  if (revision === 0) return undefined;
  return match === 'Exact' || (match === '' && limit > 0) ? revision : undefined;
}

function forbidInitialEvents(query: URLSearchParams): void {
  if (!query.has('sendInitialEvents')) return;
  const errors = new FieldErrors();
  errors.forbidden('sendInitialEvents', 'sendInitialEvents is forbidden for list');
  errors.throwIfAny(LIST_OPTIONS, '');
}

function validateMatch(match: string, version: string): void {
  const errors = new FieldErrors();
  if (match !== '' && version === '') {
    const why = 'resourceVersionMatch is forbidden unless resourceVersion is provided';
    errors.forbidden('resourceVersionMatch', why);
  } else if (match === 'Exact' && version === '0') {
    errors.forbidden(
      'resourceVersionMatch',
      'resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
    );
  } else errors.oneOf('resourceVersionMatch', match, ['Exact', 'NotOlderThan', '']);
  errors.throwIfAny(LIST_OPTIONS, '');
}

/** How errors name the options of a list or watch. */
export const LIST_OPTIONS = { group: 'meta.k8s.io', plural: '', kind: 'ListOptions' };

/** A whole number; 0 when there is none. @throws ApiError 400 */
export function readCount(text: string): number {
  if (!/^-?\d*$/.test(text))
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

/** A resourceVersion as a number; 0 when there is none. @throws ApiError 400 */
export function readRevision(version: string): number {
  if (!/^\d*$/.test(version)) throw badRequest(`invalid resource version: ${JSON.stringify(version)}`);
  return Number(version);
}

function tooNew(version: string, current: number): void {
  if (readRevision(version) <= current) return;
  throw new ApiError(504, 'Timeout', {
    message: `Timeout: Too large resource version: ${version}, current: ${current}`,
    details: {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    },
  });
}

/** What a watch or list is told whose version is forgotten. */
export function tooOld(revision: number): string {
  return `The resourceVersion for the provided watch is too old: ${revision}`;
}

const CONTINUE_TOO_OLD =
  'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.';

function writeToken(token: { revision: number; after: string }): string {
  return Buffer.from(
    JSON.stringify({ v: 'meta.k8s.io/v1', rv: token.revision, start: token.after }),
  ).toString('base64url');
}

function readToken(token: string): { revision: number; after: string } {
  try {
    const { rv, start } = JSON.parse(Buffer.from(token, 'base64url').toString()) as {
      rv: unknown;
      start: unknown;
    };
    if (typeof rv === 'number' && typeof start === 'string') return { revision: rv, after: start };
  } catch {
    // Falls through to the refusal.
  }
  throw badRequest('continue key is not valid');
}
