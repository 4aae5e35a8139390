import assert from 'node:assert/strict';
import type { Condition, Service } from '../objects.ts';
import {
  type ContractCase,
  expectRefusal,
  get,
  jsonPatch,
  makeService,
  mergePatch,
  must,
  patch,
  strategicPatch,
} from '../steps.ts';

const provisioned: Condition = {
  type: 'berth.dev/Provisioned',
  status: 'True',
  reason: 'Provisioned',
  message: 'ready',
  lastTransitionTime: '2026-01-02T03:04:05Z',
};

const withIngress = (...ingress: object[]): object => ({ status: { loadBalancer: { ingress } } });

/** PUT and the three kinds of PATCH. */
export const patchCases: readonly ContractCase[] = [
  {
    name: 'a merge patch adds, replaces and removes map entries and leaves the others',
    async run(api) {
      const { path } = await makeService(api, {}, { annotations: { keep: '1', change: '1', drop: '1' } });
      const after = await patch(api, path, {
        metadata: { annotations: { change: '2', drop: null, add: '1' } },
      });
      assert.deepEqual(after.metadata.annotations, { keep: '1', change: '2', add: '1' });
      assert.deepEqual(await get(api, path), after);
    },
  },
  {
    name: 'a merge patch replaces a list as a whole',
    async run(api) {
      const { path, object } = await makeService(api);
      const { spec } = await patch(api, path, { spec: { ports: [{ name: 'https', port: 443 }] } });
      assert.equal(spec.ports?.length, 1);
      assert.equal(spec.ports?.[0]?.port, 443);
      assert.equal(spec.ports?.[0]?.targetPort, 443);
      assert.notEqual(spec.ports?.[0]?.nodePort, 0);
      assert.equal(spec.clusterIP, object.spec.clusterIP);
    },
  },
  {
    name: 'a change raises the resourceVersion and keeps uid and creationTimestamp',
    async run(api) {
      const { path, object } = await makeService(api);
      const after = await patch(api, path, { metadata: { labels: { a: 'b' } } });
      assert.ok(BigInt(after.metadata.resourceVersion ?? 0) > BigInt(object.metadata.resourceVersion ?? 0));
      assert.equal(after.metadata.uid, object.metadata.uid);
      assert.equal(after.metadata.creationTimestamp, object.metadata.creationTimestamp);
      assert.equal(after.metadata.generation, undefined);
    },
  },
  {
    name: 'a patch that changes nothing keeps the resourceVersion',
    async run(api) {
      const { path, object } = await makeService(api, {}, { labels: { a: 'b' } });
      const same = [{}, { metadata: { labels: { a: 'b' } } }, { spec: { type: 'LoadBalancer' } }];
      for (const body of same) {
        const after = await patch(api, path, body);
        assert.equal(after.metadata.resourceVersion, object.metadata.resourceVersion, JSON.stringify(body));
      }
    },
  },
  {
    name: 'patches of different fields sent at the same time all land',
    async run(api) {
      const { path } = await makeService(api);
      const keys = Array.from({ length: 20 }, (_, index) => `k${index}`);
      await Promise.all(keys.map((key) => patch(api, path, { metadata: { annotations: { [key]: 'v' } } })));
      const { metadata } = await get(api, path);
      assert.deepEqual(Object.keys(metadata.annotations ?? {}).toSorted(), keys.toSorted());
    },
  },
  {
    name: 'a patch with an old resourceVersion answers 409 Conflict, with the current one it succeeds',
    async run(api) {
      const { path, object, name } = await makeService(api);
      const { resourceVersion } = await patch(api, path, { metadata: { labels: { a: '1' } } }).then(
        (s) => s.metadata,
      );
      const body = (version: string | undefined) => ({
        metadata: { resourceVersion: version, labels: { a: '2' } },
      });
      for (const subresource of ['', '/status']) {
        const stale = { body: body(object.metadata.resourceVersion), contentType: mergePatch };
        const status = expectRefusal(await api.request('PATCH', path + subresource, stale), {
          code: 409,
          reason: 'Conflict',
        });
        assert.equal(status.details?.name, name);
        assert.match(status.message ?? '', /the object has been modified/);
      }
      const after = await patch(api, path, body(resourceVersion));
      assert.deepEqual(after.metadata.labels, { a: '2' });
    },
  },
  {
    name: 'the resourceVersion is a precondition of strategic and JSON patches too',
    async run(api) {
      const { path, object } = await makeService(api);
      await patch(api, path, { metadata: { labels: { a: '1' } } });
      const { resourceVersion } = object.metadata;
      const strategic = { body: { metadata: { resourceVersion } }, contentType: strategicPatch };
      expectRefusal(await api.request('PATCH', path, strategic), { code: 409, reason: 'Conflict' });
      const operation = { op: 'replace', path: '/metadata/resourceVersion', value: resourceVersion };
      const json = { body: [operation], contentType: jsonPatch };
      expectRefusal(await api.request('PATCH', path, json), { code: 409, reason: 'Conflict' });
    },
  },
  {
    name: 'a strategic merge patch merges ports by their port number',
    async run(api) {
      const ports = [
        { name: 'http', port: 80 },
        { name: 'https', port: 443 },
      ];
      const { path, object } = await makeService(api, { ports });
      const body = { spec: { ports: [{ port: 443, targetPort: 8443 }] } };
      const after = await must<Service>(api, 'PATCH', path, { body, contentType: strategicPatch });
      assert.deepEqual(after.spec.ports?.map(({ port }) => port).toSorted(), [443, 80]);
      const changed = after.spec.ports?.find(({ port }) => port === 443);
      assert.deepEqual(changed, { ...object.spec.ports?.[1], targetPort: 8443 });
    },
  },
  {
    name: 'a strategic merge patch adds a port and removes one with $patch: delete',
    async run(api) {
      const { path } = await makeService(api, { ports: [{ name: 'http', port: 80 }] });
      const add = { body: { spec: { ports: [{ name: 'https', port: 443 }] } }, contentType: strategicPatch };
      const both = await must<Service>(api, 'PATCH', path, add);
      assert.deepEqual(both.spec.ports?.map(({ port }) => port).toSorted(), [443, 80]);
      const remove = {
        body: { spec: { ports: [{ $patch: 'delete', port: 80 }] } },
        contentType: strategicPatch,
      };
      const one = await must<Service>(api, 'PATCH', path, remove);
      assert.deepEqual(
        one.spec.ports?.map(({ port }) => port),
        [443],
      );
    },
  },
  {
    name: 'a strategic merge patch adds a finalizer to those that are there, a merge patch replaces them',
    async run(api) {
      const { path } = await makeService(api, {}, { finalizers: ['example.com/a'] });
      const body = { metadata: { finalizers: ['example.com/b'] } };
      const added = await must<Service>(api, 'PATCH', path, { body, contentType: strategicPatch });
      assert.deepEqual(added.metadata.finalizers?.toSorted(), ['example.com/a', 'example.com/b']);
      const replaced = await patch(api, path, body);
      assert.deepEqual(replaced.metadata.finalizers, ['example.com/b']);
      await patch(api, path, { metadata: { finalizers: null } });
    },
  },
  {
    name: 'a strategic merge patch deletes map entries with null',
    async run(api) {
      const { path } = await makeService(api, {}, { annotations: { keep: '1', drop: '1' } });
      const body = { metadata: { annotations: { drop: null } } };
      const after = await must<Service>(api, 'PATCH', path, { body, contentType: strategicPatch });
      assert.deepEqual(after.metadata.annotations, { keep: '1' });
    },
  },
  {
    name: 'a JSON patch tests, adds, replaces and removes',
    async run(api) {
      const { path } = await makeService(api, {}, { annotations: { 'a/b': '1', drop: '1' } });
      const body = [
        { op: 'test', path: '/metadata/annotations/a~1b', value: '1' },
        { op: 'replace', path: '/metadata/annotations/a~1b', value: '2' },
        { op: 'remove', path: '/metadata/annotations/drop' },
        { op: 'add', path: '/metadata/labels', value: { l: 'v' } },
        { op: 'add', path: '/spec/ports/0/name', value: 'http' },
      ];
      const after = await must<Service>(api, 'PATCH', path, { body, contentType: jsonPatch });
      assert.deepEqual(after.metadata.annotations, { 'a/b': '2' });
      assert.deepEqual(after.metadata.labels, { l: 'v' });
      assert.equal(after.spec.ports?.[0]?.name, 'http');
    },
  },
  {
    name: 'a JSON patch whose test fails or whose target is missing answers 422 and changes nothing',
    async run(api) {
      const { path, object } = await makeService(api);
      const operations = [
        { op: 'test', path: '/spec/type', value: 'NodePort' },
        { op: 'remove', path: '/metadata/annotations/none' },
      ];
      for (const operation of operations) {
        const add = { op: 'add', path: '/metadata/labels', value: { l: 'v' } };
        const response = await api.request('PATCH', path, { body: [add, operation], contentType: jsonPatch });
        expectRefusal(response, { code: 422, reason: 'Invalid' });
      }
      assert.deepEqual(await get(api, path), object);
    },
  },
  {
    name: 'a PUT replaces what it may and needs the current resourceVersion',
    async run(api) {
      const { path, object } = await makeService(api, {}, { labels: { a: 'b' } });
      const { labels: _, ...metadata } = object.metadata;
      const body = { ...object, metadata, spec: { ...object.spec, sessionAffinity: 'ClientIP' } };
      const after = await must<Service>(api, 'PUT', path, { body });
      assert.equal(after.metadata.labels, undefined);
      assert.equal(after.spec.sessionAffinity, 'ClientIP');
      expectRefusal(await api.request('PUT', path, { body }), { code: 409, reason: 'Conflict' });
    },
  },
  {
    name: 'a PUT without a ClusterIP and node ports keeps those that were given',
    async run(api) {
      const { path, object } = await makeService(api);
      const { clusterIP: _, clusterIPs: __, ...spec } = object.spec;
      const body = { ...object, spec: { ...spec, ports: [{ port: 80, targetPort: 8080 }] } };
      const after = await must<Service>(api, 'PUT', path, { body });
      assert.equal(after.spec.clusterIP, object.spec.clusterIP);
      assert.equal(after.spec.ports?.[0]?.nodePort, object.spec.ports?.[0]?.nodePort);
    },
  },
];

