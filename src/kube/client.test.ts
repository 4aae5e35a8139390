import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ScriptedCall, ScriptedServer } from '../../test/harness/scripted-server.ts';
import { KubeClient, type RequestRecord } from './client.ts';
import { type Connection, connectPlain } from './connection.ts';
import { type ApiError, type ApiErrorCode } from './errors.ts';

let server: ScriptedServer;
let client: KubeClient;
let records: RequestRecord[];
const { signal } = new AbortController();

beforeEach(async () => {
  server = await ScriptedServer.start();
  records = [];
  client = new KubeClient(connectPlain(server.url, { headers: { Authorization: 'Bearer secret' } }), {
    version: '1.2.3',
    onRequest: (record) => records.push(record),
  });
});

afterEach(async () => {
  client.close();
  await server.close();
});

/** Answers the calls with these in turn, and all further ones with the last. */
function script(...answers: ((call: ScriptedCall) => void)[]): void {
  let index = 0;
  server.handle = (call) => answers[Math.min(index++, answers.length - 1)]?.(call);
}

const ok = (call: ScriptedCall): void => call.json({ ok: true });

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  return promise.then(
    () => expect.fail('it should have failed'),
    (error: unknown) => error as ApiError,
  );
}

describe('a request', () => {
  it('carries method, query, JSON body, credentials and the name of the program', async () => {
    script(ok);
    const body = { spec: { grüße: '🚢' } };
    const query = { fieldSelector: 'a=b&c', limit: 5, continue: undefined };
    const answer = await client.request({ method: 'PATCH', path: '/api/v1/services', query, body, signal });
    expect(answer).toEqual({ ok: true });
    const [call] = server.calls;
    expect(call?.method).toBe('PATCH');
    expect(Object.fromEntries(call?.query ?? [])).toEqual({ fieldSelector: 'a=b&c', limit: '5' });
    expect(call?.body).toEqual(body);
    expect(call?.headers).toMatchObject({
      authorization: 'Bearer secret',
      'content-type': 'application/merge-patch+json',
      'user-agent': 'berth/1.2.3',
    });
  });

  it('keeps the path prefix of a gateway', async () => {
    script(ok);
    const behind = new KubeClient(connectPlain(`${server.url}/k8s/clusters/c-1/`));
    await behind.request({ path: '/version', signal });
    expect(server.calls[0]?.path).toBe('/k8s/clusters/c-1/version');
    behind.close();
  });

  it('keeps its connection for the next one', async () => {
    const ports = new Set<number | undefined>();
    script((call) => {
      ports.add(call.response.socket?.remotePort);
      ok(call);
    });
    for (let i = 0; i < 5; i++) await client.request({ path: '/version', signal });
    expect(ports.size).toBe(1);
  });

  it('is recorded with code, resource and verb, whatever becomes of it', async () => {
    script(
      ok,
      (call) => call.status(404, 'NotFound'),
      (call) => call.cut(),
    );
    const host = new URL(server.url).host;
    await client.request({
      path: '/api/v1/namespaces/a/services/b/status',
      method: 'PATCH',
      body: {},
      signal,
    });
    await failure(client.request({ path: '/apis/coordination.k8s.io/v1/namespaces/a/leases', signal }));
    await failure(client.request({ path: '/api/v1/nodes/n', signal, retries: 0 }));
    expect(records).toMatchObject([
      { host, method: 'PATCH', code: '200', resource: 'services/status', verb: 'patch' },
      { host, method: 'GET', code: '404', resource: 'leases', verb: 'list' },
      { host, method: 'GET', code: '<error>', resource: 'nodes', verb: 'get' },
    ]);
    for (const { durationMs } of records) expect(durationMs).toBeGreaterThan(0);
  });

  it('ends with the reason of the signal as soon as that aborts', async () => {
    const controller = new AbortController();
    const arrived = server.next();
    server.handle = () => {};
    const failed = failure(client.request({ path: '/version', signal: controller.signal }));
    await arrived;
    const reason = new Error('stop it');
    controller.abort(reason);
    expect(await failed).toBe(reason);
    expect(await failure(client.request({ path: '/version', signal: controller.signal }))).toBe(reason);
    expect(server.calls).toHaveLength(1);
  });

  it('ends when the answer takes too long, also in the middle of the body', async () => {
    server.handle = (call) => call.events().write('{"half":');
    const error = await failure(client.request({ path: '/version', signal, timeoutMs: 50 }));
    expect(error.code).toBe('ApiTimeout');
    expect(error.kind).toBe('Transient');
    expect(server.calls).toHaveLength(1);
  });

  it('passes the limit of requests in flight only when it is urgent', async () => {
    const narrow = new KubeClient(connectPlain(server.url), { maxInFlight: 2 });
    const held: ScriptedCall[] = [];
    server.handle = (call) => (call.path === '/urgent' ? ok(call) : held.push(call));
    const slow = ['/1', '/2', '/3'].map((path) => narrow.request({ path, signal }));
    await narrow.request({ path: '/urgent', signal, urgent: true });
    await delay(20);
    expect(held.map((call) => call.path)).toEqual(['/1', '/2']);
    held.forEach(ok);
    server.handle = ok;
    await Promise.all(slow);
    narrow.close();
  });
});

