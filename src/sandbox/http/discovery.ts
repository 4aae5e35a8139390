/** The paths that tell clients what there is: versions, groups, resources, and as much OpenAPI as kubectl needs. */
import type { Registry } from '../machinery/registry.ts';
import { apiVersionOf, type ResourceType } from '../machinery/resource.ts';
import { json, type Reply } from './respond.ts';

/** What the sandbox claims to be: a version that kubectl 1.32 to 1.34 talks to without a warning about skew. */
export const VERSION = {
  major: '1',
  minor: '33',
  gitVersion: 'v1.33.0+berth-sandbox',
  platform: `${process.platform}/${process.arch}`,
} as const;

/** Answers a path that is about the API and not about its objects; undefined when it is none of these. */
export function discover(pathname: string, registry: Registry, host: string): Reply | undefined {
  const path = pathname.replace(/(.)\/+$/, '$1');
  if (['/healthz', '/livez', '/readyz'].includes(path))
    return { code: 200, body: 'ok', contentType: 'text/plain' };
  const document = documentAt(path, registry, host);
  return document === undefined ? undefined : json(200, document);
}

function documentAt(path: string, registry: Registry, host: string): object | undefined {
  if (path === '/version') return VERSION;
  if (path === '/api') return versions(host);
  if (path === '/apis') return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups(registry) };
  if (path === '/openapi/v3') return openApiIndex(registry);
  if (path === '/openapi/v2') return openApiV2();
  if (path.startsWith('/openapi/v3/')) return openApi(path.slice('/openapi/v3/'.length), registry);
  const [, root, group = '', version = '', ...rest] = path.split('/');
  if (rest.length > 0) return undefined;
  if (root === 'api' && version === '') return resourceList('', group, registry);
  if (root !== 'apis' || group === '') return undefined;
  if (version === '') return groups(registry).find(({ name }) => name === group);
  return resourceList(group, version, registry);
}

function versions(host: string): object {
  const serverAddressByClientCIDRs = [{ clientCIDR: '0.0.0.0/0', serverAddress: host }];
  return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs };
}

function groups(registry: Registry): { name: string }[] {
  const byName = Map.groupBy(
    registry.types.filter(({ group }) => group !== ''),
    ({ group }) => group,
  );
  return [...byName].map(([name, types]) => {
    const distinct = [...new Set(types.map(({ version }) => version))];
    const served = distinct.map((version) => ({ groupVersion: `${name}/${version}`, version }));
    return { kind: 'APIGroup', apiVersion: 'v1', name, versions: served, preferredVersion: served[0] };
  });
}

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

function resourceList(group: string, version: string, registry: Registry): object | undefined {
  const types = registry.types.filter((type) => type.group === group && type.version === version);
  if (types.length === 0) return undefined;
  const resources = types.flatMap((type) => {
    const { plural, singular, namespaced, kind, shortNames, categories } = type;
    const main = {
      name: plural,
      singularName: singular,
      namespaced,
      kind,
      verbs: VERBS,
      ...(shortNames.length > 0 ? { shortNames } : {}),
      ...(categories.length > 0 ? { categories } : {}),
    };
    const status = {
      name: `${plural}/status`,
      singularName: '',
      namespaced,
      kind,
      verbs: ['get', 'patch', 'update'],
    };
    return type.status ? [main, status] : [main];
  });
  const groupVersion = apiVersionOf({ group, version });
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
}

/** `api/v1` or `apis/GROUP/VERSION`. */
function rootOf({ group, version }: Pick<ResourceType, 'group' | 'version'>): string {
  return group === '' ? `api/${version}` : `apis/${group}/${version}`;
}

function openApiIndex(registry: Registry): object {
  const roots = [...new Set(registry.types.map(rootOf))];
  return {
    paths: Object.fromEntries(roots.map((root) => [root, { serverRelativeURL: `/openapi/v3/${root}` }])),
  };
}

/**
 * kubectl looks here for one thing: whether a kind's PATCH knows `fieldValidation` and `dryRun`. If so, it leaves the
 * validation to the server.
 */
function openApi(root: string, registry: Registry): object | undefined {
  const types = registry.types.filter((type) => rootOf(type) === root);
  if (types.length === 0) return undefined;
  const paths = types.map((type) => {
    const place = type.namespaced ? 'namespaces/{namespace}/' : '';
    return [`/${root}/${place}${type.plural}/{name}`, { patch: patchOperation(type) }] as const;
  });
  return { openapi: '3.0.0', info: INFO, paths: Object.fromEntries(paths), components: { schemas: {} } };
}

const INFO = { title: 'Berth sandbox', version: VERSION.gitVersion };

function patchOperation(type: ResourceType): object {
  const { group, version, kind } = type;
  const parameter = (name: string): object => ({
    name,
    in: 'query',
    schema: { type: 'string', uniqueItems: true },
  });
  return {
    operationId: `patch${kind}`,
    parameters: ['dryRun', 'fieldManager', 'fieldValidation', 'force'].map(parameter),
    responses: { 200: { description: 'OK' } },
    'x-kubernetes-action': 'patch',
    'x-kubernetes-group-version-kind': { group, version, kind },
  };
}

function openApiV2(): object {
  return { swagger: '2.0', info: INFO, paths: {}, definitions: {} };
}