/** What follows when parts of a Service's spec change. */
export const transitionCases: readonly ContractCase[] = [
  {
    name: 'setting allocateLoadBalancerNodePorts back to true gives every port a node port',
    async run(api) {
      const { path } = await makeService(api, { allocateLoadBalancerNodePorts: false });
      const { spec } = await patch(api, path, { spec: { allocateLoadBalancerNodePorts: true } });
      assert.ok((spec.ports?.[0]?.nodePort ?? 0) >= 30_000);
    },
  },
  {
    name: 'setting allocateLoadBalancerNodePorts to false keeps the node ports that are there',
    async run(api) {
      const { path, object } = await makeService(api);
      const { spec } = await patch(api, path, { spec: { allocateLoadBalancerNodePorts: false } });
      assert.equal(spec.ports?.[0]?.nodePort, object.spec.ports?.[0]?.nodePort);
    },
  },
  {
    name: 'a port that is added gets a node port and the old one keeps its own',
    async run(api) {
      const { path, object } = await makeService(api, { ports: [{ name: 'http', port: 80 }] });
      const ports = [...(object.spec.ports ?? []), { name: 'https', port: 443 }];
      const { spec } = await patch(api, path, { spec: { ports } });
      assert.deepEqual(spec.ports?.[0], object.spec.ports?.[0]);
      assert.ok((spec.ports?.[1]?.nodePort ?? 0) >= 30_000);
    },
  },
  {
    name: 'a port that is removed gives its node port back',
    async run(api) {
      const ports = [
        { name: 'http', port: 80 },
        { name: 'https', port: 443 },
      ];
      const { path, object } = await makeService(api, { ports });
      await patch(api, path, { spec: { ports: object.spec.ports?.slice(0, 1) } });
      await makeService(api, { ports: [{ port: 443, nodePort: object.spec.ports![1]!.nodePort! }] });
    },
  },
  {
    name: 'a ClusterIP Service that becomes a LoadBalancer gets node ports and keeps its ClusterIP',
    async run(api) {
      const { path, object } = await makeService(api, { type: 'ClusterIP' });
      const { spec, status } = await patch(api, path, { spec: { type: 'LoadBalancer' } });
      assert.ok((spec.ports?.[0]?.nodePort ?? 0) >= 30_000);
      assert.equal(spec.clusterIP, object.spec.clusterIP);
      assert.equal(spec.allocateLoadBalancerNodePorts, true);
      assert.equal(spec.externalTrafficPolicy, 'Cluster');
      assert.deepEqual(status, { loadBalancer: {} });
    },
  },
  {
    name: 'a LoadBalancer Service that becomes ClusterIP loses node ports and ingress, but not conditions and finalizers',
    async run(api) {
      const { path, object } = await makeService(
        api,
        { externalTrafficPolicy: 'Local' },
        { finalizers: ['example.com/a'], annotations: { a: 'b' } },
      );
      await patch(api, `${path}/status`, {
        status: { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] }, conditions: [provisioned] },
      });
      const { spec, status, metadata } = await patch(api, path, { spec: { type: 'ClusterIP' } });
      assert.equal(spec.type, 'ClusterIP');
      assert.equal(spec.ports?.[0]?.nodePort, undefined);
      assert.equal(spec.allocateLoadBalancerNodePorts, undefined);
      assert.equal(spec.externalTrafficPolicy, undefined);
      assert.equal(spec.healthCheckNodePort, undefined);
      assert.equal(spec.clusterIP, object.spec.clusterIP);
      assert.deepEqual(status?.loadBalancer, {});
      assert.deepEqual(status?.conditions, [provisioned]);
      assert.deepEqual(metadata.finalizers, ['example.com/a']);
      assert.deepEqual(metadata.annotations, { a: 'b' });
      await patch(api, path, { metadata: { finalizers: null } });
    },
  },
  {
    name: 'a LoadBalancer Service that becomes NodePort keeps its node ports and loses its ingress',
    async run(api) {
      const { path, object } = await makeService(api);
      await patch(api, `${path}/status`, withIngress({ ip: '192.0.2.1' }));
      const { spec, status } = await patch(api, path, { spec: { type: 'NodePort' } });
      assert.equal(spec.ports?.[0]?.nodePort, object.spec.ports?.[0]?.nodePort);
      assert.deepEqual(status?.loadBalancer, {});
    },
  },
  {
    name: 'the health check node port comes with policy Local and goes with policy Cluster',
    async run(api) {
      const { path } = await makeService(api);
      const local = await patch(api, path, { spec: { externalTrafficPolicy: 'Local' } });
      assert.ok((local.spec.healthCheckNodePort ?? 0) >= 30_000);
      const cluster = await patch(api, path, { spec: { externalTrafficPolicy: 'Cluster' } });
      assert.equal(cluster.spec.healthCheckNodePort, undefined);
    },
  },
  {
    name: 'ClientIP affinity that is switched off takes its time-out along',
    async run(api) {
      const { path } = await makeService(api, { sessionAffinity: 'ClientIP' });
      const body = { spec: { sessionAffinity: 'None', sessionAffinityConfig: null } };
      const { spec } = await patch(api, path, body);
      assert.equal(spec.sessionAffinity, 'None');
      assert.equal(spec.sessionAffinityConfig, undefined);
    },
  },
];