describe('a failed request', () => {
  it.each<[number, string, ApiErrorCode, string]>([
    [400, 'BadRequest', 'ApiBadRequest', 'Denied'],
    [403, 'Forbidden', 'ApiForbidden', 'Denied'],
    [404, 'NotFound', 'ApiNotFound', 'Conflict'],
    [409, 'Conflict', 'ApiConflict', 'Conflict'],
    [409, 'AlreadyExists', 'ApiAlreadyExists', 'Conflict'],
    [410, 'Expired', 'ApiExpired', 'Transient'],
    [422, 'Invalid', 'ApiInvalid', 'Denied'],
    [500, 'InternalError', 'ApiServerError', 'Transient'],
    [504, 'Timeout', 'ApiTimeout', 'Transient'],
  ])('with %i %s throws %s, for which the reaction is %s, once', async (...row) => {
    const [status, reason, code, kind] = row;
    script((call) => call.status(status, reason, { message: 'words of the server' }));
    const error = await failure(client.request({ path: '/api/v1/services', signal }));
    expect(error).toMatchObject({ code, kind, status, reason, retryAfterMs: undefined });
    expect(error.message).toContain('GET /api/v1/services: ');
    expect(error.message).toContain('words of the server');
    expect(error.message).toMatch(/\.$/);
    expect(server.calls).toHaveLength(1);
  });

  it('is classified without a look at the words', async () => {
    script((call) =>
      call.status(409, 'Conflict', { message: 'not found: 404 already exists, too many requests' }),
    );
    expect((await failure(client.request({ path: '/x', signal }))).code).toBe('ApiConflict');
  });

  it('says so when the answer is no JSON', async () => {
    script((call) => call.response.end('<html>Sign in</html>'));
    const error = await failure(client.request({ path: '/version', signal }));
    expect(error.code).toBe('ApiBadAnswer');
    expect(error.message).toContain('<html>Sign in</html>');
    script((call) => {
      call.response.writeHead(502).end('bad gateway');
    });
    expect((await failure(client.request({ path: '/version', signal, retries: 0 }))).code).toBe(
      'ApiUnavailable',
    );
  });

  it('names the address when nobody listens there', async () => {
    const nowhere = new KubeClient(connectPlain('http://127.0.0.1:1'));
    const error = await failure(nowhere.request({ path: '/version', signal, retries: 0 }));
    expect(error).toMatchObject({ code: 'ApiUnreachable', status: 0, cause: { code: 'ECONNREFUSED' } });
    expect(error.message).toContain('127.0.0.1:1');
  });
});

