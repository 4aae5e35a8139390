import type { ServiceKey } from '../model/service.ts';
import { compareText } from '../plan/step.ts';

/**
 * What the load balancers of one provider need of what they share, counted, so that the sum is at hand however many
 * there are. Right after the start not everybody has been asked; until then nothing may be taken away.
 */
export class SharedNeeds {
  readonly #byKey = new Map<ServiceKey, readonly string[]>();
  readonly #counts = new Map<string, number>();
  readonly #unasked = new Set<ServiceKey>();

  /** Notes that these load balancers may exist and have not been asked. */
  expect(keys: Iterable<ServiceKey>): void {
    for (const key of keys) if (!this.#byKey.has(key)) this.#unasked.add(key);
  }

  /** Takes an answer in, in place of the former one. */
  set(key: ServiceKey, needs: readonly string[]): void {
    this.#uncount(key);
    this.#byKey.set(key, needs);
    for (const need of needs) this.#counts.set(need, (this.#counts.get(need) ?? 0) + 1);
    this.#unasked.delete(key);
  }

  /** The load balancer is gone. */
  delete(key: ServiceKey): void {
    this.#uncount(key);
    this.#byKey.delete(key);
    this.#unasked.delete(key);
  }

  /** All needs, sorted, each once. */
  get all(): readonly string[] {
    return [...this.#counts.keys()].toSorted(compareText);
  }

  /** Whether everybody has been asked. */
  get complete(): boolean {
    return this.#unasked.size === 0;
  }

  #uncount(key: ServiceKey): void {
    for (const need of this.#byKey.get(key) ?? []) {
      const left = (this.#counts.get(need) ?? 1) - 1;
      if (left > 0) this.#counts.set(need, left);
      else this.#counts.delete(need);
    }
  }
}
