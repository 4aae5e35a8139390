/** What kube-proxy is on a real node: listens on node ports and health check ports as the routes say. */
import { createServer, type Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Balancer } from './balancer.ts';
import { type Forwarder, forwardTcp, forwardUdp } from './forward.ts';
import type { HealthRoute, NodeRoutes, PortRoute } from './routes.ts';

/** kube-proxy's own health port. */
export const HEALTHZ_PORT = 10_256;

interface Listener {
  readonly balancer: Balancer;
  readonly forwarder: Forwarder;
}

interface HealthListener {
  route: HealthRoute;
  readonly server: Server;
}

/** What a node's proxy needs. */
export interface ProxyOptions {
  readonly address: string;
  /** Where the node begins its rounds among endpoints. */
  readonly turn: number;
  /** False answers 503 on 10256 `/healthz`: the node is about to leave. */
  readonly healthy: () => boolean;
  /** Told when a port cannot be opened; the others go on. */
  readonly onError: (error: unknown) => void;
}

/** The proxy of one node. Everything listens on the node's own address, so nothing else on the machine is in the way. */
export class NodeProxy {
  readonly #options: ProxyOptions;
  readonly #listeners = new Map<string, Listener>();
  readonly #health = new Map<number, HealthListener>();
  #healthz: Server | undefined;
  #work: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: ProxyOptions) {
    this.#options = options;
  }

  /** Opens 10256. @throws Error EADDRNOTAVAIL when the address is not this machine's, EADDRINUSE when it is taken */
  async start(): Promise<void> {
    this.#healthz = await listenHttp(this.#options.address, HEALTHZ_PORT, (path) => {
      const ok = path.startsWith('/livez') || this.#options.healthy();
      return { code: ok ? 200 : 503, body: { healthy: ok, currentTime: new Date().toISOString() } };
    });
  }

  /** Makes the listeners what the routes say. Resolves when they are; a later call waits for the earlier one. */
  apply(routes: NodeRoutes): Promise<void> {
    this.#work = this.#work.then(() => this.#reconcile(routes));
    return this.#work;
  }

  /** How many connections are under way. */
  get active(): number {
    return [...this.#listeners.values()].reduce((sum, { forwarder }) => sum + forwarder.active, 0);
  }

  /** Stops accepting, lets what is under way finish for at most `graceMs`, then resets the rest. */
  async drain(graceMs: number): Promise<void> {
    this.#stopped = true;
    await this.#work;
    for (const { forwarder } of this.#listeners.values()) forwarder.close();
    const end = Date.now() + graceMs;
    while (this.active > 0 && Date.now() < end) await sleep(20);
    this.stop();
  }

  /** Closes everything and resets connections. */
  stop(): void {
    this.#stopped = true;
    for (const { forwarder } of this.#listeners.values()) forwarder.reset();
    for (const { server } of this.#health.values()) closeHttp(server);
    if (this.#healthz) closeHttp(this.#healthz);
    this.#listeners.clear();
    this.#health.clear();
    this.#healthz = undefined;
  }

  async #reconcile({ ports, health }: NodeRoutes): Promise<void> {
    const wanted = new Map(ports.map((route) => [`${route.protocol}/${route.nodePort}`, route]));
    for (const [key, { forwarder }] of this.#listeners) {
      if (wanted.has(key)) continue;
      forwarder.close();
      this.#listeners.delete(key);
    }
    for (const [key, route] of wanted) await this.#serve(key, route);
    const checked = new Map(health.map((route) => [route.port, route]));
    for (const [port, { server }] of this.#health) {
      if (checked.has(port)) continue;
      closeHttp(server);
      this.#health.delete(port);
    }
    for (const route of health) await this.#serveHealth(route);
  }

  async #serve(key: string, route: PortRoute): Promise<void> {
    const existing = this.#listeners.get(key);
    if (existing) existing.balancer.update(route);
    if (existing || this.#stopped) return;
    const { address, turn, onError } = this.#options;
    const balancer = new Balancer(route, turn);
    try {
      const forward = route.protocol === 'TCP' ? forwardTcp : forwardUdp;
      const forwarder = await forward({ address, port: route.nodePort, balancer });
      if (this.#stopped) forwarder.reset();
      else this.#listeners.set(key, { balancer, forwarder });
    } catch (error) {
      onError(error);
    }
  }

  /** As kube-proxy: 200 while the node has endpoints of the Service, else 503, on any path. */
  async #serveHealth(route: HealthRoute): Promise<void> {
    const existing = this.#health.get(route.port);
    if (existing) existing.route = route;
    if (existing || this.#stopped) return;
    try {
      const answer = (): Answer => {
        const { service, localEndpoints } = this.#health.get(route.port)?.route ?? route;
        return {
          code: localEndpoints > 0 ? 200 : 503,
          body: { service, localEndpoints, serviceProxyHealthy: true },
        };
      };
      this.#health.set(route.port, {
        route,
        server: await listenHttp(this.#options.address, route.port, answer),
      });
    } catch (error) {
      this.#options.onError(error);
    }
  }
}

interface Answer {
  readonly code: number;
  readonly body: object;
}

async function listenHttp(address: string, port: number, answer: (path: string) => Answer): Promise<Server> {
  const server = createServer((request, response) => {
    const { code, body } = answer(request.url ?? '/');
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, address, resolve);
  await promise;
  return server;
}

function closeHttp(server: Server): void {
  server.close();
  server.closeAllConnections();
}
