import assert from 'node:assert/strict';
import {
  aNode,
  aService,
  leasesPath,
  nodesPath,
  pathOf,
  type ServiceSpec,
  type Status,
  unique,
} from '../objects.ts';
import {
  aNamespace,
  type ContractCase,
  expectRefusal,
  jsonPatch,
  makeService,
  mergePatch,
  must,
  patch,
  tryService,
} from '../steps.ts';

interface InvalidSpec {
  readonly name: string;
  readonly spec: Partial<ServiceSpec>;
  readonly field: string;
  readonly cause: string;
}

const invalidSpecs: readonly InvalidSpec[] = [
  { name: 'without ports', spec: { ports: [] }, field: 'spec.ports', cause: 'FieldValueRequired' },
  {
    name: 'with several ports of which one has no name',
    spec: { ports: [{ name: 'a', port: 80 }, { port: 81 }] },
    field: 'spec.ports[1].name',
    cause: 'FieldValueRequired',
  },
  {
    name: 'with two ports of one name',
    spec: {
      ports: [
        { name: 'a', port: 80 },
        { name: 'a', port: 81 },
      ],
    },
    field: 'spec.ports[1].name',
    cause: 'FieldValueDuplicate',
  },
  {
    name: 'with one port and protocol twice',
    spec: {
      ports: [
        { name: 'a', port: 80 },
        { name: 'b', port: 80 },
      ],
    },
    field: 'spec.ports[1]',
    cause: 'FieldValueDuplicate',
  },
  {
    name: 'with port 0',
    spec: { ports: [{ port: 0 }] },
    field: 'spec.ports[0].port',
    cause: 'FieldValueInvalid',
  },
  {
    name: 'with port 65536',
    spec: { ports: [{ port: 65_536 }] },
    field: 'spec.ports[0].port',
    cause: 'FieldValueInvalid',
  },
  {
    name: 'with an unknown protocol',
    spec: { ports: [{ port: 80, protocol: 'ICMP' }] },
    field: 'spec.ports[0].protocol',
    cause: 'FieldValueNotSupported',
  },
  {
    name: 'with a port name that is no DNS label',
    spec: { ports: [{ name: 'Web_1', port: 80 }] },
    field: 'spec.ports[0].name',
    cause: 'FieldValueInvalid',
  },
  {
    name: 'with an unknown type',
    spec: { type: 'Balancer' },
    field: 'spec.type',
    cause: 'FieldValueNotSupported',
  },
  {
    name: 'with a source range that is no CIDR',
    spec: { loadBalancerSourceRanges: ['10.0.0.0/8', '10.0.0.1'] },
    field: 'spec.loadBalancerSourceRanges[1]',
    cause: 'FieldValueInvalid',
  },
  {
    name: 'with source ranges but not of type LoadBalancer',
    spec: { type: 'NodePort', loadBalancerSourceRanges: ['10.0.0.0/8'] },
    field: 'spec.loadBalancerSourceRanges',
    cause: 'FieldValueForbidden',
  },
  {
    name: 'with a load balancer class that is no label key',
    spec: { loadBalancerClass: 'not a class' },
    field: 'spec.loadBalancerClass',
    cause: 'FieldValueInvalid',
  },
  {
    name: 'with a load balancer class but not of type LoadBalancer',
    spec: { type: 'NodePort', loadBalancerClass: 'example.com/lb' },
    field: 'spec.loadBalancerClass',
    cause: 'FieldValueForbidden',
  },
  {
    name: 'with a node port but of type ClusterIP',
    spec: { type: 'ClusterIP', ports: [{ port: 80, nodePort: 30_080 }] },
    field: 'spec.ports[0].nodePort',
    cause: 'FieldValueForbidden',
  },
  {
    name: 'with an unknown external traffic policy',
    spec: { externalTrafficPolicy: 'Nearby' },
    field: 'spec.externalTrafficPolicy',
    cause: 'FieldValueNotSupported',
  },
  {
    name: 'with an external traffic policy but of type ClusterIP',
    spec: { type: 'ClusterIP', externalTrafficPolicy: 'Local' },
    field: 'spec.externalTrafficPolicy',
    cause: 'FieldValueInvalid',
  },
  {
    name: 'with an unknown session affinity',
    spec: { sessionAffinity: 'Cookie' },
    field: 'spec.sessionAffinity',
    cause: 'FieldValueNotSupported',
  },
  {
    name: 'with a ClientIP time-out of more than a day',
    spec: { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 86_401 } } },
    field: 'spec.sessionAffinityConfig.clientIP.timeoutSeconds',
    cause: 'FieldValueInvalid',
  },
  {
    name: 'with an external IP that is none',
    spec: { externalIPs: ['somewhere'] },
    field: 'spec.externalIPs[0]',
    cause: 'FieldValueInvalid',
  },
  {
    name: 'that is headless but of type LoadBalancer',
    spec: { clusterIP: 'None' },
    field: 'spec.clusterIPs[0]',
    cause: 'FieldValueInvalid',
  },
];

