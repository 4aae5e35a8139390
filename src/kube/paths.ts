import { InvalidSpec } from '../model/errors.ts';

/** What a request is about, taken from its path: the words that audit logs and dashboards use. */
export interface PathParts {
  /** `services`, `leases`, ...; `""` for paths that are no resource, such as `/version`. */
  readonly resource: string;
  /** `status`, `proxy`, ...; `""` for the resource itself. */
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
}

/**
 * Takes a resource path apart: `/api/v1/...` or `/apis/GROUP/VERSION/...`
 * (Kubernetes API concepts, "Resource URIs").
 */
export function describePath(path: string): PathParts {
  const nothing = { resource: '', subresource: '', namespace: '', name: '' };
  const [, root, ...rest] = path.split('/');
  if (root !== 'api' && root !== 'apis') return nothing;
  const parts = rest.slice(root === 'api' ? 1 : 2);
  if (parts[0] === 'namespaces' && parts.length > 2 && parts[2] !== 'status' && parts[2] !== 'finalize') {
    const [, namespace = '', resource = '', name = '', subresource = ''] = parts;
    return {
      resource,
      subresource,
      namespace: decodeURIComponent(namespace),
      name: decodeURIComponent(name),
    };
  }
  const [resource = '', name = '', subresource = ''] = parts;
  return { resource, subresource, namespace: '', name: decodeURIComponent(name) };
}

/** The verb of the request as RBAC names it. */
export function verbOf(method: string, parts: PathParts, watching: boolean): string {
  if (method === 'GET')
    return watching ? 'watch' : parts.name === '' && parts.resource !== '' ? 'list' : 'get';
  return { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' }[method] ?? method.toLowerCase();
}

/**
 * A resource path. Values are percent-encoded, so that a name from outside cannot leave its place in the path.
 * @throws InvalidSpec for the names `.` and `..`, which no encoding protects and which no object can have.
 */
export function resourcePath(
  api: string,
  resource: string,
  at: { readonly namespace?: string; readonly name?: string; readonly subresource?: string } = {},
): string {
  const namespace = at.namespace === undefined ? '' : `/namespaces/${segment(at.namespace)}`;
  const name = at.name === undefined ? '' : `/${segment(at.name)}`;
  return `${api}${namespace}/${resource}${name}${at.subresource === undefined ? '' : `/${at.subresource}`}`;
}

function segment(name: string): string {
  if (name === '' || name === '.' || name === '..') {
    throw new InvalidSpec('InvalidName', {
      message: `"${name}" is no name of a Kubernetes object`,
      remedy: 'Names consist of lower case letters, digits, "-" and "."',
    });
  }
  return encodeURIComponent(name);
}
