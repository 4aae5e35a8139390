import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

/** Options of one request of the contract suite. */
export interface ContractRequest {
  readonly body?: unknown;
  /** Default `application/json`. */
  readonly contentType?: string;
  /** Default `application/json`. */
  readonly accept?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** An answer, read to its end. `json` is undefined when the body is not JSON. */
export interface ContractResponse<T = unknown> {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: T;
}

/** One event of a watch. The object of an `ERROR` event is a Status. */
export interface ContractEvent<T = unknown> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
}

/**
 * A running watch: yields events until the server or `close` ends it. A watch that the server refused (any status but
 * 200) yields the refusal as one `ERROR` event, as a server does that refuses inside the stream.
 */
export interface ContractWatch<T = unknown> extends AsyncIterableIterator<ContractEvent<T>> {
  readonly status: number;
  close(): void;
}

/** The raw HTTP client that the cases are written against; any server with a URL can stand behind it. */
export interface ContractApi {
  request<T = unknown>(method: string, path: string, options?: ContractRequest): Promise<ContractResponse<T>>;
  /** Resolves when the response's headers have arrived. `watch=true` is added to the query. */
  watch<T = unknown>(
    path: string,
    query?: Readonly<Record<string, string>>,
    accept?: string,
  ): Promise<ContractWatch<T>>;
  /** Makes the server forget its history, so that earlier resourceVersions are too old. Absent: it cannot be made to. */
  compact?(): Promise<void>;
  /** Lets go of the connections. */
  close(): void;
}

/** Where the server is and as whom to talk to it. */
export interface ContractTarget {
  /** `http://` or `https://`, without a path. */
  readonly url: string;
  readonly token?: string;
  /** PEM of the authority that signed the server's certificate. */
  readonly ca?: string | Buffer;
  readonly compact?: () => Promise<void>;
}

/** A client for `target`. Requests time out after 30 s, so that a hanging server fails the case instead of the run. */
export function contractApi(target: ContractTarget): ContractApi {
  const base = new URL(target.url);
  const secure = base.protocol === 'https:';
  const agent = secure
    ? new HttpsAgent({ keepAlive: true, ca: target.ca })
    : new HttpAgent({ keepAlive: true });

  const send = (method: string, path: string, options: ContractRequest): Promise<IncomingMessage> => {
    const payload = options.body === undefined ? undefined : encode(options.body);
    const url = new URL(path, base);
    for (const [name, value] of Object.entries(options.query ?? {})) url.searchParams.set(name, value);
    const settings: RequestOptions = {
      method,
      agent,
      headers: {
        accept: options.accept ?? 'application/json',
        ...(target.token === undefined ? {} : { authorization: `Bearer ${target.token}` }),
        ...(payload === undefined
          ? {}
          : { 'content-type': options.contentType ?? 'application/json', 'content-length': payload.length }),
      },
      ...(options.signal ? { signal: options.signal } : {}),
    };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const request = secure ? httpsRequest(url, settings, resolve) : httpRequest(url, settings, resolve);
    request.on('error', reject);
    request.end(payload);
    return promise;
  };

  return {
    async request<T>(method: string, path: string, options: ContractRequest = {}) {
      const limit = AbortSignal.timeout(30_000);
      const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
      return read<T>(await send(method, path, { ...options, signal }));
    },
    async watch<T>(path: string, query: Readonly<Record<string, string>> = {}, accept = 'application/json') {
      const opening = new AbortController();
      const limit = setTimeout(() => opening.abort(), 30_000);
      try {
        const sent = { query: { ...query, watch: 'true' }, accept, signal: opening.signal };
        return watchOf<T>(await send('GET', path, sent));
      } finally {
        clearTimeout(limit);
      }
    },
    ...(target.compact ? { compact: target.compact } : {}),
    close: () => agent.destroy(),
  };
}

/** Strings go out as they are, so that a case can send a body that is not JSON. */
function encode(body: unknown): Buffer {
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

async function read<T>(response: IncomingMessage): Promise<ContractResponse<T>> {
  response.setEncoding('utf8');
  let text = '';
  for await (const chunk of response) text += chunk as string;
  return { status: response.statusCode ?? 0, headers: response.headers, text, json: parse(text) as T };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function watchOf<T>(response: IncomingMessage): ContractWatch<T> {
  const status = response.statusCode ?? 0;
  // Nobody need be reading when the connection breaks; whoever reads on gets the error there.
  response.on('error', () => undefined);
  const closed = new AbortController();
  const events = status === 200 ? eventsOf<T>(response, closed.signal) : refusalOf<T>(response);
  // Not by the signal of the request: that may already be over, and its socket somebody else's.
  const close = (): void => {
    closed.abort();
    response.destroy();
  };
  return {
    status,
    close,
    next: () => events.next(),
    return: async () => {
      close();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function* refusalOf<T>(response: IncomingMessage): AsyncGenerator<ContractEvent<T>> {
  const { json } = await read<T>(response);
  yield { type: 'ERROR', object: json };
}

async function* eventsOf<T>(
  response: IncomingMessage,
  closed: AbortSignal,
): AsyncGenerator<ContractEvent<T>> {
  response.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of response) {
      const lines = (rest + (chunk as string)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as ContractEvent<T>;
    }
  } catch (error) {
    if (!closed.aborted) throw error;
  }
}
