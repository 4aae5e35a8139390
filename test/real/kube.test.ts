import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import {
  addFinalizer,
  allocateNodePorts,
  type Change,
  clearCondition,
  connectKube,
  EventRecorder,
  getService,
  isApiError,
  KubeClient,
  type Leadership,
  listServices,
  ListWatch,
  patchStatus,
  readClusterId,
  readFromPod,
  readServerVersion,
  removeFinalizer,
  runLeaderElection,
  SERVICES_PATH,
  toNode,
  toService,
  type Trouble,
  type WriteContext,
} from '../../src/kube/index.ts';
import type { Service } from '../../src/model/service.ts';
import { type ControlPlane, describeWithControlPlane, startControlPlane } from '../harness/controlplane.ts';

const FINALIZER = 'berth.dev/load-balancer';
const OTHERS = 'example.com/other';
const namespace = 'default';

await describeWithControlPlane('the kube layer on a real kube-apiserver', () => {
  let plane: ControlPlane;
  let client: KubeClient;
  let stop: AbortController;
  let context: WriteContext;
  let number = 0;

  beforeAll(async () => {
    plane = await startControlPlane();
    client = new KubeClient(await connectKube({ kubeconfig: plane.kubeconfig() }), { version: 'test' });
  });

  afterAll(async () => {
    client?.close();
    await plane?.stop();
  });

  beforeEach(() => {
    stop = new AbortController();
    context = { client, signal: stop.signal };
  });

  afterEach(async () => {
    stop.abort(new Error('the test is over'));
    await plane.request('DELETE', `/api/v1/namespaces/${namespace}/services`, {
      query: { labelSelector: 'made-by=test' },
    });
  });

  /** Creates a Service and returns it as the model has it. */
  async function aService(spec: object = {}, metadata: object = {}): Promise<Service> {
    const body = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `web-${++number}`, labels: { 'made-by': 'test' }, ...metadata },
      spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...spec },
    };
    const path = `/api/v1/namespaces/${namespace}/services`;
    return toService(await client.request({ method: 'POST', path, body, signal: stop.signal }))!;
  }

  const again = (service: Service): Promise<Service | undefined> => getService(context, service);

  interface Watched {
    readonly watch: ListWatch<Service>;
    readonly changes: Change<Service>[];
    readonly troubles: Trouble[];
  }

  function watchServices(pageSize = 500): Watched {
    const changes: Change<Service>[] = [];
    const troubles: Trouble[] = [];
    const watch = new ListWatch<Service>({
      client,
      path: SERVICES_PATH,
      labelSelector: 'made-by=test',
      convert: toService,
      signal: stop.signal,
      onChange: (change) => changes.push(change),
      onTrouble: (trouble) => troubles.push(trouble),
      tuning: { pageSize, backoffMaxMs: 500 },
    });
    return { watch, changes, troubles };
  }

  async function until(condition: () => boolean, why: string): Promise<void> {
    for (let i = 0; i < 1000; i++) {
      if (condition()) return;
      await delay(20);
    }
    expect.fail(`in vain: ${why}`);
  }

  it("reads version, identity and nodes over TLS with a kubeconfig's token", async () => {
    expect(await readServerVersion(client, stop.signal)).toMatch(/^v1\./);
    expect(await readClusterId(client, stop.signal)).toMatch(/^[0-9a-f-]{36}$/);
    const body = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n-1' }, spec: { providerID: 'x://1' } };
    const node = toNode(
      await client.request({ method: 'POST', path: '/api/v1/nodes', body, signal: stop.signal }),
    );
    expect(node).toMatchObject({ name: 'n-1', providerID: 'x://1', ready: 'Unknown' });
    await plane.request('DELETE', '/api/v1/nodes/n-1');
    const target = { namespace, pod: 'nowhere', port: 80, path: '/' };
    await expect(readFromPod(client, target, stop.signal)).rejects.toMatchObject({ code: 'ApiNotFound' });
    await expect(again({ namespace, name: 'nowhere' } as Service)).rejects.toMatchObject({
      code: 'ApiNotFound',
    });
  });

  it('lists in pages and follows what is created, changed and deleted', async () => {
    for (let i = 0; i < 7; i++) await aService({ type: 'ClusterIP' });
    const { watch, changes, troubles } = watchServices(3);
    await watch.synced;
    expect(changes.map(({ type, via }) => `${via} ${type}`)).toEqual(
      Array.from({ length: 7 }, () => 'list added'),
    );
    const service = await aService();
    await until(() => watch.get(`${namespace}/${service.name}`) !== undefined, 'the new one');
    await plane.request('DELETE', `/api/v1/namespaces/${namespace}/services/${service.name}`);
    await until(() => watch.size === 7, 'the deletion');
    expect(changes.slice(7).map(({ type }) => type)).toEqual(['added', 'deleted']);
    expect(troubles).toEqual([]);
    const listed = await listServices(context);
    expect(listed.filter(({ labels }) => labels['made-by'] === 'test')).toHaveLength(7);
  });

  it('comes through a kill and a restart of the API server with nothing lost and nothing told twice', async () => {
    const services = [await aService(), await aService(), await aService()];
    const { watch, changes, troubles } = watchServices();
    await watch.synced;
    await plane.killApiServer();
    await until(() => troubles.length >= 2, 'the failure is noticed');
    expect(watch.isConnected).toBe(false);
    expect(watch.size).toBe(3);
    await plane.startApiServer();
    // At once, before the watch is back, so that its resuming is what brings these.
    await plane.request('DELETE', `/api/v1/namespaces/${namespace}/services/${services[0]!.name}`);
    await addFinalizer(context, (await again(services[1]!))!);
    const fresh = await aService();
    await until(() => watch.isConnected, 'the watch is back');
    await until(() => watch.get(`${namespace}/${fresh.name}`) !== undefined, 'the new one');
    await until(() => watch.size === 3, 'the deletion');
    const keys = changes.map(({ type, key }) => `${type} ${key}`);
    expect(keys.toSorted()).toEqual(
      [
        ...services.map(({ name }) => `added ${namespace}/${name}`),
        `deleted ${namespace}/${services[0]!.name}`,
        `modified ${namespace}/${services[1]!.name}`,
        `added ${namespace}/${fresh.name}`,
      ].toSorted(),
    );
    expect(watch.get(`${namespace}/${services[1]!.name}`)?.finalizers).toContain(FINALIZER);
    await removeFinalizer(context, (await again(services[1]!))!);
  }, 120_000);

  it('is refused a watch from a version that the server does not remember, as expired', async () => {
    const query = { watch: 1, resourceVersion: '1', timeoutSeconds: 2 };
    const lines: string[] = [];
    const refused = await client
      .watch({ path: SERVICES_PATH, query, signal: stop.signal }, { onLine: (line) => lines.push(line) })
      .then(
        () => lines.some((line) => line.includes('"code":410')),
        (error: unknown) => isApiError(error, 'ApiExpired'),
      );
    expect(refused).toBe(true);
  });

  it('adds and removes its finalizer beside those of others, and fails on an old version', async () => {
    const service = await aService({}, { finalizers: [OTHERS] });
    const withOurs = toService(await addFinalizer(context, service))!;
    expect(withOurs.finalizers).toEqual([OTHERS, FINALIZER]);
    await expect(addFinalizer(context, service)).rejects.toMatchObject({
      code: 'ApiConflict',
      kind: 'Conflict',
    });
    const without = toService(await removeFinalizer(context, withOurs))!;
    expect(without.finalizers).toEqual([OTHERS]);
    const bare = toService(await removeFinalizer(context, without, OTHERS))!;
    expect(bare.finalizers).toEqual([]);
    await plane.request('DELETE', `/api/v1/namespaces/${namespace}/services/${service.name}`);
    await expect(addFinalizer(context, bare)).rejects.toMatchObject({ code: 'ApiNotFound' });
  });

  it('ends with the object gone from the cache when the last finalizer of a deleted Service goes', async () => {
    const service = toService(await addFinalizer(context, await aService()))!;
    const { watch, changes } = watchServices();
    await watch.synced;
    await plane.request('DELETE', `/api/v1/namespaces/${namespace}/services/${service.name}`);
    const key = `${namespace}/${service.name}`;
    await until(() => watch.get(key)?.deleting === true, 'the deletion is seen');
    watch.put(await removeFinalizer(context, watch.get(key)!));
    await until(() => watch.get(key) === undefined, 'it is gone');
    await delay(300);
    expect(watch.size).toBe(0);
    expect(changes.at(-1)).toMatchObject({ type: 'deleted', key });
  });

  it('writes addresses, condition and annotations in one status patch, and its event is told once', async () => {
    const service = await aService();
    const { watch, changes } = watchServices();
    await watch.synced;
    const foreign = {
      type: 'example.com/Ready',
      status: 'True',
      reason: 'Fine',
      message: '',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    };
    const path = `/api/v1/namespaces/${namespace}/services/${service.name}/status`;
    await client.request({
      method: 'PATCH',
      path,
      body: { status: { conditions: [foreign] } },
      signal: stop.signal,
    });
    const base = (await again(service))!;
    await until(
      () => watch.get(`${namespace}/${service.name}`)?.resourceVersion === base.resourceVersion,
      'base',
    );
    changes.length = 0;
    const ingress = [{ ip: '127.0.0.9', ipMode: 'Proxy', ports: [{ port: 80, protocol: 'TCP' }] }] as const;
    const condition = { status: 'True', reason: 'Provisioned', message: 'all is well' } as const;
    const wanted = { ingress, condition, annotations: { 'berth.dev/applied': 'x' }, nowMs: Date.now() };
    watch.put(await patchStatus(context, base, wanted));
    const written = watch.get(`${namespace}/${service.name}`)!;
    expect(written.ingress).toEqual(ingress);
    expect(written.annotations['berth.dev/applied']).toBe('x');
    expect(written.conditions.map(({ type }) => type)).toEqual([foreign.type, 'berth.dev/Provisioned']);
    expect(await again(service)).toEqual(written);
    expect(await patchStatus(context, written, wanted)).toBeUndefined();
    await expect(patchStatus(context, base, wanted)).rejects.toMatchObject({ code: 'ApiConflict' });
    await delay(300);
    // Answer and event come over two connections; whichever is first is told, the other one is not.
    expect(changes.map(({ type }) => type)).toEqual(['modified']);
  });

  it('takes its condition away from a Service whose type changed, which the API server does not', async () => {
    const condition = { status: 'True', reason: 'Provisioned', message: '' } as const;
    const ingress = [{ ip: '127.0.0.9', ipMode: 'VIP' }] as const;
    const service = await aService();
    await patchStatus(context, service, { ingress, condition, nowMs: Date.now() });
    const path = `/api/v1/namespaces/${namespace}/services/${service.name}`;
    const body = { spec: { type: 'ClusterIP' } };
    const changed = toService(await client.request({ method: 'PATCH', path, body, signal: stop.signal }))!;
    expect(changed.ingress).toEqual([]);
    expect(changed.conditions).toHaveLength(1);
    expect(toService(await clearCondition(context, changed))?.conditions).toEqual([]);
  });

  it('makes the API server allocate node ports', async () => {
    const service = await aService({ allocateLoadBalancerNodePorts: false });
    expect(service.ports[0]?.nodePort).toBe(0);
    const allocated = toService(await allocateNodePorts(context, service));
    expect(allocated?.ports[0]?.nodePort).toBeGreaterThanOrEqual(30_000);
  });

  it('writes events that the server keeps, and counts them', async () => {
    const service = await aService();
    const dropped: unknown[] = [];
    const recorder = new EventRecorder({
      client,
      instance: 'test',
      onDrop: (drop) => dropped.push(drop),
      tuning: { intervalMs: 100 },
    });
    const target = { apiVersion: 'v1', kind: 'Service', ...service };
    for (let i = 0; i < 3; i++)
      recorder.event(target, { type: 'Warning', reason: 'PoolExhausted', message: 'none' });
    interface Listed {
      readonly items: readonly Record<string, unknown>[];
    }
    const kept = async (): Promise<Listed['items']> => {
      const path = `/api/v1/namespaces/${namespace}/events`;
      // The API server tells events of a Service itself when its allocators disagree for a moment.
      const ours = 'source=berth-controller';
      const query = { fieldSelector: `involvedObject.uid=${service.uid},${ours}` };
      return (await plane.request<Listed>('GET', path, { query })).json.items;
    };
    const counted = { reason: 'PoolExhausted', count: 3, source: { component: 'berth-controller' } };
    await expect.poll(kept, { timeout: 5_000 }).toMatchObject([counted]);
    recorder.event({ ...target, uid: 'x'.repeat(2000) }, { type: 'Normal', reason: 'Other', message: 'm' });
    await recorder.close();
    expect(dropped).toEqual([]);
    expect(await kept()).toMatchObject([counted]);
  });

  it('elects one of two candidates, hands over at once on release, and after the expiry on a silent death', async () => {
    const made = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'berth-system' } };
    const seconds = { leaseDurationMs: 2000, renewDeadlineMs: 1200, retryPeriodMs: 200 };
    const troubles: unknown[] = [];
    const run = (identity: string, own: KubeClient = client) => {
      const stopping = new AbortController();
      const elected = Promise.withResolvers<Leadership>();
      const end = runLeaderElection({
        client: own,
        namespace: 'berth-system',
        name: 'berth-controller',
        identity,
        ...seconds,
        annotations: { 'berth.dev/endpoint': identity },
        signal: AbortSignal.any([stopping.signal, stop.signal]),
        onElected: async (leadership) => {
          elected.resolve(leadership);
          while (leadership.holds() && !stopping.signal.aborted && !stop.signal.aborted) await delay(10);
        },
        onTrouble: (error) => troubles.push(error),
      });
      end.catch(() => {});
      return { stopping, elected: elected.promise, end };
    };
    await expect(run('early').end).rejects.toMatchObject({ code: 'LeaseNamespaceMissing' });
    await client.request({ method: 'POST', path: '/api/v1/namespaces', body: made, signal: stop.signal });

    const first = run('first');
    await first.elected;
    const second = run('second');
    await delay(500);
    first.stopping.abort(new Error('SIGTERM'));
    const stopped = performance.now();
    expect(await first.end).toBe('stopped');
    await second.elected;
    expect(performance.now() - stopped).toBeLessThan(1500);

    // A leader that cannot reach the server any more, as if its process had been killed.
    second.stopping.abort(new Error('SIGTERM'));
    await second.end;
    const doomed = new KubeClient(await connectKube({ kubeconfig: plane.kubeconfig() }));
    const dying = {
      request: (request: Parameters<KubeClient['request']>[0]) =>
        dead ? Promise.reject(new Error('dead')) : doomed.request(request),
      watch: () => Promise.reject(new Error('dead')),
    } as unknown as KubeClient;
    let dead = false;
    const third = run('third', dying);
    await third.elected;
    const fourth = run('fourth');
    await delay(300);
    dead = true;
    const died = performance.now();
    expect(await third.end).toBe('lost');
    const lostAfter = performance.now() - died;
    const successor = await fourth.elected;
    const takenAfter = performance.now() - died;
    expect(lostAfter).toBeLessThan(1400);
    expect(takenAfter).toBeGreaterThan(lostAfter);
    expect(takenAfter).toBeLessThan(4000);
    expect(successor.annotations).toEqual({ 'berth.dev/endpoint': 'fourth' });
    fourth.stopping.abort(new Error('SIGTERM'));
    await fourth.end;
    doomed.close();
    interface Lease {
      readonly spec: Record<string, unknown>;
      readonly metadata: { readonly annotations?: Record<string, string> };
    }
    const path = '/apis/coordination.k8s.io/v1/namespaces/berth-system/leases/berth-controller';
    const { json } = await plane.request<Lease>('GET', path);
    expect(json.spec).toMatchObject({ leaseTransitions: 3, leaseDurationSeconds: 1 });
    expect(json.spec['holderIdentity'] ?? '').toBe('');
    expect(json.metadata.annotations ?? {}).toEqual({});
  });
});
