import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { PlanEntry } from '../../src/controller/inspect.ts';
import { MemoryCloud } from '../../src/provider/memory.ts';
import type { Step } from '../../src/plan/step.ts';
import {
  CLOUD_PROVIDER,
  runProgram,
  scratch,
  startProgram,
  type CommandResult,
  type Program,
  type Scratch,
} from '../fixtures/command-line.ts';
import { serveCloud, type CloudServer } from '../fixtures/remote-cloud.ts';
import { describeWithControlPlane, startControlPlane, type ControlPlane } from '../harness/controlplane.ts';

interface ServiceObject {
  readonly metadata: { readonly name: string; readonly finalizers?: readonly string[] };
  readonly status: { readonly conditions?: readonly unknown[] };
}

/** A Lease that runs out soon, so that nobody waits long for one whose holder was killed. */
const LEASE = { leaseDuration: '3s', renewDeadline: '2s', retryPeriod: '250ms' };

await describeWithControlPlane('the command line on a real kube-apiserver', () => {
  let plane: ControlPlane;
  let files: Scratch;
  let cloud: MemoryCloud;
  let server: CloudServer;
  let config: string;
  let running: Program | undefined;

  beforeAll(async () => {
    [plane, files] = await Promise.all([startControlPlane({ authorization: 'RBAC' }), scratch()]);
    await plane.request('POST', '/api/v1/namespaces', { body: { metadata: { name: 'berth-system' } } });
    for (const index of [1, 2, 3]) {
      await plane.request('POST', '/api/v1/nodes', { body: { metadata: { name: `node-${index}` } } });
      await plane.request('PATCH', `/api/v1/nodes/node-${index}/status`, {
        body: { status: { addresses: [{ type: 'InternalIP', address: `10.0.0.${index}` }] } },
        contentType: 'application/merge-patch+json',
      });
    }
  });
  afterAll(async () => {
    await plane?.stop();
    await files?.remove();
  });

  beforeEach(async () => {
    cloud = new MemoryCloud();
    server = await serveCloud(cloud);
    const provider = {
      provider: CLOUD_PROVIDER,
      config: { cloud: server.url, pool: ['192.0.2.1-192.0.2.99'] },
    };
    config = await files.file(
      'berth.yaml',
      JSON.stringify({ providers: { memory: provider }, leaderElection: LEASE }),
    );
  });
  afterEach(async () => {
    running?.kill('SIGKILL');
    await running?.ended;
    running = undefined;
    for (const { metadata } of await services()) {
      const path = `/api/v1/namespaces/default/services/${metadata.name}`;
      await plane.request('PATCH', path, {
        body: { metadata: { finalizers: null } },
        contentType: 'application/merge-patch+json',
      });
      await plane.request('DELETE', path);
    }
    await plane.request(
      'DELETE',
      '/apis/coordination.k8s.io/v1/namespaces/berth-system/leases/berth-controller',
    );
    await server.close();
  });

  async function services(): Promise<readonly ServiceObject[]> {
    const path = '/api/v1/namespaces/default/services';
    const { json } = await plane.request<{ items: readonly ServiceObject[] }>('GET', path);
    return json.items.filter(({ metadata }) => metadata.name !== 'kubernetes');
  }

  async function aService(name: string, spec: object = {}): Promise<void> {
    const { status } = await plane.request('POST', '/api/v1/namespaces/default/services', {
      body: { metadata: { name }, spec: { type: 'LoadBalancer', ports: [{ port: 80 }], ...spec } },
    });
    expect(status).toBe(201);
  }

  const berth = (...argv: readonly string[]): Promise<CommandResult> =>
    runProgram([...argv, '--kubeconfig', plane.kubeconfig(), '--config', config]);

  async function plan(): Promise<{ readonly from: string; readonly plan: readonly PlanEntry[] }> {
    const { out } = await berth('plan', '--output', 'json');
    const answer = JSON.parse(out) as { source: { from: string }; plan: readonly PlanEntry[] };
    return { from: answer.source.from, plan: answer.plan };
  }

  /** Starts a controller and waits until it acts. */
  async function lead(): Promise<Program> {
    running = startProgram([
      'run',
      '--kubeconfig',
      plane.kubeconfig(),
      '--config',
      config,
      '--output',
      'json',
    ]);
    await running.says(/"event":"acting"/);
    return running;
  }

  /** The steps that a controller says to have begun, by Service. */
  function stepsIn(log: string): ReadonlyMap<string, readonly string[]> {
    const lines = log
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Step & { readonly message: string });
    const steps = lines.filter(({ message }) => message === 'step');
    return new Map(
      [...Map.groupBy(steps, ({ scope }) => scope)].map(([scope, found]) => [scope, found.map(textOf)]),
    );
  }

  const textOf = ({ verb, resource, key, because }: Step): string => `${verb} ${resource} ${key}: ${because}`;
  const planned = (entries: readonly PlanEntry[]) =>
    new Map(
      entries.filter(({ steps }) => steps.length > 0).map(({ key, steps }) => [key, steps.map(textOf)]),
    );

  it('plans, step for step, what a controller then does: for creations, changes and deletions', async () => {
    for (const name of ['a', 'b', 'c'])
      await aService(name, {
        ports: [
          { name: 'x', port: 80 },
          { name: 'y', port: 81 },
        ],
      });
    await aService('wrong', { loadBalancerIP: '203.0.113.1' });
    const first = await plan();
    expect(first.from).toBe('observation');
    expect(planned(first.plan).size).toBe(3);
    const one = await lead();
    await expect.poll(() => cloud.loadBalancers.size, { timeout: 10_000 }).toBe(3);
    await expect.poll(() => plan().then((answer) => planned(answer.plan).size), { timeout: 10_000 }).toBe(0);
    expect(stepsIn(one.err)).toEqual(planned(first.plan));
    one.kill('SIGTERM');
    await one.ended;

    // Nobody acts now: an edit, a type that changes away and something that somebody did by hand wait for the next one.
    const change = (name: string, body: object) =>
      plane.request('PATCH', `/api/v1/namespaces/default/services/${name}`, {
        body,
        contentType: 'application/merge-patch+json',
      });
    await change('a', { spec: { ports: [{ name: 'x', port: 8080 }] } });
    await change('b', { spec: { type: 'ClusterIP' } });
    cloud.tamper('default/c', (now) => ({ ...now, targets: [] }));
    const second = await plan();
    expect(second.from).toBe('observation');
    expect([...planned(second.plan).keys()]).toEqual(['default/a', 'default/b', 'default/c']);
    const two = await lead();
    await expect.poll(() => cloud.loadBalancers.has('default/b'), { timeout: 10_000 }).toBe(false);
    await expect.poll(() => plan().then((answer) => planned(answer.plan).size), { timeout: 10_000 }).toBe(0);
    expect(stepsIn(two.err)).toEqual(planned(second.plan));
    expect(cloud.violations).toEqual([]);
  });

  it('asks the leader by the address in its Lease', async () => {
    await aService('web');
    await lead();
    await expect.poll(() => cloud.loadBalancers.size, { timeout: 10_000 }).toBe(1);
    await expect
      .poll(() => berth('status').then(({ out }) => out), { timeout: 10_000 })
      .toContain('1 provisioned');
    const { err } = await berth('status');
    expect(err).toMatch(/^Answered by the leader /);
    expect((await berth('explain', 'web')).out).toContain('Reason:     Provisioned');
    expect((await plan()).from).toBe('leader');
  });

  it('lets go of Services whose controller was killed: waits for its Lease to run out, then releases', async () => {
    await aService('web');
    const controller = await lead();
    await expect.poll(() => cloud.loadBalancers.size, { timeout: 10_000 }).toBe(1);
    await expect
      .poll(async () => (await services())[0]?.status.conditions?.length, { timeout: 10_000 })
      .toBe(1);
    const refused = await berth('uninstall');
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('so a controller is at work');
    controller.kill('SIGKILL');
    await controller.ended;
    await new Promise((resolve) => setTimeout(resolve, 3_100));
    const { code, out, err } = await berth('uninstall');
    expect(err).toMatch(/^Waiting for the Lease of .*, which seems to be gone, to run out\.\n$/);
    expect({ code, out }).toEqual({
      code: 0,
      out: 'released default/web\nUninstall: 1 Service released, 0 failed; the load balancers stay as they are\n',
    });
    const [web] = await services();
    expect(web?.metadata.finalizers).toBeUndefined();
    expect(web?.status.conditions).toBeUndefined();
    expect(cloud.loadBalancers.size).toBe(1);
  });

  it('sweep --delete removes what belongs to no Service and nothing else, and gives the Lease back', async () => {
    await aService('kept');
    await aService('old');
    const controller = await lead();
    await expect.poll(() => cloud.loadBalancers.size, { timeout: 10_000 }).toBe(2);
    await expect
      .poll(async () => (await services()).every(({ status }) => status.conditions !== undefined), {
        timeout: 10_000,
      })
      .toBe(true);
    controller.kill('SIGTERM');
    await controller.ended;
    const path = '/api/v1/namespaces/default/services/old';
    await plane.request('PATCH', path, {
      body: { metadata: { finalizers: null } },
      contentType: 'application/merge-patch+json',
    });
    await plane.request('DELETE', path);
    const { code, out, err } = await berth('sweep', '--delete');
    expect(err).toMatch(/^deleting the load balancer of default\/old \(memory, UID [0-9a-f-]{36}\)\n$/);
    expect({ code, out }).toEqual({ code: 0, out: 'Sweep: 1 orphan, 1 deleted, 0 failed\n' });
    expect([...cloud.loadBalancers.keys()]).toEqual(['default/kept']);
    const lease = await plane.request<{ spec: object }>(
      'GET',
      '/apis/coordination.k8s.io/v1/namespaces/berth-system/leases/berth-controller',
    );
    expect(lease.json.spec).not.toHaveProperty('holderIdentity', expect.stringMatching(/./));
  });

  it('says in one line what somebody without rights lacks, and ends with 4', async () => {
    const argv = ['status', '--kubeconfig', plane.kubeconfig('nobody'), '--config', config];
    const { code, out, err } = await runProgram(argv);
    expect({ code, out }).toEqual({ code: 4, out: '' });
    expect(err).toMatch(
      /^berth: [^\n]*403 Forbidden[^\n]*User "nobody" cannot list[^\n]*Ask for this permission, [^\n]*\n$/,
    );
  });
});
