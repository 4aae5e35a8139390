/**
 * A controller lives its whole life on a real API server under exactly the role of `infra/manifests`: nothing is
 * denied, and nothing is granted that it does not use.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { Transient } from '../../src/model/errors.ts';
import { LEASE_NAME } from '../../src/model/names.ts';
import { MemoryCloud } from '../../src/provider/memory.ts';
import type { Provider } from '../../src/provider/spi.ts';
import { kubectlFor } from '../contract/index.ts';
import { AuditLog, type AuditedRequest } from '../fixtures/audit.ts';
import { addressesOf, conditionOf, eventually, Person } from '../fixtures/kube-objects.ts';
import { startLocal, type LocalController, type Server } from '../fixtures/run-controller.ts';
import { type ControlPlane, describeWithControlPlane, startControlPlane } from '../harness/controlplane.ts';
import { harnessEnvironment } from '../harness/environment.ts';
import { describeWithKubectl } from '../harness/kubectl.ts';

const MANIFESTS = fileURLToPath(new URL('../../infra/manifests', import.meta.url));
const BERTH = 'system:serviceaccount:berth-system:berth';
const NAMESPACE = 'berth-system';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
}

interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly verbs: readonly string[];
}

/** Where each kind is created. */
const PATHS: Readonly<Record<string, (namespace: string) => string>> = {
  Namespace: () => '/api/v1/namespaces',
  ServiceAccount: (namespace) => `/api/v1/namespaces/${namespace}/serviceaccounts`,
  ClusterRole: () => '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: () => '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  Role: (namespace) => `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`,
  RoleBinding: (namespace) => `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/rolebindings`,
  Deployment: (namespace) => `/apis/apps/v1/namespaces/${namespace}/deployments`,
};

/** The objects of a directory's files, in the order in which they are applied. */
function manifestsOf(...path: readonly string[]): readonly Manifest[] {
  const directory = join(MANIFESTS, ...path);
  return readdirSync(directory)
    .filter((file) => file.endsWith('.yaml'))
    .toSorted()
    .flatMap((file) => parseAllDocuments(readFileSync(join(directory, file), 'utf8')))
    .map((document) => document.toJS() as Manifest);
}

/** `patch services/status`, with the name where the rule names one: every single permission of the roles. */
function permissionsOf(manifests: readonly Manifest[]): readonly string[] {
  return manifests
    .flatMap(({ rules = [] }) => rules)
    .flatMap(({ apiGroups, resources, resourceNames = [''], verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          resourceNames.flatMap((name) => verbs.map((verb) => permission({ group, resource, name, verb }))),
        ),
      ),
    )
    .toSorted();
}

function permission({
  group,
  resource,
  name,
  verb,
}: Pick<AuditedRequest, 'group' | 'resource' | 'name' | 'verb'>): string {
  return [verb, group === '' ? resource : `${resource}.${group}`, name].join(' ').trim();
}

/** Resources that the roles grant by name only. */
const NAMED = new Set(['leases', 'namespaces']);

/** The permissions that requests needed. */
function neededFor(requests: readonly AuditedRequest[]): readonly string[] {
  const needed = requests.map(({ group, resource, name, verb }) =>
    permission({ group, resource, name: NAMED.has(resource) && verb !== 'create' ? name : '', verb }),
  );
  return [...new Set(needed)].toSorted();
}

