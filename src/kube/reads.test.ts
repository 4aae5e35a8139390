import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ScriptedServer } from '../../test/harness/scripted-server.ts';
import { KubeClient } from './client.ts';
import { connectPlain } from './connection.ts';
import { readClusterId, readFromPod, readServerVersion } from './reads.ts';

let server: ScriptedServer;
let client: KubeClient;
const { signal } = new AbortController();

beforeEach(async () => {
  server = await ScriptedServer.start();
  client = new KubeClient(connectPlain(server.url));
});

afterEach(async () => {
  client.close();
  await server.close();
});

describe('reads', () => {
  it("give the UID of kube-system as the cluster's identity", async () => {
    server.handle = (call) =>
      call.path === '/api/v1/namespaces/kube-system'
        ? call.json({ metadata: { name: 'kube-system', uid: 'the-uid' } })
        : call.status(404, 'NotFound');
    expect(await readClusterId(client, signal)).toBe('the-uid');
    server.handle = (call) => call.json({ metadata: {} });
    await expect(readClusterId(client, signal)).rejects.toMatchObject({ code: 'ApiBadAnswer' });
  });

  it("give the server's version", async () => {
    server.handle = (call) => call.json({ gitVersion: 'v1.34.1' });
    expect(await readServerVersion(client, signal)).toBe('v1.34.1');
  });

  it('reach a pod through the API server and hand over what it says as it is', async () => {
    server.handle = (call) => call.response.end('no JSON: 🚢');
    const target = { namespace: 'berth-system', pod: 'berth-0', port: 8080, path: '/api/plan?key=a%2Fb&x=1' };
    expect(await readFromPod(client, target, signal)).toBe('no JSON: 🚢');
    const [call] = server.calls;
    expect(call?.path).toBe('/api/v1/namespaces/berth-system/pods/berth-0%3A8080/proxy/api/plan');
    expect(Object.fromEntries(call?.query ?? [])).toEqual({ key: 'a/b', x: '1' });
  });

  it('say so when the pod does not answer, without trying again', async () => {
    server.handle = (call) => call.status(503, 'ServiceUnavailable');
    const target = { namespace: 'a', pod: 'b', port: 1, path: '/' };
    await expect(readFromPod(client, target, signal)).rejects.toMatchObject({ code: 'ApiUnavailable' });
    expect(server.calls).toHaveLength(1);
  });
});
