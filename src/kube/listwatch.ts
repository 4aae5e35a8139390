import pRetry from 'p-retry';
import { isBerthError } from '../model/errors.ts';
import type { KubeClient } from './client.ts';
import { ApiError, errorFromStatus, isApiError } from './errors.ts';
import { listAll } from './list.ts';
import { type Change, type Convert, ObjectStore, type Replacement } from './store.ts';
import { Backoff, pause } from './timing.ts';

/** What to keep a copy of, and how. */
export interface ListWatchOptions<T> {
  readonly client: Pick<KubeClient, 'request' | 'watch'> & Partial<Pick<KubeClient, 'reachability'>>;
  /** Path of the list, such as `/api/v1/services`. */
  readonly path: string;
  readonly convert: Convert<T>;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Called for every change, in the server's order. What it throws goes to `onTrouble` and stops nothing. */
  readonly onChange?: (change: Change<T>) => void;
  /** Told of every failure and what is done about it; for logs and readiness. */
  readonly onTrouble?: (trouble: Trouble) => void;
  /** Ends list and watch. */
  readonly signal: AbortSignal;
  readonly tuning?: Partial<Tuning>;
}

/** A failure and its consequence. */
export interface Trouble {
  readonly path: string;
  readonly error: unknown;
  /** `relist`: everything is listed again; `resume`: the watch goes on where it was; `none`: it was a listener's. */
  readonly next: 'relist' | 'resume' | 'none';
  readonly retryInMs: number;
}

/** Numbers that tests shorten. All in milliseconds but the page size. */
export interface Tuning {
  readonly pageSize: number;
  /** How long a watch is asked to last: drawn between these two, so that watches do not end together. */
  readonly watchMinMs: number;
  readonly watchMaxMs: number;
  /** How long after that the server's silence means a dead connection. */
  readonly graceMs: number;
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** A watch that lived this long was no failure, even if it brought nothing. */
  readonly healthyMs: number;
}

const defaults: Tuning = {
  pageSize: 500,
  watchMinMs: 300_000,
  watchMaxMs: 600_000,
  graceMs: 10_000,
  backoffMinMs: 200,
  backoffMaxMs: 30_000,
  healthyMs: 5_000,
};

/**
 * A live copy of one resource.
 *
 * Flow: list in pages, then watch from the list's resourceVersion with bookmarks; when the watch ends or breaks, watch
 * again from the last event or bookmark; on 410 (as an answer or inside the stream) list again and tell of what
 * vanished meanwhile. `Retry-After` is obeyed exactly; any other failure waits 200 ms, doubled up to 30 s, jittered; a
 * server that could not be reached is tried at once when it answers anybody else.
 *
 * Guarantees: every object that exists is told of as added, and every one that vanished as deleted, once each; nothing
 * older replaces anything newer; no two changes are told for one resourceVersion of an object; changes of one object
 * come in order. A line cut in half is forgotten, and its event comes again with the next watch.
 *
 * Assumptions: see `ObjectStore` on resourceVersions. Caveat: states between two lists are not seen.
 */
export class ListWatch<T> {
  /** Resolves when the first list is in; rejects with the signal's reason if that comes first. */
  readonly synced: Promise<void>;
  /** Resolves when everything has stopped, after the signal aborted. */
  readonly stopped: Promise<void>;
  readonly #options: ListWatchOptions<T>;
  readonly #tuning: Tuning;
  readonly #store: ObjectStore<T>;
  readonly #backoff: Backoff;
  #resourceVersion: string | undefined;
  #connected = false;
  #isSynced = false;
  /** Whether the last pause ended early and nothing good has come of it yet. */
  #woken = false;
  #markSynced: () => void = () => {};

