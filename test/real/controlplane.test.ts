import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ensureControlPlane } from '../../infra/controlplane/build.ts';
import { contractApi } from '../contract/api.ts';
import { aService, type KubeObject, type Service, type Status, unique } from '../contract/objects.ts';
import { exists, isAlive } from '../harness/cache.ts';
import { type ControlPlane, describeWithControlPlane, startControlPlane } from '../harness/controlplane.ts';
import { type HarnessEnvironment, harnessEnvironment } from '../harness/environment.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const berth = 'system:serviceaccount:berth-system:berth';
const services = '/api/v1/namespaces/default/services';

/** Polls for up to 10 s. */
async function eventually(holds: () => Promise<boolean>): Promise<boolean> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (await holds()) return true;
    await sleep(50);
  }
  return false;
}

describe('finding the binaries of the control plane', () => {
  let scratch: string;
  let environment: HarnessEnvironment;
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);

  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'berth-build-'));
    lines.length = 0;
    const path = join(scratch, 'bin');
    await mkdir(path);
    environment = { cacheDir: join(scratch, 'cache'), ci: false, forChildren: { PATH: path } };
  });
  afterEach(() => rm(scratch, { recursive: true, force: true }));

  /** A `go` that answers `go env` and notes every `go build` in the file `builds` before it runs `build`. */
  async function withGo(build: string): Promise<void> {
    const script = [
      '#!/bin/sh',
      'if [ "$1" = env ]; then printf "go1.99\\nlinux\\namd64\\n"; exit 0; fi',
      `echo "$@" >> ${join(scratch, 'builds')}`,
      'while [ "$1" != -o ]; do shift; done',
      build,
    ];
    const file = join(scratch, 'bin', 'go');
    await writeFile(file, `${script.join('\n')}\n`);
    await chmod(file, 0o755);
  }
  const builds = async (): Promise<number> =>
    (await readFile(join(scratch, 'builds'), 'utf8').catch(() => '')).split('\n').length - 1;
  async function assetsWith(...names: string[]): Promise<string> {
    for (const name of names) await writeFile(join(scratch, name), '');
    return scratch;
  }

  it('says what to install when there is neither Go nor KUBEBUILDER_ASSETS', async () => {
    const answer = await ensureControlPlane({ log, environment });
    expect(answer).toEqual({
      available: false,
      reason: expect.stringContaining('no Go on the PATH'),
      remedy: expect.stringMatching(/Install Go 1\.24.*KUBEBUILDER_ASSETS/),
    });
  });

  it('takes the directory that KUBEBUILDER_ASSETS names and builds nothing', async () => {
    const kubebuilderAssets = await assetsWith('kube-apiserver', 'etcd');
    const answer = await ensureControlPlane({ log, environment: { ...environment, kubebuilderAssets } });
    expect(answer).toEqual({ available: true, dir: kubebuilderAssets });
  });

  it('names what is missing from the directory that KUBEBUILDER_ASSETS names', async () => {
    const kubebuilderAssets = await assetsWith('kube-apiserver');
    const answer = await ensureControlPlane({ log, environment: { ...environment, kubebuilderAssets } });
    expect(answer).toMatchObject({ available: false, reason: expect.stringContaining('has no etcd') });
  });

  it('builds kube-proxy when it is asked for and KUBEBUILDER_ASSETS has none', async () => {
    await withGo('echo proxy > "$2"');
    const kubebuilderAssets = await assetsWith('kube-apiserver', 'etcd');
    const wanted = {
      log,
      environment: { ...environment, kubebuilderAssets },
      components: ['kube-proxy' as const],
    };
    const answer = await ensureControlPlane(wanted);
    expect(answer).toMatchObject({ available: true, dir: expect.stringContaining(environment.cacheDir) });
    expect(await builds()).toBe(1);
  });

  it('builds once, says so, and finds the build again, also without Go', async () => {
    await withGo('echo binary > "$2"');
    const first = await ensureControlPlane({ log, environment });
    expect(first).toMatchObject({ available: true, dir: expect.stringMatching(/-go1\.99-linux-amd64$/) });
    expect(lines.some((line) => line.includes('kube-apiserver: building it with go1.99'))).toBe(true);
    expect(await ensureControlPlane({ log, environment })).toEqual(first);
    await rm(join(scratch, 'bin', 'go'));
    expect(await ensureControlPlane({ log, environment })).toEqual(first);
    expect(await builds()).toBe(2);
    expect((await readdir(first.available ? first.dir : '')).toSorted()).toEqual(['etcd', 'kube-apiserver']);
  });

  it('builds once when two ask at the same time', async () => {
    await withGo('/bin/sleep 0.3; echo binary > "$2"');
    const components = ['etcd' as const];
    const both = [1, 2].map(() => ensureControlPlane({ log, environment, components }));
    const answers = await Promise.all(both);
    expect(answers.map(({ available }) => available)).toEqual([true, true]);
    expect(await builds()).toBe(1);
    expect(lines.some((line) => line.includes('another process is building it'))).toBe(true);
  });

  it('reports a failed build with the end of its output, and leaves nothing behind', async () => {
    await withGo('echo half > "$2"; echo first >&2; echo "main.go:1: it does not compile" >&2; exit 1');
    const answer = await ensureControlPlane({ log, environment });
    expect(answer).toMatchObject({
      available: false,
      reason: expect.stringContaining('it does not compile'),
    });
    const [dir = ''] = await readdir(join(environment.cacheDir, 'controlplane'));
    expect(await readdir(join(environment.cacheDir, 'controlplane', dir))).toEqual([]);
  });

  it('takes over the lock of a builder that died', async () => {
    await withGo('echo binary > "$2"');
    const components = ['etcd' as const];
    const first = await ensureControlPlane({ log, environment, components });
    const binary = join(first.available ? first.dir : '', 'etcd');
    await rm(binary);
    const { pid } = spawn('true');
    await eventually(async () => !isAlive(pid!));
    await writeFile(`${binary}.lock`, String(pid));
    expect(await ensureControlPlane({ log, environment, components })).toEqual(first);
    expect(await exists(binary)).toBe(true);
  });

  it('says why when Go is too old to work', async () => {
    const file = join(scratch, 'bin', 'go');
    await writeFile(file, '#!/bin/sh\necho "invalid go version 1.24.0" >&2; exit 1\n');
    await chmod(file, 0o755);
    const answer = await ensureControlPlane({ log, environment });
    expect(answer).toMatchObject({ available: false, reason: expect.stringContaining('invalid go version') });
  });

  it('rejects when it is aborted', async () => {
    await withGo('exec /bin/sleep 20');
    const signal = AbortSignal.timeout(300);
    await expect(ensureControlPlane({ log, environment, signal })).rejects.toThrow(/timeout/);
  });
});

