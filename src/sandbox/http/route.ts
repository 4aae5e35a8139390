/** From method and path to what is asked for. */
import type { Registry } from '../machinery/registry.ts';
import type { ResourceType } from '../machinery/resource.ts';
import { methodNotAllowed, noSuchResource } from '../machinery/status.ts';

/** The API's verbs, as RBAC names them. */
export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

/** A request for a resource. `namespace` and `name` are empty where there is none. */
export interface Route {
  readonly type: ResourceType;
  readonly verb: Verb;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
  readonly query: URLSearchParams;
}

interface Parts {
  readonly group: string;
  readonly version: string;
  readonly rest: readonly string[];
}

/** Splits a path into group, version and what follows; undefined when it is no path of the API. */
export function partsOf(pathname: string): Parts | undefined {
  const [root, first = '', second = '', ...others] = pathname
    .split('/')
    .filter((part) => part !== '')
    .map(decode);
  if (root === 'api' && first !== '') {
    return { group: '', version: first, rest: second === '' ? [] : [second, ...others] };
  }
  return root === 'apis' && second !== '' ? { group: first, version: second, rest: others } : undefined;
}

/** True when the path belongs to a group and version that are served. */
export function isServed(registry: Registry, pathname: string): boolean {
  const parts = partsOf(pathname);
  return registry.types.some(({ group, version }) => group === parts?.group && version === parts.version);
}

/** A path that is not properly escaped leads nowhere, but must not bring the server down. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * What the request is about.
 *
 * @throws ApiError 404 for a resource that is not served, 405 for a method that does not fit the path
 */
export function routeOf(registry: Registry, method: string, url: URL): Route {
  const parts = partsOf(url.pathname);
  if (parts === undefined) throw noSuchResource();
  const [scope = '', plural = '', name = '', subresource = ''] = scoped(parts);
  const type = registry.types.find(
    (each) => each.plural === plural && each.group === parts.group && each.version === parts.version,
  );
  const known = subresource === '' || (subresource === 'status' && type?.status);
  if (type === undefined || !known || (scope !== '' && !type.namespaced)) throw noSuchResource();
  const verb = verbOf(method, { name, subresource, watch: isTrue(url.searchParams.get('watch')) });
  if (type.namespaced && scope === '' && name !== '') throw noSuchResource();
  const needsNamespace = type.namespaced && verb !== 'list' && verb !== 'watch';
  if (verb === undefined || (needsNamespace && scope === '')) throw methodNotAllowed();
  return { type, verb, namespace: scope, name, subresource, query: url.searchParams };
}

/** `[namespace, plural, name, subresource]`. `namespaces/NAME` alone is about the namespace itself. */
function scoped({ rest }: Parts): readonly string[] {
  const inside = rest[0] === 'namespaces' && rest.length > 2 && !(rest.length === 3 && rest[2] === 'status');
  return inside ? [rest[1] ?? '', ...rest.slice(2)] : ['', ...rest];
}

/** `true`, `1` and a bare parameter are true, as Go's ParseBool has it. */
export function isTrue(value: string | null): boolean {
  return value !== null && value !== 'false' && value !== '0';
}

function verbOf(
  method: string,
  path: { name: string; subresource: string; watch: boolean },
): Verb | undefined {
  const one = path.name !== '';
  if (path.watch && method === 'GET' && path.subresource === '') return 'watch';
  if (path.subresource !== '' && (method === 'POST' || method === 'DELETE')) return undefined;
  return (one ? ONE : MANY)[method];
}

const ONE: Readonly<Record<string, Verb>> = { GET: 'get', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };
const MANY: Readonly<Record<string, Verb>> = { GET: 'list', POST: 'create', DELETE: 'deletecollection' };
