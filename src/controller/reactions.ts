import type { ErrorKind } from '../model/errors.ts';

/** What the core does about an error of one kind. */
export interface Reaction {
  /**
   * When the key is planned again: on an `edit` of the Service (or of what it depends on), after a `backoff`, or after
   * an `observation` and then at once (back-off when it happens again). An error's own `retryAfterMs` wins.
   */
  readonly requeue: 'edit' | 'backoff' | 'observation';
  /** Whether people get a Warning event. */
  readonly event: boolean;
  /** What the condition becomes; `keep` leaves it as it is. */
  readonly condition: 'False' | 'Unknown' | 'keep';
  /** Label of the sync metric. */
  readonly outcome: 'invalid' | 'waiting' | 'error';
}

/** The one table that maps every kind of error to requeue, event, condition and metric. */
export const REACTIONS: Readonly<Record<ErrorKind, Reaction>> = {
  InvalidSpec: { requeue: 'edit', event: true, condition: 'False', outcome: 'invalid' },
  Unsupported: { requeue: 'edit', event: true, condition: 'False', outcome: 'invalid' },
  NotReady: { requeue: 'backoff', event: false, condition: 'Unknown', outcome: 'waiting' },
  Throttled: { requeue: 'backoff', event: false, condition: 'Unknown', outcome: 'waiting' },
  Transient: { requeue: 'backoff', event: true, condition: 'Unknown', outcome: 'error' },
  Conflict: { requeue: 'observation', event: false, condition: 'keep', outcome: 'error' },
  Denied: { requeue: 'backoff', event: true, condition: 'False', outcome: 'error' },
  NotOwned: { requeue: 'backoff', event: true, condition: 'False', outcome: 'error' },
};
