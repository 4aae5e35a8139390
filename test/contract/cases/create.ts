import assert from 'node:assert/strict';
import { isIPv4, isIPv6 } from 'node:net';
import { aNode, aService, nodesPath, pathOf, type Service, unique } from '../objects.ts';
import {
  aNamespace,
  type ContractCase,
  expectRefusal,
  get,
  make,
  makeService,
  must,
  tryService,
} from '../steps.ts';

const portsOf = (service: Service): readonly number[] =>
  (service.spec.ports ?? []).map(({ nodePort }) => nodePort ?? 0);
const inRange = (port: number): boolean => port >= 30_000 && port <= 32_767;

/** What the API server fills in when a Service is created. */
export const createCases: readonly ContractCase[] = [
  {
    name: 'a created Service has uid, creationTimestamp and resourceVersion, and no generation',
    async run(api) {
      const { object, namespace } = await makeService(api);
      assert.match(object.metadata.uid ?? '', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
      assert.match(object.metadata.creationTimestamp ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      assert.match(object.metadata.resourceVersion ?? '', /^[1-9]\d*$/);
      assert.equal(object.metadata.generation, undefined);
      assert.equal(object.metadata.namespace, namespace);
      assert.equal(object.kind, 'Service');
      assert.equal(object.apiVersion, 'v1');
    },
  },
  {
    name: 'a create answers 201 and the Service reads back the same',
    async run(api) {
      const collection = pathOf('services', await aNamespace(api));
      const response = await api.request<Service>('POST', collection, { body: aService() });
      assert.equal(response.status, 201);
      assert.match(String(response.headers['content-type']), /^application\/json/);
      assert.deepEqual(await get(api, `${collection}/${response.json.metadata.name}`), response.json);
    },
  },
  {
    name: 'apiVersion and kind may be left out of a body',
    async run(api) {
      const { metadata, spec } = aService();
      const collection = pathOf('services', await aNamespace(api));
      const made = await must<Service>(api, 'POST', collection, { body: { metadata, spec } });
      assert.equal(made.kind, 'Service');
    },
  },
  {
    name: 'a LoadBalancer Service gets a ClusterIP, a node port and an empty load balancer status',
    async run(api) {
      const { object } = await makeService(api);
      assert.ok(isIPv4(object.spec.clusterIP ?? ''), `clusterIP ${object.spec.clusterIP}`);
      assert.deepEqual(object.spec.clusterIPs, [object.spec.clusterIP]);
      assert.ok(portsOf(object).every(inRange), `node ports ${portsOf(object).join()}`);
      assert.deepEqual(object.status, { loadBalancer: {} });
    },
  },
  {
    name: 'the fields of a LoadBalancer Service that were left out get their defaults',
    async run(api) {
      const { spec } = (await makeService(api)).object;
      assert.equal(spec.allocateLoadBalancerNodePorts, true);
      assert.equal(spec.externalTrafficPolicy, 'Cluster');
      assert.equal(spec.internalTrafficPolicy, 'Cluster');
      assert.equal(spec.sessionAffinity, 'None');
      assert.equal(spec.sessionAffinityConfig, undefined);
      assert.equal(spec.ipFamilyPolicy, 'SingleStack');
      assert.deepEqual(spec.ipFamilies, ['IPv4']);
      assert.equal(spec.healthCheckNodePort, undefined);
      assert.equal(spec.ports?.[0]?.protocol, 'TCP');
      assert.equal(spec.ports?.[0]?.targetPort, 80);
    },
  },
  {
    name: 'a Service without a type is a ClusterIP Service without node ports or external traffic policy',
    async run(api) {
      const namespace = await aNamespace(api);
      const body = { metadata: { name: unique('web') }, spec: { ports: [{ port: 80 }] } };
      const { spec } = (await make<Service>(api, pathOf('services', namespace), body)).object;
      assert.equal(spec.type, 'ClusterIP');
      assert.equal(spec.ports?.[0]?.nodePort, undefined);
      assert.equal(spec.externalTrafficPolicy, undefined);
      assert.equal(spec.allocateLoadBalancerNodePorts, undefined);
      assert.equal(spec.internalTrafficPolicy, 'Cluster');
    },
  },
  {
    name: 'a NodePort Service gets a node port for every port',
    async run(api) {
      const ports = [
        { name: 'http', port: 80, targetPort: 'web' },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ];
      const { object } = await makeService(api, { type: 'NodePort', ports });
      assert.equal(new Set(portsOf(object)).size, 2);
      assert.ok(portsOf(object).every(inRange));
      assert.equal(object.spec.ports?.[0]?.targetPort, 'web');
      assert.equal(object.spec.ports?.[1]?.protocol, 'UDP');
      assert.equal(object.spec.ports?.[1]?.targetPort, 53);
    },
  },
  {
    name: 'a Service may have 300 ports, each with a node port of its own',
    async run(api) {
      const ports = Array.from({ length: 300 }, (_, index) => ({ name: `p${index}`, port: 1000 + index }));
      const { path, object } = await makeService(api, { ports });
      assert.equal(new Set(portsOf(object).filter(inRange)).size, 300);
      await must(api, 'DELETE', path);
    },
  },
  {
    name: 'every Service has a ClusterIP and node ports of its own',
    async run(api) {
      const namespace = await aNamespace(api);
      const made = await Promise.all(Array.from({ length: 20 }, () => makeService(api, {}, { namespace })));
      assert.equal(new Set(made.map(({ object }) => object.spec.clusterIP)).size, 20);
      assert.equal(new Set(made.map(({ object }) => portsOf(object)[0])).size, 20);
    },
  },
  {
    name: 'a headless Service keeps clusterIP None and may have no ports',
    async run(api) {
      const { spec } = (await makeService(api, { type: 'ClusterIP', clusterIP: 'None', ports: [] })).object;
      assert.equal(spec.clusterIP, 'None');
      assert.deepEqual(spec.clusterIPs, ['None']);
      assert.equal(spec.ports, undefined);
    },
  },
  {
    name: 'a node port that was asked for is given',
    async run(api) {
      const nodePort = await aFreeNodePort(api);
      const { object } = await makeService(api, { ports: [{ port: 80, nodePort }] });
      assert.deepEqual(portsOf(object), [nodePort]);
    },
  },
  {
    name: 'a node port that another Service has is refused, naming the field',
    async run(api) {
      const [nodePort] = portsOf((await makeService(api)).object);
      const response = await tryService(api, { ports: [{ port: 80, nodePort: nodePort! }] });
      const status = expectRefusal(response, {
        code: 422,
        reason: 'Invalid',
        field: 'spec.ports[0].nodePort',
      });
      assert.match(status.message ?? '', /provided port is already allocated/);
    },
  },
  {
    name: 'a node port outside the range is refused, naming the field',
    async run(api) {
      const response = await tryService(api, { ports: [{ port: 80, nodePort: 80 }] });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'spec.ports[0].nodePort' });
    },
  },
  {
    name: 'TCP and UDP of one number share a node port that was asked for',
    async run(api) {
      const nodePort = await aFreeNodePort(api);
      const ports = ['TCP', 'UDP'].map((protocol) => ({
        name: protocol.toLowerCase(),
        port: 53,
        protocol,
        nodePort,
      }));
      const { object } = await makeService(api, { ports });
      assert.deepEqual(portsOf(object), [nodePort, nodePort]);
    },
  },
  {
    name: 'a node port of another protocol is still taken when a different Service asks for it',
    async run(api) {
      const [nodePort] = portsOf((await makeService(api)).object);
      const response = await tryService(api, { ports: [{ port: 80, protocol: 'UDP', nodePort: nodePort! }] });
      expectRefusal(response, { code: 422, reason: 'Invalid', field: 'spec.ports[0].nodePort' });
    },
  },
  {
    name: 'a deleted Service gives its node port back',
    async run(api) {
      const { path, object } = await makeService(api);
      const [nodePort] = portsOf(object);
      await must(api, 'DELETE', path);
      await makeService(api, { ports: [{ port: 80, nodePort: nodePort! }] });
    },
  },
  {
    name: 'a refused create takes no node port',
    async run(api) {
      const nodePort = await aFreeNodePort(api);
      const taken = portsOf((await makeService(api)).object)[0]!;
      const ports = [
        { name: 'a', port: 80, nodePort },
        { name: 'b', port: 81, nodePort: taken },
      ];
      expectRefusal(await tryService(api, { ports }), {
        code: 422,
        reason: 'Invalid',
        field: 'spec.ports[1].nodePort',
      });
      await makeService(api, { ports: [{ port: 80, nodePort }] });
    },
  },
  {
    name: 'allocateLoadBalancerNodePorts: false leaves the ports without node ports',
    async run(api) {
      const { spec } = (await makeService(api, { allocateLoadBalancerNodePorts: false })).object;
      assert.equal(spec.allocateLoadBalancerNodePorts, false);
      assert.equal(spec.ports?.[0]?.nodePort, undefined);
    },
  },
  {
    name: 'a LoadBalancer Service with policy Local gets a health check node port',
    async run(api) {
      const { object } = await makeService(api, { externalTrafficPolicy: 'Local' });
      const port = object.spec.healthCheckNodePort ?? 0;
      assert.ok(inRange(port), `healthCheckNodePort ${port}`);
      assert.ok(!portsOf(object).includes(port));
    },
  },
  {
    name: 'a NodePort Service with policy Local gets no health check node port',
    async run(api) {
      const { spec } = (await makeService(api, { type: 'NodePort', externalTrafficPolicy: 'Local' })).object;
      assert.equal(spec.healthCheckNodePort, undefined);
    },
  },
  {
    name: 'a health check node port that was asked for is given',
    async run(api) {
      const healthCheckNodePort = await aFreeNodePort(api);
      const { spec } = (await makeService(api, { externalTrafficPolicy: 'Local', healthCheckNodePort }))
        .object;
      assert.equal(spec.healthCheckNodePort, healthCheckNodePort);
    },
  },
  {
    name: 'ClientIP affinity lasts three hours unless said otherwise',
    async run(api) {
      const { spec } = (await makeService(api, { sessionAffinity: 'ClientIP' })).object;
      assert.deepEqual(spec.sessionAffinityConfig, { clientIP: { timeoutSeconds: 10_800 } });
      const other = {
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
      };
      const { spec: asked } = (await makeService(api, other)).object;
      assert.deepEqual(asked.sessionAffinityConfig, { clientIP: { timeoutSeconds: 60 } });
    },
  },
  {
    name: 'fields that a load balancer acts on are kept as they were written',
    async run(api) {
      const spec = {
        loadBalancerClass: 'example.com/lb',
        loadBalancerIP: '192.0.2.7',
        loadBalancerSourceRanges: ['10.0.0.0/8', ' 192.168.0.0/16 '],
        externalIPs: ['198.51.100.7'],
        ports: [{ name: 'http', port: 80, targetPort: 8080, appProtocol: 'kubernetes.io/h2c' }],
      };
      const { object } = await makeService(api, spec, {
        annotations: { 'example.com/a': 'b' },
        labels: { l: 'v' },
      });
      assert.equal(object.spec.loadBalancerClass, spec.loadBalancerClass);
      assert.equal(object.spec.loadBalancerIP, spec.loadBalancerIP);
      assert.deepEqual(object.spec.loadBalancerSourceRanges, spec.loadBalancerSourceRanges);
      assert.deepEqual(object.spec.externalIPs, spec.externalIPs);
      assert.equal(object.spec.ports?.[0]?.appProtocol, 'kubernetes.io/h2c');
      assert.equal(object.spec.ports?.[0]?.targetPort, 8080);
      assert.deepEqual(object.metadata.annotations, { 'example.com/a': 'b' });
      assert.deepEqual(object.metadata.labels, { l: 'v' });
    },
  },
  {
    name: 'PreferDualStack gives as many ClusterIPs as families',
    async run(api) {
      const { spec } = (await makeService(api, { ipFamilyPolicy: 'PreferDualStack' })).object;
      assert.equal(spec.ipFamilyPolicy, 'PreferDualStack');
      assert.deepEqual(
        spec.clusterIPs?.map((ip) => (isIPv6(ip) ? 'IPv6' : 'IPv4')),
        spec.ipFamilies,
      );
      assert.equal(spec.clusterIP, spec.clusterIPs?.[0]);
    },
  },
  {
    name: 'an ExternalName Service has neither a ClusterIP nor ports of its own',
    async run(api) {
      const made = await makeService(api, {
        type: 'ExternalName',
        externalName: 'example.com',
        ports: [],
        selector: {},
      });
      assert.equal(made.object.spec.clusterIP, undefined);
      assert.equal(made.object.spec.externalName, 'example.com');
    },
  },
  {
    name: 'status in the body of a create is dropped',
    async run(api) {
      const collection = pathOf('services', await aNamespace(api));
      const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } };
      const made = await must<Service>(api, 'POST', collection, { body: { ...aService(), status } });
      assert.deepEqual(made.status, { loadBalancer: {} });
    },
  },
  {
    name: 'generateName makes a new name of that beginning each time',
    async run(api) {
      const collection = pathOf('services', await aNamespace(api));
      const { spec } = aService();
      const body = { metadata: { generateName: 'web-' }, spec };
      const names = [await make(api, collection, body), await make(api, collection, body)].map(
        ({ name }) => name,
      );
      assert.match(names[0]!, /^web-[a-z0-9]{5}$/);
      assert.notEqual(names[0], names[1]);
    },
  },
  {
    name: 'a name of 63 characters is accepted',
    async run(api) {
      const name = `w${unique('x')}`.padEnd(63, 'x');
      assert.equal((await makeService(api, {}, { name })).name, name);
    },
  },
  {
    name: 'a cluster-scoped object has no namespace',
    async run(api) {
      const { object } = await make(api, nodesPath, aNode());
      assert.equal(object.metadata.namespace, undefined);
    },
  },
];

/** A node port that is free: one that the server has just given and taken back. */
export async function aFreeNodePort(api: Parameters<ContractCase['run']>[0]): Promise<number> {
  const { path, object } = await makeService(api);
  await must(api, 'DELETE', path);
  return portsOf(object)[0]!;
}
