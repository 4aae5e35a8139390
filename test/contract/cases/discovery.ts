import assert from 'node:assert/strict';
import type { KubeObject, List } from '../objects.ts';
import { unique } from '../objects.ts';
import { type ContractCase, get, must } from '../steps.ts';

interface Resource {
  readonly name: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly shortNames?: readonly string[];
}

interface ResourceList {
  readonly kind: string;
  readonly groupVersion: string;
  readonly resources: readonly Resource[];
}

interface GroupList {
  readonly kind: string;
  readonly groups: readonly {
    readonly name: string;
    readonly versions: readonly { readonly groupVersion: string; readonly version: string }[];
    readonly preferredVersion: { readonly groupVersion: string };
  }[];
}

const verbs = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'];

async function expectResource(
  list: ResourceList,
  wanted: Partial<Resource> & { name: string },
): Promise<void> {
  const found = list.resources.find(({ name }) => name === wanted.name);
  assert.ok(found, `${list.groupVersion} does not list ${wanted.name}`);
  assert.equal(found.kind, wanted.kind);
  assert.equal(found.namespaced, wanted.namespaced);
  for (const verb of wanted.verbs ?? verbs)
    assert.ok(found.verbs.includes(verb), `${wanted.name} lacks the verb ${verb}`);
  if (wanted.shortNames) assert.deepEqual(found.shortNames, wanted.shortNames);
}

/** How a client finds out what the server is and serves. */
export const discoveryCases: readonly ContractCase[] = [
  {
    name: 'the server says which version of Kubernetes it speaks',
    async run(api) {
      const version = await get<Record<string, string>>(api, '/version');
      assert.equal(version['major'], '1');
      assert.match(version['minor'] ?? '', /^\d+/);
      assert.match(version['gitVersion'] ?? '', /^v1\.\d+\.\d+/);
    },
  },
  {
    name: 'the server says that it is healthy and ready',
    async run(api) {
      for (const path of ['/healthz', '/livez', '/readyz']) {
        const response = await api.request('GET', path);
        assert.equal(response.status, 200, path);
        assert.equal(response.text, 'ok');
      }
    },
  },
  {
    name: '/api names version v1',
    async run(api) {
      const answer = await get<{ kind: string; versions: string[] }>(api, '/api');
      assert.equal(answer.kind, 'APIVersions');
      assert.ok(answer.versions.includes('v1'));
    },
  },
  {
    name: '/apis names the groups that Berth needs',
    async run(api) {
      const answer = await get<GroupList>(api, '/apis');
      assert.equal(answer.kind, 'APIGroupList');
      for (const name of ['coordination.k8s.io', 'discovery.k8s.io']) {
        const group = answer.groups.find((candidate) => candidate.name === name);
        assert.ok(group, `${name} is missing`);
        assert.ok(group.versions.some(({ version }) => version === 'v1'));
        assert.equal(group.preferredVersion.groupVersion, `${name}/v1`);
      }
    },
  },
  {
    name: '/api/v1 lists the core resources with scope, verbs and short names',
    async run(api) {
      const list = await get<ResourceList>(api, '/api/v1');
      assert.equal(list.kind, 'APIResourceList');
      assert.equal(list.groupVersion, 'v1');
      await expectResource(list, {
        name: 'services',
        kind: 'Service',
        namespaced: true,
        shortNames: ['svc'],
      });
      await expectResource(list, { name: 'nodes', kind: 'Node', namespaced: false, shortNames: ['no'] });
      await expectResource(list, {
        name: 'namespaces',
        kind: 'Namespace',
        namespaced: false,
        shortNames: ['ns'],
      });
      await expectResource(list, { name: 'events', kind: 'Event', namespaced: true, shortNames: ['ev'] });
      const status = { kind: 'Service', namespaced: true, verbs: ['get', 'patch', 'update'] };
      await expectResource(list, { name: 'services/status', ...status });
      await expectResource(list, { name: 'nodes/status', ...status, kind: 'Node', namespaced: false });
    },
  },
  {
    name: 'the groups list their resources',
    async run(api) {
      const leases = await get<ResourceList>(api, '/apis/coordination.k8s.io/v1');
      assert.equal(leases.groupVersion, 'coordination.k8s.io/v1');
      await expectResource(leases, { name: 'leases', kind: 'Lease', namespaced: true });
      const slices = await get<ResourceList>(api, '/apis/discovery.k8s.io/v1');
      await expectResource(slices, { name: 'endpointslices', kind: 'EndpointSlice', namespaced: true });
    },
  },
  {
    name: 'the namespaces default and kube-system are there, each with a uid',
    async run(api) {
      for (const name of ['default', 'kube-system']) {
        const namespace = await get<KubeObject>(api, `/api/v1/namespaces/${name}`);
        assert.equal(namespace.kind, 'Namespace');
        assert.match(namespace.metadata.uid ?? '', /^[0-9a-f-]{36}$/);
        assert.equal(namespace.metadata.labels?.['kubernetes.io/metadata.name'], name);
      }
    },
  },
  {
    name: 'a created namespace is active and listed',
    async run(api) {
      const name = unique('contract');
      const body = { metadata: { name } };
      const made = await must<KubeObject & { status: { phase: string } }>(api, 'POST', '/api/v1/namespaces', {
        body,
      });
      assert.equal(made.status.phase, 'Active');
      const list = await get<List<KubeObject>>(api, '/api/v1/namespaces');
      assert.ok(list.items.some(({ metadata }) => metadata.name === name));
    },
  },
  {
    name: 'the answer to a table format that is only one of several accepted formats is a table',
    async run(api) {
      const accept =
        'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json';
      const table = await must<{ kind: string; apiVersion: string }>(api, 'GET', '/api/v1/namespaces', {
        accept,
      });
      assert.equal(table.kind, 'Table');
      assert.equal(table.apiVersion, 'meta.k8s.io/v1');
    },
  },
];
