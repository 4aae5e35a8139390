/** A backend: what would be a pod. A little HTTP server and UDP echo on an address of its own. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { readProxyHeader } from './proxy-header.ts';
import { reset } from './reset.ts';

/** What a backend is. */
export interface BackendOptions {
  readonly name: string;
  readonly nodeName: string;
  /** Loopback address that nothing else listens on. */
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Expects a PROXY protocol v2 header on every connection and datagram, and believes it. Default false. */
  readonly proxyProtocol?: boolean;
}

interface Client {
  readonly address: string;
  readonly port: number;
}

const MAX_SLOW_MS = 60_000;
/** How long kept connections without a request stay open while the backend drains. */
const IDLE_MS = 1_000;

/**
 * A running backend. HTTP: `/` who answered and who asked, `/hostname` the backend's name, `/clientip` the client as the
 * backend sees it, `/slow?ms=N` the name after N ms, `/echo` the body back. UDP: the datagram back, but `hostname` and
 * `clientip` are answered as over HTTP.
 */
export class Backend {
  readonly options: BackendOptions;
  /** False while it shuts down: endpoint slices say so, and no new connections are sent to it. */
  ready = true;
  readonly #http: Server;
  readonly #clients = new WeakMap<Socket, Client>();
  readonly #tcp = new Map<number, TcpServer>();
  readonly #udp = new Map<number, UdpSocket>();
  readonly #sockets = new Set<Socket>();

  constructor(options: BackendOptions) {
    this.options = options;
    this.#http = createHttpServer((request, response) => void this.#answer(request, response));
    this.#http.keepAliveTimeout = 0;
  }

  /**
   * Makes sure that the backend listens on a port. Safe to repeat.
   *
   * @throws Error EADDRINUSE, EACCES or EADDRNOTAVAIL when the port cannot be opened
   */
  async listen(protocol: 'TCP' | 'UDP', port: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (protocol === 'TCP' && !this.#tcp.has(port)) {
      const server = createTcpServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
      this.#tcp.set(port, server);
      server.once('error', (error) => (this.#tcp.delete(port), reject(error)));
      server.listen(port, this.options.address, resolve);
    } else if (protocol === 'UDP' && !this.#udp.has(port)) {
      const socket = createSocket('udp4', (data, from) => this.#echo(socket, data, from));
      this.#udp.set(port, socket);
      socket.once('error', (error) => (this.#udp.delete(port), reject(error)));
      socket.bind(port, this.options.address, resolve);
    } else resolve();
    await promise;
  }

  /** Stops accepting, lets requests under way finish for at most `graceMs`, then cuts what is left. */
  async drain(graceMs: number): Promise<void> {
    this.ready = false;
    for (const server of this.#tcp.values()) server.close();
    this.#tcp.clear();
    const start = Date.now();
    while (this.#sockets.size > 0 && Date.now() < start + graceMs) {
      await sleep(20);
      if (Date.now() > start + IDLE_MS) this.#http.closeIdleConnections();
    }
    this.stop();
  }

  /** Cuts everything at once. */
  stop(): void {
    this.ready = false;
    for (const server of this.#tcp.values()) server.close();
    for (const socket of this.#udp.values()) socket.close();
    for (const socket of this.#sockets) reset(socket);
    this.#tcp.clear();
    this.#udp.clear();
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    this.#clients.set(socket, { address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 });
    if (this.options.proxyProtocol) this.#readHeader(socket);
    else this.#http.emit('connection', socket);
  }

  #readHeader(socket: Socket): void {
    let data = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      data = Buffer.concat([data, chunk]);
      try {
        const header = readProxyHeader(data);
        if (header === undefined) return;
        socket.off('data', onData);
        socket.pause();
        if (header.client) this.#clients.set(socket, header.client);
        if (data.length > header.bytes) socket.unshift(data.subarray(header.bytes));
        this.#http.emit('connection', socket);
        socket.resume();
      } catch {
        socket.destroy();
      }
    };
    socket.on('data', onData);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { name, nodeName } = this.options;
    const url = new URL(request.url ?? '/', 'http://backend');
    const client = this.#clients.get(request.socket);
    const clientText = `${client?.address}:${client?.port}`;
    const send = (body: string): void => {
      // A backend that shuts down ends kept connections by itself, after the answer.
      if (!this.ready) response.setHeader('connection', 'close');
      response.writeHead(200, {
        'content-type': 'text/plain; charset=utf-8',
        'x-backend': name,
        'x-node': nodeName,
      });
      response.end(body);
    };
    if (url.pathname === '/hostname') send(name);
    else if (url.pathname === '/clientip') send(clientText);
    else if (url.pathname === '/slow') {
      await sleep(Math.min(Number(url.searchParams.get('ms') ?? 1000) || 0, MAX_SLOW_MS));
      send(name);
    } else if (url.pathname === '/echo') send(await text(request).catch(() => ''));
    else if (url.pathname === '/') send(`Hello from ${name} on ${nodeName}.\nYou are ${clientText}.\n`);
    else response.writeHead(404).end('Nothing here. Try / /hostname /clientip /slow?ms=500 /echo\n');
  }

  #echo(socket: UdpSocket, data: Buffer, from: { address: string; port: number }): void {
    let [payload, client]: [Buffer, Client] = [data, from];
    if (this.options.proxyProtocol) {
      try {
        const header = readProxyHeader(data);
        payload = data.subarray(header?.bytes ?? 0);
        client = header?.client ?? from;
      } catch {
        return;
      }
    }
    const words: Readonly<Record<string, string>> = {
      hostname: this.options.name,
      clientip: `${client.address}:${client.port}`,
    };
    socket.send(words[payload.toString().trim()] ?? payload, from.port, from.address);
  }
}
