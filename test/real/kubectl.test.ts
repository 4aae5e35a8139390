import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Sandbox, type SimulatedNodes, startNodes, startSandbox } from '../../src/sandbox/index.ts';
import { type Kubectl, kubectlFor } from '../contract/index.ts';
import { harnessEnvironment } from '../harness/environment.ts';
import { describeWithKubectl } from '../harness/kubectl.ts';

// What people do with kubectl on the demo beyond the cases of the contract suite: simulated nodes, apply, describe, the
// other kinds, and watches in the wide format.
await describeWithKubectl('kubectl on a sandbox with simulated nodes', () => {
  let sandbox: Sandbox;
  let cluster: SimulatedNodes;
  let scratch: string;
  let kubectl: Kubectl;

  beforeAll(async () => {
    sandbox = await startSandbox({
      customResources: [
        { group: 'metallb.io', version: 'v1beta1', plural: 'ipaddresspools', kind: 'IPAddressPool' },
      ],
    });
    cluster = await startNodes(sandbox, { count: 2 });
    scratch = await mkdtemp(join(tmpdir(), 'berth-sandbox-'));
    const kubeconfig = join(scratch, 'kubeconfig.yaml');
    await sandbox.writeKubeconfig(kubeconfig);
    kubectl = await kubectlFor({ kubeconfig, environment: harnessEnvironment().forChildren });
  });

  afterAll(async () => {
    await kubectl?.close();
    await cluster?.stop();
    await sandbox?.stop();
    await rm(scratch, { recursive: true, force: true });
  });

  async function run(command: string, stdin?: unknown): Promise<string> {
    const { code, stdout, stderr } = await kubectl.run(command.split(' '), stdin);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    return stdout.trimEnd();
  }

  const words = (line: string | undefined): string[] => (line ?? '').trim().split(/ {2,}/);
  const table = (text: string): string[][] => text.split('\n').map(words);

  const service = (name: string, spec: object = {}) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: {
      type: 'LoadBalancer',
      selector: { app: 'demo' },
      ports: [{ port: 80, targetPort: 8080 }],
      ...spec,
    },
  });

  it('shows the nodes with their addresses, and drains one', async () => {
    const [header, first] = table(await run('get nodes -o wide'));
    expect(header).toEqual(
      'NAME STATUS ROLES AGE VERSION INTERNAL-IP EXTERNAL-IP OS-IMAGE KERNEL-VERSION CONTAINER-RUNTIME'.split(
        ' ',
      ),
    );
    expect(first).toEqual(expect.arrayContaining(['node-1', 'Ready', cluster.nodes[0]!.address]));
    const { code, stdout } = await kubectl.run(['drain', 'node-2']);
    expect([code, stdout.includes('node/node-2 drained')]).toEqual([0, true]);
    expect(table(await run('get nodes'))[2]?.[1]).toBe('Ready,SchedulingDisabled');
    expect(await run('uncordon node-2')).toBe('node/node-2 uncordoned');
    expect(await run('describe node node-1')).toContain('sandbox://node-1');
  });

  it('applies a Service, changes it by applying again, and says when nothing changes', async () => {
    expect(await run('apply -f -', service('applied'))).toBe('service/applied created');
    const changed = service('applied', { ports: [{ port: 81, targetPort: 8080 }] });
    expect(await run('apply -f -', changed)).toBe('service/applied configured');
    expect(await run('apply -f -', changed)).toBe('service/applied unchanged');
    expect(await run('get svc applied -o jsonpath={.spec.ports[*].port}')).toBe('81');
  });

  it('describes a Service with its endpoints and events', async () => {
    await run('create -f -', service('described'));
    await cluster.settled();
    const uid = await run('get svc described -o jsonpath={.metadata.uid}');
    sandbox.objects.create('events', {
      metadata: { name: 'described.1' },
      involvedObject: { kind: 'Service', name: 'described', namespace: 'default', uid },
      reason: 'EnsuredLoadBalancer',
      message: 'Ensured load balancer',
      type: 'Normal',
      count: 1,
      firstTimestamp: new Date().toISOString(),
      lastTimestamp: new Date().toISOString(),
      source: { component: 'berth-controller' },
    });
    const text = await run('describe svc described');
    for (const backend of cluster.nodes.flatMap(({ backends }) => backends).slice(0, 3)) {
      expect(text).toContain(`${backend.options.address}:8080`);
    }
    expect(text).toMatch(/Normal +EnsuredLoadBalancer +\d+s +berth-controller +Ensured load balancer/);
    const [header, row] = table(await run('get events'));
    expect(header).toEqual(['LAST SEEN', 'TYPE', 'REASON', 'OBJECT', 'MESSAGE']);
    expect(row?.slice(1)).toEqual([
      'Normal',
      'EnsuredLoadBalancer',
      'service/described',
      'Ensured load balancer',
    ]);
  });

  it('shows the endpoint slices that the sandbox keeps', async () => {
    await run('create -f -', service('sliced'));
    await cluster.settled();
    const [header, row] = table(await run('get endpointslices -l kubernetes.io/service-name=sliced'));
    expect(header).toEqual(['NAME', 'ADDRESSTYPE', 'PORTS', 'ENDPOINTS', 'AGE']);
    expect(row?.slice(1, 3)).toEqual(['IPv4', '8080']);
    expect(row?.[3]).toMatch(/^127\.67\.\d+\.1,127\.67\.\d+\.2,127\.67\.\d+\.3 \+ 1 more\.\.\.$/);
  });

  it('watches Services of all namespaces in the wide format', async () => {
    await run('create -f -', service('watched'));
    const watch = kubectl.follow([
      'get',
      'svc',
      '-A',
      '-l',
      'watched=yes',
      '-o',
      'wide',
      '--watch',
      '--output-watch-events',
    ]);
    try {
      await run('label svc watched watched=yes');
      expect(words(await watch.next())).toEqual(
        'EVENT NAMESPACE NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE SELECTOR'.split(' '),
      );
      const added = words(await watch.next());
      expect([added[0], added[2], added.at(-1)]).toEqual(['ADDED', 'watched', 'app=demo']);
      await run('delete svc watched');
      expect(words(await watch.next())[0]).toBe('DELETED');
    } finally {
      watch.close();
    }
  });

  it('creates and deletes namespaces with what is in them, config maps, secrets and custom resources', async () => {
    expect(await run('create namespace scratch')).toBe('namespace/scratch created');
    expect(await run('create configmap c --from-literal=a=b -n scratch')).toBe('configmap/c created');
    expect(await run('create secret generic s --from-literal=a=b -n scratch')).toBe('secret/s created');
    expect(await run('get secret s -n scratch -o jsonpath={.data.a}')).toBe('Yg==');
    const pool = {
      apiVersion: 'metallb.io/v1beta1',
      kind: 'IPAddressPool',
      metadata: { name: 'p', namespace: 'scratch' },
    };
    expect(await run('create -f -', { ...pool, spec: {} })).toBe('ipaddresspool.metallb.io/p created');
    expect(await run('get ipaddresspools -A -o name')).toBe('ipaddresspool.metallb.io/p');
    expect(await run('delete namespace scratch')).toBe('namespace "scratch" deleted');
    expect(sandbox.objects.list('configmaps', 'scratch')).toEqual([]);
  });

  it('exposes, replaces, diffs and deletes everything in a namespace', async () => {
    await run('create -f -', service('original'));
    expect(await run('expose svc original --name=exposed --port=90')).toBe('service/exposed exposed');
    expect(await run('replace -f -', service('original', { type: 'ClusterIP' }))).toBe(
      'service/original replaced',
    );
    const { code, stdout } = await kubectl.run(
      ['diff', '-f', '-'],
      service('original', { sessionAffinity: 'ClientIP' }),
    );
    expect(code).toBe(1);
    expect(stdout).toMatch(/^\+ +sessionAffinity: ClientIP$/m);
    await run('delete svc --all');
    expect(sandbox.objects.list('services', 'default')).toEqual([]);
  });
});
