/** Faults for tests: refused, delayed and lost requests, broken watches, forgotten history. */
import type { Watch } from './http/watch.ts';
import { matches, type RequestQuery, type RequestRecord } from './requests.ts';

/** What is to happen to the next matching requests. */
export interface Fault extends RequestQuery {
  /** How many requests it meets. Default 1; `Infinity` until it is removed. */
  readonly times?: number;
  /** Waits this long before anything else. */
  readonly delayMs?: number;
  /** Answers with this status and a Status body, and does nothing: 409, 429, 500, 503, ... */
  readonly status?: number;
  /** Goes with 429 and 503, as `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /**
   * `before`: cuts the connection instead of doing anything. `after`: does what was asked and then cuts the connection
   * instead of answering, so that the client does not know.
   */
  readonly cut?: 'before' | 'after';
}

/** A fault in force. */
export interface ActiveFault {
  /** How many requests it has met. */
  readonly hits: number;
  /** Takes it back. */
  remove(): void;
}

/** The fault hook of one sandbox. */
export class Faults {
  readonly #faults = new Set<{ readonly fault: Fault; hits: number }>();
  readonly #watches: () => Iterable<Watch>;
  readonly #forgetHistory: () => void;

  constructor(hooks: { watches: () => Iterable<Watch>; forgetHistory: () => void }) {
    this.#watches = hooks.watches;
    this.#forgetHistory = hooks.forgetHistory;
  }

  /** Puts a fault in force. Of several that match, the oldest meets the request. */
  add(fault: Fault): ActiveFault {
    const entry = { fault, hits: 0 };
    this.#faults.add(entry);
    const faults = this.#faults;
    return {
      get hits() {
        return entry.hits;
      },
      remove: () => faults.delete(entry),
    };
  }

  /** Ends watches as a time-out of the server does: between lines, with a proper end. */
  closeWatches(resource?: string): void {
    for (const watch of this.#matching(resource)) watch.end();
  }

  /** Breaks watches: at once, after half a line now, or after half of the line of the next event. */
  cutWatches(how: 'now' | 'midLine' | 'midLineOfNextEvent' = 'midLine', resource?: string): void {
    for (const watch of this.#matching(resource)) watch.cut(how);
  }

  /** Makes every resourceVersion known so far too old: the next resumed watch or page gets 410. */
  forgetHistory(): void {
    this.#forgetHistory();
  }

  /** Takes back all faults. */
  clear(): void {
    this.#faults.clear();
  }

  /** Called by the server: the fault that meets this request, which is used up by it. */
  take(record: RequestRecord): Fault | undefined {
    for (const entry of this.#faults) {
      if (!matches(record, entry.fault)) continue;
      entry.hits++;
      if (entry.hits >= (entry.fault.times ?? 1)) this.#faults.delete(entry);
      return entry.fault;
    }
    return undefined;
  }

  #matching(resource: string | undefined): Watch[] {
    return [...this.#watches()].filter(
      ({ route }) => resource === undefined || route.type.plural === resource,
    );
  }
}