describe('trying again', () => {
  it('waits exactly as long as a 429 asks for, and no less', async () => {
    const busy = (call: ScriptedCall): void =>
      call.status(429, 'TooManyRequests', { headers: { 'Retry-After': '1' } });
    script(busy, ok);
    await client.request({ path: '/api/v1/services', signal });
    const waited = (server.calls[1]?.atMs ?? 0) - (server.calls[0]?.atMs ?? 0);
    expect(waited).toBeGreaterThanOrEqual(995);
    expect(waited).toBeLessThan(1_400);
  });

  it('leaves a long Retry-After to the caller', async () => {
    script((call) => call.status(429, 'TooManyRequests', { headers: { 'Retry-After': '42' } }));
    const error = await failure(client.request({ path: '/api/v1/services', signal }));
    expect(error).toMatchObject({ code: 'ApiThrottled', kind: 'Throttled', retryAfterMs: 42_000 });
    expect(server.calls).toHaveLength(1);
  });

  it('reads the pause from the Status, too', async () => {
    const details = { retryAfterSeconds: 30 };
    script((call) => call.json({ kind: 'Status', code: 503, reason: 'ServiceUnavailable', details }, 503));
    expect((await failure(client.request({ path: '/x', signal }))).retryAfterMs).toBe(30_000);
  });

  it('happens after a broken connection and after a 503', async () => {
    script(
      (call) => call.cut(),
      (call) => call.status(503, 'ServiceUnavailable'),
      ok,
    );
    expect(await client.request({ path: '/version', signal })).toEqual({ ok: true });
    expect(server.calls).toHaveLength(3);
  });

  it('gives up after three times', async () => {
    script((call) => call.cut());
    expect((await failure(client.request({ path: '/version', signal }))).code).toBe('ApiUnreachable');
    expect(server.calls).toHaveLength(4);
  });

  it('does not happen for a write that may not be done twice, and does for one that may', async () => {
    const write = { method: 'POST', path: '/api/v1/namespaces/a/events', body: {}, signal } as const;
    script((call) => call.cut());
    await failure(client.request(write));
    expect(server.calls).toHaveLength(1);
    script((call) => call.cut(), ok);
    await client.request({ ...write, idempotent: true });
    expect(server.calls).toHaveLength(3);
  });

  it('ends when the signal aborts during the pause', async () => {
    const controller = new AbortController();
    script((call) => call.status(429, 'TooManyRequests', { headers: { 'Retry-After': '5' } }));
    const failed = failure(client.request({ path: '/x', signal: controller.signal }));
    await server.next();
    await delay(20);
    controller.abort(new Error('enough'));
    expect((await failed).message).toBe('enough');
  });

  it('reads the credentials anew after a 401, once', async () => {
    let token = 'old';
    let forgotten = 0;
    const plain = connectPlain(server.url);
    const rotating: Connection = {
      ...plain,
      authorize: async () => ({
        ...(await plain.authorize()),
        headers: { Authorization: `Bearer ${token}` },
      }),
      forget: () => {
        forgotten += 1;
        token = 'new';
      },
    };
    const rotated = new KubeClient(rotating);
    server.handle = (call) =>
      call.headers.authorization === 'Bearer new' ? ok(call) : call.status(401, 'Unauthorized');
    await rotated.request({ method: 'POST', path: '/x', body: {}, signal });
    expect(forgotten).toBe(1);
    script((call) => call.status(401, 'Unauthorized'));
    const error = await failure(rotated.request({ path: '/x', signal }));
    expect(error).toMatchObject({ code: 'ApiUnauthorized', kind: 'Denied' });
    expect(forgotten).toBe(2);
    plain.close();
  });
});

describe('a watch', () => {
  it('hands over lines as they come and resolves at the end', async () => {
    const lines: string[] = [];
    server.handle = (call) => {
      call.events({ n: 1 }).write('{"n":2}\n{"n"');
      setTimeout(() => {
        call.write(':3}\n');
        call.end();
      }, 10);
    };
    await client.watch(
      { path: '/api/v1/services', query: { watch: 1 }, signal },
      { onLine: (l) => lines.push(l) },
    );
    expect(lines).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
    expect(records).toMatchObject([{ code: '200', verb: 'watch', resource: 'services' }]);
  });

  it('throws when the connection breaks, and when the server refuses it', async () => {
    const request = { path: '/api/v1/services', query: { watch: 1 }, signal };
    server.handle = (call) => {
      call.events({ n: 1 });
      setTimeout(() => call.cut(), 10);
    };
    expect((await failure(client.watch(request, { onLine: () => {} }))).code).toBe('ApiUnreachable');
    server.handle = (call) => call.status(410, 'Expired');
    expect((await failure(client.watch(request, { onLine: () => {} }))).code).toBe('ApiExpired');
  });

  it('throws what the reader of its lines throws, and lets the connection go', async () => {
    const closed = Promise.withResolvers<void>();
    server.handle = (call) => {
      call.response.on('close', () => closed.resolve());
      call.events({ n: 1 });
    };
    const request = { path: '/api/v1/services', query: { watch: 1 }, signal };
    const onLine = (): never => {
      throw new Error('cannot read this');
    };
    expect((await failure(client.watch(request, { onLine }))).message).toContain('cannot read this');
    await closed.promise;
  });
});