describe('tests on a machine that has no control plane', () => {
  interface Result {
    readonly status: string;
    readonly fullName: string;
  }

  /** Runs the contract suite in a vitest of its own, in which nothing can be built. */
  async function resultsWith(variables: Record<string, string>): Promise<Result[]> {
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const scratch = await mkdtemp(join(tmpdir(), 'berth-report-'));
    const file = join(scratch, 'report.json');
    const suite = 'on a real kube-apiserver';
    const which = ['--project', 'real', 'test/real/contract.test.ts', '-t', suite];
    const args = [vitest, 'run', '--reporter', 'json', '--outputFile', file, ...which];
    const env = { ...harnessEnvironment().forChildren, KUBEBUILDER_ASSETS: '/nonexistent', ...variables };
    // Exit code 1, when tests fail, is a result like any other; a run that did not happen has no report.
    await run(process.execPath, args, { cwd: root, env }).catch(() => undefined);
    const report = JSON.parse(await readFile(file, 'utf8')) as {
      testResults: { assertionResults: Result[] }[];
    };
    await rm(scratch, { recursive: true });
    const results = report.testResults.flatMap(({ assertionResults }) => assertionResults);
    return results.filter(({ fullName }) => fullName.includes(suite));
  }

  it('are counted as skipped, with the reason and the remedy in their titles', async () => {
    const results = await resultsWith({ CI: '' });
    expect(results.length).toBeGreaterThan(100);
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['skipped']));
    const title = results[0]?.fullName;
    expect(title).toMatch(
      /KUBEBUILDER_ASSETS=\/nonexistent has no kube-apiserver.*unset it to build them with Go/,
    );
  });

  it('fail under CI=true', async () => {
    const results = await resultsWith({ CI: 'true' });
    expect(results.map(({ status }) => status)).toEqual(['failed']);
  });
});

