import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request that arrived, and the means to answer it as well or as badly as a test wants. */
export class ScriptedCall {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
  /** When it arrived, on the monotonic clock. */
  readonly atMs = performance.now();
  readonly response: ServerResponse;

  constructor(
    request: Pick<IncomingMessage, 'method' | 'url' | 'headers'>,
    body: string,
    response: ServerResponse,
  ) {
    const url = new URL(request.url ?? '/', 'http://scripted');
    this.method = request.method ?? '';
    this.path = url.pathname;
    this.query = url.searchParams;
    this.headers = request.headers;
    this.body = body === '' ? undefined : JSON.parse(body);
    this.response = response;
  }

  /** Whether this is a watch. */
  get isWatch(): boolean {
    return this.query.get('watch') === '1';
  }

  /** Answers in JSON. */
  json(body: unknown, status = 200, headers: Record<string, string> = {}): void {
    this.response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
    this.response.end(JSON.stringify(body));
  }

  /** Answers with a `Status` object as the API server does. */
  status(
    code: number,
    reason: string,
    extra: { message?: string; headers?: Record<string, string> } = {},
  ): void {
    const { message = `scripted ${reason}`, headers } = extra;
    this.json({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message }, code, headers);
  }

  /** Begins a watch's answer and sends these events. */
  events(...events: readonly unknown[]): this {
    if (!this.response.headersSent) {
      this.response.writeHead(200, { 'Content-Type': 'application/json' });
      this.response.flushHeaders();
    }
    for (const event of events) this.write(`${JSON.stringify(event)}\n`);
    return this;
  }

  /** Sends bytes as they are. */
  write(chunk: string | Buffer): void {
    this.response.write(chunk);
  }

  /** Ends the answer in good order. */
  end(): void {
    this.response.end();
  }

  /** Breaks the connection. */
  cut(): void {
    this.response.socket?.destroy();
  }
}

/** An HTTP server on loopback that does what a test tells it. */
export class ScriptedServer {
  readonly calls: ScriptedCall[] = [];
  /** What to do with a call; may be replaced at any time. */
  handle: (call: ScriptedCall) => void = (call) => call.status(404, 'NotFound');
  readonly #server: Server;
  #waiting: { matches: (call: ScriptedCall) => boolean; resolve: (call: ScriptedCall) => void }[] = [];

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () =>
        this.#arrived(new ScriptedCall(request, Buffer.concat(chunks).toString(), response)),
      );
    });
  }

  /** Starts on a free port. */
  static async start(handle?: (call: ScriptedCall) => void): Promise<ScriptedServer> {
    const server = new ScriptedServer();
    if (handle) server.handle = handle;
    await server.listen(0);
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Listens (again) on that port. */
  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', resolve);
    });
  }

  /** Resolves with the first call from now on that matches. */
  next(matches: (call: ScriptedCall) => boolean = () => true): Promise<ScriptedCall> {
    return new Promise((resolve) => this.#waiting.push({ matches, resolve }));
  }

  /** Breaks every connection and stops to listen. */
  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #arrived(call: ScriptedCall): void {
    this.calls.push(call);
    const matching = this.#waiting.filter((waiter) => waiter.matches(call));
    this.#waiting = this.#waiting.filter((waiter) => !matching.includes(waiter));
    this.handle(call);
    for (const waiter of matching) waiter.resolve(call);
  }
}
