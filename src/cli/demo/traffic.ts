import { get } from 'node:http';
import { connect, createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** Who answered a request. */
export interface Answer {
  readonly backend: string;
  readonly node: string;
}

/** A request takes no longer than this, in milliseconds. */
const TIMEOUT_MS = 5_000;

/**
 * One HTTP request over a connection of its own, so that the load balancer chooses anew.
 *
 * @throws Error when there is no good answer.
 */
export function ask(url: string, signal: AbortSignal): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  const request = get(url, { agent: false, signal: limit }, (response) => {
    response.on('error', reject);
    response.resume();
    response.on('end', () => {
      const { 'x-backend': backend, 'x-node': node } = response.headers;
      if (response.statusCode === 200) resolve({ backend: String(backend), node: String(node) });
      else reject(new Error(`the answer has status ${response.statusCode}`));
    });
  });
  request.on('error', reject);
  return promise;
}

/** Requests one after the other. @throws Error when one has no good answer. */
export async function askRepeatedly(
  url: string,
  { count, signal }: { readonly count: number; readonly signal: AbortSignal },
): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  while (answers.length < count) answers.push(await ask(url, signal));
  return answers;
}

/** Requests that go on until they are stopped. */
export interface Load {
  /** Good answers so far. */
  readonly answered: number;
  /** What went wrong, request by request. */
  readonly failures: readonly string[];
  /** Lets the requests under way finish, and begins no other. */
  stop(): Promise<void>;
}

/** Begins requests: several clients, each quick and slow in turn, so that there is always one under way. */
export function startLoad(
  url: string,
  { clients, signal }: { readonly clients: number; readonly signal: AbortSignal },
): Load {
  const stop = new AbortController();
  let answered = 0;
  const failures: string[] = [];
  const client = async (): Promise<void> => {
    for (let turn = 0; !stop.signal.aborted && !signal.aborted; turn++) {
      try {
        await ask(new URL(turn % 5 === 0 ? '/slow?ms=250' : '/hostname', url).href, signal);
        answered += 1;
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
      await pause(5);
    }
  };
  const running = Array.from({ length: clients }, client);
  return {
    get answered() {
      return answered;
    },
    failures,
    async stop() {
      stop.abort();
      await Promise.all(running);
    },
  };
}

/** Whether a TCP connection is refused. */
export function isRefused(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ host, port });
  socket.setTimeout(TIMEOUT_MS, () => resolve(false));
  socket.once('connect', () => resolve(false));
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  return promise.finally(() => socket.destroy());
}

/** Whether nobody listens on a port: then anybody may. */
export function isFree(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once('error', () => resolve(false));
  server.listen(port, host, () => server.close(() => resolve(true)));
  return promise;
}
