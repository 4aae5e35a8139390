import pRetry from 'p-retry';
import type { Authorization, Connection } from './connection.ts';
import { ApiError, isApiError } from './errors.ts';
import { jsonOf } from './json.ts';
import { Limiter } from './limiter.ts';
import { LineSplitter } from './lines.ts';
import { describePath, verbOf } from './paths.ts';
import { Reachability } from './reachability.ts';
import { Backoff, pause } from './timing.ts';
import { exchange, stream, type Exchange } from './transport.ts';

/** One request to the API server. */
export interface KubeRequest {
  /** `GET` unless given. */
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Absolute path, such as `resourcePath` makes. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** `application/merge-patch+json` for a PATCH, else `application/json`. */
  readonly contentType?: string;
  readonly signal: AbortSignal;
  /** Milliseconds for each attempt, to the last byte of the answer; 30,000 unless given. */
  readonly timeoutMs?: number;
  /**
   * Whether doing it twice does no harm; only then is it tried again. True for a GET; to be said for a patch that
   * carries a resourceVersion and for a POST with a name of its own (the second answers 409).
   */
  readonly idempotent?: boolean;
  /** Attempts after the first; 3 unless given. */
  readonly retries?: number;
  /** Passes the limit of requests in flight: for Lease renewals, which must not wait behind a crowd. */
  readonly urgent?: boolean;
}

/** What a watch feeds. What either function throws ends the watch and is thrown on by it. */
export interface WatchSink {
  /** The server accepted the watch. */
  readonly onOpen?: () => void;
  /** One line of the answer: one event as JSON text. */
  readonly onLine: (line: string) => void;
}

/** What is told of every attempt, once: when its answer was read, or a watch began; feeds `rest_client_requests_total`. */
export interface RequestRecord {
  readonly method: string;
  readonly host: string;
  /** HTTP status, or `<error>` when there was no answer. */
  readonly code: string;
  /** `services`, `services/status`, ...; `""` for what is no resource. */
  readonly resource: string;
  /** `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`. */
  readonly verb: string;
  readonly durationMs: number;
}

/** Settings of a client. */
export interface ClientOptions {
  /** Goes into the User-Agent as `berth/VERSION`. */
  readonly version?: string;
  /** Requests in flight at once, watches and urgent ones not counted; 32 unless given. */
  readonly maxInFlight?: number;
  readonly onRequest?: (record: RequestRecord) => void;
}

/** What of `KubeClient` the other parts of this layer need; small, so that a test can stand in for it. */
export type Requester = Pick<KubeClient, 'request'>;

type Send<T> = (authorization: Authorization, wanted: Exchange, begun: (code: string) => void) => Promise<T>;

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_RETRIES = 3;
/** A longer `Retry-After` is the caller's to obey: waiting here would hold its worker. */
const MAX_RETRY_AFTER_MS = 10_000;

/**
 * A thin JSON client for one API server.
 *
 * Flow of a request: wait for room in flight, fetch credentials, send, read. A 429, a 503 or a broken connection is
 * tried again if the request is idempotent: after exactly `Retry-After` where the server gives one (up to 10 s; a
 * longer one is thrown as `retryAfterMs`), else after a jittered 100 ms, 200 ms, 400 ms. A 401 makes the credentials
 * be read anew, once; that is safe for every request, as the server refused it before doing anything.
 *
 * Every method throws `ApiError` for what the server or the network answers, `Denied` for unusable credentials, and
 * the signal's reason when that aborts.
 */
export class KubeClient {
  /** Tells who waits for the server that it is there. */
  readonly reachability = new Reachability();
  readonly #connection: Connection;
  readonly #options: ClientOptions;
  readonly #limiter: Limiter;
  #serverDate: string | undefined;

  constructor(connection: Connection, options: ClientOptions = {}) {
    this.#connection = connection;
    this.#options = options;
    this.#limiter = new Limiter(options.maxInFlight ?? 32);
  }

  /** The server's base URL. */
  get server(): string {
    return this.#connection.server.href;
  }

  /** The server's header `Date` of the newest answer (RFC 9110 §6.6.1), in whole seconds. */
  get serverDate(): string | undefined {
    return this.#serverDate;
  }

  /** The namespace of the kubeconfig's context, or of the pod. */
  get namespace(): string {
    return this.#connection.namespace;
  }

  /** Sends a request and parses its JSON answer; `undefined` for an empty one. */
  async request(request: KubeRequest): Promise<unknown> {
    const text = await this.text(request);
    try {
      return text === '' ? undefined : JSON.parse(text);
    } catch (cause) {
      throw new ApiError('ApiBadAnswer', {
        what: `${request.method ?? 'GET'} ${request.path}`,
        message: `the answer is no JSON but "${text.slice(0, 60)}"`,
        cause,
      });
    }
  }

