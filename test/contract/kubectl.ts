import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { aNode, aService, type Service, unique } from './objects.ts';
import { within } from './steps.ts';

/** How a run of kubectl ended. */
export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** kubectl for one server. */
export interface Kubectl {
  /** Runs kubectl to its end; `stdin` is what `-f -` reads. */
  run(args: readonly string[], stdin?: unknown): Promise<KubectlResult>;
  /** Starts kubectl and gives its lines as they come, until `close`. */
  follow(args: readonly string[]): { next(): Promise<string>; close(): void };
  /** Removes the scratch directory that holds kubectl's discovery cache. */
  close(): Promise<void>;
}

/** What a scenario needs: kubectl, and the rest of the environment that children get (for `PATH`). */
export interface KubectlOptions {
  readonly kubeconfig: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** A kubectl that talks to the server of a kubeconfig. Its HOME is empty, so that it learns the server's API anew. */
export async function kubectlFor(options: KubectlOptions): Promise<Kubectl> {
  const home = await mkdtemp(join(tmpdir(), 'berth-kubectl-'));
  const env = { ...options.environment, HOME: home, KUBECONFIG: options.kubeconfig };
  return {
    async run(args, stdin) {
      const child = spawn('kubectl', args, { env, signal: AbortSignal.timeout(30_000) });
      child.stdin.end(stdin === undefined ? '' : JSON.stringify(stdin));
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      child.on('error', reject);
      child.on('close', (code) => resolve(code ?? -1));
      return { code: await promise, stdout, stderr };
    },
    follow(args) {
      const child = spawn('kubectl', args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
      const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
      const next = async (): Promise<string> => {
        const line = await within(lines.next(), `a line of kubectl ${args.join(' ')}`);
        assert.ok(!line.done, `kubectl ${args.join(' ')} ended`);
        return line.value;
      };
      return { next, close: () => child.kill('SIGKILL') };
    },
    close: () => rm(home, { recursive: true, force: true }),
  };
}

/** Something that somebody does with kubectl. Independent of every other case. */
export interface KubectlCase {
  readonly name: string;
  run(kubectl: Kubectl): Promise<void>;
}

/** Runs kubectl, which has to succeed, and returns what it printed. */
async function ok(kubectl: Kubectl, args: readonly string[], stdin?: unknown): Promise<string> {
  const { code, stdout, stderr } = await kubectl.run(args, stdin);
  assert.equal(code, 0, `kubectl ${args.join(' ')}: ${stderr}`);
  return stdout.trimEnd();
}

/** Runs kubectl, which has to fail, and returns its complaint. */
async function fails(kubectl: Kubectl, args: readonly string[], stdin?: unknown): Promise<string> {
  const { code, stderr, stdout } = await kubectl.run(args, stdin);
  assert.notEqual(code, 0, `kubectl ${args.join(' ')} succeeded: ${stdout}`);
  return stderr;
}

async function created(kubectl: Kubectl, service: Service = aService()): Promise<string> {
  const name = service.metadata.name ?? '';
  assert.equal(await ok(kubectl, ['create', '-f', '-'], service), `service/${name} created`);
  return name;
}

const ingress = (ip: string): string => JSON.stringify({ status: { loadBalancer: { ingress: [{ ip }] } } });

async function setStatus(kubectl: Kubectl, name: string, ip: string): Promise<void> {
  const patch = ['patch', 'service', name, '--subresource=status', '--type=merge', '-p', ingress(ip)];
  assert.equal(await ok(kubectl, patch), `service/${name} patched`);
}

const words = (line: string | undefined): string[] => (line ?? '').trim().split(/ {2,}/);

/** `kubectl get`, in all the ways that people look at a Service. */
const readCases: readonly KubectlCase[] = [
  {
    name: 'kubectl get svc shows the columns that everybody knows',
    async run(kubectl) {
      const name = await created(kubectl);
      const [header, row] = (await ok(kubectl, ['get', 'svc', name])).split('\n');
      assert.deepEqual(words(header), ['NAME', 'TYPE', 'CLUSTER-IP', 'EXTERNAL-IP', 'PORT(S)', 'AGE']);
      const [shown, type, clusterIP, externalIP, ports, age] = words(row);
      assert.deepEqual([shown, type, externalIP], [name, 'LoadBalancer', '<pending>']);
      assert.match(clusterIP ?? '', /^[\d.]+$/);
      assert.match(ports ?? '', /^80:3\d{4}\/TCP$/);
      assert.match(age ?? '', /^\d+s$/);
    },
  },
  {
    name: 'kubectl get svc shows the external address once it is in the status',
    async run(kubectl) {
      const name = await created(kubectl);
      await setStatus(kubectl, name, '192.0.2.1');
      assert.equal(words((await ok(kubectl, ['get', 'svc', name])).split('\n')[1])[3], '192.0.2.1');
    },
  },
  {
    name: 'kubectl get svc --watch prints a line for every change',
    async run(kubectl) {
      const name = await created(kubectl);
      const watch = kubectl.follow(['get', 'svc', name, '--watch']);
      try {
        assert.equal(words(await watch.next())[0], 'NAME');
        assert.equal(words(await watch.next())[3], '<pending>');
        await setStatus(kubectl, name, '192.0.2.1');
        assert.equal(words(await watch.next())[3], '192.0.2.1');
        await setStatus(kubectl, name, '192.0.2.2');
        assert.equal(words(await watch.next())[3], '192.0.2.2');
      } finally {
        watch.close();
      }
    },
  },
  {
    name: 'kubectl get picks by label, by name and in all namespaces',
    async run(kubectl) {
      const value = unique('l');
      const name = await created(kubectl, aService({}, { labels: { l: value } }));
      await created(kubectl);
      assert.equal(await ok(kubectl, ['get', 'svc', '-l', `l=${value}`, '-o', 'name']), `service/${name}`);
      assert.match(
        await ok(kubectl, ['get', 'services', '--all-namespaces']),
        new RegExp(`default +${name} `),
      );
      const selector = `--field-selector=metadata.name=${name}`;
      assert.equal(await ok(kubectl, ['get', 'svc', selector, '-o', 'name']), `service/${name}`);
    },
  },
  {
    name: 'kubectl get prints JSON, YAML, fields and the wide table',
    async run(kubectl) {
      const name = await created(kubectl);
      const object = JSON.parse(await ok(kubectl, ['get', 'svc', name, '-o', 'json'])) as Service;
      assert.equal(object.spec.type, 'LoadBalancer');
      assert.match(await ok(kubectl, ['get', 'svc', name, '-o', 'yaml']), /^kind: Service$/m);
      assert.equal(
        await ok(kubectl, ['get', 'svc', name, '-o', 'jsonpath={.spec.clusterIP}']),
        object.spec.clusterIP,
      );
      assert.match(await ok(kubectl, ['get', 'svc', name, '-o', 'wide']), /SELECTOR\n.* app=web$/);
    },
  },
  {
    name: 'kubectl get of what is not there says NotFound and fails',
    async run(kubectl) {
      const name = unique('absent');
      const complaint = await fails(kubectl, ['get', 'svc', name]);
      assert.match(complaint, new RegExp(`Error from server \\(NotFound\\): services "${name}" not found`));
    },
  },
  {
    name: 'kubectl wait returns when the Service has an address',
    async run(kubectl) {
      const name = await created(kubectl);
      const waiting = ok(kubectl, [
        'wait',
        `svc/${name}`,
        '--for=jsonpath={.status.loadBalancer.ingress}',
        '--timeout=10s',
      ]);
      await setStatus(kubectl, name, '192.0.2.1');
      assert.equal(await waiting, `service/${name} condition met`);
    },
  },
];

const writeCases: readonly KubectlCase[] = [
  {
    name: 'kubectl create -f refuses a misspelt field and a Service that is there already',
    async run(kubectl) {
      const service = aService();
      const misspelt = { ...service, spec: { ...service.spec, loadBalancerIp: '192.0.2.1' } };
      assert.match(
        await fails(kubectl, ['create', '-f', '-'], misspelt),
        /unknown field "spec\.loadBalancerIp"/,
      );
      await created(kubectl, service);
      assert.match(await fails(kubectl, ['create', '-f', '-'], service), /AlreadyExists/);
    },
  },
  {
    name: 'kubectl create -f shows what is wrong with a Service',
    async run(kubectl) {
      const complaint = await fails(kubectl, ['create', '-f', '-'], aService({ ports: [] }));
      assert.match(complaint, /The Service "web-\w+" is invalid: spec\.ports: Required value/);
    },
  },
  {
    name: 'kubectl create service loadbalancer makes a Service',
    async run(kubectl) {
      const name = unique('web');
      const made = await ok(kubectl, ['create', 'service', 'loadbalancer', name, '--tcp=80:8080']);
      assert.equal(made, `service/${name} created`);
      assert.equal(
        await ok(kubectl, ['get', 'svc', name, '-o', 'jsonpath={.spec.ports[0].targetPort}']),
        '8080',
      );
    },
  },
  {
    name: 'kubectl annotate sets, refuses to overwrite unasked, overwrites and removes',
    async run(kubectl) {
      const name = await created(kubectl);
      const value = () => ok(kubectl, ['get', 'svc', name, '-o', 'jsonpath={.metadata.annotations.a}']);
      assert.equal(await ok(kubectl, ['annotate', 'svc', name, 'a=1']), `service/${name} annotated`);
      assert.equal(await value(), '1');
      assert.match(await fails(kubectl, ['annotate', 'svc', name, 'a=2']), /--overwrite is false/);
      await ok(kubectl, ['annotate', 'svc', name, 'a=2', '--overwrite']);
      assert.equal(await value(), '2');
      await ok(kubectl, ['annotate', 'svc', name, 'a-']);
      assert.equal(await value(), '');
    },
  },
  {
    name: 'kubectl label sets and removes labels of Services and Nodes',
    async run(kubectl) {
      const name = await created(kubectl);
      assert.equal(await ok(kubectl, ['label', 'svc', name, 'l=v']), `service/${name} labeled`);
      assert.equal(await ok(kubectl, ['label', 'svc', name, 'l-']), `service/${name} unlabeled`);
      const node = aNode();
      await ok(kubectl, ['create', '-f', '-'], node);
      const exclude = 'node.kubernetes.io/exclude-from-external-load-balancers';
      const { name: nodeName = '' } = node.metadata;
      assert.equal(
        await ok(kubectl, ['label', 'node', nodeName, `${exclude}=true`]),
        `node/${nodeName} labeled`,
      );
      assert.equal(
        await ok(kubectl, ['get', 'nodes', '-l', `${exclude}=true`, '-o', 'name']),
        `node/${nodeName}`,
      );
      await ok(kubectl, ['delete', 'node', nodeName]);
    },
  },
  {
    name: 'kubectl patch understands its three types',
    async run(kubectl) {
      const name = await created(kubectl, aService({ ports: [{ name: 'http', port: 80 }] }));
      const patch = (type: string, body: unknown) =>
        ok(kubectl, ['patch', 'svc', name, `--type=${type}`, '-p', JSON.stringify(body)]);
      await patch('strategic', { spec: { ports: [{ name: 'https', port: 443 }] } });
      await patch('merge', { spec: { sessionAffinity: 'ClientIP' } });
      await patch('json', [{ op: 'replace', path: '/spec/externalTrafficPolicy', value: 'Local' }]);
      const { spec } = JSON.parse(await ok(kubectl, ['get', 'svc', name, '-o', 'json'])) as Service;
      assert.deepEqual(spec.ports?.map(({ port }) => port).toSorted(), [443, 80]);
      assert.equal(spec.sessionAffinity, 'ClientIP');
      assert.equal(spec.externalTrafficPolicy, 'Local');
      assert.equal(await patch('merge', {}), `service/${name} patched (no change)`);
    },
  },
  {
    name: 'kubectl delete deletes by name, by label and by file, and fails for what is not there',
    async run(kubectl) {
      const value = unique('l');
      const names = [await created(kubectl), await created(kubectl, aService({}, { labels: { l: value } }))];
      assert.match(
        await ok(kubectl, ['delete', 'svc', names[0]!]),
        new RegExp(`service "${names[0]}" deleted`),
      );
      assert.match(await fails(kubectl, ['delete', 'svc', names[0]!]), /NotFound/);
      await ok(kubectl, ['delete', 'svc', '-l', `l=${value}`]);
      assert.match(await fails(kubectl, ['get', 'svc', names[1]!]), /NotFound/);
      const service = aService();
      await created(kubectl, service);
      await ok(kubectl, ['delete', '-f', '-'], service);
    },
  },
  {
    name: 'kubectl delete waits until the finalizers are gone',
    async run(kubectl) {
      const name = await created(kubectl, aService({}, { finalizers: ['example.com/a'] }));
      const deleting = ok(kubectl, ['delete', 'svc', name]);
      const first = await Promise.race([deleting, deletionOf(kubectl, name)]);
      assert.equal(first, 'marked');
      await ok(kubectl, ['patch', 'svc', name, '--type=merge', '-p', '{"metadata":{"finalizers":null}}']);
      assert.match(await deleting, /deleted/);
    },
  },
  {
    name: 'kubectl get nodes, cordon, uncordon, taint and delete work on Nodes',
    async run(kubectl) {
      const node = aNode();
      const { name = '' } = node.metadata;
      assert.equal(await ok(kubectl, ['create', '-f', '-'], node), `node/${name} created`);
      const lines = (await ok(kubectl, ['get', 'nodes', name])).split('\n');
      assert.deepEqual(words(lines[0]), ['NAME', 'STATUS', 'ROLES', 'AGE', 'VERSION']);
      assert.equal(words(lines[1])[1], 'Unknown');
      assert.equal(await ok(kubectl, ['cordon', name]), `node/${name} cordoned`);
      assert.equal(
        words((await ok(kubectl, ['get', 'nodes', name])).split('\n')[1])[1],
        'Unknown,SchedulingDisabled',
      );
      assert.equal(await ok(kubectl, ['uncordon', name]), `node/${name} uncordoned`);
      const taint = ['taint', 'node', name, 'ToBeDeletedByClusterAutoscaler=1:NoSchedule'];
      assert.equal(await ok(kubectl, taint), `node/${name} tainted`);
      assert.match(await ok(kubectl, ['delete', 'node', name]), new RegExp(`node "${name}" deleted`));
    },
  },
];

/** Returns `marked` as soon as the Service has a deletionTimestamp. */
async function deletionOf(kubectl: Kubectl, name: string): Promise<string> {
  const path = 'jsonpath={.metadata.deletionTimestamp}';
  while ((await ok(kubectl, ['get', 'svc', name, '-o', path])) === '');
  return 'marked';
}

/** What people do with kubectl, as data: any server with a kubeconfig. */
export const kubectlCases: readonly KubectlCase[] = [...readCases, ...writeCases];