  /** Begins at once. */
  constructor(options: ListWatchOptions<T>) {
    this.#options = options;
    this.#tuning = { ...defaults, ...options.tuning };
    this.#store = new ObjectStore(options.convert);
    this.#backoff = new Backoff({ minMs: this.#tuning.backoffMinMs, maxMs: this.#tuning.backoffMaxMs });
    const first = Promise.withResolvers<void>();
    first.promise.catch(() => {}); // Nobody has to wait for it.
    this.synced = first.promise;
    this.#markSynced = () => {
      this.#isSynced = true;
      first.resolve();
    };
    this.stopped = this.#run().catch((reason: unknown) => first.reject(reason));
  }

  /** One object by `namespace/name` (or `name` for what has no namespace). */
  get(key: string): T | undefined {
    return this.#store.get(key);
  }

  /** All objects, in no particular order. */
  list(): T[] {
    return this.#store.list();
  }

  /** How many objects there are. */
  get size(): number {
    return this.#store.size;
  }

  /** Whether the first list is in. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Whether a watch stands at this moment, as far as this side can tell. */
  get isConnected(): boolean {
    return this.#connected;
  }

  /**
   * Takes the server's answer to our own write, so that the cache has it when this returns. Answer and event come over
   * two connections: whichever is first is told (`via: 'put'` or `'watch'`), the other one is not. Who passes over
   * `via: 'put'` must have sent the write with the resourceVersion it was based on: only then does the answer hold no
   * change of anybody else.
   */
  put(raw: unknown): void {
    this.#absorb(() => this.#store.put(raw));
  }

  async #run(): Promise<void> {
    const { signal } = this.#options;
    // Ends by the signal only. The pause is taken in `onFailedAttempt`, where it can be what the server asked for.
    await pRetry(() => this.#session(), {
      retries: Infinity,
      minTimeout: 0,
      signal,
      onFailedAttempt: ({ error }) => this.#recover(error),
      shouldRetry: () => true,
    });
  }

  /** Lists if need be, then watches again and again; returns never, throws at the first failure. */
  async #session(): Promise<never> {
    try {
      for (;;) {
        this.#resourceVersion ??= await this.#relist();
        await this.#watch();
      }
    } catch (error) {
      // p-retry gives up for good on a TypeError; nothing may do that to a watch.
      if (isBerthError(error) || this.#options.signal.aborted) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw new ApiError('ApiBadAnswer', { what: `watch ${this.#options.path}`, message, cause: error });
    }
  }

  async #recover(error: unknown): Promise<void> {
    const { client, signal, onTrouble, path } = this.#options;
    signal.throwIfAborted();
    if (isApiError(error, 'ApiExpired')) this.#resourceVersion = undefined;
    const asked = isApiError(error) ? error.retryAfterMs : undefined;
    const retryInMs = asked ?? this.#backoff.next();
    onTrouble?.({ path, error, next: this.#resourceVersion === undefined ? 'relist' : 'resume', retryInMs });
    const { reachability } = client;
    // Once only: two watches that a proxy cuts as soon as they begin would wake each other for ever.
    if (reachability === undefined || this.#woken || !isApiError(error, 'ApiUnreachable'))
      return await pause(retryInMs, signal);
    this.#woken = await reachability.pause(retryInMs, signal);
    if (this.#woken) this.#backoff.reset();
  }

  async #relist(): Promise<string> {
    const { client, path, labelSelector, fieldSelector, signal } = this.#options;
    let replacement: Replacement<T> | undefined;
    const { pageSize } = this.#tuning;
    const resourceVersion = await listAll(
      client,
      { path, labelSelector, fieldSelector, pageSize, signal },
      {
        onStart: (listVersion) => (replacement = this.#store.replace(listVersion)),
        onItem: (raw) => this.#absorb(() => replacement?.accept(raw) ?? []),
      },
    );
    this.#absorb(() => replacement?.finish() ?? []);
    if (!this.#isSynced) this.#markSynced();
    return resourceVersion;
  }

  /** One watch from start to end; returns if it did some good, throws otherwise. */
  async #watch(): Promise<void> {
    const { client, path, labelSelector, fieldSelector, signal } = this.#options;
    const { watchMinMs, watchMaxMs, graceMs } = this.#tuning;
    const lifetimeMs = watchMinMs + Math.random() * (watchMaxMs - watchMinMs);
    const timeoutSeconds = Math.max(1, Math.round(lifetimeMs / 1000));
    const query = {
      watch: 1,
      allowWatchBookmarks: true,
      resourceVersion: this.#resourceVersion,
      timeoutSeconds,
      labelSelector,
      fieldSelector,
    };
    const started = performance.now();
    const from = this.#resourceVersion;
    const didGood = (): boolean =>
      from !== this.#resourceVersion || performance.now() - started >= this.#tuning.healthyMs;
    try {
      await client.watch(
        { path, query, signal, timeoutMs: timeoutSeconds * 1000 + graceMs },
        { onOpen: () => (this.#connected = true), onLine: (line) => this.#take(line) },
      );
    } finally {
      this.#connected = false;
      if (didGood()) {
        this.#backoff.reset();
        this.#woken = false;
      }
    }
    if (!didGood()) {
      throw new ApiError('ApiUnavailable', {
        what: `watch ${path}`,
        message: 'the watch ended as soon as it began',
      });
    }
  }

  /** One line of the stream: one event (Kubernetes API concepts, "Efficient detection of changes"). */
  #take(line: string): void {
    const { type, object } = parseEvent(line, this.#options.path);
    if (type === 'ERROR') throw errorFromStatus(object, { what: `watch ${this.#options.path}` });
    const version = (object['metadata'] as { resourceVersion?: unknown } | undefined)?.resourceVersion;
    if (typeof version !== 'string') return;
    if (this.#store.hasPassed(version)) throw wentBack(this.#options.path, version);
    if (type === 'ADDED' || type === 'MODIFIED') this.#absorb(() => this.#store.upsert(object));
    else if (type === 'DELETED') this.#absorb(() => this.#store.remove(object));
    else this.#store.advance(version);
    this.#resourceVersion = version;
  }

  /** Tells of what a change of the store brings. A listener or converter that throws stops nothing but itself. */
  #absorb(take: () => readonly Change<T>[]): void {
    const { onChange, onTrouble, path } = this.#options;
    const guarded = <R>(run: () => R): R | undefined => {
      try {
        return run();
      } catch (error) {
        onTrouble?.({ path, error, next: 'none', retryInMs: 0 });
        return undefined;
      }
    };
    for (const change of guarded(take) ?? []) guarded(() => onChange?.(change));
  }
}

function parseEvent(
  line: string,
  path: string,
): { readonly type: string; readonly object: Readonly<Record<string, unknown>> } {
  try {
    const event = JSON.parse(line) as { type?: unknown; object?: unknown } | null;
    if (typeof event?.type === 'string' && typeof event.object === 'object' && event.object !== null) {
      return { type: event.type, object: event.object as Readonly<Record<string, unknown>> };
    }
  } catch {
    // Said below.
  }
  throw new ApiError('ApiBadAnswer', {
    what: `watch ${path}`,
    message: `"${line.slice(0, 60)}" is no watch event`,
  });
}

/** A stream never goes back by itself: the server's data did (a restored backup), so all of it is listed again. */
function wentBack(path: string, version: string): ApiError {
  return new ApiError('ApiExpired', {
    what: `watch ${path}`,
    message: `the server is back at resourceVersion ${version}, before what it told earlier`,
  });
}
