import assert from 'node:assert/strict';
import {
  aLease,
  anEndpointSlice,
  anEvent,
  aNode,
  type EndpointSlice,
  type KubeEvent,
  type Lease,
  leasesPath,
  type List,
  microTime,
  type Node,
  nodesPath,
  pathOf,
  slicesPath,
  type Taint,
  unique,
} from '../objects.ts';
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
  watching,
} from '../steps.ts';

const ready = { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'ready' };
const internal = (address: string) => ({ type: 'InternalIP', address });

/** Nodes: what decides whether a load balancer uses them. */
export const nodeCases: readonly ContractCase[] = [
  {
    name: 'a Node keeps providerID, labels and the status that it registers with',
    async run(api) {
      const status = {
        addresses: [internal('192.0.2.10')],
        nodeInfo: { kubeletVersion: 'v1.34.4' },
        conditions: [ready],
      };
      const body = { ...aNode({ labels: { zone: 'a' } }, { providerID: 'aws:///eu-west-1a/i-0' }), status };
      const { object } = await make<Node>(api, nodesPath, body);
      assert.equal(object.spec.providerID, 'aws:///eu-west-1a/i-0');
      assert.equal(object.metadata.labels?.['zone'], 'a');
      assert.deepEqual(object.status?.addresses, status.addresses);
      assert.equal(object.status?.nodeInfo?.['kubeletVersion'], 'v1.34.4');
      assert.equal(object.status?.conditions?.[0]?.status, 'True');
    },
  },
  {
    name: 'a providerID can be filled in later',
    async run(api) {
      const { path } = await make<Node>(api, nodesPath, aNode());
      const after = await patch<Node>(api, path, { spec: { providerID: 'aws:///eu-west-1a/i-1' } });
      assert.equal(after.spec.providerID, 'aws:///eu-west-1a/i-1');
    },
  },
  {
    name: 'a Node is cordoned and uncordoned by a strategic merge patch',
    async run(api) {
      const { path } = await make<Node>(api, nodesPath, aNode());
      const set = (unschedulable: boolean | null) => ({
        body: { spec: { unschedulable } },
        contentType: strategicPatch,
      });
      assert.equal((await must<Node>(api, 'PATCH', path, set(true))).spec.unschedulable, true);
      assert.equal((await must<Node>(api, 'PATCH', path, set(null))).spec.unschedulable, undefined);
    },
  },
  {
    name: 'labels of a Node are added and removed by a merge patch',
    async run(api) {
      const exclude = 'node.kubernetes.io/exclude-from-external-load-balancers';
      const { path } = await make<Node>(api, nodesPath, aNode());
      const added = await patch<Node>(api, path, { metadata: { labels: { [exclude]: '' } } });
      assert.equal(added.metadata.labels?.[exclude], '');
      const removed = await patch<Node>(api, path, { metadata: { labels: { [exclude]: null } } });
      assert.equal(removed.metadata.labels?.[exclude], undefined);
    },
  },
  {
    name: 'taints of a Node are replaced as a whole',
    async run(api) {
      const { path } = await make<Node>(api, nodesPath, aNode());
      const taints: Taint[] = [{ key: 'ToBeDeletedByClusterAutoscaler', value: '1', effect: 'NoSchedule' }];
      for (const contentType of [mergePatch, strategicPatch]) {
        const after = await must<Node>(api, 'PATCH', path, { body: { spec: { taints } }, contentType });
        assert.deepEqual(after.spec.taints, taints);
        const none = await must<Node>(api, 'PATCH', path, { body: { spec: { taints: null } }, contentType });
        assert.equal(none.spec.taints, undefined);
      }
    },
  },
  {
    name: 'a patch of the status of a Node changes addresses and conditions, but not the spec',
    async run(api) {
      const { path } = await make<Node>(api, nodesPath, aNode());
      const body = {
        spec: { unschedulable: true },
        status: { addresses: [internal('192.0.2.11')], conditions: [ready] },
      };
      const after = await patch<Node>(api, `${path}/status`, body);
      assert.deepEqual(after.status?.addresses, [internal('192.0.2.11')]);
      assert.equal(after.status?.conditions?.[0]?.type, 'Ready');
      assert.equal(after.spec.unschedulable, undefined);
      const later = await patch<Node>(api, path, {
        spec: { unschedulable: true },
        status: { addresses: [] },
      });
      assert.deepEqual(later.status?.addresses, [internal('192.0.2.11')]);
      assert.equal(later.spec.unschedulable, true);
    },
  },
  {
    name: 'a strategic merge patch of the status merges the conditions of a Node by type',
    async run(api) {
      const { path } = await make<Node>(api, nodesPath, aNode());
      const pressure = { type: 'MemoryPressure', status: 'False' };
      await patch<Node>(api, `${path}/status`, { status: { conditions: [pressure, ready] } });
      const body = { status: { conditions: [{ type: 'Ready', status: 'False' }] } };
      const after = await must<Node>(api, 'PATCH', `${path}/status`, { body, contentType: strategicPatch });
      const states = after.status?.conditions?.map(({ type, status }) => `${type}=${status}`);
      assert.deepEqual(states?.toSorted(), ['MemoryPressure=False', 'Ready=False']);
    },
  },
  {
    name: 'a deleted Node is gone, and a watch of Nodes tells so',
    async run(api) {
      const { path, name, object } = await make<Node>(api, nodesPath, aNode());
      const query = {
        resourceVersion: object.metadata.resourceVersion!,
        fieldSelector: `metadata.name=${name}`,
      };
      await watching(api, { path: nodesPath, query }, async (watch) => {
        await must(api, 'DELETE', path);
        assert.equal((await nextChange<Node>(watch)).type, 'DELETED');
      });
      expectRefusal(await api.request('GET', path), { code: 404, reason: 'NotFound' });
    },
  },
];