  /** Sends a request and returns its answer as text: for what is no API object, such as a pod's proxy. */
  text(request: KubeRequest): Promise<string> {
    const { signal, retries = DEFAULT_RETRIES, method = 'GET' } = request;
    const idempotent = request.idempotent ?? method === 'GET';
    const backoff = new Backoff({ minMs: 100, maxMs: 2_000 });
    return pRetry(() => this.#limited(request), {
      retries: idempotent ? retries : 0,
      // The pause is taken in `onFailedAttempt`, because only there it can be what the server asked for.
      minTimeout: 0,
      signal,
      shouldRetry: ({ error }) => isRetriable(error),
      onFailedAttempt: async ({ error, retriesLeft }) => {
        if (retriesLeft > 0 && isRetriable(error)) await pause(error.retryAfterMs ?? backoff.next(), signal);
      },
    });
  }

  /**
   * Sends a watch request and calls `sink.onLine` with each line of its answer. Resolves when the server ended it, throws
   * when it broke, could not begin, or took longer than `timeoutMs`. Tries nothing again by itself.
   */
  async watch(request: KubeRequest, sink: WatchSink): Promise<void> {
    const lines = new LineSplitter();
    await this.#authorized(request, true, (authorization, wanted, begun) =>
      stream(authorization, wanted, {
        onOpen: () => {
          begun('200');
          sink.onOpen?.();
        },
        onChunk: (chunk) => lines.push(chunk, sink.onLine),
      }),
    );
  }

  /** Closes idle connections. */
  close(): void {
    this.#connection.close();
  }

  async #limited(request: KubeRequest): Promise<string> {
    const attempt = (): Promise<string> =>
      this.#authorized(request, false, async (authorization, wanted, begun) => {
        const answer = await exchange(authorization, wanted);
        begun(String(answer.status));
        this.#serverDate = answer.date;
        return answer.text;
      });
    return request.urgent ? attempt() : this.#limiter.run(attempt, request.signal);
  }

  /** One attempt, and a second one with fresh credentials if the server knows us no more. */
  async #authorized<T>(request: KubeRequest, watching: boolean, send: Send<T>): Promise<T> {
    const attempt = async (): Promise<T> => {
      const authorization = await this.#connection.authorize();
      const record = this.#recorder(request, watching);
      try {
        return await send(authorization, this.#exchange(request), record);
      } catch (error) {
        record(isApiError(error) && error.status > 0 ? String(error.status) : '<error>');
        throw error;
      }
    };
    try {
      return await attempt();
    } catch (error) {
      if (!isApiError(error, 'ApiUnauthorized')) throw error;
      this.#connection.forget();
      return attempt();
    }
  }

  /** A function that tells `onRequest` of one attempt; only its first call counts. */
  #recorder(request: KubeRequest, watching: boolean): (code: string) => void {
    const started = performance.now();
    let told = false;
    return (code) => {
      if (told) return;
      told = true;
      if (code !== '<error>') this.reachability.answered();
      const method = request.method ?? 'GET';
      const parts = describePath(request.path);
      this.#options.onRequest?.({
        method,
        host: this.#connection.server.host,
        code,
        resource: parts.subresource === '' ? parts.resource : `${parts.resource}/${parts.subresource}`,
        verb: verbOf(method, parts, watching),
        durationMs: performance.now() - started,
      });
    };
  }

  #exchange(request: KubeRequest): Exchange {
    const { method = 'GET', path, query = {}, signal, timeoutMs = DEFAULT_TIMEOUT_MS } = request;
    const base = this.#connection.server;
    const url = new URL(base);
    url.pathname = base.pathname.replace(/\/+$/, '') + path;
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const body = request.body === undefined ? undefined : jsonOf(request.body);
    const type =
      request.contentType ?? (method === 'PATCH' ? 'application/merge-patch+json' : 'application/json');
    const headers = {
      Accept: 'application/json',
      'User-Agent': `berth/${this.#options.version ?? 'dev'}`,
      ...(body === undefined ? {} : { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }),
    };
    return { url, method, headers, body, signal, timeoutMs, what: `${method} ${path}` };
  }
}

/** Whether the failure says that the request was not carried out, or that nobody knows. */
function isRetriable(error: unknown): error is ApiError {
  if (!isApiError(error) || (error.retryAfterMs ?? 0) > MAX_RETRY_AFTER_MS) return false;
  return error.code === 'ApiThrottled' || error.code === 'ApiUnavailable' || error.code === 'ApiUnreachable';
}
