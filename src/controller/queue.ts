import PQueue from 'p-queue';
import type { Clock } from '../provider/spi.ts';
import { backoffMs } from './backoff.ts';

/** What a worker says about a key that it has worked on. */
export type Outcome =
  /** Done: the history of failures is forgotten. */
  | { readonly requeue: 'forget' }
  /** Failed in a way that another try may mend: back-off with full jitter. */
  | { readonly requeue: 'backoff' }
  /** To be tried again after exactly this long; counts as no failure. `settled`: all that people wait for is done. */
  | { readonly requeue: 'after'; readonly ms: number; readonly settled?: boolean };

/** What a queue is made of. */
export interface QueueOptions {
  readonly concurrency: number;
  readonly clock: Clock;
  /** From 0 (inclusive) to 1. */
  readonly random: () => number;
  /** Works on one key. A throw counts as `backoff`. */
  readonly work: (key: string) => Promise<Outcome>;
  readonly observer?: QueueObserver;
}

/** Sees what happens, for metrics. Durations are milliseconds. */
export interface QueueObserver {
  added(depth: number): void;
  started(waitedMs: number, depth: number): void;
  finished(workedMs: number): void;
  retried(): void;
  failed(key: string, error: unknown): void;
}

interface Entry {
  state: 'idle' | 'queued' | 'running';
  /** Asked for again while running. */
  dirty: boolean;
  /** The highest that was asked for since the last success. */
  priority: number;
  failures: number;
  queuedAt: number;
  cancelTimer: (() => void) | undefined;
}

/**
 * A queue of keys. Guarantees: one key is never worked on by two workers at once; a key that is added while it is
 * worked on is worked on once more; adding a queued key again may raise its priority and changes nothing else; higher
 * priorities first, then first in first out; a key keeps its priority until it succeeds. The queue owns the back-off of
 * each key.
 */
export class KeyedQueue {
  readonly #options: QueueOptions;
  readonly #pool: PQueue;
  readonly #entries = new Map<string, Entry>();
  #closed = false;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#pool = new PQueue({ concurrency: options.concurrency });
  }

  /** Number of keys that wait for a worker. */
  get depth(): number {
    return this.#pool.size;
  }

  /** Whether nothing waits for a worker and nothing is worked on. Keys in back-off do not count. */
  get idle(): boolean {
    return this.#pool.size === 0 && this.#pool.pending === 0;
  }

  /** Asks for a key at once, also when it is in back-off. `priority`: deletions go first with a higher one. */
  add(key: string, priority = 0): void {
    if (this.#closed) return;
    const entry = this.#entry(key);
    entry.cancelTimer?.();
    entry.cancelTimer = undefined;
    const raised = priority > entry.priority;
    if (raised) entry.priority = priority;
    if (entry.state === 'running') entry.dirty = true;
    else if (entry.state === 'idle') this.#enqueue(key, entry);
    else if (raised) this.#pool.setPriority(key, priority);
  }

  /** Asks for a key after a while; asking for it at once meanwhile makes this obsolete. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return;
    const entry = this.#entry(key);
    if (entry.state !== 'idle') return;
    entry.cancelTimer?.();
    entry.cancelTimer = this.#options.clock.after(ms, () => this.add(key));
  }

  /** Whether the key waits for a worker or is worked on now. */
  busy(key: string): boolean {
    const state = this.#entries.get(key)?.state;
    return state === 'queued' || state === 'running';
  }

  /** Forgets how often the key failed, because what it depends on has changed. */
  forgive(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.failures = 0;
  }

  /** How often the key has failed in a row. */
  failures(key: string): number {
    return this.#entries.get(key)?.failures ?? 0;
  }

  /** Takes no more keys, drops those that wait, and resolves when the running ones are done. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const entry of this.#entries.values()) entry.cancelTimer?.();
    this.#pool.clear();
    await this.#pool.onIdle();
  }

  #entry(key: string): Entry {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = {
        state: 'idle',
        dirty: false,
        priority: 0,
        failures: 0,
        queuedAt: 0,
        cancelTimer: undefined,
      };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  #enqueue(key: string, entry: Entry): void {
    entry.state = 'queued';
    entry.queuedAt = this.#options.clock.monotonic();
    void this.#pool.add(() => this.#run(key, entry), { id: key, priority: entry.priority });
    this.#options.observer?.added(this.#pool.size);
  }

  async #run(key: string, entry: Entry): Promise<void> {
    const { clock, work, observer } = this.#options;
    const startedAt = clock.monotonic();
    const { priority } = entry;
    entry.state = 'running';
    entry.dirty = false;
    entry.priority = 0;
    observer?.started(startedAt - entry.queuedAt, this.#pool.size);
    const outcome = await work(key).catch((error: unknown): Outcome => {
      observer?.failed(key, error);
      return { requeue: 'backoff' };
    });
    observer?.finished(clock.monotonic() - startedAt);
    entry.state = 'idle';
    if (outcome.requeue !== 'forget') entry.priority = Math.max(entry.priority, priority);
    if (!this.#closed) this.#settle(key, entry, outcome);
  }

  #settle(key: string, entry: Entry, outcome: Outcome): void {
    if (outcome.requeue === 'forget') entry.failures = 0;
    if (outcome.requeue === 'backoff') entry.failures += 1;
    if (entry.dirty) {
      this.#enqueue(key, entry);
    } else if (outcome.requeue === 'forget') {
      this.#entries.delete(key);
    } else {
      this.#options.observer?.retried();
      const ms = outcome.requeue === 'after' ? outcome.ms : backoffMs(entry.failures, this.#options.random);
      this.addAfter(key, ms);
    }
  }
}
