import type { Target } from '../model/load-balancer.ts';
import type { Node } from '../model/node.ts';
import { nodeFingerprint, targetsOf } from '../plan/nodes.ts';
import type { Clock } from '../provider/spi.ts';
import type { Cache, CacheEvent } from './ports.ts';

/** Node events within this window are one pass, in milliseconds. */
export const NODE_WINDOW_MS = 200;

/**
 * Keeps the list of eligible nodes and says when it has changed. Events of nodes are coalesced, so that a hundred
 * nodes joining are one pass; events that change nothing that a load balancer can see (readiness, foreign taints) are
 * dropped at once.
 */
export class NodeWatch {
  readonly #nodes: Cache<Node>;
  readonly #clock: Clock;
  readonly #onChange: (sinceMs: number) => void;
  readonly #withLabels: boolean;
  #targets: readonly Target[] = [];
  #text = '[]';
  #cancel: (() => void) | undefined;

  /**
   * `onChange` gets the monotonic time of the first event that led to the change, in milliseconds. `withLabels`:
   * whether a label can decide which nodes a load balancer has, so that a change of one matters.
   */
  constructor(
    { nodes, clock, withLabels }: { nodes: Cache<Node>; clock: Clock; withLabels: boolean },
    onChange: (sinceMs: number) => void,
  ) {
    this.#nodes = nodes;
    this.#clock = clock;
    this.#withLabels = withLabels;
    this.#onChange = onChange;
  }

  /** Eligible nodes, sorted by name. The same array until something changes, so that desired states can share it. */
  get targets(): readonly Target[] {
    return this.#targets;
  }

  /** Everything about the nodes that decides who is a target, as text: equal text, equal targets everywhere. */
  get text(): string {
    return this.#text;
  }

  /** Labels of a node. */
  readonly labelsOf = (name: string): Readonly<Record<string, string>> => this.#nodes.get(name)?.labels ?? {};

  /** Whether a change waits for its window to end. */
  get pending(): boolean {
    return this.#cancel !== undefined;
  }

  /** Takes a change of a Node in. */
  changed({ type, object, old }: CacheEvent<Node>): void {
    const before = old === undefined ? '' : this.#fingerprint(old);
    const after = type === 'deleted' ? '' : this.#fingerprint(object);
    if (before === after || this.#cancel !== undefined) return;
    const since = this.#clock.monotonic();
    this.#cancel = this.#clock.after(NODE_WINDOW_MS, () => {
      this.#cancel = undefined;
      if (this.refresh()) this.#onChange(since);
    });
  }

  /** Reads the nodes at once; says whether the list of targets is another one. */
  refresh(): boolean {
    const targets = targetsOf(this.#nodes.list());
    const text = JSON.stringify(
      this.#withLabels ? targets.map((target) => [target, this.labelsOf(target.node)]) : targets,
    );
    if (text === this.#text) return false;
    this.#targets = targets;
    this.#text = text;
    return true;
  }

  #fingerprint(node: Node): string {
    return this.#withLabels ? JSON.stringify([nodeFingerprint(node), node.labels]) : nodeFingerprint(node);
  }

  /** Forgets a pending window. */
  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
