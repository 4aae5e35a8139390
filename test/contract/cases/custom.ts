import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContractApi } from '../api.ts';
import { type KubeObject, type List, type Table, unique } from '../objects.ts';
import {
  aNamespace,
  type ContractCase,
  expectRefusal,
  get,
  make,
  mergePatch,
  must,
  nextChange,
  patch,
  strategicPatch,
  tableFormat,
  watching,
} from '../steps.ts';

/** The custom resource that the cases use: namespaced, with a status subresource and one printed column. */
export const contractResource = {
  group: 'contract.berth.dev',
  version: 'v1',
  plural: 'pools',
  singular: 'pool',
  kind: 'Pool',
  status: true,
  columns: [{ name: 'Range', path: 'spec.range' }],
} as const;

const { group, version, plural, singular, kind } = contractResource;
const apiVersion = `${group}/${version}`;

interface Pool extends KubeObject {
  readonly spec: { readonly range?: string; readonly extra?: unknown };
  readonly status?: { readonly used?: number };
}

const aPool = (spec: Pool['spec'] = { range: '192.0.2.0/24' }): Pool => ({
  apiVersion,
  kind,
  metadata: { name: unique(singular) },
  spec,
});

const poolsPath = (namespace: string): string => `/apis/${apiVersion}/namespaces/${namespace}/${plural}`;

