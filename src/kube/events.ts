import { COMPONENT } from '../model/names.ts';
import type { Requester } from './client.ts';
import { isApiError } from './errors.ts';
import { resourcePath } from './paths.ts';
import { type Clock, pause, systemClock } from './timing.ts';
import { TokenBuckets } from './buckets.ts';

/** The object that an event is about. */
export interface EventTarget {
  readonly apiVersion: string;
  readonly kind: string;
  /** Absent for what has no namespace; its events go to `default`. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion?: string;
}

/** What happened. */
export interface EventRecord {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase. */
  readonly reason: string;
  /** For people; cut at 1,024 characters. */
  readonly message: string;
}

/** How an event ended that was not written. */
export interface DroppedEvent {
  readonly target: EventTarget;
  readonly record: EventRecord;
  /** `rate`: too many for this object; `overflow`: too many altogether; `failed`: the server refused; `closed`: no time. */
  readonly why: 'rate' | 'overflow' | 'failed' | 'closed';
  readonly error?: unknown;
}

/** Settings of a recorder. Times in milliseconds. */
export interface RecorderOptions {
  readonly client: Requester;
  /** `source.component` and `reportingComponent`; `berth-controller` unless given. */
  readonly component?: string;
  /** `source.host` and `reportingInstance`: this process, such as the pod's name. */
  readonly instance?: string;
  /** Told of what is dropped. Must not throw. */
  readonly onDrop?: (dropped: DroppedEvent) => void;
  readonly clock?: Clock;
  readonly tuning?: Partial<RecorderTuning>;
}

/** Numbers that tests change. */
export interface RecorderTuning {
  /** An identical event this long after the last one is a new Event. */
  readonly aggregateMs: number;
  /** Between two requests for one Event. */
  readonly intervalMs: number;
  /** Requests at a time. */
  readonly concurrency: number;
  /** Events remembered for aggregation, and events waiting: above this the oldest are forgotten, new ones dropped. */
  readonly maxRemembered: number;
  readonly maxQueued: number;
  /** Events wait this long, so that the work which they tell of goes first. */
  readonly delayMs: number;
  /** For each object: this many requests at once, and one more every `refillMs`. */
  readonly burst: number;
  readonly refillMs: number;
}

const defaults: RecorderTuning = {
  aggregateMs: 600_000,
  intervalMs: 60_000,
  concurrency: 4,
  maxRemembered: 4_096,
  maxQueued: 4_096,
  delayMs: 25,
  burst: 25,
  refillMs: 300_000,
};

const MAX_MESSAGE = 1024;
const TIMEOUT_MS = 10_000;

/** One Event as it is, or will be, in the API server. */
interface Entry {
  readonly key: string;
  readonly target: EventTarget;
  readonly record: EventRecord;
  readonly name: string;
  readonly firstMs: number;
  lastMs: number;
  count: number;
  /** What of `count` the server knows; 0 before the first request. */
  sentCount: number;
  /** Monotonic times: the last occurrence, and the last request. */
  seenAt: number;
  sentAt: number;
  /** In the queue or being sent; what happens meanwhile only counts up. */
  queued: boolean;
}

/**
 * Writes core/v1 Events (Kubernetes API reference, "Event v1 core").
 *
 * Flow: the first occurrence is one POST. The same again (object, type, reason, message) within 10 minutes counts up;
 * the count is sent as one PATCH, at most once a minute. A few requests run side by side, the rest waits in a bounded
 * queue. `close` sends what is due, within a deadline.
 *
 * Guarantees: `event` returns at once and never throws; no object gets more than 25 requests in a burst and one every
 * five minutes after that; memory is bounded. Caveat: events are for people. What cannot be written is dropped, and
 * `onDrop` hears of it.
 */
export class EventRecorder {
  readonly #options: RecorderOptions;
  readonly #tuning: RecorderTuning;
  readonly #clock: Clock;
  readonly #buckets: TokenBuckets;
  /** In order of last use, so that the first one is the one to forget. */
  readonly #entries: Map<string, Entry> = new Map();
  readonly #queue: Entry[] = [];
  readonly #workers: Set<Promise<void>> = new Set();
  readonly #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#tuning = { ...defaults, ...options.tuning };
    this.#clock = options.clock ?? systemClock;
    const { burst, refillMs, maxRemembered } = this.#tuning;
    this.#buckets = new TokenBuckets({ burst, refillMs, max: maxRemembered });
  }

  /** Records an event; returns at once and never throws. */
  event(target: EventTarget, record: EventRecord): void {
    if (this.#closed) {
      this.#drop(target, record, { why: 'closed' });
      return;
    }
    const now = this.#clock.monotonicMs();
    const message = record.message.slice(0, MAX_MESSAGE);
    const key = JSON.stringify([
      target.uid,
      target.kind,
      target.namespace,
      target.name,
      record.type,
      record.reason,
      message,
    ]);
    const known = this.#entries.get(key);
    if (known !== undefined && now - known.seenAt < this.#tuning.aggregateMs) {
      this.#again(known, now);
      return;
    }
    if (this.#queue.length >= this.#tuning.maxQueued) {
      this.#drop(target, record, { why: 'overflow' });
      return;
    }
    this.#remember(this.#newEntry(key, { target, record: { ...record, message } }, now));
  }