const badNames: readonly (readonly [description: string, name: string])[] = [
  ['of 64 characters', 'w'.repeat(64)],
  ['with a capital letter', 'Web'],
  ['with a dot', 'web.example'],
  ['that begins with a digit', '1web'],
];

/** What the API server refuses, and how it says so. */
export const refusalCases: readonly ContractCase[] = [
  ...invalidSpecs.map(
    ({ name, spec, field, cause }) =>
      ({
        name: `a Service ${name} is refused, naming the field`,
        async run(api) {
          const response = await tryService(api, spec);
          const status = expectRefusal(response, { code: 422, reason: 'Invalid', field, cause });
          assert.equal(status.details?.kind, 'Service');
          assert.match(status.message ?? '', /^Service "web-[0-9a-f]+" is invalid: /);
        },
      }) satisfies ContractCase,
  ),
  ...badNames.map(
    ([description, name]) =>
      ({
        name: `a Service name ${description} is refused, naming the field`,
        async run(api) {
          const response = await tryService(api, {}, { name });
          expectRefusal(response, {
            code: 422,
            reason: 'Invalid',
            field: 'metadata.name',
            cause: 'FieldValueInvalid',
          });
        },
      }) satisfies ContractCase,
  ),
  {
    name: 'several errors of one Service are reported at once',
    async run(api) {
      const response = await tryService(api, { ports: [{ port: 0 }], loadBalancerSourceRanges: ['x'] });
      const fields = (response.json as unknown as Status).details?.causes?.map(({ field }) => field);
      assert.ok(fields?.includes('spec.ports[0].port'), fields?.join());
      const ranges = fields?.some((field) => field?.toLowerCase() === 'spec.loadbalancersourceranges[0]');
      assert.ok(ranges, fields?.join());
    },
  },
  {
    // Not a Service: the real server tries every ClusterIP of its range before it refuses one without a name.
    name: 'an object without any name is refused',
    async run(api) {
      const body = { metadata: {}, spec: {} };
      const response = await api.request('POST', leasesPath(await aNamespace(api)), { body });
      expectRefusal(response, {
        code: 422,
        reason: 'Invalid',
        field: 'metadata.name',
        cause: 'FieldValueRequired',
      });
    },
  },
  {
    name: 'a bad label value, annotation key or finalizer is refused',
    async run(api) {
      const code = { code: 422, reason: 'Invalid' };
      expectRefusal(await tryService(api, {}, { labels: { a: 'not a value' } }), {
        ...code,
        field: 'metadata.labels',
      });
      expectRefusal(await tryService(api, {}, { annotations: { 'a b': 'c' } }), {
        ...code,
        field: 'metadata.annotations',
      });
      expectRefusal(await tryService(api, {}, { finalizers: ['unqualified'] }), {
        ...code,
        field: 'metadata.finalizers[0]',
      });
    },
  },
  {
    name: 'a second create of one name answers 409 AlreadyExists',
    async run(api) {
      const { collection, name } = await makeService(api);
      const response = await api.request('POST', collection, { body: aService({}, { name }) });
      const status = expectRefusal(response, { code: 409, reason: 'AlreadyExists' });
      assert.deepEqual(status.details, { name, kind: 'services' });
      assert.equal(status.message, `services "${name}" already exists`);
    },
  },
  {
    name: 'reading, patching and deleting what is not there answers 404 NotFound with its name and kind',
    async run(api) {
      const name = unique('absent');
      const path = `${pathOf('services', await aNamespace(api))}/${name}`;
      const attempts = [
        await api.request('GET', path),
        await api.request('DELETE', path),
        await api.request('PATCH', path, { body: {}, contentType: mergePatch }),
        await api.request('PATCH', `${path}/status`, { body: {}, contentType: mergePatch }),
      ];
      for (const response of attempts) {
        const status = expectRefusal(response, { code: 404, reason: 'NotFound' });
        assert.deepEqual(status.details, { name, kind: 'services' });
        assert.equal(status.message, `services "${name}" not found`);
      }
    },
  },
  {
    name: 'creating in a namespace that is not there answers 404 NotFound about the namespace',
    async run(api) {
      const namespace = unique('absent');
      const response = await api.request('POST', pathOf('services', namespace), { body: aService() });
      const status = expectRefusal(response, { code: 404, reason: 'NotFound' });
      assert.deepEqual(status.details, { name: namespace, kind: 'namespaces' });
    },
  },
  {
    name: 'listing in a namespace that is not there answers an empty list',
    async run(api) {
      const list = await must<{ kind: string; items: unknown[] }>(
        api,
        'GET',
        pathOf('services', unique('absent')),
      );
      assert.equal(list.kind, 'ServiceList');
      assert.deepEqual(list.items, []);
    },
  },
  {
    name: 'a custom resource group or a resource that is not served answers 404',
    async run(api) {
      for (const path of [
        '/apis/example.com/v1/things',
        '/apis/example.com/v1/namespaces/default/things',
        '/api/v1/things',
      ]) {
        assert.equal((await api.request('GET', path)).status, 404, path);
      }
    },
  },
  {
    name: 'a body that is not JSON answers 400 BadRequest',
    async run(api) {
      const response = await api.request('POST', pathOf('services', await aNamespace(api)), {
        body: '{"metadata":',
      });
      expectRefusal(response, { code: 400, reason: 'BadRequest' });
    },
  },
  {
    name: 'a body of another kind answers 400 BadRequest',
    async run(api) {
      const response = await api.request('POST', pathOf('services', await aNamespace(api)), {
        body: aNode(),
      });
      expectRefusal(response, { code: 400, reason: 'BadRequest' });
    },
  },
  {
    name: 'a field of the wrong type answers 400 BadRequest',
    async run(api) {
      const body = { ...aService(), spec: { ports: [{ port: 'eighty' }] } };
      const response = await api.request('POST', pathOf('services', await aNamespace(api)), { body });
      expectRefusal(response, { code: 400, reason: 'BadRequest' });
    },
  },
  {
    name: 'a namespace or a name in the body that is not the one in the path answers 400 BadRequest',
    async run(api) {
      const { collection, path, object } = await makeService(api);
      const elsewhere = aService({}, { namespace: 'default' });
      expectRefusal(await api.request('POST', collection, { body: elsewhere }), {
        code: 400,
        reason: 'BadRequest',
      });
      const renamed = { ...object, metadata: { ...object.metadata, name: 'other' } };
      expectRefusal(await api.request('PUT', path, { body: renamed }), { code: 400, reason: 'BadRequest' });
    },
  },
  {
    name: 'a content type that the server does not read answers 415 UnsupportedMediaType',
    async run(api) {
      const { path } = await makeService(api);
      const response = await api.request('PATCH', path, { body: {}, contentType: 'application/json' });
      expectRefusal(response, { code: 415, reason: 'UnsupportedMediaType' });
      const text = await api.request('POST', '/api/v1/namespaces', { body: 'x', contentType: 'text/plain' });
      expectRefusal(text, { code: 415, reason: 'UnsupportedMediaType' });
    },
  },
  {
    name: 'a method that the path does not know answers 405 MethodNotAllowed',
    async run(api) {
      const { path } = await makeService(api);
      expectRefusal(await api.request('POST', path, { body: aService() }), {
        code: 405,
        reason: 'MethodNotAllowed',
      });
    },
  },
  {
    name: 'an unknown limit, label selector or field selector answers 400 BadRequest',
    async run(api) {
      const path = pathOf('services', await aNamespace(api));
      const bad: Record<string, string>[] = [
        { labelSelector: '!!' },
        { fieldSelector: 'spec.nothing=1' },
        { limit: 'ten' },
      ];
      for (const query of bad) {
        const response = await api.request('GET', path, { query });
        expectRefusal(response, { code: 400, reason: 'BadRequest' });
      }
    },
  },
  {
    name: 'fieldValidation=Strict refuses an unknown field, and without it the field is dropped',
    async run(api) {
      const collection = pathOf('services', await aNamespace(api));
      const body = { ...aService(), spec: { ...aService().spec, portz: [] } };
      const strict = await api.request('POST', collection, { body, query: { fieldValidation: 'Strict' } });
      const status = expectRefusal(strict, { code: 400, reason: 'BadRequest' });
      assert.match(status.message ?? '', /unknown field "spec\.portz"/);
      const made = await must<{ spec: object }>(api, 'POST', collection, { body });
      assert.ok(!('portz' in made.spec));
    },
  },
  {
    name: 'a patch that is not well formed answers 400 BadRequest',
    async run(api) {
      const { path } = await makeService(api);
      for (const contentType of [mergePatch, jsonPatch]) {
        const response = await api.request('PATCH', path, { body: '{', contentType });
        expectRefusal(response, { code: 400, reason: 'BadRequest' });
      }
    },
  },
  {
    name: 'a refused patch changes nothing',
    async run(api) {
      const { path, object } = await makeService(api);
      const body = { metadata: { labels: { a: 'b' } }, spec: { ports: [{ port: 0 }] } };
      const response = await api.request('PATCH', path, { body, contentType: mergePatch });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'spec.ports[0].port' });
      assert.deepEqual(await must(api, 'GET', path), object);
    },
  },
  {
    name: 'the load balancer class cannot change while the type stays LoadBalancer',
    async run(api) {
      const { path } = await makeService(api, { loadBalancerClass: 'example.com/a' });
      const body = { spec: { loadBalancerClass: 'example.com/b' } };
      const response = await api.request('PATCH', path, { body, contentType: mergePatch });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'spec.loadBalancerClass' });
      const unset = { body: { spec: { loadBalancerClass: null } }, contentType: mergePatch };
      expectRefusal(await api.request('PATCH', path, unset), {
        code: 422,
        reason: 'Invalid',
        field: 'spec.loadBalancerClass',
      });
    },
  },
  {
    name: 'a load balancer class cannot be added to a LoadBalancer Service that has none',
    async run(api) {
      const { path } = await makeService(api);
      const body = { spec: { loadBalancerClass: 'example.com/b' } };
      const response = await api.request('PATCH', path, { body, contentType: mergePatch });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'spec.loadBalancerClass' });
    },
  },
  {
    name: 'the load balancer class may be chosen anew when the type becomes LoadBalancer again',
    async run(api) {
      const { path } = await makeService(api, { loadBalancerClass: 'example.com/a' });
      await patch(api, path, { spec: { type: 'ClusterIP', loadBalancerClass: null } });
      const { spec } = await patch(api, path, {
        spec: { type: 'LoadBalancer', loadBalancerClass: 'example.com/b' },
      });
      assert.equal(spec.loadBalancerClass, 'example.com/b');
    },
  },
  {
    name: 'name, namespace, uid and creationTimestamp do not change',
    async run(api) {
      const { path, object } = await makeService(api);
      const other = '00000000-0000-0000-0000-000000000000';
      const response = await api.request('PATCH', path, {
        body: { metadata: { uid: other } },
        contentType: mergePatch,
      });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'metadata.uid' });
      const changed = await patch(api, path, { metadata: { creationTimestamp: '2001-01-01T00:00:00Z' } });
      assert.equal(changed.metadata.creationTimestamp, object.metadata.creationTimestamp);
    },
  },
  {
    name: 'the ClusterIP does not change',
    async run(api) {
      const { path } = await makeService(api);
      const body = { spec: { clusterIP: '10.96.77.77', clusterIPs: ['10.96.77.77'] } };
      const response = await api.request('PATCH', path, { body, contentType: mergePatch });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'spec.clusterIPs[0]' });
    },
  },
  {
    name: 'a Lease that lasts no time is refused',
    async run(api) {
      const body = { metadata: { name: unique('lease') }, spec: { leaseDurationSeconds: 0 } };
      const response = await api.request('POST', leasesPath(await aNamespace(api)), { body });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'spec.leaseDurationSeconds' });
    },
  },
  {
    name: 'a Node name that is no DNS subdomain is refused',
    async run(api) {
      const response = await api.request('POST', nodesPath, { body: aNode({ name: 'Node_1' }) });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'metadata.name' });
    },
  },
];
