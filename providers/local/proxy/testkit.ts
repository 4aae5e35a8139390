/** Little backends and clients on loopback for the tests of the proxy. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock } from '@berth/core';
import { HealthChecks, type HealthCheckOptions } from './health.ts';
import type { ListenerSettings, TrafficSettings } from './spec.ts';
import type { ListenerContext } from './tcp-listener.ts';
import type { Endpoint } from './targets.ts';

/** Time-outs short enough for tests, long enough for a busy machine. */
export const TRAFFIC: TrafficSettings = {
  connectTimeoutMs: 2_000,
  idleTimeoutMs: 5_000,
  drainMs: 2_000,
  proxyProtocol: false,
  maxConnections: 1_000,
};

/** Settings of a listener: these targets, nothing special. */
export function settings(
  targets: readonly Endpoint[],
  overrides: Omit<Partial<ListenerSettings>, 'traffic'> & {
    readonly traffic?: Partial<TrafficSettings>;
  } = {},
): ListenerSettings {
  return {
    targets,
    sourceRanges: [],
    affinityMs: 0,
    ...overrides,
    traffic: { ...TRAFFIC, ...overrides.traffic },
  };
}

/** What listeners of a test work with. */
export function context(
  overrides: Partial<ListenerContext> & { readonly health?: Partial<HealthCheckOptions> } = {},
): ListenerContext {
  const { health, ...rest } = overrides;
  return { clock: systemClock, checks: new HealthChecks({ clock: systemClock, ...health }), ...rest };
}

/** A TCP server on a free port; everything it has is destroyed by `close`. */
export interface TestServer extends Endpoint {
  readonly server: Server;
  readonly sockets: Set<Socket>;
  close(): Promise<void>;
}

/** Listens on a free loopback port and gives each connection to `serve`. */
export async function serve(
  handler: (socket: Socket) => void,
  host = '127.0.0.1',
  port = 0,
): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    handler(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, resolve);
  });
  return {
    host,
    port: (server.address() as AddressInfo).port,
    server,
    sockets,
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** A server that says its name and closes when the client has. */
export function named(name: string, host?: string): Promise<TestServer> {
  return serve((socket) => {
    socket.resume();
    socket.end(name);
  }, host);
}

/** A server that sends back what it gets. */
export function echo(host?: string): Promise<TestServer> {
  return serve((socket) => socket.pipe(socket), host);
}

/** How a client's connection ended, and what it got. */
export interface Outcome {
  readonly text: string;
  /** `end` after FIN, else the errno: `ECONNRESET`. */
  readonly ended: string;
}

/** Connects, sends, says FIN, and collects everything until the other side ends. */
export function talk(to: Endpoint, message = '', localAddress?: string): Promise<Outcome> {
  const socket = connect({
    ...to,
    allowHalfOpen: true,
    ...(localAddress === undefined ? {} : { localAddress }),
  });
  socket.end(message);
  return outcome(socket);
}

/** Everything that a socket gets until it ends. */
export function outcome(socket: Socket): Promise<Outcome> {
  const chunks: Buffer[] = [];
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const finish = (ended: string): void => {
    socket.destroy();
    resolve({ text: Buffer.concat(chunks).toString('latin1'), ended });
  };
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('end', () => finish('end'));
  socket.resume();
  socket.on('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
  return promise;
}

/** A connected client socket. */
export async function dial(to: Endpoint): Promise<Socket> {
  const socket = connect({ ...to, allowHalfOpen: true });
  socket.on('error', () => {});
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

/** The next bytes of a socket. */
export function nextData(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.once('data', (chunk) => resolve(chunk.toString('latin1')));
    socket.once('close', () => reject(new Error('the socket closed before anything came')));
  });
}

/** A port on which nobody listens: it was free a moment ago. */
export async function closedPort(host = '127.0.0.1'): Promise<Endpoint> {
  const server = await serve(() => {}, host);
  await server.close();
  return { host, port: server.port };
}

/** A port whose listener answers nothing, as a dead node does: its process is stopped and its accept queue full. */
export interface SilentPort extends Endpoint {
  close(): void;
}

/** Starts a process that listens with the shortest queue, stops it, and fills the queue. */
export async function silentPort(): Promise<SilentPort> {
  const script =
    "require('net').createServer().listen({host:'127.0.0.1',port:0,backlog:1},function(){console.log(this.address().port)})";
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const to = { host: '127.0.0.1', port: Number(line.toString()) };
  child.kill('SIGSTOP');
  const fillers: Socket[] = [];
  for (let answered = true; answered;) {
    const socket = connect(to);
    socket.on('error', () => {});
    fillers.push(socket);
    answered = await Promise.race([once(socket, 'connect').then(() => true), pause(50).then(() => false)]);
  }
  const close = (): void => {
    for (const socket of fillers) socket.destroy();
    child.kill('SIGKILL');
  };
  return { ...to, close };
}

/** A UDP server that answers every datagram with its name and what it got. */
export interface TestUdpServer extends Endpoint {
  readonly socket: DatagramSocket;
  readonly seen: { readonly text: string; readonly port: number }[];
  close(): void;
}

/** Binds a free loopback port. */
export async function udpNamed(name: string, host = '127.0.0.1', port = 0): Promise<TestUdpServer> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const seen: { text: string; port: number }[] = [];
  socket.on('error', () => {});
  socket.on('message', (message, from) => {
    seen.push({ text: message.toString(), port: from.port });
    socket.send(`${name}:${message}`, from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind({ address: host, port }, () => resolve()));
  return { host, port: socket.address().port, socket, seen, close: () => socket.close() };
}

/** A UDP client with a port of its own. */
export interface TestUdpClient {
  readonly socket: DatagramSocket;
  /** Sends one datagram and waits for one; `undefined` if none comes in time. */
  ask(to: Endpoint, message: string, timeoutMs?: number): Promise<string | undefined>;
  close(): void;
}

/** Binds a client. */
export async function udpClient(host = '127.0.0.1'): Promise<TestUdpClient> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.bind({ address: host }, () => resolve()));
  const ask: TestUdpClient['ask'] = (to, message, timeoutMs = 2_000) => {
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const answered = (answer: Buffer): void => {
      clearTimeout(timer);
      resolve(answer.toString());
    };
    const timer = setTimeout(() => {
      socket.off('message', answered);
      resolve(undefined);
    }, timeoutMs);
    socket.once('message', answered);
    socket.send(message, to.port, to.host);
    return promise;
  };
  return { socket, ask, close: () => socket.close() };
}

/** Waits until it holds, at most four seconds. */
export async function until(condition: () => boolean, what = 'the condition'): Promise<void> {
  const deadline = performance.now() + 4_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`${what} did not come true in time`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Waits. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
