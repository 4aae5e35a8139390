/** The HTTP side: takes requests, meets them with faults, hands them on, answers. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Fault, Faults } from '../faults.ts';
import type { Registry } from '../machinery/registry.ts';
import { ApiError } from '../machinery/status.ts';
import type { RequestRecord, Requests } from '../requests.ts';
import { discover } from './discovery.ts';
import { getList, getOne } from './list.ts';
import { formatOf, readBody, type Reply, send, sendError } from './respond.ts';
import { isServed, type Route, routeOf } from './route.ts';
import { Watch } from './watch.ts';
import { write } from './write.ts';

/** What the server needs from the sandbox. */
export interface ServerParts {
  readonly registry: Registry;
  readonly requests: Requests;
  readonly faults: Faults;
  readonly now: () => number;
  readonly bookmarkIntervalMs: number;
}

/** Longer than clients keep idle connections, so that it is they who close them. */
const KEEP_ALIVE_MS = 120_000;

/** The API server's HTTP endpoint on 127.0.0.1. */
export class ApiServer {
  readonly #parts: ServerParts;
  readonly #watches: Set<Watch>;
  #server: Server | undefined;
  #bookmarks: NodeJS.Timeout | undefined;
  #port = 0;

  constructor(parts: ServerParts, watches: Set<Watch>) {
    this.#parts = parts;
    this.#watches = watches;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Starts to listen: on `port`, or on the port it had before. @throws Error EADDRINUSE when the port is taken */
  async listen(port = this.#port): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response));
    server.keepAliveTimeout = KEEP_ALIVE_MS;
    server.requestTimeout = 0;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
    await promise;
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
    this.#bookmarks = setInterval(() => this.#sendBookmarks(), this.#parts.bookmarkIntervalMs).unref();
  }

  /** Stops listening. Connections are cut; watches end properly first unless `abruptly`. */
  async close(abruptly = false): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    clearInterval(this.#bookmarks);
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    for (const watch of this.#watches)
      if (abruptly) watch.cut('now');
      else watch.end();
    if (abruptly) server.closeAllConnections();
    else setImmediate(() => server.closeAllConnections());
    await promise;
  }

  #sendBookmarks(): void {
    for (const watch of this.#watches) if (watch.wantsBookmarks) watch.bookmark();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that goes away is no error of ours.
    response.on('error', () => {});
    try {
      await this.#answer(request, response);
    } catch (error) {
      if (request.destroyed && !request.complete) return;
      sendError(response, error instanceof ApiError ? error : unexpected(error));
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { registry, requests, faults } = this.#parts;
    // Put together and not resolved, because `//` would be resolved to another host.
    const url = new URL(this.url + (request.url ?? '/'));
    const method = request.method ?? 'GET';
    const document = method === 'GET' ? discover(url.pathname, registry, new URL(this.url).host) : undefined;
    if (document) {
      send(response, document);
      return;
    }
    if (!isServed(registry, url.pathname)) {
      send(response, { code: 404, body: '404 page not found\n', contentType: 'text/plain; charset=utf-8' });
      return;
    }
    const route = routeOf(registry, method, url);
    const record = recordOf(route, request);
    requests.add(record);
    response.on('finish', () => (record.status = response.statusCode));
    const fault = faults.take(record);
    // The body is read first in any case: a kept connection is useless with an unread body in it.
    const body = await readBody(request);
    if (fault && (await this.#meet(fault, request, response))) return;
    if (route.verb === 'watch') this.#watch(route, request, response);
    else {
      const warnings: string[] = [];
      const reply = this.#carryOut(route, request, { body, warnings });
      if (fault?.cut === 'after') request.socket.destroy();
      else send(response, reply, warnings);
    }
  }

  /** Returns true when the fault has taken the place of an answer. */
  async #meet(fault: Fault, request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    if (fault.delayMs !== undefined) await sleep(fault.delayMs);
    if (fault.cut === 'before') request.socket.destroy();
    else if (fault.status !== undefined) sendError(response, injected(fault.status, fault.retryAfterSeconds));
    else return false;
    return true;
  }

  #carryOut(route: Route, request: IncomingMessage, input: { body: Buffer; warnings: string[] }): Reply {
    const { registry, now } = this.#parts;
    const context = { registry, format: formatOf(request.headers.accept), now: now() };
    if (route.verb === 'get') return getOne(route, context);
    if (route.verb === 'list') return getList(route, context);
    const contentType = (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '';
    const warn = (text: string): void => void input.warnings.push(text);
    return write(route, { ...context, contentType, body: input.body, warn });
  }

  #watch(route: Route, request: IncomingMessage, response: ServerResponse): void {
    const { registry, now } = this.#parts;
    const format = formatOf(request.headers.accept);
    const watch = new Watch(route, response, { registry, format, now: now(), clock: now });
    watch.start();
    if (response.writableEnded) return;
    this.#watches.add(watch);
    response.on('close', () => this.#watches.delete(watch));
  }
}

function recordOf(route: Route, request: IncomingMessage): RequestRecord {
  const { verb, subresource, namespace, name, type } = route;
  const userAgent = request.headers['user-agent'] ?? '';
  return { verb, resource: type.plural, subresource, namespace, name, userAgent, status: 0 };
}

const REASONS: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

function injected(status: number, retryAfterSeconds: number | undefined): ApiError {
  return new ApiError(status, REASONS[status] ?? '', {
    message: 'a fault injected by the test',
    details: retryAfterSeconds === undefined ? {} : { retryAfterSeconds },
  });
}

function unexpected(error: unknown): ApiError {
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new ApiError(500, 'InternalError', { message: `Internal error occurred: ${message}` });
}
