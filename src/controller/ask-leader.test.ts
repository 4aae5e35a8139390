import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ApiError, type KubeClient } from '../kube/index.ts';
import { askLeader, type LeaderAnswer } from './ask-leader.ts';

/** An API server that knows one Lease, and answers for pods. */
function client(lease: object | Error, pods: Readonly<Record<string, string>> = {}): KubeClient {
  const answers: Pick<KubeClient, 'request' | 'text'> = {
    request: () => (lease instanceof Error ? Promise.reject(lease) : Promise.resolve(lease)),
    text: ({ path, query = {} }) => {
      const asked = `${path}?${new URLSearchParams(query as Record<string, string>).toString()}`;
      const body = pods[asked];
      return body === undefined ? Promise.reject(new Error(`nothing at ${asked}`)) : Promise.resolve(body);
    },
  };
  return answers as KubeClient;
}

function aLease(holderIdentity: string, endpoint?: string): object {
  const annotations = endpoint === undefined ? {} : { 'berth.dev/endpoint': endpoint };
  return { metadata: { resourceVersion: '1', annotations }, spec: { holderIdentity } };
}

function ask(kube: KubeClient, parameters: Readonly<Record<string, string>> = {}): Promise<LeaderAnswer> {
  const { signal } = new AbortController();
  const question = 'explain';
  return askLeader({ client: kube, namespace: 'berth-system', question, parameters, signal, timeoutMs: 500 });
}

let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** A process that answers everything the same, and its address. */
async function aLeader(status: number, body: string): Promise<string> {
  server = createServer((request, response) => {
    if (body === 'silence') return;
    response.writeHead(status).end(body.replace('URL', request.url ?? ''));
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function apiError(code: 'ApiNotFound' | 'ApiForbidden' | 'ApiUnreachable'): ApiError {
  return new ApiError(code, { what: 'GET lease', message: 'no' });
}

describe('asking the leader', () => {
  it('gives its answer, and who it is', async () => {
    const endpoint = await aLeader(200, '{"asked":"URL"}');
    expect(
      await ask(client(aLease('pod-1_0b1f6f6e-7f7e-4a55-9d3e-000000000000', endpoint)), { key: 'a/b' }),
    ).toEqual({
      asked: true,
      leader: 'pod-1',
      value: { asked: '/api/explain?key=a%2Fb' },
    });
  });

  it('goes through the API server where the leader is a pod', async () => {
    const path = '/api/v1/namespaces/infra/pods/berth-0%3A8080/proxy/api/explain?key=a%2Fb';
    const kube = client(aLease('berth-0', 'pod/infra/berth-0:8080'), { [path]: '{"ok":true}' });
    expect(await ask(kube, { key: 'a/b' })).toEqual({ asked: true, leader: 'berth-0', value: { ok: true } });
  });

  it.each<[string, object | Error, string]>([
    ['there is no Lease', apiError('ApiNotFound'), 'there is no Lease berth-system/berth-controller'],
    ['the Lease is not ours to read', apiError('ApiForbidden'), 'may not be read'],
    [
      'nobody holds it',
      aLease('', 'http://127.0.0.1:1'),
      'nobody holds the Lease berth-system/berth-controller',
    ],
    [
      'the leader says nothing of itself',
      aLease('pod-1'),
      'the leader pod-1 does not say where it is reached',
    ],
    [
      'nothing listens there',
      aLease('pod-1', 'http://127.0.0.1:1'),
      'does not answer at http://127.0.0.1:1: ',
    ],
    [
      'the address has a form of its own',
      aLease('pod-1', 'ftp://x'),
      'no form of address that this version knows',
    ],
    ['the pod is gone', aLease('pod-1', 'pod/a/b:1'), 'does not answer at pod/a/b:1: nothing at'],
  ])('says why there is no answer when %s', async (_when, lease, why) => {
    const answer = await ask(client(lease));
    expect(answer).toMatchObject({ asked: false });
    expect('why' in answer ? answer.why : '').toContain(why);
  });

  it.each([
    [503, 'this process does not lead\n', '503 this process does not lead'],
    [200, 'welcome', 'JSON'],
    [200, '"text"', 'its answer is not one of Berth'],
    [200, 'silence', 'timeout'],
  ])('an answer of %d with %j is none', async (status, body, why) => {
    const answer = await ask(client(aLease('pod-1', await aLeader(status, body))));
    expect('why' in answer ? answer.why : '').toContain(why);
  });

  it('fails when the API server itself does not answer', async () => {
    await expect(ask(client(apiError('ApiUnreachable')))).rejects.toMatchObject({ code: 'ApiUnreachable' });
  });

  it('stops when it is told to, instead of calling that an answer', async () => {
    const endpoint = await aLeader(200, 'silence');
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('enough')), 50);
    const asked = askLeader({
      client: client(aLease('pod-1', endpoint)),
      namespace: 'x',
      question: 'plan',
      signal: abort.signal,
    });
    await expect(asked).rejects.toThrow('enough');
  });
});
