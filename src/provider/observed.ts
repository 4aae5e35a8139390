import { SHARED, type Step } from '../plan/step.ts';
import type { ServiceKey } from '../model/service.ts';
import type { Change, Observed, ObservedLoadBalancer } from './spi.ts';

/** Nothing observed: what a scope looks like before the first `observe()`. */
export function emptyObserved(): Observed {
  return { environment: undefined, shared: undefined, loadBalancers: new Map() };
}

/**
 * What the core knows of a provider's world: filled by `observe()`, carried forward by the changes of applied steps.
 *
 * `view` is live: it always shows the present state, and nothing is copied when a step is merged. The values inside
 * it are never altered, only replaced, so what a planner has taken out of it stays what it was.
 */
export class ObservedState implements Observed {
  #environment: unknown;
  #shared: unknown;
  #loadBalancers = new Map<ServiceKey, ObservedLoadBalancer>();

  constructor(observed: Observed = emptyObserved()) {
    this.absorb(observed);
  }

  get environment(): unknown {
    return this.#environment;
  }

  get shared(): unknown {
    return this.#shared;
  }

  get loadBalancers(): ReadonlyMap<ServiceKey, ObservedLoadBalancer> {
    return this.#loadBalancers;
  }

  /** The present state, for `plan`, `apply` and `ingress`. */
  get view(): Observed {
    return this;
  }

  /**
   * Takes over what was observed. With `keys`, only those load balancers are replaced (and the ones that were not
   * found are dropped); without, all of them are.
   */
  absorb(observed: Observed, keys?: readonly ServiceKey[]): void {
    this.#environment = observed.environment;
    this.#shared = observed.shared;
    if (keys === undefined) {
      this.#loadBalancers = new Map(observed.loadBalancers);
      return;
    }
    for (const key of keys) this.set(key, observed.loadBalancers.get(key));
  }

  /** Merges what a step changed. Changes of one stage may arrive in any order. */
  merge(step: Pick<Step, 'scope'>, change: Change<ObservedLoadBalancer>): void {
    if (change.shared !== undefined) this.#shared = change.shared(this.#shared);
    if (change.environment !== undefined) this.#environment = change.environment(this.#environment);
    if (change.loadBalancer === undefined || step.scope === SHARED) return;
    this.set(step.scope, change.loadBalancer(this.#loadBalancers.get(step.scope)));
  }

  /** Puts one load balancer in place, or forgets it. */
  set(key: ServiceKey, loadBalancer: ObservedLoadBalancer | undefined): void {
    if (loadBalancer === undefined) this.#loadBalancers.delete(key);
    else this.#loadBalancers.set(key, loadBalancer);
  }

  /** A copy that later changes do not reach; it costs one pass over all load balancers. */
  snapshot(): Observed {
    return {
      environment: this.#environment,
      shared: this.#shared,
      loadBalancers: new Map(this.#loadBalancers),
    };
  }
}
