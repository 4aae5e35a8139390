import type { Host, ServiceKey } from '@berth/core';
import { Balancer, type BalancerContext, type PortLabels } from './balancer.ts';
import { HealthChecks } from './proxy/health.ts';
import type { Listener, ListenerStats } from './proxy/spec.ts';
import type { Frontend } from './state.ts';

/**
 * The proxies of this process, by Service, with what they share: health checks, metrics, and the listeners that are
 * closed but whose connections may still finish.
 */
export class Proxies {
  readonly #balancers = new Map<ServiceKey, Balancer>();
  readonly #draining = new Set<Listener>();
  readonly #checks: HealthChecks;
  readonly #context: BalancerContext;

  constructor(host: Host, healthChecksPerSecond: number) {
    this.#checks = new HealthChecks({
      clock: host.clock,
      maxPerSecond: healthChecksPerSecond,
      onTurn: ({ host: address, port, kind }, healthy) =>
        host.log.info(
          { address, port, kind },
          `target ${address} is ${healthy ? 'healthy again' : 'unhealthy'}`,
        ),
    });
    this.#context = {
      host,
      checks: this.#checks,
      count: counters(host),
      retire: (listener, drainMs) => this.#retire(listener, drainMs),
    };
  }

  /** Keys of the Services that have a proxy. */
  keys(): readonly ServiceKey[] {
    return [...this.#balancers.keys()];
  }

  /** The proxy of a Service, if it has one. */
  get(key: ServiceKey): Balancer | undefined {
    return this.#balancers.get(key);
  }

  /** Makes the proxy of a Service, without targets and listeners. */
  add(id: { readonly key: ServiceKey; readonly uid: string }, frontend: Frontend): Balancer {
    const balancer = new Balancer(id, frontend, this.#context);
    this.#balancers.set(id.key, balancer);
    return balancer;
  }

  /** Removes a proxy with whatever it still has. */
  remove(key: ServiceKey): void {
    this.#balancers.get(key)?.destroy();
    this.#balancers.delete(key);
  }

  /** Closes every listener and resets every connection. */
  close(): void {
    for (const key of this.keys()) this.remove(key);
    for (const listener of this.#draining) listener.close(0);
    this.#draining.clear();
    this.#checks.close();
  }

  #retire(listener: Listener, drainMs: number): void {
    for (const other of this.#draining) if (other.stats.open === 0) this.#draining.delete(other);
    listener.close(drainMs);
    if (listener.stats.open > 0) this.#draining.add(listener);
  }
}

/** Turns what listeners count into metrics: a gauge of what is open, and counters by outcome. */
function counters(host: Host): BalancerContext['count'] {
  const labels = ['service', 'port'] as const;
  const openNow = host.metrics.gauge(
    'berth_local_connections',
    'Connections (UDP: clients) that a port of the local proxy has now',
    labels,
  );
  const outcomes = host.metrics.counter(
    'berth_local_connections_total',
    'Connections (UDP: clients) of the local proxy by outcome: accepted, refused, connect_failed',
    [...labels, 'outcome'],
  );
  const open = new Map<string, number>();
  return ({ service, port }: PortLabels, counted: ListenerStats) => {
    const id = `${service} ${port}`;
    const now = (open.get(id) ?? 0) + counted.open;
    if (now === 0) open.delete(id);
    else open.set(id, now);
    if (counted.open !== 0) openNow.record({ service, port }, now);
    const changes = [
      ['accepted', counted.accepted],
      ['refused', counted.refused],
      ['connect_failed', counted.connectFailures],
    ] as const;
    for (const [outcome, value] of changes) if (value > 0) outcomes.record({ service, port, outcome }, value);
  };
}