/** EndpointSlices. */
export const sliceCases: readonly ContractCase[] = [
  {
    name: 'an EndpointSlice is created, found by the label of its Service, changed and deleted',
    async run(api) {
      const collection = slicesPath(await aNamespace(api));
      const { path, name, object } = await make<EndpointSlice>(api, collection, anEndpointSlice('web'));
      assert.deepEqual(object.endpoints, anEndpointSlice('web').endpoints);
      assert.deepEqual(object.ports, [{ name: 'http', port: 8080, protocol: 'TCP' }]);
      await make(api, collection, anEndpointSlice('other'));
      const query = { labelSelector: 'kubernetes.io/service-name=web' };
      const found = await must<List<EndpointSlice>>(api, 'GET', collection, { query });
      assert.equal(found.kind, 'EndpointSliceList');
      assert.deepEqual(
        found.items.map(({ metadata }) => metadata.name),
        [name],
      );
      const endpoints = [
        { addresses: ['10.0.0.2'], conditions: { ready: false, serving: true, terminating: true } },
      ];
      assert.deepEqual((await patch<EndpointSlice>(api, path, { endpoints })).endpoints, endpoints);
      await must(api, 'DELETE', path);
      expectRefusal(await api.request('GET', path), { code: 404, reason: 'NotFound' });
    },
  },
  {
    name: 'a change of an EndpointSlice reaches a watch of all namespaces',
    async run(api) {
      const collection = slicesPath(await aNamespace(api));
      const { path, name, object } = await make<EndpointSlice>(api, collection, anEndpointSlice('web'));
      const query = { resourceVersion: object.metadata.resourceVersion! };
      await watching(api, { path: '/apis/discovery.k8s.io/v1/endpointslices', query }, async (watch) => {
        await patch(api, path, { endpoints: [] });
        const event = await nextChange<EndpointSlice>(watch);
        assert.equal(event.object.metadata.name, name);
        assert.equal(event.object.kind, 'EndpointSlice');
        assert.equal(event.object.apiVersion, 'discovery.k8s.io/v1');
      });
    },
  },
];

/** Events as `core/v1`. */
export const eventCases: readonly ContractCase[] = [
  {
    name: 'an Event is kept as it was written and its count is raised by a patch',
    async run(api) {
      const namespace = await aNamespace(api);
      const wanted = anEvent(namespace, 'web');
      const { path, object } = await make<KubeEvent>(api, pathOf('events', namespace), wanted);
      for (const field of [
        'reason',
        'message',
        'type',
        'count',
        'firstTimestamp',
        'source',
        'involvedObject',
      ] as const) {
        assert.deepEqual(object[field], wanted[field], field);
      }
      const lastTimestamp = '2026-01-02T03:04:05Z';
      for (const contentType of [mergePatch, strategicPatch]) {
        const body = { count: 2, lastTimestamp, message: 'again' };
        const after = await must<KubeEvent>(api, 'PATCH', path, { body, contentType });
        assert.deepEqual([after.count, after.lastTimestamp, after.message], [2, lastTimestamp, 'again']);
        assert.equal(after.firstTimestamp, wanted.firstTimestamp);
      }
    },
  },
  {
    name: 'Events are found by the object that they are about',
    async run(api) {
      const namespace = await aNamespace(api);
      const collection = pathOf('events', namespace);
      const { name } = await make(api, collection, anEvent(namespace, 'web'));
      await make(api, collection, anEvent(namespace, 'other'));
      const fieldSelector = `involvedObject.name=web,involvedObject.kind=Service,involvedObject.namespace=${namespace}`;
      const { items } = await must<List<KubeEvent>>(api, 'GET', collection, { query: { fieldSelector } });
      assert.deepEqual(
        items.map(({ metadata }) => metadata.name),
        [name],
      );
    },
  },
  {
    name: 'an Event about something in another namespace is refused, about a Node it belongs to default',
    async run(api) {
      const namespace = await aNamespace(api);
      const elsewhere = { ...anEvent('default', 'web'), metadata: { name: unique('web') } };
      const refused = await api.request('POST', pathOf('events', namespace), { body: elsewhere });
      expectRefusal(refused, { code: 422, reason: 'Invalid', field: 'involvedObject.namespace' });
      const body = {
        ...anEvent('default', 'node'),
        involvedObject: { apiVersion: 'v1', kind: 'Node', name: 'node-a' },
      };
      const { object } = await make<KubeEvent>(api, pathOf('events', 'default'), body);
      assert.equal(object.involvedObject['kind'], 'Node');
    },
  },
];

