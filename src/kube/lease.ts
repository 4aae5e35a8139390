import { Transient } from '../model/errors.ts';
import type { KubeClient } from './client.ts';
import { isApiError } from './errors.ts';
import { Candidate } from './lease-candidate.ts';
import { LeaseClient, type LeaseWrite } from './lease-client.ts';
import { type LeaseRecord, microTime } from './lease-record.ts';
import { type Clock, pause, systemClock } from './timing.ts';

/** Settings of a leader election. Times in milliseconds. */
export interface ElectionOptions {
  readonly client: Pick<KubeClient, 'request' | 'watch'>;
  readonly namespace: string;
  readonly name: string;
  /** Unique for every start of a process, such as `POD_UUID`: a restarted process is another candidate. */
  readonly identity: string;
  /** How long others leave a holder alone that does not renew; whole seconds, 15,000 unless given. */
  readonly leaseDurationMs?: number;
  /** How long a holder that cannot renew goes on; 10,000 unless given. Must be well below `leaseDurationMs`. */
  readonly renewDeadlineMs?: number;
  /** Between renewals, and between attempts after a failure; 2,000 unless given. */
  readonly retryPeriodMs?: number;
  /** On the Lease while we hold it; removed when it is released. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Asks to stop. The Lease is kept until `onElected` has settled, then released. */
  readonly signal: AbortSignal;
  /**
   * The leader's work. It must settle soon after `signal` (finish what is under way) and at once after
   * `leadership.signal` (somebody else may act from now on).
   */
  readonly onElected: (leadership: Leadership) => Promise<void>;
  /** Told who holds the Lease, whenever that changes while we wait. */
  readonly onStandby?: (holder: string) => void;
  /** Told of every failed request; it is tried again. Also of what `onElected` threw after a loss or a stop. */
  readonly onTrouble?: (error: unknown) => void;
  readonly clock?: Clock;
}

/** What the leader may know and do. */
export interface Leadership {
  /** Aborts when the Lease is lost, with a reason that says why (code `LeaseLost`). Nothing may be begun after it. */
  readonly signal: AbortSignal;
  /** The Lease's annotations as they were when it was acquired: ours, and what the predecessor left. */
  readonly annotations: Readonly<Record<string, string>>;
  /**
   * Whether the Lease is held at this very moment. To be asked before each step: after a stall of the process this is
   * right even before the signal had its turn.
   */
  holds(): boolean;
  /** Adds annotations (or with `null` removes them) with the next renewal. */
  annotate(annotations: Readonly<Record<string, string | null>>): void;
}

/** How an election ended. `finished`: the leader's work returned by itself. */
export type ElectionEnd = 'stopped' | 'lost' | 'finished';

/**
 * Takes part in the election of a leader by one Lease (coordination.k8s.io/v1), until it was leader or is stopped.
 *
 * Flow:
 * 1. Read the Lease. While somebody else holds it, watch it; nothing is polled.
 * 2. When it is released, or was not renewed for its duration, read it again and write ourselves into it, with the
 *    resourceVersion that was read as precondition. Whoever loses that race waits again.
 * 3. Call `onElected`, and renew every `retryPeriodMs`. When no renewal has succeeded for `renewDeadlineMs`, counted
 *    from the start of the last good request, or when somebody else has the Lease: `leadership.signal` aborts.
 * 4. When `signal` aborts, or `onElected` returns: wait until it has settled, renewing all the while, then release the
 *    Lease (no holder, one second), so that a successor need not wait.
 *
 * Guarantees: no two hold it at one time, as long as no monotonic clock runs faster than another by the ratio of
 * lease duration to renew deadline (15 s to 10 s). Time stamps in the Lease are for people; a clock that jumps changes
 * nothing, because expiry counts from when a renewal was seen here.
 *
 * Caveats: a Lease does not fence. A request that left before the loss may arrive after it. A machine that is suspended
 * stops its monotonic clock, too: it learns of its loss at the next renewal.
 *
 * @returns how it ended; to take part again, call it again.
 * @throws Denied, code `LeaseNamespaceMissing`; what `onElected` threw, after the Lease was released.
 */
