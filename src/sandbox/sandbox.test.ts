import { Agent, type IncomingMessage, request } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { KubeObject } from './machinery/objects.ts';
import { type Sandbox, startSandbox } from './sandbox.ts';

let sandbox: Sandbox;
let agent: Agent;

beforeEach(async () => {
  sandbox = await startSandbox({ bookmarkIntervalMs: 50 });
  agent = new Agent({ keepAlive: true });
});

afterEach(async () => {
  agent.destroy();
  await sandbox.stop();
});

const SERVICES = '/api/v1/namespaces/default/services';
const aService = (name = 'web') => ({ metadata: { name }, spec: { ports: [{ port: 80 }] } });

function send(method: string, path: string, body?: unknown): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = {
    'user-agent': 'probe/1',
    'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
  };
  const sent = request(sandbox.url + path, { method, agent, headers }, resolve);
  sent.on('error', reject);
  sent.end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}

async function call(method: string, path: string, body?: unknown) {
  const response = await send(method, path, body);
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, headers: response.headers, json: JSON.parse(text) as KubeObject };
}

/** Reads a watch to its end, however it comes: whole lines, what is left over, and whether it broke. */
async function drain(response: IncomingMessage) {
  let text = '';
  let broken = false;
  try {
    for await (const chunk of response) text += String(chunk);
  } catch {
    broken = true;
  }
  const lines = text.split('\n');
  const rest = lines.pop() ?? '';
  return {
    events: lines.map((line) => JSON.parse(line) as { type: string; object: KubeObject }),
    rest,
    broken,
  };
}

const reset = { code: 'ECONNRESET' };

describe('the recorder of requests', () => {
  it('counts requests by verb, resource, subresource and user agent, and reads apart from writes', async () => {
    await call('POST', SERVICES, aService());
    await call('PATCH', `${SERVICES}/web`, { metadata: { labels: { a: 'b' } } });
    await call('PATCH', `${SERVICES}/web/status`, { metadata: { labels: { a: 'c' } } });
    await call('GET', SERVICES);
    await call('GET', '/version');
    const { requests } = sandbox;
    expect(requests.summary()).toEqual({
      'create services': 1,
      'list services': 1,
      'patch services': 1,
      'patch services/status': 1,
    });
    expect(requests.count({ verb: 'write' })).toBe(3);
    expect(requests.count({ verb: 'patch', subresource: 'status', name: 'web' })).toBe(1);
    expect(requests.count({ userAgent: 'probe' })).toBe(4);
    expect(requests.count({ userAgent: /^kubectl/ })).toBe(0);
    requests.reset();
    expect(requests.count()).toBe(0);
  });

  it('keeps the status of each answer, and does not count what the test does by itself', async () => {
    sandbox.objects.create('services', aService());
    await call('POST', SERVICES, aService());
    expect(sandbox.requests.log.map(({ verb, status }) => [verb, status])).toEqual([['create', 409]]);
  });
});