  /**
   * Sends what is queued and the counts not sent yet, for at most `deadlineMs` milliseconds; what is left then is
   * dropped. Later events are dropped, too.
   */
  async close(deadlineMs = 2_000): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const entry of this.#entries.values()) if (entry.count > entry.sentCount) this.#enqueue(entry);
    const timer = setTimeout(() => this.#abort.abort(new Error('the event recorder was closed')), deadlineMs);
    while (this.#workers.size > 0) await Promise.all(this.#workers);
    clearTimeout(timer);
    this.#entries.clear();
  }

  #newEntry(key: string, what: Pick<Entry, 'target' | 'record'>, now: number): Entry {
    const wallMs = this.#clock.wallMs();
    // As client-go names them: unique for the object, and in order of time.
    const name = `${what.target.name.slice(0, 230)}.${Math.round(wallMs).toString(16)}${unique()}`;
    const times = { firstMs: wallMs, lastMs: wallMs, seenAt: now, sentAt: -Infinity };
    return { key, ...what, name, ...times, count: 1, sentCount: 0, queued: false };
  }

  #remember(entry: Entry): void {
    this.#entries.delete(entry.key);
    this.#entries.set(entry.key, entry);
    if (this.#entries.size > this.#tuning.maxRemembered) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#enqueue(entry);
  }

  #again(entry: Entry, now: number): void {
    entry.count += 1;
    entry.seenAt = now;
    entry.lastMs = this.#clock.wallMs();
    this.#entries.delete(entry.key);
    this.#entries.set(entry.key, entry);
    if (entry.queued) return;
    if (now - entry.sentAt >= this.#tuning.intervalMs) this.#enqueue(entry);
    else this.#arm(entry.sentAt + this.#tuning.intervalMs - now);
  }

  #enqueue(entry: Entry): void {
    if (entry.queued) return;
    entry.queued = true;
    this.#queue.push(entry);
    if (this.#workers.size >= this.#tuning.concurrency) return;
    const worker = this.#work().finally(() => this.#workers.delete(worker));
    this.#workers.add(worker);
  }

  async #work(): Promise<void> {
    const { delayMs } = this.#tuning;
    if (delayMs > 0 && !this.#closed) await pause(delayMs, this.#abort.signal).catch(() => undefined);
    for (let entry = this.#queue.shift(); entry !== undefined; entry = this.#queue.shift()) {
      await this.#send(entry);
      entry.queued = false;
      if (entry.count > entry.sentCount && this.#entries.has(entry.key)) this.#arm(this.#tuning.intervalMs);
    }
  }

  async #send(entry: Entry): Promise<void> {
    const now = this.#clock.monotonicMs();
    entry.sentAt = now;
    if (!this.#buckets.take(entry.target.uid || entry.target.name, now)) {
      // A count that must wait is sent with a later one; an event that was never written is gone.
      if (entry.sentCount === 0) this.#forget(entry, { why: 'rate' });
      return;
    }
    const count = entry.count;
    try {
      await (entry.sentCount === 0 ? this.#post(entry) : this.#patch(entry));
      entry.sentCount = count;
    } catch (error) {
      this.#forget(entry, { why: this.#abort.signal.aborted ? 'closed' : 'failed', error });
    }
  }

  /** One timer for all counts that wait for their minute to pass. */
  #arm(ms: number): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const now = this.#clock.monotonicMs();
      let next = Infinity;
      for (const entry of this.#entries.values()) {
        if (entry.queued || entry.count <= entry.sentCount) continue;
        const due = entry.sentAt + this.#tuning.intervalMs - now;
        if (due <= 0) this.#enqueue(entry);
        else next = Math.min(next, due);
      }
      if (next < Infinity) this.#arm(next);
    }, ms);
    this.#timer.unref();
  }

  async #post(entry: Entry): Promise<void> {
    const namespace = entry.target.namespace ?? 'default';
    const body = eventObject(entry, this.#options);
    const path = resourcePath('/api/v1', 'events', { namespace });
    try {
      await this.#request('POST', path, body);
    } catch (error) {
      // The answer to an earlier delivery was lost.
      if (!isApiError(error, 'ApiAlreadyExists')) throw error;
    }
  }

  async #patch(entry: Entry): Promise<void> {
    const namespace = entry.target.namespace ?? 'default';
    const path = resourcePath('/api/v1', 'events', { namespace, name: entry.name });
    try {
      await this.#request('PATCH', path, { count: entry.count, lastTimestamp: timestamp(entry.lastMs) });
    } catch (error) {
      // The API server forgets Events after an hour.
      if (!isApiError(error, 'ApiNotFound')) throw error;
      await this.#post(entry);
    }
  }

  #request(method: 'POST' | 'PATCH', path: string, body: object): Promise<unknown> {
    const signal = this.#abort.signal;
    return this.#options.client.request({
      method,
      path,
      body,
      signal,
      timeoutMs: TIMEOUT_MS,
      idempotent: true,
    });
  }

  #forget(entry: Entry, end: Pick<DroppedEvent, 'why' | 'error'>): void {
    if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key);
    this.#drop(entry.target, entry.record, end);
  }

  #drop(target: EventTarget, record: EventRecord, end: Pick<DroppedEvent, 'why' | 'error'>): void {
    this.#options.onDrop?.({ target, record, ...end });
  }
}

function eventObject(entry: Entry, { component = COMPONENT, instance = '' }: RecorderOptions): object {
  const { target, record } = entry;
  const { apiVersion, kind, namespace, name, uid, resourceVersion } = target;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: entry.name, namespace: namespace ?? 'default' },
    involvedObject: { apiVersion, kind, namespace, name, uid, resourceVersion },
    ...record,
    source: { component, ...(instance === '' ? {} : { host: instance }) },
    reportingComponent: component,
    reportingInstance: instance,
    count: entry.count,
    firstTimestamp: timestamp(entry.firstMs),
    lastTimestamp: timestamp(entry.lastMs),
  };
}

function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** Tells events of one millisecond apart, also those of two replicas. */
function unique(): string {
  return Math.floor(Math.random() * 0x10000)
    .toString(16)
    .padStart(4, '0');
}