export async function runLeaderElection(options: ElectionOptions): Promise<ElectionEnd> {
  const term = new Term(options);
  try {
    await term.acquire();
  } catch (error) {
    if (!options.signal.aborted) throw error;
    await term.release();
    return 'stopped';
  }
  return term.lead();
}

/** One term of office: from the first attempt to the release or the loss. */
class Term {
  readonly #options: ElectionOptions;
  readonly #clock: Clock;
  readonly #leases: LeaseClient;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  readonly #acquireTime: string;
  readonly #lost = new AbortController();
  #lease: LeaseRecord | undefined;
  #transitions = 0;
  /** Whether a write was begun: then the Lease may be ours even though nobody told us. */
  #attempted = false;
  /** When (monotonic) the last renewal that succeeded was begun. */
  #renewedAt = -Infinity;
  #deadline: NodeJS.Timeout | undefined;
  #pending: Readonly<Record<string, string | null>>;

  constructor(options: ElectionOptions) {
    const { client, clock = systemClock, renewDeadlineMs = 10_000, retryPeriodMs = 2_000 } = options;
    this.#options = options;
    this.#clock = clock;
    this.#leaseDurationMs = options.leaseDurationMs ?? 15_000;
    this.#renewDeadlineMs = renewDeadlineMs;
    this.#retryPeriodMs = retryPeriodMs;
    // Two attempts fit before the deadline, even if the first one hangs.
    this.#leases = new LeaseClient(client, options, Math.min(5_000, renewDeadlineMs / 2));
    // Tells our write from that of another start under the same identity: its last digits are drawn.
    this.#acquireTime = microTime(clock.wallMs(), Math.floor(Math.random() * 1000));
    this.#pending = options.annotations ?? {};
  }

  /** Returns when the Lease is ours. @throws the signal's reason; Denied if the namespace is missing. */
  acquire(): Promise<void> {
    const { client, namespace, name, signal, onStandby, onTrouble } = this.#options;
    return new Candidate({
      client,
      leases: this.#leases,
      namespace,
      name,
      retryPeriodMs: this.#retryPeriodMs,
      leaseDurationMs: this.#leaseDurationMs,
      isOurs: (lease) => this.#isOurs(lease),
      take: (base) => {
        this.#attempted = true;
        this.#lease = base;
        this.#transitions =
          base === undefined || this.#isOurs(base) ? (base?.transitions ?? 0) : base.transitions + 1;
        return this.#write(signal);
      },
      onStandby,
      onTrouble,
      signal,
      clock: this.#clock,
    }).run();
  }

