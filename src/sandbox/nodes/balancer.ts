/** Chooses an endpoint for each connection: in turn, or by the client's address when the Service asks for affinity. */
import type { Endpoint, PortRoute } from './routes.ts';

/** The choice for one node port. */
export class Balancer {
  #route: PortRoute;
  #turn: number;
  readonly #now: () => number;
  readonly #clients = new Map<string, { endpoint: Endpoint; until: number }>();

  /** `turn` sets where the round begins, so that nodes do not all begin at the same backend. */
  constructor(route: PortRoute, turn: number, now: () => number = Date.now) {
    this.#route = route;
    this.#turn = turn;
    this.#now = now;
  }

  get route(): PortRoute {
    return this.#route;
  }

  /** Endpoints or affinity changed; clients stay where they are if their endpoint is still there. */
  update(route: PortRoute): void {
    this.#route = route;
  }

  /** The endpoint for a client; undefined when there is none. */
  pick(client: string): Endpoint | undefined {
    const { endpoints, affinitySeconds } = this.#route;
    if (affinitySeconds === 0) return this.#next(endpoints);
    const now = this.#now();
    const known = this.#clients.get(client);
    const stays = known && known.until > now && endpoints.some((each) => same(each, known.endpoint));
    const endpoint = stays ? known.endpoint : this.#next(endpoints);
    if (endpoint) this.#clients.set(client, { endpoint, until: now + affinitySeconds * 1000 });
    return endpoint;
  }

  #next(endpoints: readonly Endpoint[]): Endpoint | undefined {
    return endpoints[this.#turn++ % Math.max(endpoints.length, 1)];
  }
}

function same(a: Endpoint, b: Endpoint): boolean {
  return a.address === b.address && a.port === b.port;
}