/** Has a real API server serve `contractResource`, by a CustomResourceDefinition. @throws Error after 10 s */
export async function installContractResource(api: ContractApi): Promise<void> {
  const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const schema = { openAPIV3Schema: { type: 'object', properties: { spec: open, status: open } } };
  const additionalPrinterColumns = [
    ...contractResource.columns.map(({ name, path }) => ({ name, type: 'string', jsonPath: `.${path}` })),
    { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ];
  const served = { name: version, served: true, storage: true, subresources: { status: {} } };
  const spec = {
    group,
    scope: 'Namespaced',
    names: { plural, singular, kind, listKind: `${kind}List` },
    versions: [{ ...served, schema, additionalPrinterColumns }],
  };
  const body = { metadata: { name: `${plural}.${group}` }, spec };
  await must(api, 'POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', { body });
  for (let attempt = 0; attempt < 200; attempt++) {
    if ((await api.request('GET', `/apis/${apiVersion}/${plural}`)).status === 200) return;
    await sleep(50);
  }
  throw new Error(`${plural}.${group} is still not served 10 s after its definition was created.`);
}

/** Custom resources, on a server that serves `contractResource`. */
export const customCases: readonly ContractCase[] = [
  {
    name: 'a custom resource keeps its spec, loses its status and has generation 1',
    async run(api) {
      const body = { ...aPool({ range: '192.0.2.0/24', extra: [{ a: 1 }] }), status: { used: 9 } };
      const { object, path } = await make<Pool>(api, poolsPath(await aNamespace(api)), body);
      assert.equal(object.kind, kind);
      assert.equal(object.apiVersion, apiVersion);
      assert.equal(object.metadata.generation, 1);
      assert.deepEqual(object.spec, body.spec);
      assert.equal(object.status, undefined);
      assert.deepEqual(await get<Pool>(api, path), object);
    },
  },
  {
    name: 'the generation counts changes of the spec, not of metadata or status',
    async run(api) {
      const { path } = await make<Pool>(api, poolsPath(await aNamespace(api)), aPool());
      const generation = async (where: string, body: unknown) =>
        (await patch<Pool>(api, where, body)).metadata.generation;
      assert.equal(await generation(path, { metadata: { labels: { a: 'b' } } }), 1);
      assert.equal(await generation(`${path}/status`, { status: { used: 1 } }), 1);
      assert.equal(await generation(path, { spec: { range: '198.51.100.0/24' } }), 2);
    },
  },
  {
    name: 'a patch of the status of a custom resource changes neither spec nor metadata, and the other way round',
    async run(api) {
      const { path, object } = await make<Pool>(api, poolsPath(await aNamespace(api)), aPool());
      const body = { metadata: { labels: { a: 'b' } }, spec: { range: 'x' }, status: { used: 1 } };
      const after = await patch<Pool>(api, `${path}/status`, body);
      assert.deepEqual(after.spec, object.spec);
      assert.equal(after.metadata.labels, undefined);
      assert.deepEqual(after.status, { used: 1 });
      const later = await patch<Pool>(api, path, { spec: { range: 'x' }, status: { used: 2 } });
      assert.deepEqual([later.spec.range, later.status?.used], ['x', 1]);
    },
  },
  {
    name: 'a custom resource takes no strategic merge patch and no PUT without resourceVersion',
    async run(api) {
      const { path, object } = await make<Pool>(api, poolsPath(await aNamespace(api)), aPool());
      const response = await api.request('PATCH', path, { body: { spec: {} }, contentType: strategicPatch });
      expectRefusal(response, { code: 415, reason: 'UnsupportedMediaType' });
      const { resourceVersion: _, ...metadata } = object.metadata;
      const put = await api.request('PUT', path, { body: { ...object, metadata } });
      expectRefusal(put, { code: 422, reason: 'Invalid', field: 'metadata.resourceVersion' });
    },
  },
  {
    name: 'the resourceVersion is a precondition for custom resources',
    async run(api) {
      const { path, object } = await make<Pool>(api, poolsPath(await aNamespace(api)), aPool());
      await patch(api, path, { metadata: { labels: { a: 'b' } } });
      const body = { metadata: { resourceVersion: object.metadata.resourceVersion }, spec: { range: 'x' } };
      const response = await api.request('PATCH', path, { body, contentType: mergePatch });
      expectRefusal(response, { code: 409, reason: 'Conflict' });
    },
  },
  {
    name: 'the items of a list of custom resources carry kind and apiVersion',
    async run(api) {
      const collection = poolsPath(await aNamespace(api));
      await make<Pool>(api, collection, aPool());
      const list = await must<List<Pool>>(api, 'GET', collection);
      assert.equal(list.kind, `${kind}List`);
      assert.equal(list.apiVersion, apiVersion);
      assert.deepEqual(
        list.items.map((item) => [item.kind, item.apiVersion]),
        [[kind, apiVersion]],
      );
    },
  },
  {
    name: 'custom resources are watched, and go with their last finalizer',
    async run(api) {
      const collection = poolsPath(await aNamespace(api));
      const pool = { ...aPool(), metadata: { name: unique(singular), finalizers: ['example.com/a'] } };
      const { path, object } = await make<Pool>(api, collection, pool);
      const query = { resourceVersion: object.metadata.resourceVersion!, allowWatchBookmarks: 'true' };
      await watching(api, { path: `/apis/${apiVersion}/${plural}`, query }, async (watch) => {
        await must(api, 'DELETE', path);
        const marked = await nextChange<Pool>(watch);
        assert.equal(marked.type, 'MODIFIED');
        assert.ok(marked.object.metadata.deletionTimestamp);
        await patch(api, path, { metadata: { finalizers: null } });
        assert.equal((await nextChange<Pool>(watch)).type, 'DELETED');
      });
      expectRefusal(await api.request('GET', path), { code: 404, reason: 'NotFound' });
    },
  },
  {
    name: 'a refusal about a custom resource names its group and resource',
    async run(api) {
      const name = unique('absent');
      const response = await api.request('GET', `${poolsPath(await aNamespace(api))}/${name}`);
      const status = expectRefusal(response, { code: 404, reason: 'NotFound' });
      assert.deepEqual(status.details, { name, group, kind: plural });
      assert.equal(status.message, `${plural}.${group} "${name}" not found`);
    },
  },
  {
    name: 'a table of custom resources has the columns of their definition',
    async run(api) {
      const collection = poolsPath(await aNamespace(api));
      const { name } = await make<Pool>(api, collection, aPool());
      const table = await must<Table>(api, 'GET', collection, { accept: tableFormat });
      const names = table.columnDefinitions
        .filter(({ priority }) => priority === 0)
        .map((column) => column.name);
      assert.deepEqual(names, ['Name', 'Range', 'Age']);
      assert.deepEqual(table.rows[0]?.cells.slice(0, 2), [name, '192.0.2.0/24']);
    },
  },
  {
    name: 'the group of a custom resource is discovered with its verbs and its status',
    async run(api) {
      const groups = await get<{ groups: { name: string }[] }>(api, '/apis');
      assert.ok(groups.groups.some(({ name }) => name === group));
      const { resources } = await get<{
        resources: { name: string; kind: string; namespaced: boolean; verbs: string[] }[];
      }>(api, `/apis/${apiVersion}`);
      const found = resources.find(({ name }) => name === plural);
      assert.deepEqual([found?.kind, found?.namespaced], [kind, true]);
      for (const verb of ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch']) {
        assert.ok(found?.verbs.includes(verb), verb);
      }
      assert.ok(resources.some(({ name }) => name === `${plural}/status`));
    },
  },
];