/** The status subresource of a Service. */
export const statusCases: readonly ContractCase[] = [
  {
    name: 'a patch of the status changes status and metadata, but not the spec',
    async run(api) {
      const { path, object } = await makeService(api, {}, { annotations: { keep: '1' } });
      const body = {
        metadata: { annotations: { 'berth.dev/applied': 'x' } },
        spec: { sessionAffinity: 'ClientIP' },
        status: { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'Proxy' }] } },
      };
      const after = await patch(api, `${path}/status`, body);
      assert.deepEqual(after.spec, object.spec);
      assert.deepEqual(after.status, { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'Proxy' }] } });
      assert.deepEqual(after.metadata.annotations, { keep: '1', 'berth.dev/applied': 'x' });
      assert.deepEqual(await get(api, path), after);
    },
  },
  {
    name: 'a patch of the spec does not change the status',
    async run(api) {
      const { path } = await makeService(api);
      const { status } = await patch(api, `${path}/status`, withIngress({ ip: '192.0.2.1' }));
      const after = await patch(api, path, {
        ...withIngress({ ip: '192.0.2.2' }),
        spec: { sessionAffinity: 'ClientIP' },
      });
      assert.deepEqual(after.status, status);
      assert.equal(after.spec.sessionAffinity, 'ClientIP');
    },
  },
  {
    name: 'a finalizer can be added and removed through a patch of the status',
    async run(api) {
      const { path } = await makeService(api);
      const added = await patch(api, `${path}/status`, { metadata: { finalizers: ['example.com/a'] } });
      assert.deepEqual(added.metadata.finalizers, ['example.com/a']);
      const removed = await patch(api, `${path}/status`, { metadata: { finalizers: null } });
      assert.equal(removed.metadata.finalizers, undefined);
    },
  },
  {
    name: 'an ingress with an ip gets ipMode VIP when it names none, one with only a hostname gets none',
    async run(api) {
      const { path } = await makeService(api);
      const ingress = [
        { ip: '192.0.2.1' },
        { hostname: 'lb.example.com' },
        { ip: '192.0.2.2', ipMode: 'Proxy' },
      ];
      const { status } = await patch(api, `${path}/status`, withIngress(...ingress));
      assert.deepEqual(status?.loadBalancer?.ingress, [
        { ip: '192.0.2.1', ipMode: 'VIP' },
        { hostname: 'lb.example.com' },
        { ip: '192.0.2.2', ipMode: 'Proxy' },
      ]);
    },
  },
  {
    name: 'an ipMode without an ip, or one that is unknown, is refused',
    async run(api) {
      const { path } = await makeService(api);
      const bad = [
        { hostname: 'lb.example.com', ipMode: 'VIP' },
        { ip: '192.0.2.1', ipMode: 'Magic' },
      ];
      for (const ingress of bad) {
        const response = await api.request('PATCH', `${path}/status`, {
          body: withIngress(ingress),
          contentType: mergePatch,
        });
        expectRefusal(response, {
          code: 422,
          reason: 'Invalid',
          field: 'status.loadBalancer.ingress[0].ipMode',
        });
      }
    },
  },
  {
    name: 'an ingress whose ip is none, or whose hostname is an ip, is refused',
    async run(api) {
      const { path } = await makeService(api);
      const bad = [
        { ingress: { ip: 'somewhere' }, field: 'status.loadBalancer.ingress[0].ip' },
        { ingress: { hostname: '192.0.2.1' }, field: 'status.loadBalancer.ingress[0].hostname' },
      ];
      for (const { ingress, field } of bad) {
        const response = await api.request('PATCH', `${path}/status`, {
          body: withIngress(ingress),
          contentType: mergePatch,
        });
        expectRefusal(response, { code: 422, reason: 'Invalid', field });
      }
    },
  },
  {
    name: 'an ingress of a Service that is no LoadBalancer is refused',
    async run(api) {
      const { path } = await makeService(api, { type: 'ClusterIP' });
      const body = withIngress({ ip: '192.0.2.1' });
      const response = await api.request('PATCH', `${path}/status`, { body, contentType: mergePatch });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'status.loadBalancer.ingress' });
    },
  },
  {
    name: 'the ports of an ingress with their errors are kept',
    async run(api) {
      const { path } = await makeService(api);
      const ports = [
        { port: 80, protocol: 'TCP' },
        { port: 81, protocol: 'UDP', error: 'PortDenied' },
      ];
      const { status } = await patch(
        api,
        `${path}/status`,
        withIngress({ ip: '192.0.2.1', ipMode: 'VIP', ports }),
      );
      assert.deepEqual(status?.loadBalancer?.ingress?.[0]?.ports, ports);
    },
  },
  {
    name: 'conditions are set by a merge patch of the status and removed by null',
    async run(api) {
      const { path } = await makeService(api);
      const set = await patch(api, `${path}/status`, { status: { conditions: [provisioned] } });
      assert.deepEqual(set.status?.conditions, [provisioned]);
      assert.deepEqual(set.status?.loadBalancer, {});
      const unset = await patch(api, `${path}/status`, { status: { conditions: null } });
      assert.equal(unset.status?.conditions, undefined);
    },
  },
  {
    name: 'the time of a condition is kept to the second',
    async run(api) {
      const { path } = await makeService(api);
      const precise = { ...provisioned, lastTransitionTime: '2026-01-02T03:04:05.678Z' };
      const { status } = await patch(api, `${path}/status`, { status: { conditions: [precise] } });
      assert.deepEqual(status?.conditions, [provisioned]);
    },
  },
  {
    name: 'a patch of the status that changes nothing keeps the resourceVersion',
    async run(api) {
      const { path } = await makeService(api);
      const body = {
        metadata: { annotations: { 'berth.dev/applied': 'x' } },
        status: {
          loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] },
          conditions: [provisioned],
        },
      };
      const first = await patch(api, `${path}/status`, body);
      const second = await patch(api, `${path}/status`, body);
      assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
    },
  },
  {
    name: 'a strategic merge patch of the status merges conditions by type',
    async run(api) {
      const { path } = await makeService(api);
      const other = { ...provisioned, type: 'example.com/Other' };
      await patch(api, `${path}/status`, { status: { conditions: [other, provisioned] } });
      const changed = { ...provisioned, status: 'False', reason: 'Pending' };
      const body = { status: { conditions: [changed] } };
      const after = await must<Service>(api, 'PATCH', `${path}/status`, {
        body,
        contentType: strategicPatch,
      });
      const byType = new Map(after.status?.conditions?.map((condition) => [condition.type, condition]));
      assert.deepEqual(byType.get('example.com/Other'), other);
      assert.deepEqual(byType.get('berth.dev/Provisioned'), changed);
    },
  },
  {
    name: 'an ingress is removed by null',
    async run(api) {
      const { path } = await makeService(api);
      await patch(api, `${path}/status`, withIngress({ ip: '192.0.2.1' }));
      const { status } = await patch(api, `${path}/status`, { status: { loadBalancer: { ingress: null } } });
      assert.deepEqual(status, { loadBalancer: {} });
    },
  },
  {
    name: 'the status subresource reads like the Service, and a PUT of it changes the status only',
    async run(api) {
      const { path, object } = await makeService(api);
      assert.deepEqual(await get(api, `${path}/status`), object);
      const body = {
        ...object,
        spec: { ...object.spec, sessionAffinity: 'ClientIP' },
        status: { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] } },
      };
      const after = await must<Service>(api, 'PUT', `${path}/status`, { body });
      assert.deepEqual(after.status, body.status);
      assert.deepEqual(after.spec, object.spec);
    },
  },
];
