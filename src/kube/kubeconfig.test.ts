import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ScriptedServer } from '../../test/harness/scripted-server.ts';
import { KubeClient } from './client.ts';
import { connectKube, type ConnectOptions } from './kubeconfig.ts';

let dir: string;
let server: ScriptedServer;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'berth-kubeconfig-'));
  server = await ScriptedServer.start((call) => call.json({ ok: true }));
});

afterEach(async () => {
  await server.close();
  rmSync(dir, { recursive: true });
});

interface Config {
  readonly name?: string;
  readonly server?: string;
  readonly cluster?: object;
  readonly user?: object;
  readonly current?: string;
}

/** Writes a kubeconfig (JSON is YAML, too) and returns its path. */
function aKubeconfig(file: string, config: Config = {}): string {
  const {
    name = 'here',
    server: url = server.url,
    cluster = {},
    user = { token: `token of ${name}` },
  } = config;
  const path = join(dir, file);
  const body = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server: url, ...cluster } }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name, namespace: `ns-${name}` } }],
    'current-context': config.current ?? name,
  };
  writeFileSync(path, JSON.stringify(body));
  return path;
}

/** Sends a request over that connection and returns the headers that arrived. */
async function headersSent(options: ConnectOptions): Promise<Record<string, unknown>> {
  const client = new KubeClient(await connectKube(options));
  await client.request({ path: '/version', signal: new AbortController().signal });
  client.close();
  return server.calls.at(-1)!.headers;
}

const nowhere = { HOME: '/nonexistent' };

describe('finding the API server', () => {
  it('takes the kubeconfig that is named, also for a server without TLS', async () => {
    const kubeconfig = aKubeconfig('config');
    const env = { KUBECONFIG: aKubeconfig('other', { name: 'other' }) };
    expect(await headersSent({ kubeconfig, env })).toMatchObject({ authorization: 'Bearer token of here' });
    const connection = await connectKube({ kubeconfig });
    expect(connection).toMatchObject({ namespace: 'ns-here', source: kubeconfig });
    expect(connection.server.href).toBe(`${server.url}/`);
  });

  it('takes the files of KUBECONFIG: missing ones are passed over, and the first of a name wins', async () => {
    const first = aKubeconfig('first', { name: 'shared', user: { token: 'first' } });
    const second = aKubeconfig('second', { name: 'shared', user: { token: 'second' } });
    const third = aKubeconfig('third', { name: 'third' });
    const env = { KUBECONFIG: [join(dir, 'missing'), first, second, third].join(delimiter) };
    expect(await headersSent({ env })).toMatchObject({ authorization: 'Bearer first' });
    const context = await headersSent({ env, context: 'third' });
    expect(context).toMatchObject({ authorization: 'Bearer token of third' });
  });

  it('takes the one in the home directory when nothing is named', async () => {
    mkdirSync(join(dir, '.kube'));
    aKubeconfig('.kube/config');
    expect(await headersSent({ env: { HOME: dir } })).toMatchObject({
      authorization: 'Bearer token of here',
    });
  });

  it("takes the pod's ServiceAccount inside a pod, and reads a new token after the old one was refused", async () => {
    writeFileSync(join(dir, 'token'), 'first\n');
    writeFileSync(join(dir, 'ca.crt'), rootCertificates[0]!);
    writeFileSync(join(dir, 'namespace'), 'berth-system\n');
    const env = { ...nowhere, KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
    const connection = await connectKube({ env, serviceAccountDir: dir });
    expect(connection).toMatchObject({ namespace: 'berth-system', source: "the pod's ServiceAccount" });
    expect(connection.server.href).toBe('https://[fd00::1]:6443/');
    expect((await connection.authorize()).headers).toMatchObject({ Authorization: 'Bearer first' });
    writeFileSync(join(dir, 'token'), 'second\n');
    connection.forget();
    expect((await connection.authorize()).headers).toMatchObject({ Authorization: 'Bearer second' });
    connection.close();
  });
});

describe('credentials', () => {
  it('may be a name and a password', async () => {
    const kubeconfig = aKubeconfig('config', { user: { username: 'me', password: 'secret' } });
    const { authorization } = await headersSent({ kubeconfig });
    expect(authorization).toBe(`Basic ${Buffer.from('me:secret').toString('base64')}`);
  });

  it('may come from a program, which runs once for requests that begin together', async () => {
    const runs = join(dir, 'runs');
    const credential = JSON.stringify({ status: { token: 'from the program' } });
    const script = `require('fs').appendFileSync(${JSON.stringify(runs)}, 'x'); console.log(${JSON.stringify(credential)})`;
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', script],
    };
    const client = new KubeClient(
      await connectKube({ kubeconfig: aKubeconfig('config', { user: { exec } }) }),
    );
    const { signal } = new AbortController();
    await Promise.all(Array.from({ length: 10 }, () => client.request({ path: '/version', signal })));
    expect(server.calls.map((call) => call.headers.authorization)).toEqual(
      Array.from({ length: 10 }, () => 'Bearer from the program'),
    );
    expect(readFileSync(runs, 'utf8')).toBe('x');
    client.close();
  });

  it('keep one agent as long as the TLS material is the same', async () => {
    const kubeconfig = aKubeconfig('config', {
      server: 'https://localhost:1',
      cluster: { 'certificate-authority-data': Buffer.from(rootCertificates[0]!).toString('base64') },
    });
    const connection = await connectKube({ kubeconfig });
    const { agent } = await connection.authorize();
    connection.forget();
    expect((await connection.authorize()).agent).toBe(agent);
    writeFileSync(join(dir, 'ca'), rootCertificates[1]!);
    aKubeconfig('config', { server: 'https://localhost:1', cluster: { 'certificate-authority': 'ca' } });
    connection.forget();
    expect((await connection.authorize()).agent).not.toBe(agent);
    connection.close();
  });
});

