import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { http } from '../kube/http.ts';

/** What the HTTP endpoint shows. Each is asked at the moment of the request. */
export interface HttpSources {
  /** Whether the process is in order; an answer other than `ok` makes the kubelet start it again. */
  readonly healthy: () => boolean;
  /** Whether it does its part: leads and is synced, or stands by. */
  readonly ready: () => boolean;
  readonly metrics: () => Promise<string>;
  /** Read-only questions of `berth plan`, `status` and `explain`; `undefined` while this process does not lead. */
  readonly answer: (question: string, query: URLSearchParams) => unknown;
}

/** A listening endpoint. */
export interface HttpEndpoint {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/**
 * How others reach an endpoint: through the API server where it is a pod's (`pod/NAMESPACE/NAME:PORT`), else by a URL.
 * `undefined` for a pod that listens on loopback, which nobody else reaches.
 */
export function endpointOf(
  pod: string | undefined,
  { host, port }: Pick<HttpEndpoint, 'host' | 'port'>,
): string | undefined {
  if (pod !== undefined) return host === '::1' || host.startsWith('127.') ? undefined : `${pod}:${port}`;
  // Listening on all addresses is no address to ask at.
  const reached = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}

/**
 * Serves `/healthz`, `/readyz`, `/metrics` and `/api/{plan,status,explain}`. GET only: nothing can be changed here.
 *
 * @throws Error with errno `EADDRINUSE` or `EACCES` when the address cannot be listened on.
 */
export async function serveHttp(
  sources: HttpSources,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<HttpEndpoint> {
  const server = http.createServer((request, response) => {
    respond(sources, request, response).catch((error: unknown) => {
      send(response, { status: 500, body: `${error instanceof Error ? error.message : String(error)}\n` });
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  return { host: address.address, port: address.port, close: () => closed(server) };
}

async function respond(
  sources: HttpSources,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://berth');
  if (request.method !== 'GET') return send(response, { status: 405, body: 'only GET\n' });
  if (pathname === '/healthz') return verdict(response, sources.healthy());
  if (pathname === '/readyz') return verdict(response, sources.ready());
  if (pathname === '/metrics') {
    return send(response, {
      status: 200,
      body: await sources.metrics(),
      type: 'text/plain; version=0.0.4; charset=utf-8',
    });
  }
  if (!pathname.startsWith('/api/')) return send(response, { status: 404, body: 'not found\n' });
  const answer = sources.answer(pathname.slice('/api/'.length), searchParams);
  if (answer === undefined) return send(response, { status: 503, body: 'this process does not lead\n' });
  return send(response, { status: 200, body: JSON.stringify(answer), type: 'application/json' });
}

function verdict(response: ServerResponse, good: boolean): void {
  send(response, { status: good ? 200 : 503, body: good ? 'ok\n' : 'not ok\n' });
}

function send(
  response: ServerResponse,
  { status, body, type = 'text/plain; charset=utf-8' }: { status: number; body: string; type?: string },
): void {
  response.writeHead(status, { 'content-type': type });
  response.end(body);
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
