import type { EventReport } from './protocol.ts';
import type { PeerState } from './types.ts';

/** The main thread's copy of what is known of the peers, kept by the worker's events. */
export class PeerBook {
  readonly #self: string | undefined;
  #peers = new Map<string, PeerState>();

  /** `self` is no peer, also where it is in the list of all speakers. */
  constructor(self: string | undefined) {
    this.#self = self;
  }

  /** The peers from now on; what is known of those that stay is kept. */
  keep(nodes: readonly string[]): void {
    const others = nodes.filter((node) => node !== this.#self);
    this.#peers = new Map(others.map((node) => [node, this.#peers.get(node) ?? { node, state: 'unheard' }]));
  }

  list(): readonly PeerState[] {
    return [...this.#peers.values()];
  }

  onEvent(report: EventReport): void {
    if (report.event === 'heard')
      this.#change(report.detail.node, { state: 'alive', nonce: report.detail.nonce });
    if (report.event === 'gone') this.#change(report.detail.node, { state: 'gone' });
    if (report.event === 'goodbye') this.#change(report.detail.node, { state: 'left' });
    if (report.event === 'digest') this.#change(report.detail.node, { digest: report.detail.digest });
  }

  #change(node: string, change: Partial<PeerState>): void {
    const known = this.#peers.get(node);
    if (known !== undefined) this.#peers.set(node, { ...known, ...change });
  }
}