await describeWithControlPlane('the control plane', () => {
  let server: ControlPlane;
  beforeAll(async () => {
    server = await startControlPlane();
  });
  afterAll(() => server?.stop());

  it('keeps its data and its address when the API server is killed and started again', async () => {
    const made = await server.request<Service>('POST', services, { body: aService() });
    const before = server.processes();
    await server.killApiServer();
    expect(server.processes()).toEqual({ etcd: before.etcd });
    await expect(server.request('GET', '/readyz')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await server.startApiServer();
    expect(server.processes().apiServer).not.toBe(before.apiServer);
    const after = await server.request<Service>('GET', `${services}/${made.json.metadata.name}`);
    expect(after.json).toEqual(made.json);
  });

  it('ends a watch when the API server is killed', async () => {
    const watch = await server.api().watch(services);
    const readToTheEnd = async (): Promise<void> => {
      for await (const event of watch) expect(event.type).not.toBe('ERROR');
    };
    const broken = readToTheEnd();
    await Promise.all([expect(broken).rejects.toMatchObject({ code: 'ECONNRESET' }), server.killApiServer()]);
    await server.startApiServer();
  });

  it('refuses to start an API server that is running', async () => {
    await expect(server.startApiServer()).rejects.toThrow('running already');
  });

  it('knows every user by a token of its own and nobody without one', async () => {
    const ca = await readFile(server.caFile);
    const attempt = async (token?: string) => {
      const api = contractApi({ url: server.url, ca, ...(token === undefined ? {} : { token }) });
      const { status } = await api.request('GET', services);
      api.close();
      return status;
    };
    expect(await attempt(server.token())).toBe(200);
    expect(await attempt('guessed')).toBe(401);
    expect(await attempt()).toBe(401);
    expect(() => server.token('stranger')).toThrow('knows no user stranger');
  });

  it('writes a kubeconfig that a client can use', async () => {
    const text = await readFile(server.kubeconfig(berth), 'utf8');
    const config = JSON.parse(text) as {
      clusters: { cluster: { server: string; 'certificate-authority': string } }[];
      users: { user: { token: string } }[];
    };
    const { cluster } = config.clusters[0]!;
    const ca = await readFile(cluster['certificate-authority']);
    const api = contractApi({ url: cluster.server, ca, token: config.users[0]!.user.token });
    expect((await api.request('GET', services)).status).toBe(200);
    api.close();
  });

  it('runs beside another one without seeing its objects', async () => {
    const other = await startControlPlane();
    try {
      const name = unique('only-here');
      await server.request('POST', services, { body: aService({}, { name }) });
      expect((await server.request('GET', `${services}/${name}`)).status).toBe(200);
      expect((await other.request('GET', `${services}/${name}`)).status).toBe(404);
    } finally {
      await other.stop();
    }
  });
});

await describeWithControlPlane('the control plane under RBAC', () => {
  let server: ControlPlane;
  beforeAll(async () => {
    server = await startControlPlane({
      authorization: 'RBAC',
      users: [{ name: 'jane', groups: ['readers'] }],
    });
  });
  afterAll(() => server?.stop());

  it('denies a known user what no role allows, and says who may not do what', async () => {
    const response = await server.request<Status>('GET', services, { user: 'nobody' });
    expect(response.status).toBe(403);
    expect(response.json).toMatchObject({ kind: 'Status', reason: 'Forbidden', code: 403 });
    expect(response.json.message).toContain('User "nobody" cannot list resource "services"');
  });

  it('allows a user and a group exactly what their roles allow', async () => {
    const rbac = '/apis/rbac.authorization.k8s.io/v1';
    const role = {
      metadata: { name: 'read' },
      rules: [{ apiGroups: [''], resources: ['services'], verbs: ['list'] }],
    };
    const apiGroup = 'rbac.authorization.k8s.io';
    const binding = {
      metadata: { name: 'read' },
      roleRef: { apiGroup, kind: 'ClusterRole', name: 'read' },
      subjects: [
        { apiGroup, kind: 'Group', name: 'readers' },
        { kind: 'ServiceAccount', name: 'berth', namespace: 'berth-system' },
      ],
    };
    expect((await server.request('POST', `${rbac}/clusterroles`, { body: role })).status).toBe(201);
    expect((await server.request('POST', `${rbac}/clusterrolebindings`, { body: binding })).status).toBe(201);
    const status = async (method: string, user: string, body?: KubeObject) =>
      (await server.request(method, services, { user, body })).status;
    expect(await eventually(async () => (await status('GET', berth)) === 200)).toBe(true);
    expect(await status('GET', 'jane')).toBe(200);
    expect(await status('POST', berth, aService())).toBe(403);
    expect(await status('GET', 'nobody')).toBe(403);
    expect(await status('POST', 'admin', aService())).toBe(201);
  });
});

await describeWithControlPlane('putting the control plane away', () => {
  it('leaves neither a process nor a file, and stopping twice is harmless', async () => {
    const server = await startControlPlane();
    const pids = Object.values(server.processes());
    expect(pids.map(isAlive)).toEqual([true, true]);
    await server.stop();
    await server.stop();
    expect(pids.map(isAlive)).toEqual([false, false]);
    expect(await exists(server.dir)).toBe(false);
  });

  it('happens by itself when the process that started it is killed', async () => {
    const script = join(root, 'test', 'harness', 'hold-controlplane.ts');
    const child = spawn(process.execPath, ['--conditions=source', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const { dir, processes } = JSON.parse(line) as { dir: string; processes: number[] };
    expect(processes.map(isAlive)).toEqual([true, true]);
    child.kill('SIGKILL');
    expect(await eventually(async () => !processes.some(isAlive) && !(await exists(dir)))).toBe(true);
  });

  it('reports the end of the log and cleans up when the API server does not start', async () => {
    // A place of its own: other tests make and remove directories in the common one meanwhile.
    const scratch = await mkdtemp(join(tmpdir(), 'berth-scratch-'));
    vi.stubEnv('TMPDIR', scratch);
    const start = startControlPlane({ apiServerArgs: ['--no-such-flag'] });
    await expect(start).rejects.toThrow(
      /kube-apiserver ended \(exit code 1\)[^]*unknown flag: --no-such-flag/,
    );
    expect(await readdir(scratch)).toEqual([]);
    vi.unstubAllEnvs();
    await rm(scratch, { recursive: true });
  });
});