  /** Does the leader's work while renewing, then releases. */
  async lead(): Promise<ElectionEnd> {
    const { signal, onElected, onTrouble } = this.#options;
    const done = new AbortController();
    const renewing = this.#renewUntil(AbortSignal.any([done.signal, this.#lost.signal]));
    let failure: { readonly error: unknown } | undefined;
    try {
      if (!signal.aborted) await onElected(this.#leadership());
    } catch (error) {
      failure = { error };
    }
    done.abort();
    await renewing;
    clearTimeout(this.#deadline);
    const lost = !this.#holds();
    if (!lost) await this.release();
    if (failure !== undefined) {
      // After a loss or a stop the work fails because it was told to.
      if (!lost && !signal.aborted) throw failure.error;
      onTrouble?.(failure.error);
    }
    if (lost) return 'lost';
    return signal.aborted ? 'stopped' : 'finished';
  }

  /** Gives the Lease back, if it is ours; never throws. */
  async release(): Promise<void> {
    if (!this.#attempted) return;
    const signal = AbortSignal.timeout(Math.min(3_000, this.#renewDeadlineMs));
    const ours = Object.keys(this.#options.annotations ?? {}).map((name) => [name, null] as const);
    const annotations = { ...this.#pending, ...Object.fromEntries(ours) };
    try {
      // A renewal that was cut off may have been carried out all the same, so the Lease is read first.
      for (let lease = await this.#leases.read(signal); lease !== undefined && this.#isOurs(lease);) {
        try {
          await this.#leases.write(
            lease,
            this.#contents({ holder: '', durationMs: 1000, annotations }),
            signal,
          );
          return;
        } catch (error) {
          if (!isApiError(error, 'ApiConflict')) throw error;
          lease = await this.#leases.read(signal);
        }
      }
    } catch (error) {
      this.#options.onTrouble?.(error);
    }
  }

  #leadership(): Leadership {
    return {
      signal: this.#lost.signal,
      annotations: this.#lease?.annotations ?? {},
      holds: () => this.#holds(),
      annotate: (annotations) => {
        this.#pending = { ...this.#pending, ...annotations };
      },
    };
  }

  #holds(): boolean {
    return !this.#lost.signal.aborted && this.#clock.monotonicMs() - this.#renewedAt < this.#renewDeadlineMs;
  }

  #isOurs(lease: LeaseRecord): boolean {
    return lease.holder === this.#options.identity && lease.acquireTime === this.#acquireTime;
  }

  async #renewUntil(signal: AbortSignal): Promise<void> {
    let waitMs = this.#retryPeriodMs;
    while (!signal.aborted) {
      try {
        await pause(waitMs, signal);
        await this.#write(signal);
        waitMs = this.#retryPeriodMs;
      } catch (error) {
        if (signal.aborted) return;
        waitMs = await this.#afterFailure(error, signal);
      }
    }
  }

  /** Finds out whether the Lease is still ours; returns the milliseconds after which to renew again. */
  async #afterFailure(error: unknown, signal: AbortSignal): Promise<number> {
    const { onTrouble } = this.#options;
    const changed = ['ApiConflict', 'ApiNotFound', 'ApiAlreadyExists'] as const;
    if (!changed.some((code) => isApiError(error, code))) {
      onTrouble?.(error);
      return this.#retryPeriodMs;
    }
    try {
      // Somebody edited the Lease, deleted it (then it is created again), or has it.
      this.#lease = await this.#leases.read(signal);
      const holder = this.#lease?.holder;
      if (this.#lease !== undefined && !this.#isOurs(this.#lease)) this.#lose(`"${holder}" has it`);
    } catch (again) {
      if (!signal.aborted) onTrouble?.(again);
    }
    return this.#retryPeriodMs / 10;
  }

  async #write(signal: AbortSignal): Promise<void> {
    const started = this.#clock.monotonicMs();
    const annotations = this.#pending;
    const contents = this.#contents({
      holder: this.#options.identity,
      durationMs: this.#leaseDurationMs,
      // Only a Lease that has to be made anew (somebody deleted it) lacks those of ours that were sent before.
      annotations: this.#lease === undefined ? { ...this.#options.annotations, ...annotations } : annotations,
    });
    this.#lease = await this.#leases.write(this.#lease, contents, signal);
    const unsent = Object.entries(this.#pending).filter(([name, value]) => annotations[name] !== value);
    this.#pending = Object.fromEntries(unsent);
    this.#renewedAt = started;
    clearTimeout(this.#deadline);
    const left = this.#renewDeadlineMs - (this.#clock.monotonicMs() - started);
    this.#deadline = setTimeout(() => this.#lose('it could not be renewed in time'), left);
  }

  #contents(what: Pick<LeaseWrite, 'holder' | 'durationMs' | 'annotations'>): LeaseWrite {
    return {
      ...what,
      acquireTime: this.#acquireTime,
      transitions: this.#transitions,
      wallMs: this.#clock.wallMs(),
    };
  }

  #lose(why: string): void {
    this.#lost.abort(
      new Transient('LeaseLost', {
        message: `the Lease ${this.#options.namespace}/${this.#options.name} is lost: ${why}`,
        remedy:
          'Another replica leads now; if nobody should have taken it, look at the load of the API server',
      }),
    );
  }
}
