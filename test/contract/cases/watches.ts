import assert from 'node:assert/strict';
import type { ContractEvent, ContractWatch } from '../api.ts';
import { type KubeObject, type Service, type Status } from '../objects.ts';
import {
  type ContractCase,
  makeService,
  must,
  nextChange,
  nextEvent,
  patch,
  versionOf,
  watching,
  within,
} from '../steps.ts';

/** Reads `count` changes: type and name of each. */
async function changes(watch: ContractWatch, count: number): Promise<string[]> {
  const seen: string[] = [];
  while (seen.length < count) {
    const { type, object } = await nextChange(watch);
    seen.push(`${type} ${object.metadata.name}`);
  }
  return seen;
}

const label = (value: string): object => ({ metadata: { labels: { a: value } } });

/** Watches. */
export const watchCases: readonly ContractCase[] = [
  {
    name: 'a watch from the resourceVersion of a list tells what happens after it, in order',
    async run(api) {
      const { collection, namespace, path, name } = await makeService(api);
      await watching(
        api,
        { path: collection, query: { resourceVersion: await versionOf(api, collection) } },
        async (watch) => {
          assert.equal(watch.status, 200);
          const other = await makeService(api, {}, { namespace });
          await patch(api, path, label('1'));
          await must(api, 'DELETE', path);
          const expected = [`ADDED ${other.name}`, `MODIFIED ${name}`, `DELETED ${name}`];
          assert.deepEqual(await changes(watch, 3), expected);
        },
      );
    },
  },
  {
    name: 'the object of an event is whole, with kind, apiVersion and the resourceVersion of the change',
    async run(api) {
      const { collection, path, object } = await makeService(api);
      const resourceVersion = object.metadata.resourceVersion!;
      await watching(api, { path: collection, query: { resourceVersion } }, async (watch) => {
        const changed = await patch(api, path, label('1'));
        assert.deepEqual((await nextChange(watch)).object, changed);
        await must(api, 'DELETE', path);
        const { object: last } = await nextChange(watch);
        assert.equal(last.metadata.uid, object.metadata.uid);
        assert.deepEqual(last.spec, changed.spec);
        assert.ok(BigInt(last.metadata.resourceVersion!) > BigInt(changed.metadata.resourceVersion!));
      });
    },
  },
  {
    name: 'a watch without resourceVersion begins with everything that is there as ADDED',
    async run(api) {
      const first = await makeService(api);
      const second = await makeService(api, {}, { namespace: first.namespace });
      await watching(api, { path: first.collection }, async (watch) => {
        const there = await changes(watch, 2);
        assert.deepEqual(there.toSorted(), [`ADDED ${first.name}`, `ADDED ${second.name}`].toSorted());
        await patch(api, first.path, label('1'));
        assert.deepEqual(await changes(watch, 1), [`MODIFIED ${first.name}`]);
      });
    },
  },
  {
    name: 'a watch from an earlier resourceVersion first tells what was missed',
    async run(api) {
      const { collection, path, name, object } = await makeService(api);
      await patch(api, path, label('1'));
      await must(api, 'DELETE', path);
      const query = { resourceVersion: object.metadata.resourceVersion! };
      await watching(api, { path: collection, query }, async (watch) => {
        assert.deepEqual(await changes(watch, 2), [`MODIFIED ${name}`, `DELETED ${name}`]);
      });
    },
  },
  {
    name: 'a patch that changes nothing causes no event, a patch of the status causes one',
    async run(api) {
      const { collection, path, object } = await makeService(api);
      const query = { resourceVersion: object.metadata.resourceVersion! };
      await watching(api, { path: collection, query }, async (watch) => {
        await patch(api, path, {});
        await patch(api, `${path}/status`, { status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } } });
        const { type, object: seen } = await nextChange(watch);
        assert.equal(type, 'MODIFIED');
        assert.equal(seen.status?.loadBalancer?.ingress?.[0]?.ip, '192.0.2.1');
      });
    },
  },
  {
    name: 'deleting what has a finalizer is MODIFIED, and DELETED when the last one goes',
    async run(api) {
      const { collection, path, object } = await makeService(api, {}, { finalizers: ['example.com/a'] });
      const query = { resourceVersion: object.metadata.resourceVersion! };
      await watching(api, { path: collection, query }, async (watch) => {
        await must(api, 'DELETE', path);
        const marked = await nextChange(watch);
        assert.equal(marked.type, 'MODIFIED');
        assert.ok(marked.object.metadata.deletionTimestamp);
        await patch(api, path, { metadata: { finalizers: null } });
        const gone = await nextChange(watch);
        assert.equal(gone.type, 'DELETED');
        assert.equal(gone.object.metadata.uid, object.metadata.uid);
      });
    },
  },
  {
    name: 'a watch of one namespace does not tell about others, a watch of all does',
    async run(api) {
      const here = await makeService(api);
      const from = { resourceVersion: await versionOf(api, '/api/v1/services') };
      await watching(api, { path: here.collection, query: from }, async (one) => {
        await watching(api, { path: '/api/v1/services', query: from }, async (all) => {
          const there = await makeService(api);
          await patch(api, here.path, label('1'));
          assert.deepEqual(await changes(one, 1), [`MODIFIED ${here.name}`]);
          assert.deepEqual(await changes(all, 2), [`ADDED ${there.name}`, `MODIFIED ${here.name}`]);
        });
      });
    },
  },
  {
    name: 'a watch with the field selector metadata.name tells about that object only',
    async run(api) {
      const { collection, namespace, path, name, object } = await makeService(api);
      const query = {
        resourceVersion: object.metadata.resourceVersion!,
        fieldSelector: `metadata.name=${name}`,
      };
      await watching(api, { path: collection, query }, async (watch) => {
        await makeService(api, {}, { namespace });
        await patch(api, path, label('1'));
        assert.deepEqual(await changes(watch, 1), [`MODIFIED ${name}`]);
      });
    },
  },
  {
    name: 'an object that begins to match a label selector is ADDED, one that ceases to is DELETED',
    async run(api) {
      const { collection, path, name, object } = await makeService(api, {}, { labels: { a: '1' } });
      const query = { resourceVersion: object.metadata.resourceVersion!, labelSelector: 'a=2' };
      await watching(api, { path: collection, query }, async (watch) => {
        for (const value of ['2', '3']) await patch(api, path, label(value));
        assert.deepEqual(await changes(watch, 2), [`ADDED ${name}`, `DELETED ${name}`]);
      });
    },
  },
  {
    name: 'a watch that asked for bookmarks gets one before it times out, newer than what it saw, and can resume there',
    async run(api) {
      const { collection, path, object } = await makeService(api);
      const query = {
        resourceVersion: object.metadata.resourceVersion!,
        timeoutSeconds: '5',
        allowWatchBookmarks: 'true',
      };
      await watching(api, { path: collection, query }, async (watch) => {
        const elsewhere = (await makeService(api)).object.metadata.resourceVersion!;
        const events: ContractEvent<KubeObject>[] = [];
        for await (const event of watch) events.push(event as ContractEvent<KubeObject>);
        assert.ok(events.length > 0, 'no bookmark came');
        assert.ok(events.every(({ type }) => type === 'BOOKMARK'));
        const { object: bookmark } = events.at(-1)!;
        assert.equal(bookmark.kind, 'Service');
        assert.ok(BigInt(bookmark.metadata.resourceVersion!) >= BigInt(elsewhere));
        const from = { resourceVersion: bookmark.metadata.resourceVersion! };
        await watching(api, { path: collection, query: from }, async (resumed) => {
          await patch(api, path, label('1'));
          assert.equal((await nextChange(resumed)).type, 'MODIFIED');
        });
      });
    },
  },
  {
    name: 'a watch that did not ask for bookmarks ends without any',
    async run(api) {
      const { collection, object } = await makeService(api);
      const query = { resourceVersion: object.metadata.resourceVersion!, timeoutSeconds: '1' };
      await watching(api, { path: collection, query }, async (watch) => {
        const { done } = await within(watch.next(), 'the watch to end');
        assert.equal(done, true);
      });
    },
  },
  {
    name: 'a watch from a resourceVersion older than the history answers 410, reason Expired',
    needs: 'compact',
    async run(api) {
      const { collection, object } = await makeService(api);
      await patch(api, `${collection}/${object.metadata.name}`, label('1'));
      await api.compact?.();
      const query = { resourceVersion: object.metadata.resourceVersion! };
      await watching(api, { path: collection, query }, async (watch) => {
        const { type, object: status } = await nextEvent<Status>(watch);
        assert.equal(type, 'ERROR');
        assert.equal(status.kind, 'Status');
        assert.equal(status.code, 410);
        assert.equal(status.reason, 'Expired');
      });
    },
  },
  {
    name: 'watch=1 asks for a watch too, and its events are one JSON object a line',
    async run(api) {
      const { collection, object } = await makeService(api);
      const response = await api.request('GET', collection, { query: { watch: '1', timeoutSeconds: '1' } });
      assert.equal(response.status, 200);
      assert.match(String(response.headers['content-type']), /^application\/json/);
      assert.deepEqual(JSON.parse(response.text.trimEnd()), { type: 'ADDED', object });
      assert.ok(response.text.endsWith('\n'));
    },
  },
  {
    name: 'fifty changes in a row reach several watches complete and in order',
    async run(api) {
      const { collection, path, object } = await makeService(api);
      const target = { path: collection, query: { resourceVersion: object.metadata.resourceVersion! } };
      await watching(api, target, async (one) => {
        await watching(api, target, async (other) => {
          const versions: (string | undefined)[] = [];
          for (let n = 0; n < 50; n++)
            versions.push((await patch(api, path, label(String(n)))).metadata.resourceVersion);
          for (const watch of [one, other]) {
            const seen: (string | undefined)[] = [];
            while (seen.length < 50)
              seen.push((await nextChange<Service>(watch)).object.metadata.resourceVersion);
            assert.deepEqual(seen, versions);
          }
        });
      });
    },
  },
];
