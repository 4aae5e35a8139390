import { isBerthError } from '../model/errors.ts';
import { isApiError } from './errors.ts';
import { LEASE_API, type LeaseClient } from './lease-client.ts';
import { type LeaseRecord, renewalOf, toLease } from './lease-record.ts';
import { ListWatch, type ListWatchOptions } from './listwatch.ts';
import { resourcePath } from './paths.ts';
import { isOlder } from './store.ts';
import { type Clock, pause } from './timing.ts';

/** What a candidate needs to know. */
export interface CandidateOptions {
  readonly client: ListWatchOptions<LeaseRecord>['client'];
  readonly leases: LeaseClient;
  readonly namespace: string;
  readonly name: string;
  readonly retryPeriodMs: number;
  /** For a Lease that does not say how long it lasts. */
  readonly leaseDurationMs: number;
  /** Whether this run wrote that Lease. */
  readonly isOurs: (lease: LeaseRecord) => boolean;
  /** Writes us into the Lease as it was read. */
  readonly take: (base: LeaseRecord | undefined) => Promise<void>;
  readonly onStandby?: ((holder: string) => void) | undefined;
  readonly onTrouble?: ((error: unknown) => void) | undefined;
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** Waits for the Lease to become free, and takes it. See `runLeaderElection` for the rules. */
export class Candidate {
  readonly #options: CandidateOptions;
  /** The Lease as last seen, and since when (monotonic) nothing was renewed in it. */
  #lease: LeaseRecord | undefined;
  #since = 0;
  #wake: () => void = () => {};

  constructor(options: CandidateOptions) {
    this.#options = options;
  }

  /**
   * Returns when the Lease was taken.
   * @throws the signal's reason; Denied if the namespace is missing.
   */
  async run(): Promise<void> {
    const watching = new AbortController();
    try {
      for (let first = true; !(await this.#persistently(() => this.#attempt())); first = false) {
        if (first) this.#watch(AbortSignal.any([this.#options.signal, watching.signal]));
        await this.#changeOrExpiry();
      }
    } finally {
      watching.abort(new Error('no longer a candidate'));
    }
  }

  /** Reads the Lease by quorum, and takes it if it is free; a read that shows a renewal starts the wait anew. */
  async #attempt(): Promise<boolean> {
    const { leases, signal, take } = this.#options;
    this.#observe(await leases.read(signal));
    if (this.#remainingMs() > 0) return false;
    try {
      await take(this.#lease);
      return true;
    } catch (error) {
      // Somebody was faster; what they wrote is read in the next round.
      if (isApiError(error, 'ApiConflict') || isApiError(error, 'ApiAlreadyExists')) return false;
      throw error;
    }
  }

  /** Tries until it works or the signal aborts; only a missing namespace is final. */
  async #persistently(attempt: () => Promise<boolean>): Promise<boolean> {
    const { signal, onTrouble, retryPeriodMs } = this.#options;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        signal.throwIfAborted();
        if (isBerthError(error) && error.code === 'LeaseNamespaceMissing') throw error;
        onTrouble?.(error);
        const asked = isApiError(error) ? error.retryAfterMs : undefined;
        await pause(asked ?? retryPeriodMs * (1 + Math.random() / 5), signal);
      }
    }
  }

  /** Hears of renewals and of the release, so that nothing has to be polled while somebody else holds the Lease. */
  #watch(signal: AbortSignal): void {
    const { client, namespace, name, onTrouble } = this.#options;
    void new ListWatch({
      client,
      path: resourcePath(LEASE_API, 'leases', { namespace }),
      fieldSelector: `metadata.name=${name}`,
      convert: toLease,
      onChange: ({ type, object }) => this.#observe(type === 'deleted' ? undefined : object),
      onTrouble: ({ error }) => onTrouble?.(error),
      signal,
    }).stopped;
  }

  #observe(lease: LeaseRecord | undefined): void {
    const before = this.#lease;
    if (lease !== undefined && before !== undefined && isOlder(lease.resourceVersion, before.resourceVersion))
      return;
    if (lease === undefined || before === undefined || renewalOf(lease) !== renewalOf(before)) {
      this.#since = this.#options.clock.monotonicMs();
    }
    this.#lease = lease;
    const holder = lease?.holder ?? '';
    if (holder !== '' && holder !== before?.holder) this.#options.onStandby?.(holder);
    this.#wake();
  }

  /** Milliseconds until the Lease may be taken, by what was seen here; 0 or less: now. */
  #remainingMs(): number {
    const { isOurs, clock, leaseDurationMs } = this.#options;
    const lease = this.#lease;
    if (lease === undefined || lease.holder === '' || isOurs(lease)) return 0;
    return this.#since + (lease.durationMs || leaseDurationMs) - clock.monotonicMs();
  }

  /** Returns when there is reason to try: the Lease is free, or its holder's time is up. */
  async #changeOrExpiry(): Promise<void> {
    do {
      // The jitter keeps several standbys from reading at the same moment, and this from being a tight loop.
      const jitterMs = 1 + (Math.random() * this.#options.retryPeriodMs) / 10;
      await this.#sleep(Math.max(0, this.#remainingMs()) + jitterMs);
      this.#options.signal.throwIfAborted();
    } while (this.#remainingMs() > 0);
  }

  /** Until the time has passed, news came, or the signal aborts. */
  async #sleep(ms: number): Promise<void> {
    const { signal } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    const onAbort = (): void => resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    this.#wake = resolve;
    await promise;
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
