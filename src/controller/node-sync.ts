import type { ServiceKey } from '../model/service.ts';
import type { Clock } from '../provider/spi.ts';
import type { ControllerMetrics } from './metrics.ts';

/** Measures how long a change of nodes takes to reach the load balancers: one by one, and all of them. */
export class NodeSync {
  readonly #clock: Clock;
  readonly #metrics: ControllerMetrics;
  readonly #pending = new Set<ServiceKey>();
  #sinceMs = 0;

  constructor(clock: Clock, metrics: ControllerMetrics) {
    this.#clock = clock;
    this.#metrics = metrics;
  }

  /** Nodes changed at this monotonic time (milliseconds), and these keys have to be told. */
  begin(keys: Iterable<ServiceKey>, sinceMs: number): void {
    if (this.#pending.size === 0) this.#sinceMs = sinceMs;
    for (const key of keys) this.#pending.add(key);
  }

  /** A pass over the key has ended; a failed one stays pending until a later one succeeds. */
  done(key: ServiceKey, succeeded: boolean): void {
    if (!this.#pending.has(key)) return;
    if (!succeeded) {
      this.#metrics.nodeSyncErrors.record({}, 1);
      return;
    }
    this.#pending.delete(key);
    const seconds = (this.#clock.monotonic() - this.#sinceMs) / 1000;
    this.#metrics.hostsUpdated(seconds);
    if (this.#pending.size === 0) this.#metrics.nodesSynced(seconds);
  }
}
