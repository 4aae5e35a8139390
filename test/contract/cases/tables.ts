import assert from 'node:assert/strict';
import type { ContractApi } from '../api.ts';
import { aNode, type Node, nodesPath, type ServiceSpec, type Table, unique } from '../objects.ts';
import {
  type ContractCase,
  make,
  makeService,
  must,
  nextChange,
  patch,
  tableFormat,
  watching,
} from '../steps.ts';

/** A table as `kubectl get` prints it: the rows as objects of column name to cell. `wide` adds the columns of `-o wide`. */
function rowsOf(table: Table, wide = false): Record<string, unknown>[] {
  const columns = table.columnDefinitions.map(({ name, priority }) => ({
    name,
    shown: wide || priority === 0,
  }));
  return table.rows.map(({ cells }) => {
    const shown = columns.flatMap(({ name, shown: visible }, index) =>
      visible ? [[name.toUpperCase(), cells[index]]] : [],
    );
    return Object.fromEntries(shown) as Record<string, unknown>;
  });
}

async function serviceRow(
  api: ContractApi,
  spec: Partial<ServiceSpec>,
  status?: object,
): Promise<Record<string, unknown>> {
  const { path, object } = await makeService(api, spec);
  if (status) await patch(api, `${path}/status`, { status });
  const [row] = rowsOf(await must<Table>(api, 'GET', path, { accept: tableFormat }));
  assert.equal(row?.['NAME'], object.metadata.name);
  return row ?? {};
}

async function nodeRow(api: ContractApi, node: Node): Promise<Record<string, unknown>> {
  const { path } = await make<Node>(api, nodesPath, node);
  const [row] = rowsOf(await must<Table>(api, 'GET', path, { accept: tableFormat }), true);
  return row ?? {};
}

const ingressOf = (...ingress: object[]): object => ({ loadBalancer: { ingress } });
const readyIs = (status: string) => ({ conditions: [{ type: 'Ready', status }] });

