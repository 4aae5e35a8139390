import assert from 'node:assert/strict';
import { aService, type List, pathOf, type Service } from '../objects.ts';
import {
  aNamespace,
  type ContractCase,
  expectRefusal,
  get,
  make,
  makeService,
  mergePatch,
  must,
  patch,
  strategicPatch,
} from '../steps.ts';

const ours = 'berth.dev/load-balancer';
const theirs = 'example.com/other';

/** Deletion, and what finalizers do to it. */
export const deleteCases: readonly ContractCase[] = [
  {
    name: 'a deleted Service answers with its last state and is gone',
    async run(api) {
      const { path, object } = await makeService(api);
      const body = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background' };
      const deleted = await must<Service>(api, 'DELETE', path, { body });
      assert.equal(deleted.metadata.uid, object.metadata.uid);
      expectRefusal(await api.request('GET', path), { code: 404, reason: 'NotFound' });
      expectRefusal(await api.request('DELETE', path), { code: 404, reason: 'NotFound' });
    },
  },
  {
    name: 'a Service made again under the same name has a new uid',
    async run(api) {
      const { path, collection, name, object } = await makeService(api);
      await must(api, 'DELETE', path);
      const again = await make<Service>(api, collection, aService({}, { name }));
      assert.notEqual(again.object.metadata.uid, object.metadata.uid);
    },
  },
  {
    name: 'deleting a Service with a finalizer only sets deletionTimestamp',
    async run(api) {
      const { path, object } = await makeService(api, {}, { finalizers: [ours] });
      const deleted = await must<Service>(api, 'DELETE', path);
      assert.match(deleted.metadata.deletionTimestamp ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      const after = await get(api, path);
      assert.equal(after.metadata.deletionTimestamp, deleted.metadata.deletionTimestamp);
      assert.notEqual(after.metadata.resourceVersion, object.metadata.resourceVersion);
      assert.deepEqual(after.spec, object.spec);
      await patch(api, path, { metadata: { finalizers: null } });
    },
  },
  {
    name: 'deleting a second time changes nothing',
    async run(api) {
      const { path } = await makeService(api, {}, { finalizers: [ours] });
      await must(api, 'DELETE', path);
      const first = await get(api, path);
      await must(api, 'DELETE', path);
      assert.deepEqual(await get(api, path), first);
      await patch(api, path, { metadata: { finalizers: null } });
    },
  },
  {
    name: 'a Service that is being deleted goes with its last finalizer, not before',
    async run(api) {
      const { path } = await makeService(api, {}, { finalizers: [ours, theirs] });
      await must(api, 'DELETE', path);
      const one = await patch(api, path, { metadata: { finalizers: [theirs] } });
      assert.deepEqual(one.metadata.finalizers, [theirs]);
      assert.deepEqual((await get(api, path)).metadata.finalizers, [theirs]);
      await patch(api, path, { metadata: { finalizers: [] } });
      expectRefusal(await api.request('GET', path), { code: 404, reason: 'NotFound' });
    },
  },
  {
    name: 'a finalizer is removed alone by a strategic merge patch',
    async run(api) {
      const { path } = await makeService(api, {}, { finalizers: [ours, theirs] });
      const body = { metadata: { '$deleteFromPrimitiveList/finalizers': [ours] } };
      const after = await must<Service>(api, 'PATCH', path, { body, contentType: strategicPatch });
      assert.deepEqual(after.metadata.finalizers, [theirs]);
      await patch(api, path, { metadata: { finalizers: null } });
    },
  },
  {
    name: 'removing finalizers of a Service that is not being deleted leaves it there',
    async run(api) {
      const { path } = await makeService(api, {}, { finalizers: [ours] });
      const after = await patch(api, path, { metadata: { finalizers: null } });
      assert.equal(after.metadata.finalizers, undefined);
      assert.equal((await get(api, path)).metadata.uid, after.metadata.uid);
    },
  },
  {
    name: 'a Service that is being deleted takes no new finalizer',
    async run(api) {
      const { path } = await makeService(api, {}, { finalizers: [theirs] });
      await must(api, 'DELETE', path);
      const body = { metadata: { finalizers: [theirs, ours] } };
      const response = await api.request('PATCH', path, { body, contentType: mergePatch });
      expectRefusal(response, {
        code: 422,
        reason: 'Invalid',
        field: 'metadata.finalizers',
        cause: 'FieldValueForbidden',
      });
      await patch(api, path, { metadata: { finalizers: null } });
    },
  },
  {
    name: 'spec, status and annotations of a Service that is being deleted can still change',
    async run(api) {
      const { path } = await makeService(api, {}, { finalizers: [ours] });
      await must(api, 'DELETE', path);
      const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] } };
      const after = await patch(api, `${path}/status`, { metadata: { annotations: { a: 'b' } }, status });
      assert.deepEqual(after.status, status);
      assert.deepEqual(after.metadata.annotations, { a: 'b' });
      assert.equal((await patch(api, path, { spec: { type: 'ClusterIP' } })).spec.type, 'ClusterIP');
      await patch(api, path, { metadata: { finalizers: null } });
    },
  },
  {
    name: 'deletionTimestamp cannot be taken back or set by a patch',
    async run(api) {
      const { path } = await makeService(api, {}, { finalizers: [ours] });
      const body = { metadata: { deletionTimestamp: '2001-01-01T00:00:00Z' } };
      const response = await api.request('PATCH', path, { body, contentType: mergePatch });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'metadata.deletionTimestamp' });
      await must(api, 'DELETE', path);
      const { metadata } = await get(api, path);
      const after = await patch(api, path, { metadata: { deletionTimestamp: null, labels: { a: 'b' } } });
      assert.equal(after.metadata.deletionTimestamp, metadata.deletionTimestamp);
      await patch(api, path, { metadata: { finalizers: null } });
    },
  },
  {
    name: 'a delete for another uid or resourceVersion answers 409 Conflict and deletes nothing',
    async run(api) {
      const { path, object } = await makeService(api);
      const wrong = [{ uid: '00000000-0000-0000-0000-000000000000' }, { resourceVersion: '1' }];
      for (const preconditions of wrong) {
        const response = await api.request('DELETE', path, { body: { preconditions } });
        expectRefusal(response, { code: 409, reason: 'Conflict' });
      }
      const { uid, resourceVersion } = object.metadata;
      await must(api, 'DELETE', path, { body: { preconditions: { uid, resourceVersion } } });
    },
  },
  {
    name: 'a delete of a collection deletes what the selector picks',
    async run(api) {
      const namespace = await aNamespace(api);
      const collection = pathOf('services', namespace);
      for (const a of ['1', '1', '2']) await makeService(api, {}, { namespace, labels: { a } });
      await must(api, 'DELETE', collection, { query: { labelSelector: 'a=1' } });
      const { items } = await get<List<Service>>(api, collection);
      assert.deepEqual(
        items.map(({ metadata }) => metadata.labels?.['a']),
        ['2'],
      );
    },
  },
];
