/** Clients that one listener remembers; the one that came longest ago is forgotten first. */
export const MAX_AFFINITY_ENTRIES = 65_536;

interface Entry<T> {
  readonly target: T;
  readonly expiresAtMs: number;
}

/**
 * Which target a client was sent to last: `sessionAffinity: ClientIP`. Every new connection (or datagram session)
 * renews the time. Bounded, so that a scan from many addresses costs memory only up to a limit.
 */
export class AffinityTable<T> {
  readonly #limit: number;
  readonly #entries = new Map<string, Entry<T>>();

  constructor(limit = MAX_AFFINITY_ENTRIES) {
    this.#limit = limit;
  }

  /** The target that this client was sent to, unless that was too long ago. */
  get(client: string, nowMs: number): T | undefined {
    const entry = this.#entries.get(client);
    if (entry === undefined) return undefined;
    if (entry.expiresAtMs > nowMs) return entry.target;
    this.#entries.delete(client);
    return undefined;
  }

  /** Remembers the target until the time given. */
  set(client: string, target: T, expiresAtMs: number): void {
    // Deleted first, so that the order of the map is that of the last use.
    this.#entries.delete(client);
    this.#entries.set(client, { target, expiresAtMs });
    if (this.#entries.size <= this.#limit) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }

  /** Forgets everybody. */
  clear(): void {
    this.#entries.clear();
  }

  /** Clients that are remembered, expired ones included. */
  get size(): number {
    return this.#entries.size;
  }
}
