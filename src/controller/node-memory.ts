import type { ServiceKey } from '../model/service.ts';
import { hashOf } from './applied.ts';
import type { NodeWatch } from './node-watch.ts';

/** Where the nodes that all load balancers have as targets are remembered: a hash on the Lease. */
export interface NodeStore {
  /** What the predecessor remembered. */
  readonly remembered: string | undefined;
  /** Remembers; `undefined` forgets. */
  remember(nodes: string | undefined): void;
}

/**
 * Remembers which nodes all load balancers have as targets: forgotten before the first one is changed, written when
 * the last one is done, so that a crash on the way never looks as if nothing had been begun.
 */
export class NodeMemory {
  readonly #nodes: NodeWatch;
  readonly #store: NodeStore | undefined;
  /** Keys that may have other nodes as targets than those of now. */
  readonly #unsettled = new Set<ServiceKey>();
  #written: string | undefined;

  constructor(nodes: NodeWatch, store: NodeStore | undefined) {
    this.#nodes = nodes;
    this.#store = store;
    this.#written = store?.remembered;
  }

  /** Whether the predecessor left all load balancers with the nodes of now. */
  get sameNodes(): boolean {
    return this.#store?.remembered !== undefined && this.#store.remembered === hashOf(this.#nodes.text);
  }

  /** These load balancers are about to be brought in line with other nodes. */
  changing(keys: Iterable<ServiceKey>): void {
    this.expect(keys);
    this.#write(undefined);
  }

  /** These load balancers may have other nodes, and are about to be looked at. */
  expect(keys: Iterable<ServiceKey>): void {
    for (const key of keys) this.#unsettled.add(key);
  }

  /** A pass over the key has ended; `done`: nothing is left to do about it. */
  passed(key: ServiceKey, done: boolean): void {
    if (done) this.#unsettled.delete(key);
    if (this.#unsettled.size === 0 && !this.#nodes.pending) this.#write(hashOf(this.#nodes.text));
  }

  #write(nodes: string | undefined): void {
    if (this.#written === nodes) return;
    this.#written = nodes;
    this.#store?.remember(nodes);
  }
}