describe('a configuration that cannot be used', () => {
  const refusal = (options: ConnectOptions): Promise<unknown> =>
    connectKube(options).then(
      () => expect.fail('it should have been refused'),
      (error: unknown) => error,
    );

  it('is refused with the name of the file and the remedy', async () => {
    const garbage = join(dir, 'garbage');
    writeFileSync(garbage, '\t{ not: [yaml');
    const empty = join(dir, 'empty');
    writeFileSync(empty, '');
    const cases: [ConnectOptions, string][] = [
      [{ kubeconfig: join(dir, 'missing') }, 'ENOENT'],
      [{ kubeconfig: dir }, 'EISDIR'],
      [{ kubeconfig: garbage }, 'garbage'],
      [{ kubeconfig: empty }, 'empty'],
      [{ kubeconfig: aKubeconfig('context', { current: 'elsewhere' }) }, 'no usable context "elsewhere"'],
      [{ kubeconfig: aKubeconfig('none', { current: '' }) }, 'no current-context'],
      [{ kubeconfig: aKubeconfig('url', { server: 'not a url' }) }, '"not a url" is not a URL'],
      [{ env: { KUBECONFIG: join(dir, 'a') } }, join(dir, 'a')],
    ];
    for (const [options, words] of cases) {
      const error = (await refusal(options)) as Error;
      expect(error).toMatchObject({ code: 'KubeconfigUnusable', kind: 'Denied' });
      expect(error.message).toContain(words);
      expect(error.message).toContain(options.kubeconfig ?? 'KUBECONFIG=');
      expect(error.message).toContain('--kubeconfig FILE');
    }
  });

  it('is refused when there is none at all', async () => {
    const error = (await refusal({ env: nowhere })) as Error;
    expect(error.message).toContain('/nonexistent/.kube/config');
    expect(error.message).toContain('--kubeconfig FILE');
  });

  it('is refused in a pod when a context is asked for, which only a kubeconfig has', async () => {
    writeFileSync(join(dir, 'token'), 'token');
    const env = { ...nowhere, KUBERNETES_SERVICE_HOST: '10.0.0.1' };
    const error = (await refusal({ env, serviceAccountDir: dir, context: 'here' })) as Error;
    expect(error).toMatchObject({ code: 'KubeconfigUnusable' });
    expect(error.message).toContain('the pod\'s ServiceAccount: it has no usable context "here"');
  });

  it('is refused in a pod whose environment names no host', async () => {
    writeFileSync(join(dir, 'token'), 'token');
    const env = { ...nowhere, KUBERNETES_SERVICE_HOST: 'not a host' };
    const error = (await refusal({ env, serviceAccountDir: dir })) as Error;
    expect(error).toMatchObject({ code: 'KubeconfigUnusable' });
    expect(error.message).toContain("the pod's ServiceAccount");
  });

  it("names the file when the pod's token went away", async () => {
    writeFileSync(join(dir, 'token'), 'token');
    writeFileSync(join(dir, 'ca.crt'), rootCertificates[0]!);
    const env = { ...nowhere, KUBERNETES_SERVICE_HOST: '10.0.0.1' };
    const connection = await connectKube({ env, serviceAccountDir: dir });
    expect(connection).toMatchObject({ namespace: 'default' });
    expect(connection.server.href).toBe('https://10.0.0.1/');
    rmSync(join(dir, 'token'));
    await expect(connection.authorize()).rejects.toThrow(join(dir, 'token'));
    await expect(connection.authorize()).rejects.toMatchObject({ code: 'KubeconfigUnusable' });
  });

  it('names the file when a certificate in it cannot be read', async () => {
    const cluster = { 'certificate-authority': 'missing.crt' };
    const kubeconfig = aKubeconfig('config', { server: 'https://localhost:1', cluster });
    const client = new KubeClient(await connectKube({ kubeconfig }));
    const failed = client.request({ path: '/version', signal: new AbortController().signal });
    await expect(failed).rejects.toMatchObject({ code: 'KubeconfigUnusable' });
    await expect(failed).rejects.toThrow(join(dir, 'missing.crt'));
  });
});
