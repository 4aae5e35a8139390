import { afterEach, describe, expect, it } from 'vitest';
import { endpointOf, serveHttp, type HttpEndpoint, type HttpSources } from './http.ts';

let endpoint: HttpEndpoint | undefined;
afterEach(() => endpoint?.close());

async function serving(
  sources: Partial<HttpSources> = {},
): Promise<(path: string, method?: string) => Promise<Response>> {
  endpoint = await serveHttp(
    {
      healthy: () => true,
      ready: () => true,
      metrics: () => Promise.resolve('berth_drift_total 0\n'),
      answer: () => undefined,
      ...sources,
    },
    { host: '127.0.0.1', port: 0 },
  );
  const { host, port } = endpoint;
  return (path, method = 'GET') => fetch(`http://${host}:${port}${path}`, { method });
}

describe('the HTTP endpoint', () => {
  it.each([
    ['/healthz', 'healthy'],
    ['/readyz', 'ready'],
  ] as const)('%s says at the moment of the request how it is', async (path, source) => {
    let good = true;
    const get = await serving({ [source]: () => good });
    expect((await get(path)).status).toBe(200);
    good = false;
    expect((await get(path)).status).toBe(503);
    expect(await (await get(path)).text()).toBe('not ok\n');
  });

  it('serves metrics in the form that Prometheus reads', async () => {
    const get = await serving();
    const response = await get('/metrics');
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await response.text()).toBe('berth_drift_total 0\n');
  });

  it('answers questions as JSON while this process leads, and says so when it does not', async () => {
    const asked: string[] = [];
    let leads = true;
    const get = await serving({
      answer(question, query) {
        asked.push(`${question} ${query.get('key')}`);
        return leads ? { found: true } : undefined;
      },
    });
    expect(await (await get('/api/explain?key=default%2Fweb')).json()).toEqual({ found: true });
    expect(asked).toEqual(['explain default/web']);
    leads = false;
    expect((await get('/api/plan')).status).toBe(503);
  });

  it('changes nothing: everything but GET is refused, unknown paths are not found', async () => {
    const get = await serving();
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'])
      expect((await get('/api/plan', method)).status).toBe(405);
    expect((await get('/')).status).toBe(404);
    expect((await get('/healthz/more')).status).toBe(404);
  });

  it('survives a question that fails', async () => {
    const get = await serving({
      answer: () => {
        throw new Error('broken');
      },
    });
    expect((await get('/api/plan')).status).toBe(500);
    expect((await get('/healthz')).status).toBe(200);
  });

  it('is refused an address that is taken', async () => {
    await serving();
    const sources = {
      healthy: () => true,
      ready: () => true,
      metrics: () => Promise.resolve(''),
      answer: () => undefined,
    };
    await expect(serveHttp(sources, { host: '127.0.0.1', port: endpoint!.port })).rejects.toMatchObject({
      code: 'EADDRINUSE',
    });
  });
});

describe('how others reach an endpoint', () => {
  it.each([
    [undefined, '127.0.0.1', 'http://127.0.0.1:8080'],
    [undefined, '0.0.0.0', 'http://127.0.0.1:8080'],
    [undefined, '::', 'http://[::1]:8080'],
    [undefined, '2001:db8::1', 'http://[2001:db8::1]:8080'],
    ['pod/berth-speaker/web-1', '0.0.0.0', 'pod/berth-speaker/web-1:8080'],
    ['pod/berth-speaker/web-1', '127.0.0.1', undefined],
    ['pod/berth-speaker/web-1', '::1', undefined],
  ])('of %s that listens on %s', (pod, host, expected) => {
    expect(endpointOf(pod, { host, port: 8080 })).toBe(expected);
  });
});
