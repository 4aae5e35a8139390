import assert from 'node:assert/strict';
import type { ContractApi } from '../api.ts';
import { type KubeObject, type List, pathOf, type Service, type Status, unique } from '../objects.ts';
import {
  aNamespace,
  type ContractCase,
  expectRefusal,
  makeService,
  must,
  nextChange,
  patch,
  versionOf,
  watching,
} from '../steps.ts';

async function severalServices(api: ContractApi, names: readonly string[]): Promise<string> {
  const namespace = await aNamespace(api);
  for (const name of names) await makeService(api, {}, { namespace, name, labels: { name } });
  return pathOf('services', namespace);
}

async function namesIn(api: ContractApi, path: string, query: Record<string, string>): Promise<string[]> {
  const { items } = await must<List<KubeObject>>(api, 'GET', path, { query });
  return items.map(({ metadata }) => metadata.name ?? '');
}

const selectors: readonly (readonly [selector: string, picked: readonly string[]])[] = [
  ['name=b', ['b']],
  ['name==b', ['b']],
  ['name!=b', ['a', 'c']],
  ['name in (a,c)', ['a', 'c']],
  ['name notin (a,c)', ['b']],
  ['name', ['a', 'b', 'c']],
  ['!name', []],
  ['name,name!=a', ['b', 'c']],
  ['other=1', []],
];