await describeWithControlPlane('under exactly the role of the manifests', async () => {
  let audit: AuditLog;
  let plane: ControlPlane;
  let person: Person;
  let berth: Server;
  const controllers: LocalController[] = [];

  beforeAll(async () => {
    audit = new AuditLog();
    plane = await startControlPlane({
      authorization: 'RBAC',
      apiServerArgs: audit.apiServerArgs,
      users: [{ name: 'reader', groups: ['berth-users'] }],
    });
    const ca = readFileSync(plane.caFile, 'utf8');
    person = new Person({ url: plane.url, token: plane.token(), ca });
    berth = { url: plane.url, token: plane.token(BERTH), ca };
    await apply(manifestsOf());
    await person.createNode('node-1');
  });
  afterAll(async () => {
    for (const controller of controllers) await controller.stop();
    person?.close();
    await plane?.stop();
    audit?.close();
  });

  /** As kubectl does it, without kubectl. */
  async function apply(manifests: readonly Manifest[]): Promise<void> {
    for (const manifest of manifests) {
      const path = PATHS[manifest.kind]?.(manifest.metadata.namespace ?? '');
      if (path === undefined) throw new Error(`the test does not know where a ${manifest.kind} is created`);
      await person.request('POST', path, { ...manifest });
    }
  }

  function start(identity: string, provider: Parameters<typeof startLocal>[0]['provider']): LocalController {
    const election = {
      namespace: NAMESPACE,
      identity,
      leaseDurationMs: 3_000,
      renewDeadlineMs: 2_000,
      retryPeriodMs: 200,
    };
    const controller = startLocal({ server: berth, provider, election, settings: { deleteOrphans: true } });
    controllers.push(controller);
    return controller;
  }

  async function served(name: string): Promise<void> {
    await eventually(async () => {
      expect(conditionOf(await person.service(name))).toBe('True Provisioned');
    });
  }

  it('a whole life is allowed, and nothing else: two replicas, Services, nodes, events, a take-over', async () => {
    const cloud = new MemoryCloud();
    const down = new Transient('CloudDown', { message: 'no', remedy: 'Wait' });
    const first = start('first', { cloud, pool: ['192.0.2.128/25'] });
    await first.acting;
    const second = start('second', { cloud, pool: ['192.0.2.128/25'] });

    cloud.failNext('createLoadBalancer', down);
    await person.createService('web', { allocateLoadBalancerNodePorts: false });
    await served('web');
    await person.createNode('node-2', '192.0.2.12');
    // The same failure again once its event is written: it is counted up, which is a patch.
    await eventually(async () => expect(await person.eventReasons('web')).toContain(down.code));
    cloud.failNext('createLoadBalancer', down);
    cloud.tamper('default/web', () => undefined);
    await person.patchService('web', { spec: { loadBalancerSourceRanges: ['10.0.0.0/8'] } });
    await eventually(() => {
      const balancer = cloud.loadBalancers.get('default/web');
      expect(balancer?.targets).toHaveLength(2);
      expect(balancer?.frontend.sourceRanges).toEqual(['10.0.0.0/8']);
    });
    await person.createService('typed');
    await served('typed');
    await person.patchService('typed', { spec: { type: 'ClusterIP' } });
    await eventually(async () => expect((await person.service('typed'))?.finalizers).toEqual([]));

    // An orphan makes the sweep ask by quorum.
    const frontend = cloud.loadBalancers.get('default/web')!.frontend;
    const { signal } = new AbortController();
    await cloud.createLoadBalancer(
      { key: 'default/orphan', uid: 'gone' },
      { ...frontend, addresses: [] },
      signal,
    );
    const reports = await (await first.acting).sweep(signal);
    expect(reports[0]?.orphans).toHaveLength(1);

    expect(await first.stop()).toBe('stopped');
    await second.acting;
    await person.deleteService('web');
    await eventually(() => expect(cloud.loadBalancers.has('default/web')).toBe(false));
    await person.patchNode('node-2', { metadata: { labels: { any: 'thing' } } });
    expect(await second.stop()).toBe('stopped');

    const requests = audit.requestsOf(BERTH);
    expect(requests.filter(({ status }) => status === 401 || status === 403)).toEqual([]);
    expect(neededFor(requests)).toEqual(permissionsOf(manifestsOf()));
    expect(
      requests.filter(({ resource, namespace }) => resource === 'leases' && namespace !== NAMESPACE),
    ).toEqual([]);
    expect(requests.some(({ resource, namespace }) => resource === 'events' && namespace === 'default')).toBe(
      true,
    );
  });

  it('what no manifest grants is denied: that role is in force', async () => {
    for (const path of ['/api/v1/secrets', '/api/v1/pods', '/api/v1/namespaces/default/endpoints']) {
      const { status } = await plane.request('GET', path, { user: BERTH });
      expect(`${path} ${status}`).toBe(`${path} 403`);
    }
    const lease = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
    expect((await plane.request('GET', lease, { user: BERTH })).status).toBe(403);
    expect((await plane.request('GET', `${lease}/${LEASE_NAME}`, { user: BERTH })).status).toBe(200);
  });

  it('pods as targets need the optional role, and with it nothing is denied', async () => {
    const cloud = new MemoryCloud();
    const alter = ({ capabilities }: Provider): Partial<Provider> => ({
      capabilities: { ...capabilities, targets: 'podIP' },
    });
    const path = '/apis/discovery.k8s.io/v1/endpointslices';
    expect((await plane.request('GET', path, { user: BERTH })).status).toBe(403);
    const before = audit.requestsOf(BERTH).length;
    const optional = manifestsOf('optional').filter(({ metadata }) => metadata.name === 'berth-endpoints');
    await apply(optional);
    await eventually(async () =>
      expect((await plane.request('GET', path, { user: BERTH })).status).toBe(200),
    );
    const asked = audit.requestsOf(BERTH).length;
    const controller = start('third', { cloud, alter, pool: ['192.0.2.128/25'] });
    await person.createService('pods');
    await served('pods');
    expect(addressesOf(await person.service('pods'))).toBe('192.0.2.128');
    await controller.stop();
    const requests = audit.requestsOf(BERTH).slice(Math.max(before, asked));
    expect(requests.filter(({ status }) => status === 403)).toEqual([]);
    const slices = neededFor(requests).filter((text) => text.includes('endpointslices'));
    expect(slices).toEqual(permissionsOf(optional));
  });

  it('people who may ask the leader may read its Lease and reach its pod, and nothing more', async () => {
    await apply(manifestsOf('optional').filter(({ metadata }) => metadata.name === 'berth-plan'));
    const user = 'reader';
    const lease = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases/${LEASE_NAME}`;
    await eventually(async () => expect((await plane.request('GET', lease, { user })).status).toBe(200));
    // There is no such pod, which is another answer than "forbidden".
    const proxy = `/api/v1/namespaces/${NAMESPACE}/pods/berth-controller-0:8080/proxy/api/plan`;
    expect((await plane.request('GET', proxy, { user })).status).toBe(404);
    expect((await plane.request('POST', proxy, { user })).status).toBe(403);
    expect((await plane.request('GET', '/api/v1/services', { user })).status).toBe(403);
    expect((await plane.request('PATCH', lease, { user, body: {} })).status).toBe(403);
  });

  await describeWithKubectl('with kubectl', () => {
    it('the manifests are accepted as they are, without a warning, twice', async () => {
      const kubectl = await kubectlFor({
        kubeconfig: plane.kubeconfig(),
        environment: harnessEnvironment().forChildren,
      });
      try {
        await person.request('DELETE', `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/berth-controller`);
        for (const round of ['first', 'second']) {
          const result = await kubectl.run([
            'apply',
            '--recursive',
            '--server-side',
            '--force-conflicts',
            '-f',
            MANIFESTS,
          ]);
          expect({ round, stderr: result.stderr, code: result.code }).toEqual({ round, stderr: '', code: 0 });
          expect(result.stdout).toContain('deployment.apps/berth-controller serverside-applied');
        }
      } finally {
        await kubectl.close();
      }
    });
  });
});