describe('faults', () => {
  it('refuse the next matching request and no other', async () => {
    const fault = sandbox.faults.add({
      verb: 'patch',
      resource: 'services',
      status: 429,
      retryAfterSeconds: 2,
    });
    await call('POST', SERVICES, aService());
    const refused = await call('PATCH', `${SERVICES}/web`, { metadata: { labels: { a: 'b' } } });
    expect([refused.status, refused.headers['retry-after'], refused.json['reason']]).toEqual([
      429,
      '2',
      'TooManyRequests',
    ]);
    expect(fault.hits).toBe(1);
    const passed = await call('PATCH', `${SERVICES}/web`, { metadata: { labels: { a: 'b' } } });
    expect(passed.status).toBe(200);
  });

  it('meet as many requests as they say, or all until they are taken back', async () => {
    const some = sandbox.faults.add({ verb: 'list', times: 2, status: 500 });
    const answers = [await call('GET', SERVICES), await call('GET', SERVICES), await call('GET', SERVICES)];
    expect(answers.map(({ status }) => status)).toEqual([500, 500, 200]);
    expect(some.hits).toBe(2);
    const all = sandbox.faults.add({ verb: 'list', times: Infinity, status: 503 });
    expect((await call('GET', SERVICES)).status).toBe(503);
    all.remove();
    expect((await call('GET', SERVICES)).status).toBe(200);
  });

  it('delay an answer', async () => {
    sandbox.faults.add({ verb: 'list', delayMs: 80 });
    const start = performance.now();
    expect((await call('GET', SERVICES)).status).toBe(200);
    expect(performance.now() - start).toBeGreaterThanOrEqual(75);
  });

  it('cut the connection before the work is done, or after it', async () => {
    sandbox.faults.add({ verb: 'create', cut: 'before' });
    await expect(call('POST', SERVICES, aService('one'))).rejects.toMatchObject(reset);
    sandbox.faults.add({ verb: 'create', cut: 'after' });
    await expect(call('POST', SERVICES, aService('two'))).rejects.toMatchObject(reset);
    const names = sandbox.objects.list('services').map(({ metadata }) => metadata.name);
    expect(names).toEqual(['kubernetes', 'two']);
  });
});

describe('faults of watches', () => {
  const path = `${SERVICES}?watch=true&resourceVersion=`;
  const version = () =>
    sandbox.objects.get({ resource: 'services', name: 'kubernetes' })!.metadata.resourceVersion;

  it('end them between two lines', async () => {
    const ended = drain(await send('GET', path + version()));
    sandbox.objects.create('services', aService());
    sandbox.faults.closeWatches();
    const { events, rest, broken } = await ended;
    expect([events.map(({ type }) => type), rest, broken]).toEqual([['ADDED'], '', false]);
  });

  it('break them in the middle of the next event', async () => {
    const ended = drain(await send('GET', path + version()));
    sandbox.faults.cutWatches('midLineOfNextEvent', 'services');
    sandbox.objects.create('services', aService());
    const { events, rest, broken } = await ended;
    expect([events.length, broken]).toEqual([0, true]);
    expect(rest).toMatch(/^\{"type":"ADDED"/);
    expect(() => JSON.parse(rest)).toThrow(SyntaxError);
  });

  it('break them in the middle of a line now, and spare other resources', async () => {
    const nodes = drain(await send('GET', '/api/v1/nodes?watch=true'));
    const ended = drain(await send('GET', path + version()));
    sandbox.faults.cutWatches('midLine', 'services');
    const { rest, broken } = await ended;
    expect([rest !== '', broken]).toEqual([true, true]);
    sandbox.faults.closeWatches('nodes');
    expect((await nodes).broken).toBe(false);
  });

  it('have the next resume answered by 410 once history is forgotten', async () => {
    const before = version();
    sandbox.faults.forgetHistory();
    const { events } = await drain(await send('GET', path + before));
    expect(events).toMatchObject([{ type: 'ERROR', object: { code: 410, reason: 'Expired' } }]);
  });
});

describe('watches', () => {
  it('send bookmarks to those who asked for them', async () => {
    const { resourceVersion: version } = sandbox.objects.create('services', aService()).metadata;
    const [asked, silent] = await Promise.all([
      send('GET', `${SERVICES}?watch=true&allowWatchBookmarks=true&resourceVersion=${version}`),
      send('GET', `${SERVICES}?watch=true&resourceVersion=${version}&timeoutSeconds=1`),
    ]);
    const { promise, resolve } = Promise.withResolvers<string>();
    asked.once('data', (chunk: Buffer) => resolve(chunk.toString()));
    expect(JSON.parse(await promise)).toMatchObject({ type: 'BOOKMARK', object: { kind: 'Service' } });
    asked.destroy();
    expect((await drain(silent)).events).toEqual([]);
  });

  it('begin with the objects and a marked bookmark when initial events are asked for', async () => {
    const query =
      'watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1';
    const { events } = await drain(await send('GET', `${SERVICES}?${query}`));
    expect(events.slice(0, 2)).toMatchObject([
      { type: 'ADDED', object: { metadata: { name: 'kubernetes' } } },
      { type: 'BOOKMARK', object: { metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } } },
    ]);
  });

  it('turn a change of labels into coming and going for those who select by them', async () => {
    const { resourceVersion } = sandbox.objects.create('services', aService()).metadata;
    const ended = drain(
      await send('GET', `${SERVICES}?watch=true&labelSelector=a&resourceVersion=${resourceVersion}`),
    );
    const label = (a: string | null) =>
      sandbox.objects.patch({ resource: 'services', name: 'web' }, { metadata: { labels: { a } } });
    label('1');
    label('2');
    label(null);
    sandbox.faults.closeWatches();
    const { events } = await ended;
    expect(events.map(({ type, object }) => [type, object.metadata.labels?.['a']])).toEqual([
      ['ADDED', '1'],
      ['MODIFIED', '2'],
      ['DELETED', '2'],
    ]);
  });
});