/** Lists: shape, pages, selectors. */
export const listCases: readonly ContractCase[] = [
  {
    name: 'a list has the kind of its items, a resourceVersion, and items in the order of their names',
    async run(api) {
      const path = await severalServices(api, ['b', 'c', 'a']);
      const list = await must<List<Service>>(api, 'GET', path);
      assert.equal(list.kind, 'ServiceList');
      assert.equal(list.apiVersion, 'v1');
      assert.match(list.metadata.resourceVersion, /^[1-9]\d*$/);
      assert.equal(list.metadata.continue, undefined);
      assert.deepEqual(
        list.items.map(({ metadata }) => metadata.name),
        ['a', 'b', 'c'],
      );
    },
  },
  {
    name: 'the items of a list carry neither kind nor apiVersion',
    async run(api) {
      const { items } = await must<List<Service>>(api, 'GET', await severalServices(api, ['a']));
      assert.equal(items[0]?.kind, undefined);
      assert.equal(items[0]?.apiVersion, undefined);
      assert.equal(items[0]?.metadata.name, 'a');
    },
  },
  {
    name: 'the resourceVersion of a list is at least that of its newest item and grows with every change',
    async run(api) {
      const path = await severalServices(api, ['a']);
      const before = await must<List<Service>>(api, 'GET', path);
      assert.ok(
        BigInt(before.metadata.resourceVersion) >= BigInt(before.items[0]?.metadata.resourceVersion ?? 0),
      );
      await patch(api, `${path}/a`, { metadata: { labels: { x: 'y' } } });
      assert.ok(BigInt(await versionOf(api, path)) > BigInt(before.metadata.resourceVersion));
    },
  },
  {
    name: 'a list of all namespaces contains the Services of each',
    async run(api) {
      const made = [await makeService(api), await makeService(api)];
      const { items } = await must<List<Service>>(api, 'GET', '/api/v1/services');
      for (const { object } of made)
        assert.ok(items.some(({ metadata }) => metadata.uid === object.metadata.uid));
    },
  },
  {
    name: 'a list with a limit comes in pages of one resourceVersion that miss and repeat nothing',
    async run(api) {
      const path = await severalServices(api, ['a', 'b', 'c', 'd', 'e']);
      const pages = await allPages(api, path, '2');
      assert.deepEqual(
        pages.map(({ items }) => items.map(({ metadata }) => metadata.name)),
        [['a', 'b'], ['c', 'd'], ['e']],
      );
      assert.equal(new Set(pages.map(({ metadata }) => metadata.resourceVersion)).size, 1);
      assert.deepEqual(
        pages.map(({ metadata }) => metadata.remainingItemCount),
        [3, 1, undefined],
      );
    },
  },
  {
    name: 'a limit that everything fits into gives one page',
    async run(api) {
      const path = await severalServices(api, ['a', 'b']);
      const list = await must<List<Service>>(api, 'GET', path, { query: { limit: '2' } });
      assert.equal(list.items.length, 2);
      assert.equal(list.metadata.continue, undefined);
      assert.equal(list.metadata.remainingItemCount, undefined);
    },
  },
  {
    name: 'pages work together with a label selector',
    async run(api) {
      const path = await severalServices(api, ['a', 'b', 'c', 'd']);
      const pages = await allPages(api, path, '1', { labelSelector: 'name in (b,d)' });
      assert.deepEqual(
        pages.flatMap(({ items }) => items.map(({ metadata }) => metadata.name)),
        ['b', 'd'],
      );
    },
  },
  {
    name: 'what changes between two pages arrives through a watch from the resourceVersion of the list',
    async run(api) {
      const path = await severalServices(api, ['a', 'b', 'c']);
      const first = await must<List<Service>>(api, 'GET', path, { query: { limit: '2' } });
      await patch(api, `${path}/a`, { metadata: { labels: { x: 'y' } } });
      const rest = { limit: '2', continue: first.metadata.continue! };
      const second = await must<List<Service>>(api, 'GET', path, { query: rest });
      await watching(
        api,
        { path, query: { resourceVersion: second.metadata.resourceVersion } },
        async (watch) => {
          const event = await nextChange(watch);
          assert.equal(event.type, 'MODIFIED');
          assert.equal(event.object.metadata.name, 'a');
        },
      );
    },
  },
  {
    name: 'a continue token that the server did not make answers 400 BadRequest',
    async run(api) {
      const response = await api.request('GET', '/api/v1/services', {
        query: { limit: '1', continue: 'garbage' },
      });
      expectRefusal(response, { code: 400, reason: 'BadRequest' });
    },
  },
  {
    name: 'a list that may be old (resourceVersion=0) answers like any other',
    async run(api) {
      const path = await severalServices(api, ['a']);
      const fresh = await must<List<Service>>(api, 'GET', path);
      assert.equal(fresh.items.length, 1);
      const list = await must<List<Service>>(api, 'GET', path, { query: { resourceVersion: '0' } });
      assert.equal(list.kind, 'ServiceList');
      assert.match(list.metadata.resourceVersion, /^[1-9]\d*$/);
    },
  },
  {
    name: 'a list at least as new as a resourceVersion contains what that version did',
    async run(api) {
      const { collection, object, name } = await makeService(api);
      const query = {
        resourceVersion: object.metadata.resourceVersion!,
        resourceVersionMatch: 'NotOlderThan',
      };
      assert.deepEqual(await namesIn(api, collection, query), [name]);
    },
  },
  ...selectors.map(
    ([selector, picked]) =>
      ({
        name: `the label selector \`${selector}\` picks ${picked.length === 0 ? 'nothing' : picked.join(' and ')} of a, b and c`,
        async run(api) {
          const path = await severalServices(api, ['a', 'b', 'c']);
          assert.deepEqual(await namesIn(api, path, { labelSelector: selector }), picked);
        },
      }) satisfies ContractCase,
  ),
  {
    name: 'the field selector picks by name and namespace',
    async run(api) {
      const path = await severalServices(api, ['a', 'b']);
      const namespace = path.split('/')[4]!;
      assert.deepEqual(await namesIn(api, path, { fieldSelector: 'metadata.name=b' }), ['b']);
      assert.deepEqual(await namesIn(api, path, { fieldSelector: 'metadata.name!=b' }), ['a']);
      const both = `metadata.name=b,metadata.namespace=${namespace}`;
      assert.deepEqual(await namesIn(api, '/api/v1/services', { fieldSelector: both }), ['b']);
      assert.deepEqual(await namesIn(api, path, { fieldSelector: `metadata.namespace=${unique('no')}` }), []);
    },
  },
  {
    name: 'a continue token older than the history answers 410 Expired',
    needs: 'compact',
    async run(api) {
      const path = await severalServices(api, ['a', 'b']);
      const first = await must<List<Service>>(api, 'GET', path, { query: { limit: '1' } });
      await patch(api, `${path}/a`, { metadata: { labels: { x: 'y' } } });
      await api.compact?.();
      const rest = { limit: '1', continue: first.metadata.continue! };
      const response = await api.request('GET', path, { query: rest });
      const status: Status = expectRefusal(response, { code: 410, reason: 'Expired' });
      assert.ok(status.message);
    },
  },
];

async function allPages(
  api: ContractApi,
  path: string,
  ...[limit, query]: [limit: string, query?: Record<string, string>]
): Promise<List<Service>[]> {
  const pages: List<Service>[] = [];
  for (let token: string | undefined = ''; token !== undefined; token = pages.at(-1)?.metadata.continue) {
    const more: Record<string, string> = token === '' ? {} : { continue: token };
    pages.push(await must<List<Service>>(api, 'GET', path, { query: { ...query, limit, ...more } }));
    assert.ok(pages.length < 20, 'the pages do not end');
  }
  return pages;
}
