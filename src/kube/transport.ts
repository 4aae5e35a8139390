import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { ApiError, errorFromAnswer, errorFromNetwork } from './errors.ts';
import type { Authorization } from './connection.ts';
import { http } from './http.ts';

/** One HTTP exchange, ready to be sent. */
export interface Exchange {
  readonly url: URL;
  readonly method: string;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body?: string | undefined;
  readonly signal: AbortSignal;
  /** Milliseconds from the start of the request to the last byte of the answer. */
  readonly timeoutMs: number;
  /** The request in words, for errors. */
  readonly what: string;
}

/** An answer with a status below 300. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  /** The server's header `Date` (RFC 9110 §6.6.1), which counts seconds. */
  readonly date: string | undefined;
}

/**
 * Sends one request and reads its whole answer.
 * @throws ApiError for a failing status, a broken connection or a time-out; the signal's reason when it aborts.
 */
export function exchange(authorization: Authorization, wanted: Exchange): Promise<Answer> {
  return perform(authorization, wanted, async (response) => {
    const text = await readText(response);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return { status, text, date: response.headers.date };
    throw errorFromAnswer({ what: wanted.what, status, text, retryAfter: response.headers['retry-after'] });
  });
}

/**
 * Sends one request and hands over its answer chunk by chunk; resolves when the answer ended in good order.
 * @throws ApiError as `exchange`; what the sink throws ends the request and is thrown on.
 */
export function stream(
  authorization: Authorization,
  wanted: Exchange,
  sink: { readonly onOpen: () => void; readonly onChunk: (chunk: Buffer) => void },
): Promise<void> {
  return perform(authorization, wanted, async (response) => {
    const status = response.statusCode ?? 0;
    if (status !== 200) {
      const text = await readText(response);
      throw errorFromAnswer({ what: wanted.what, status, text, retryAfter: response.headers['retry-after'] });
    }
    sink.onOpen();
    await new Promise<void>((resolve, reject) => {
      response.on('data', (chunk: Buffer) => {
        try {
          sink.onChunk(chunk);
        } catch (error) {
          reject(error);
        }
      });
      response.once('end', resolve);
      response.once('error', reject);
    });
  });
}

/** The request's life: one promise, settled once, after which timer, listener and socket are let go. */
function perform<T>(
  authorization: Authorization,
  wanted: Exchange,
  consume: (response: IncomingMessage) => Promise<T>,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (wanted.signal.aborted) {
      reject(wanted.signal.reason);
      return;
    }
    const request = begin(authorization, wanted);
    const settle = (finish: () => void): void => {
      clearTimeout(timer);
      wanted.signal.removeEventListener('abort', onAbort);
      finish();
    };
    const fail = (error: unknown): void => {
      settle(() => reject(asApiError(error, wanted.what)));
      request.destroy();
    };
    const onAbort = (): void => settle(() => (reject(wanted.signal.reason), request.destroy()));
    const timer = setTimeout(() => fail(timedOut(wanted)), wanted.timeoutMs);
    wanted.signal.addEventListener('abort', onAbort, { once: true });
    request.on('error', fail);
    request.once('response', (response) => {
      consume(response).then((value) => settle(() => resolve(value)), fail);
    });
    request.end(wanted.body);
  });
}

function begin(authorization: Authorization, wanted: Exchange): ClientRequest {
  const send = wanted.url.protocol === 'http:' ? http.request : requestHttps;
  return send(wanted.url, {
    method: wanted.method,
    agent: authorization.agent,
    headers: { ...wanted.headers, ...authorization.headers },
  });
}

/** By events: an async iterator over so few chunks takes a tenth of a request's CPU time. */
function readText(response: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    response.once('error', reject);
  });
}

function asApiError(error: unknown, what: string): unknown {
  return error instanceof ApiError || !(error instanceof Error) ? error : errorFromNetwork(error, what);
}

function timedOut({ what, timeoutMs }: Exchange): ApiError {
  return new ApiError('ApiTimeout', { what, message: `no complete answer within ${timeoutMs / 1000} s` });
}