describe('the server', () => {
  it('comes back after a crash on the same port with the same objects', async () => {
    const { url } = sandbox;
    await call('POST', SERVICES, aService());
    const watch = drain(await send('GET', `${SERVICES}?watch=true`));
    await sandbox.crash();
    expect((await watch).broken).toBe(true);
    await expect(call('GET', SERVICES)).rejects.toMatchObject({
      code: expect.stringMatching(/ECONNREFUSED|ECONNRESET/),
    });
    await sandbox.recover();
    expect(sandbox.url).toBe(url);
    expect((await call('GET', `${SERVICES}/web`)).status).toBe(200);
  });

  it('stops twice without complaint, and ends watches properly', async () => {
    const watch = drain(await send('GET', `${SERVICES}?watch=true`));
    await Promise.all([sandbox.stop(), sandbox.stop()]);
    expect((await watch).broken).toBe(false);
  });

  it('listens on 127.0.0.1 only and says so in the kubeconfig', () => {
    expect(new URL(sandbox.url).hostname).toBe('127.0.0.1');
    expect(parse(sandbox.kubeconfig)).toMatchObject({
      kind: 'Config',
      clusters: [{ cluster: { server: sandbox.url } }],
      'current-context': 'berth-sandbox',
    });
  });

  it('refuses a body beyond 3 MiB and goes on', async () => {
    const body = { ...aService(), data: 'x'.repeat(4 * 1024 * 1024) };
    await expect(call('POST', SERVICES, body).then(({ status }) => status)).resolves.toBe(413);
    expect((await call('GET', SERVICES)).status).toBe(200);
  });

  it.each([
    '/%zz',
    '//',
    '/api',
    '/api/v1/namespaces/%2e%2e/services',
    '/apis/nothing/v1/things',
    '/api/v1/services/web',
  ])('answers %s with an answer and not with a crash', async (path) => {
    const response = await send('GET', path);
    response.resume();
    expect(response.statusCode).toBeLessThan(500);
  });
});

describe('the objects of a sandbox', () => {
  it('name the remedy when a resource is not served', () => {
    expect(() => sandbox.objects.list('things')).toThrow('customResources');
  });

  it('follow the rules of the API', () => {
    expect(() => sandbox.objects.create('services', { metadata: { name: 'Bad' } })).toThrow('metadata.name');
    sandbox.objects.create('services', {
      ...aService(),
      metadata: { name: 'web', finalizers: ['a.example/b'] },
    });
    const web = { resource: 'services', name: 'web' };
    expect(sandbox.objects.delete(web)).toBe(false);
    sandbox.objects.patch(web, { metadata: { finalizers: null } });
    expect(sandbox.objects.get(web)).toBeUndefined();
  });
});
