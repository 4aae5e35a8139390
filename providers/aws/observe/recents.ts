import type { Clock, ServiceKey } from '@berth/core';
import type { AwsChange, AwsLoadBalancer, AwsShared } from '../state.ts';

/** For how long a read may miss what was just made, in milliseconds. */
export const SETTLE_MS = 60_000;

/** For how long a name or address may be taken after its load balancer was deleted by us, in milliseconds. */
const RELEASE_MS = 600_000;

interface Made {
  readonly scope: ServiceKey;
  readonly change: AwsChange;
  readonly atMs: number;
  readonly shows: (found: AwsLoadBalancer | undefined, shared: AwsShared) => boolean;
}

/**
 * What this process made or released a moment ago: AWS may not show the one yet, and not have let go of the other.
 */
export class Recents {
  readonly #clock: Clock;
  readonly #made = new Map<string, Made>();
  readonly #released = new Map<string, number>();
  readonly #retired = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Notes that something was made: how it changes what is observed, and how to tell that a read shows it. */
  made(id: string, made: Omit<Made, 'atMs'>): void {
    this.#made.set(id, { ...made, atMs: this.#clock.monotonic() });
  }

  /** Whether it was made by us so lately that "not found" means nothing. */
  isYoung(id: string): boolean {
    const made = this.#made.get(id);
    return made !== undefined && this.#clock.monotonic() - made.atMs < SETTLE_MS;
  }

  /** It was deleted, or is known to be gone. */
  gone(id: string): void {
    this.#made.delete(id);
    this.#retired.delete(id);
  }

  /** Milliseconds until something that was replaced may be deleted: counted from the first time of asking. */
  retire(id: string, delayMs: number): number {
    const now = this.#clock.monotonic();
    const since = this.#retired.get(id) ?? now;
    this.#retired.set(id, since);
    return since + delayMs - now;
  }

  /** Notes a name or address that was let go of. */
  released(...ids: readonly string[]): void {
    for (const id of ids) this.#released.set(id, this.#clock.monotonic());
  }

  /** Whether we let go of it a while ago, so that AWS may still hold it. */
  wasReleased(id: string): boolean {
    const at = this.#released.get(id);
    return at !== undefined && this.#clock.monotonic() - at < RELEASE_MS;
  }

  /** What was read, with what was made too lately to be in it. */
  complete(
    key: ServiceKey,
    found: AwsLoadBalancer | undefined,
    shared: AwsShared,
  ): AwsLoadBalancer | undefined {
    return this.#missing(key, (made) => made.shows(found, shared)).reduce<AwsLoadBalancer | undefined>(
      (now, { change }) => (change.loadBalancer === undefined ? now : change.loadBalancer(now)),
      found,
    );
  }

  /** The same for what is shared. */
  completeShared(shared: AwsShared): AwsShared {
    return this.#missing(undefined, (made) => made.shows(undefined, shared)).reduce<AwsShared>(
      (now, { change }) => change.shared?.(now) ?? now,
      shared,
    );
  }

  /** Keys of which something was made lately. */
  get keys(): readonly ServiceKey[] {
    this.#forgetOld();
    return [...new Set([...this.#made.values()].map(({ scope }) => scope))];
  }

  #missing(key: ServiceKey | undefined, shown: (made: Made) => boolean): readonly Made[] {
    this.#forgetOld();
    const missing: Made[] = [];
    for (const [id, made] of this.#made) {
      const mine = key === undefined ? made.change.shared !== undefined : made.scope === key;
      if (!mine) continue;
      // What a read has shown once is believed to be gone when a later one does not show it.
      if (shown(made)) this.#made.delete(id);
      else missing.push(made);
    }
    return missing;
  }

  #forgetOld(): void {
    const now = this.#clock.monotonic();
    for (const [id, { atMs }] of this.#made) if (now - atMs >= SETTLE_MS) this.#made.delete(id);
    for (const [id, at] of this.#released) if (now - at >= RELEASE_MS) this.#released.delete(id);
  }
}