/** Tables: what `kubectl get` prints. */
export const tableCases: readonly ContractCase[] = [
  {
    name: 'a table of Services has the columns of kubectl get, and SELECTOR in the wide format',
    async run(api) {
      const { collection } = await makeService(api);
      const table = await must<Table>(api, 'GET', collection, { accept: tableFormat });
      assert.equal(table.kind, 'Table');
      assert.equal(table.apiVersion, 'meta.k8s.io/v1');
      assert.match(table.metadata?.resourceVersion ?? '', /^\d+$/);
      const names = ['NAME', 'TYPE', 'CLUSTER-IP', 'EXTERNAL-IP', 'PORT(S)', 'AGE'];
      assert.deepEqual(Object.keys(rowsOf(table)[0] ?? {}), names);
      assert.deepEqual(Object.keys(rowsOf(table, true)[0] ?? {}), [...names, 'SELECTOR']);
      assert.equal(rowsOf(table, true)[0]?.['SELECTOR'], 'app=web');
    },
  },
  {
    name: 'a LoadBalancer Service shows <pending>, its node ports and its age',
    async run(api) {
      const ports = [
        { name: 'http', port: 80 },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ];
      const row = await serviceRow(api, { ports });
      assert.equal(row['TYPE'], 'LoadBalancer');
      assert.match(String(row['CLUSTER-IP']), /^\d+\.\d+\.\d+\.\d+$/);
      assert.equal(row['EXTERNAL-IP'], '<pending>');
      assert.match(String(row['PORT(S)']), /^80:3\d{4}\/TCP,53:3\d{4}\/UDP$/);
      assert.match(String(row['AGE']), /^\d+s$/);
    },
  },
  {
    name: 'the external address shows addresses, names and external IPs',
    async run(api) {
      const two = await serviceRow(api, {}, ingressOf({ ip: '192.0.2.1' }, { ip: '192.0.2.2' }));
      assert.equal(two['EXTERNAL-IP'], '192.0.2.1,192.0.2.2');
      const name = await serviceRow(api, {}, ingressOf({ hostname: 'lb.example.com' }));
      assert.equal(name['EXTERNAL-IP'], 'lb.example.com');
      const external = await serviceRow(
        api,
        { externalIPs: ['198.51.100.7'] },
        ingressOf({ ip: '192.0.2.1' }),
      );
      assert.equal(external['EXTERNAL-IP'], '192.0.2.1,198.51.100.7');
    },
  },
  {
    name: 'other types of Service show <none> or what they have',
    async run(api) {
      const cluster = await serviceRow(api, { type: 'ClusterIP' });
      assert.equal(cluster['EXTERNAL-IP'], '<none>');
      assert.equal(cluster['PORT(S)'], '80/TCP');
      const headless = await serviceRow(api, { type: 'ClusterIP', clusterIP: 'None', ports: [] });
      assert.equal(headless['CLUSTER-IP'], 'None');
      assert.equal(headless['PORT(S)'], '<none>');
      const node = await serviceRow(api, { type: 'NodePort' });
      assert.match(String(node['PORT(S)']), /^80:3\d{4}\/TCP$/);
    },
  },
  {
    name: 'a row carries the metadata of its object, the whole object or nothing, as includeObject says',
    async run(api) {
      const { path, object } = await makeService(api);
      const rowWith = async (query: Record<string, string>) =>
        (await must<Table>(api, 'GET', path, { accept: tableFormat, query })).rows[0]?.object;
      const metadata = await rowWith({});
      assert.equal(metadata?.kind, 'PartialObjectMetadata');
      assert.equal(metadata?.metadata.uid, object.metadata.uid);
      assert.deepEqual(await rowWith({ includeObject: 'Object' }), object);
      assert.equal((await rowWith({ includeObject: 'None' })) ?? undefined, undefined);
    },
  },
  {
    name: 'a table of an empty list has columns and no rows',
    async run(api) {
      const { path, collection } = await makeService(api);
      await must(api, 'DELETE', path);
      const table = await must<Table>(api, 'GET', collection, { accept: tableFormat });
      assert.deepEqual(table.rows, []);
      assert.equal(table.columnDefinitions[0]?.name, 'Name');
    },
  },
  {
    name: 'a table is paged like a list',
    async run(api) {
      const { collection, namespace } = await makeService(api, {}, {});
      await makeService(api, {}, { namespace });
      const table = await must<Table>(api, 'GET', collection, { accept: tableFormat, query: { limit: '1' } });
      assert.equal(table.rows.length, 1);
      assert.ok(table.metadata?.continue);
    },
  },
  {
    name: 'a watch in the table format tells one row per event',
    async run(api) {
      const { collection, path, name, object } = await makeService(api);
      const query = {
        resourceVersion: object.metadata.resourceVersion!,
        fieldSelector: `metadata.name=${name}`,
      };
      await watching(api, { path: collection, query, accept: tableFormat }, async (watch) => {
        await patch(api, `${path}/status`, { status: ingressOf({ ip: '192.0.2.1' }) });
        const event = await nextChange<Table>(watch);
        assert.equal(event.type, 'MODIFIED');
        assert.equal(event.object.kind, 'Table');
        assert.equal(rowsOf(event.object)[0]?.['EXTERNAL-IP'], '192.0.2.1');
        await must(api, 'DELETE', path);
        const last = await nextChange<Table>(watch);
        assert.equal(last.type, 'DELETED');
        assert.equal(last.object.rows.length, 1);
        assert.equal(last.object.rows[0]?.object?.metadata.name, name);
      });
    },
  },
  {
    name: 'a table of Nodes has the columns of kubectl get and of its wide format',
    async run(api) {
      const row = await nodeRow(api, {
        ...aNode({ name: unique('node') }),
        status: {
          addresses: [
            { type: 'InternalIP', address: '192.0.2.10' },
            { type: 'ExternalIP', address: '198.51.100.10' },
          ],
          ...readyIs('True'),
          nodeInfo: {
            kubeletVersion: 'v1.34.4',
            osImage: 'Debian',
            kernelVersion: '6.1',
            containerRuntimeVersion: 'containerd://2',
          },
        },
      } as Node);
      const { NAME: _, AGE: age, ...rest } = row;
      assert.match(String(age), /^\d+s$/);
      assert.deepEqual(rest, {
        STATUS: 'Ready',
        ROLES: '<none>',
        VERSION: 'v1.34.4',
        'INTERNAL-IP': '192.0.2.10',
        'EXTERNAL-IP': '198.51.100.10',
        'OS-IMAGE': 'Debian',
        'KERNEL-VERSION': '6.1',
        'CONTAINER-RUNTIME': 'containerd://2',
      });
    },
  },
  {
    name: 'the status of a Node shows readiness and cordoning, the roles come from labels',
    async run(api) {
      const cordoned = { ...aNode({}, { unschedulable: true }), status: readyIs('True') };
      assert.equal((await nodeRow(api, cordoned))['STATUS'], 'Ready,SchedulingDisabled');
      assert.equal((await nodeRow(api, { ...aNode(), status: readyIs('False') }))['STATUS'], 'NotReady');
      assert.equal((await nodeRow(api, aNode()))['STATUS'], 'Unknown');
      const labels = { 'node-role.kubernetes.io/worker': '', 'node-role.kubernetes.io/edge': '' };
      assert.equal((await nodeRow(api, aNode({ labels })))['ROLES'], 'edge,worker');
    },
  },
];
