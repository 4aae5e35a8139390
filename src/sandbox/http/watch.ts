/** Watches: a stream of changes as JSON lines, from a resourceVersion on. */
import type { ServerResponse } from 'node:http';
import type { KubeObject } from '../machinery/objects.ts';
import { apiVersionOf } from '../machinery/resource.ts';
import { decode } from '../machinery/schema.ts';
import type { Predicate } from '../machinery/selectors.ts';
import { expired, FieldErrors } from '../machinery/status.ts';
import { type Change, Entry } from '../machinery/store.ts';
import { table } from '../machinery/table.ts';
import {
  LIST_OPTIONS,
  prefixOf,
  predicateOf,
  readCount,
  type ReadContext,
  readRevision,
  tooOld,
} from './list.ts';
import { includeObject, shape } from './respond.ts';
import { isTrue, type Route } from './route.ts';

/** A client that does not read for this long of data is let go, as the API server does with slow watchers. */
const BACKLOG_LIMIT_BYTES = 64 * 1024 * 1024;
const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

/** One running watch. */
export class Watch {
  readonly route: Route;
  readonly #response: ServerResponse;
  readonly #context: ReadContext;
  readonly #predicate: Predicate | undefined;
  readonly #prefix: string;
  readonly #clock: () => number;
  #headers = true;
  #unsubscribe: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #cutNext = false;
  #timeoutSeconds = 0;

  constructor(route: Route, response: ServerResponse, options: ReadContext & { clock: () => number }) {
    this.route = route;
    this.#response = response;
    this.#context = options;
    this.#clock = options.clock;
    this.#predicate = predicateOf(route);
    this.#prefix = prefixOf(route);
  }

  /** Sends what is due and then every change, until either side ends it. @throws ApiError 400 before anything is sent */
  start(): void {
    const { query, type } = this.route;
    const version = query.get('resourceVersion') ?? '';
    const revision = readRevision(version);
    const initial = isTrue(query.get('sendInitialEvents'));
    if (initial) needsMatch(query);
    this.#timeoutSeconds = readCount(query.get('timeoutSeconds') ?? '');
    const collection = this.#context.registry.collection(type);
    const missed = initial || revision === 0 ? [] : collection.since(revision);
    this.#open();
    if (missed === undefined) {
      this.#line('ERROR', JSON.stringify(expired(tooOld(revision)).status()));
      this.end();
      return;
    }
    if (initial || revision === 0) this.#sendAll(collection.entries(this.#prefix));
    if (initial && this.wantsBookmarks) this.bookmark({ [INITIAL_EVENTS_END]: 'true' });
    for (const change of missed) this.#send(change);
    this.#unsubscribe = collection.subscribe((change) => this.#send(change));
  }

  get wantsBookmarks(): boolean {
    return isTrue(this.route.query.get('allowWatchBookmarks'));
  }

  /** Tells the client up to where it has seen everything. */
  bookmark(annotations?: Record<string, string>): void {
    const { type } = this.route;
    const { store } = this.#context.registry;
    const metadata = { resourceVersion: String(store.revision), ...(annotations ? { annotations } : {}) };
    const identity = { kind: type.kind, apiVersion: apiVersionOf(type) };
    const object = {
      ...identity,
      ...(decode(type.schema, {}, { path: '', unknown: [] }) as object),
      metadata,
    };
    const include = includeObject(this.route.query);
    const empty = { columns: type.columns, objects: [], metadata, include, headers: false, now: 0 };
    this.#line('BOOKMARK', JSON.stringify(this.#context.format === 'table' ? table(empty) : object));
  }

  /** Ends the stream properly, as a time-out does. */
  end(): void {
    this.#release();
    if (!this.#response.writableEnded) this.#response.end();
  }

  /** Breaks the connection; with `midLine`, after the first half of a line: of the next event, or of a bookmark now. */
  cut(how: 'now' | 'midLine' | 'midLineOfNextEvent'): void {
    if (how === 'midLineOfNextEvent') {
      this.#cutNext = true;
      return;
    }
    if (how === 'midLine') {
      this.#cutNext = true;
      this.bookmark();
    } else this.#destroy();
  }

  #open(): void {
    this.#response.writeHead(200, {
      'content-type': 'application/json',
      'cache-control': 'no-cache, private',
    });
    this.#response.flushHeaders();
    this.#response.on('close', () => this.#release());
    if (this.#timeoutSeconds <= 0) return;
    this.#timer = setTimeout(() => {
      if (this.wantsBookmarks) this.bookmark();
      this.end();
    }, this.#timeoutSeconds * 1000);
    this.#timer.unref();
  }

  #sendAll(entries: readonly Entry[]): void {
    for (const entry of entries) if (this.#predicate?.(entry.object) ?? true) this.#event('ADDED', entry);
  }

  /** To a watch with selectors, an object that begins to match appears, and one that ceases to match goes. */
  #send(change: Change): void {
    const { entry, previous } = change;
    if (!entry.key.startsWith(this.#prefix)) return;
    const matches = (each: KubeObject): boolean => this.#predicate?.(each) ?? true;
    const was = previous !== undefined && matches(previous.object);
    const is = change.type !== 'DELETED' && matches(entry.object);
    if (is) this.#event(was ? 'MODIFIED' : 'ADDED', entry);
    else if (was)
      this.#event('DELETED', change.type === 'DELETED' ? entry : atRevision(previous, change.revision));
  }

  #event(type: EventType, entry: Entry): void {
    const { format } = this.#context;
    if (format === 'object') {
      this.#line(type, entry.json);
      return;
    }
    const include = includeObject(this.route.query);
    const as = { format, include, headers: this.#headers, now: this.#clock() };
    this.#headers = false;
    this.#line(type, JSON.stringify(shape(this.route.type, entry.object, as)));
  }

  #line(type: EventType | 'BOOKMARK' | 'ERROR', object: string): void {
    const line = `{"type":"${type}","object":${object}}\n`;
    if (this.#cutNext) {
      this.#response.write(line.slice(0, line.length >> 1), () => this.#destroy());
      this.#release();
      return;
    }
    this.#response.write(line);
    if (this.#response.writableLength > BACKLOG_LIMIT_BYTES) this.#destroy();
  }

  #destroy(): void {
    this.#release();
    this.#response.destroy();
  }

  #release(): void {
    clearTimeout(this.#timer);
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }
}

function needsMatch(query: URLSearchParams): void {
  if (query.get('resourceVersionMatch') === 'NotOlderThan') return;
  const errors = new FieldErrors();
  const why = 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan';
  errors.forbidden('resourceVersionMatch', why);
  errors.throwIfAny(LIST_OPTIONS, '');
}

function atRevision(entry: Entry, revision: number): Entry {
  const { object } = entry;
  return new Entry({ ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } });
}
