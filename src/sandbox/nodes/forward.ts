/** Carries the traffic of one node port to the endpoints that its balancer picks. */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Balancer } from './balancer.ts';
import { reset } from './reset.ts';
import type { Endpoint } from './routes.ts';

/** Where and how one port is served. */
export interface ForwardOptions {
  /** The node's address: what it listens on, and what backends see under policy Cluster. */
  readonly address: string;
  readonly port: number;
  readonly balancer: Balancer;
}

/** A node port in service. */
export interface Forwarder {
  /** Stops accepting; what is under way goes on. */
  close(): void;
  /** Resets everything. */
  reset(): void;
  /** Connections (UDP: clients) under way. */
  readonly active: number;
}

/** Listens for TCP on a node port. @throws Error EADDRINUSE when something else has the port on this address */
export async function forwardTcp(options: ForwardOptions): Promise<Forwarder> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (client) => {
    const upstream = connectUpstream(client, options);
    if (upstream) join(client, upstream, sockets);
    else reset(client);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(options.port, options.address, resolve);
  await promise;
  return {
    close: () => void server.close(),
    reset: () => {
      server.close();
      for (const socket of sockets) reset(socket);
    },
    get active() {
      return Math.ceil(sockets.size / 2);
    },
  };
}

/** Under policy Local the connection comes from the client's address, which works for any loopback address on Linux. */
function connectUpstream(client: Socket, { address, balancer }: ForwardOptions): Socket | undefined {
  const from = client.remoteAddress ?? '';
  const endpoint = balancer.pick(from);
  if (endpoint === undefined) return undefined;
  const localAddress = balancer.route.keepsClientAddress && from.startsWith('127.') ? from : address;
  return connect({ host: endpoint.address, port: endpoint.port, localAddress, allowHalfOpen: true });
}

function join(client: Socket, upstream: Socket, sockets: Set<Socket>): void {
  for (const [socket, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => reset(other));
    socket.on('close', () => {
      sockets.delete(socket);
      // Without an error both directions have ended, and the other side is ending by itself.
      if (!other.destroyed && !socket.readableEnded) other.destroy();
    });
    socket.pipe(other);
  }
}

/** A UDP client is forgotten after this long without a datagram, as conntrack forgets it. */
const UDP_IDLE_MS = 30_000;

/** Sends one UDP client's datagrams on. */
interface Flow {
  readonly socket: UdpSocket;
  readonly endpoint: Endpoint;
  readonly timer: NodeJS.Timeout;
}

/** Listens for UDP on a node port. @throws Error EADDRINUSE when something else has the port on this address */
export async function forwardUdp(options: ForwardOptions): Promise<Forwarder> {
  const flows = new Map<string, Flow>();
  const forget = (key: string): void => {
    const flow = flows.get(key);
    if (!flow) return;
    flows.delete(key);
    clearTimeout(flow.timer);
    flow.socket.close();
  };
  const socket = createSocket('udp4', (data: Buffer, from: RemoteInfo) => {
    const key = `${from.address}:${from.port}`;
    const flow = flows.get(key) ?? openFlow(socket, from, { ...options, forget: () => forget(key) });
    if (flow === undefined) return;
    flows.set(key, flow);
    flow.timer.refresh();
    flow.socket.send(data, flow.endpoint.port, flow.endpoint.address, () => {});
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('error', reject);
  socket.bind(options.port, options.address, resolve);
  await promise;
  socket.on('error', () => {});
  const close = (): void => {
    for (const key of flows.keys()) forget(key);
    socket.close();
  };
  return {
    close,
    reset: close,
    get active() {
      return flows.size;
    },
  };
}

function openFlow(
  listener: UdpSocket,
  from: RemoteInfo,
  { address, balancer, forget }: ForwardOptions & { forget: () => void },
): Flow | undefined {
  const endpoint = balancer.pick(from.address);
  if (endpoint === undefined) return undefined;
  const socket = createSocket('udp4', (data) => listener.send(data, from.port, from.address, () => {}));
  socket.on('error', forget);
  socket.bind(0, address);
  return { socket, endpoint, timer: setTimeout(forget, UDP_IDLE_MS).unref() };
}
