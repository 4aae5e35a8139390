/**
 * What etcd and the watch cache are to an API server: objects by resource and key, one counter of revisions for all of
 * them, and for each resource the last changes, so that watches resume and pages of one list show one moment.
 * Everything is synchronous, so there are no races to lose.
 */
import { deepFreeze, keyOf, type KubeObject } from './objects.ts';

/** A stored object. Frozen; its JSON is made once, on first use. */
export class Entry {
  readonly key: string;
  readonly object: KubeObject;
  #bare: string | undefined;

  constructor(object: KubeObject) {
    this.key = keyOf(object);
    this.object = deepFreeze(object);
  }

  /** The object as it goes over the wire. */
  get json(): string {
    const { kind, apiVersion } = this.object;
    return `{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},${this.bare.slice(1)}`;
  }

  /** The same without kind and apiVersion: items of built-in lists come like this. */
  get bare(): string {
    return (this.#bare ??= JSON.stringify({ ...this.object, kind: undefined, apiVersion: undefined }));
  }
}

/** One change, as watches see it. The entry of a deletion holds the last state with the deletion's revision. */
export interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly revision: number;
  readonly entry: Entry;
  readonly previous: Entry | undefined;
}

/** Objects of one resource, in the order of their keys. */
export class Collection {
  readonly #store: Store;
  readonly #entries = new Map<string, Entry>();
  /** Sorted; rebuilt lazily after creations and deletions, so that a burst of them costs one sort. */
  #sorted: readonly string[] | undefined = [];
  #history: Change[] = [];
  #forgotten = 0;
  readonly #listeners = new Set<(change: Change) => void>();

  constructor(store: Store) {
    this.#store = store;
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Entries whose key starts with `prefix`, ordered by key. */
  entries(prefix = ''): Entry[] {
    this.#sorted ??= [...this.#entries.keys()].toSorted(byCodeUnit);
    const keys = this.#sorted;
    const result: Entry[] = [];
    for (let index = lowerBound(keys, prefix); index < keys.length; index++) {
      const key = keys[index] ?? '';
      if (!key.startsWith(prefix)) break;
      const entry = this.#entries.get(key);
      if (entry) result.push(entry);
    }
    return result;
  }

  /** The same as of an earlier revision. Undefined when the changes since then are no longer known. */
  entriesAt(revision: number, prefix = ''): Entry[] | undefined {
    const undo = this.since(revision);
    if (undo === undefined) return undefined;
    if (undo.length === 0) return this.entries(prefix);
    const past = new Map(this.entries(prefix).map((entry) => [entry.key, entry]));
    for (const change of undo.toReversed()) {
      if (!change.entry.key.startsWith(prefix)) continue;
      if (change.previous) past.set(change.entry.key, change.previous);
      else past.delete(change.entry.key);
    }
    return [...past.values()].toSorted((a, b) => byCodeUnit(a.key, b.key));
  }

  /** Changes after `revision`, oldest first. Undefined when some of them are forgotten. */
  since(revision: number): Change[] | undefined {
    if (revision < this.#forgotten) return undefined;
    let index = this.#history.length;
    while (index > 0 && (this.#history[index - 1]?.revision ?? 0) > revision) index--;
    return this.#history.slice(index);
  }

  /** Writes the object under its key with the next revision, which becomes its resourceVersion. */
  put(object: KubeObject): Entry {
    const revision = this.#store.nextRevision();
    const entry = new Entry({
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(revision) },
    });
    const previous = this.#entries.get(entry.key);
    this.#entries.set(entry.key, entry);
    if (previous === undefined) this.#sorted = undefined;
    this.#record({ type: previous ? 'MODIFIED' : 'ADDED', revision, entry, previous });
    return entry;
  }

  /** Removes the object; the change carries its last state. */
  remove(key: string): Entry | undefined {
    const previous = this.#entries.get(key);
    if (previous === undefined) return undefined;
    this.#entries.delete(key);
    this.#sorted = undefined;
    const revision = this.#store.nextRevision();
    const { object } = previous;
    const entry = new Entry({
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(revision) },
    });
    this.#record({ type: 'DELETED', revision, entry, previous });
    return entry;
  }

  /** Calls `listener` on every later change, synchronously. Returns how to stop it. */
  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Forgets all changes up to now: every earlier resourceVersion is too old from here on. */
  forget(): void {
    this.#history = [];
    this.#forgotten = this.#store.revision;
  }

  #record(change: Change): void {
    this.#history.push(change);
    const limit = this.#store.historySize;
    // Cut in bulk: taking one off the front of a long list for every change would be quadratic.
    if (this.#history.length > limit * 2) this.#trim(this.#history.length - limit);
    for (const listener of this.#listeners) listener(change);
  }

  #trim(count: number): void {
    this.#forgotten = this.#history[count - 1]?.revision ?? this.#forgotten;
    this.#history = this.#history.slice(count);
  }
}

/** All collections and the revision counter. */
export class Store {
  /** How many changes each resource remembers at least (twice as many at most). */
  readonly historySize: number;
  readonly #collections = new Map<string, Collection>();
  #revision = 1;

  constructor(options: { historySize: number }) {
    this.historySize = options.historySize;
  }

  /** The newest revision given to anything. */
  get revision(): number {
    return this.#revision;
  }

  nextRevision(): number {
    return ++this.#revision;
  }

  /** The collection of a resource, `PLURAL.GROUP`; made on first use. */
  collection(resource: string): Collection {
    const existing = this.#collections.get(resource);
    if (existing) return existing;
    const created = new Collection(this);
    this.#collections.set(resource, created);
    return created;
  }

  /** Every known resourceVersion becomes too old, even the newest. */
  forgetHistory(): void {
    this.nextRevision();
    for (const collection of this.#collections.values()) collection.forget();
  }
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Index of the first key that is not below `wanted`. */
export function lowerBound(keys: readonly string[], wanted: string): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] ?? '') < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