/** Leases. */
export const leaseCases: readonly ContractCase[] = [
  {
    name: 'a Lease keeps its times to the microsecond',
    async run(api) {
      const wanted = aLease('me');
      const { path, object } = await make<Lease>(api, leasesPath(await aNamespace(api)), wanted);
      assert.deepEqual(object.spec, wanted.spec);
      const renewTime = '2026-01-02T03:04:05.000007Z';
      const after = await must<Lease>(api, 'PUT', path, {
        body: { ...object, spec: { ...object.spec, renewTime } },
      });
      assert.equal(after.spec.renewTime, renewTime);
    },
  },
  {
    name: 'of two who write a Lease from the same state only one succeeds',
    async run(api) {
      const { path, object } = await make<Lease>(api, leasesPath(await aNamespace(api)), aLease(''));
      const take = (holderIdentity: string) =>
        api.request<Lease>('PUT', path, { body: { ...object, spec: { ...object.spec, holderIdentity } } });
      const answers = await Promise.all(['a', 'b', 'c'].map(take));
      const winners = answers.filter(({ status }) => status === 200);
      assert.equal(winners.length, 1);
      for (const loser of answers.filter(({ status }) => status !== 200)) {
        expectRefusal(loser, { code: 409, reason: 'Conflict' });
      }
      assert.equal((await get<Lease>(api, path)).spec.holderIdentity, winners[0]?.json.spec.holderIdentity);
    },
  },
  {
    name: 'of several who patch a Lease with one resourceVersion only one succeeds',
    async run(api) {
      const { path, object } = await make<Lease>(api, leasesPath(await aNamespace(api)), aLease(''));
      const { resourceVersion } = object.metadata;
      const take = (holderIdentity: string) =>
        api.request<Lease>('PATCH', path, {
          body: { metadata: { resourceVersion }, spec: { holderIdentity } },
          contentType: mergePatch,
        });
      const statuses = (await Promise.all(['a', 'b', 'c'].map(take))).map(({ status }) => status);
      assert.deepEqual(statuses.toSorted(), [200, 409, 409]);
    },
  },
  {
    name: 'of two who create a Lease only one succeeds',
    async run(api) {
      const collection = leasesPath(await aNamespace(api));
      const body = aLease('me');
      const answers = await Promise.all([1, 2].map(() => api.request('POST', collection, { body })));
      assert.deepEqual(answers.map(({ status }) => status).toSorted(), [201, 409]);
    },
  },
  {
    name: 'a PUT of a Lease without resourceVersion is refused',
    async run(api) {
      const { path, object } = await make<Lease>(api, leasesPath(await aNamespace(api)), aLease('me'));
      const { resourceVersion: _, ...metadata } = object.metadata;
      const response = await api.request('PUT', path, { body: { ...object, metadata } });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'metadata.resourceVersion' });
    },
  },
  {
    name: 'a Lease is released by emptying its holder, and its annotations stay',
    async run(api) {
      const { path } = await make<Lease>(api, leasesPath(await aNamespace(api)), aLease('me'));
      await patch<Lease>(api, path, { metadata: { annotations: { 'berth.dev/endpoint': 'pod/a' } } });
      const renewTime = microTime(new Date());
      const after = await patch<Lease>(api, path, {
        spec: { holderIdentity: '', leaseDurationSeconds: 1, renewTime },
      });
      assert.equal(after.spec.holderIdentity, '');
      assert.equal(after.metadata.annotations?.['berth.dev/endpoint'], 'pod/a');
    },
  },
  {
    name: 'a watch of one Lease by name tells about its renewals',
    async run(api) {
      const collection = leasesPath(await aNamespace(api));
      const { path, name, object } = await make<Lease>(api, collection, aLease('me'));
      const query = {
        resourceVersion: object.metadata.resourceVersion!,
        fieldSelector: `metadata.name=${name}`,
      };
      await watching(api, { path: collection, query }, async (watch) => {
        await make(api, collection, aLease('other'));
        await patch<Lease>(api, path, { spec: { holderIdentity: 'you' } });
        const event = await nextChange<Lease>(watch);
        assert.equal(event.object.metadata.name, name);
        assert.equal(event.object.spec.holderIdentity, 'you');
      });
    },
  },
];
