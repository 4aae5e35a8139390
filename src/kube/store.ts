/** Whether an event, a list or the answer of our own write brought a change. */
export type ChangeSource = 'list' | 'watch' | 'put';

/** One change of the cache. `object` is the newest value (for `deleted`, the last one known). */
export interface Change<T> {
  readonly type: 'added' | 'modified' | 'deleted';
  /** `namespace/name`, or `name` for what has no namespace. */
  readonly key: string;
  readonly object: T;
  readonly old?: T;
  readonly via: ChangeSource;
}

/** The part of an object's metadata that ordering and identity need. */
interface Identity {
  readonly key: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

interface Entry<T> extends Identity {
  readonly object: T;
}

/** Turns raw JSON into a trimmed value; `undefined` means "as good as absent". Must not throw. */
export type Convert<T> = (raw: unknown) => T | undefined;

/**
 * A cache of one resource, ordered by resourceVersion: nothing older ever overwrites anything newer, wherever it
 * comes from.
 *
 * Assumption: resourceVersions of one resource are decimal numbers that grow with every write, and a deletion's event
 * carries that of the deletion. The API server promises this for its built-in resources and for custom ones (KEP-5504
 * made it part of the API). They are compared as decimal text, so 64 bits and more are exact. A value that is no
 * decimal number is only compared for equality, and what arrives later wins.
 */
export class ObjectStore<T> {
  readonly #entries: Map<string, Entry<T>> = new Map();
  readonly #convert: Convert<T>;
  /** The highest resourceVersion that the server has told of in a list, an event or a bookmark. */
  #horizon = '';
  /** The server's data went back in time, and no list has been taken in completely since. */
  #rewound = false;

  constructor(convert: Convert<T>) {
    this.#convert = convert;
  }

  /** How many objects there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** One object. */
  get(key: string): T | undefined {
    return this.#entries.get(key)?.object;
  }

  /** All objects, in no particular order. */
  list(): T[] {
    return Array.from(this.#entries.values(), (entry) => entry.object);
  }

  /** Notes how far the server's tale has come (a bookmark, a list's own resourceVersion). */
  advance(resourceVersion: string): void {
    if (this.#horizon === '' || isNewer(resourceVersion, this.#horizon)) this.#horizon = resourceVersion;
  }

  /** Whether the server has told of something newer already; if so, this comes from data that went back in time. */
  hasPassed(resourceVersion: string): boolean {
    return isOlder(resourceVersion, this.#horizon);
  }

  /** Takes an ADDED or MODIFIED event. */
  upsert(raw: unknown): Change<T>[] {
    const identity = identityOf(raw);
    if (identity === undefined) return [];
    this.advance(identity.resourceVersion);
    return this.#accept(identity, raw, 'watch');
  }

  /** Takes a DELETED event; one that is older than what is known says nothing about it. */
  remove(raw: unknown): Change<T>[] {
    const identity = identityOf(raw);
    if (identity === undefined) return [];
    this.advance(identity.resourceVersion);
    const entry = this.#entries.get(identity.key);
    if (entry === undefined || isOlder(identity.resourceVersion, entry.resourceVersion)) return [];
    return this.#drop(entry, 'watch');
  }

  /**
   * Takes the answer of our own write ahead of its event. An object that is not in the cache, and not newer than the
   * server's tale, has been deleted already: it stays out.
   */
  put(raw: unknown): Change<T>[] {
    const identity = identityOf(raw);
    if (identity === undefined) return [];
    const told = this.#horizon !== '' && !isNewer(identity.resourceVersion, this.#horizon);
    if (told && !this.#entries.has(identity.key)) return [];
    return this.#accept(identity, raw, 'put');
  }

  /**
   * Starts to replace the contents by a list of that resourceVersion. If it is older than what the server told before,
   * the server's data went back in time (a restored backup), and everything in the list counts as newer.
   */
  replace(listVersion: string): Replacement<T> {
    const seen = new Set<string>();
    if (this.hasPassed(listVersion)) {
      this.#rewound = true;
      this.#horizon = '';
    }
    this.advance(listVersion);
    return {
      accept: (raw) => {
        const identity = identityOf(raw);
        if (identity === undefined) return [];
        seen.add(identity.key);
        return this.#accept(identity, raw, 'list');
      },
      finish: () => {
        const gone = [...this.#entries.values()].filter(
          // What was put after the list was taken is not in it, and yet there.
          (entry) => !seen.has(entry.key) && (this.#rewound || !isOlder(listVersion, entry.resourceVersion)),
        );
        this.#rewound = false;
        return gone.flatMap((entry) => this.#drop(entry, 'list'));
      },
    };
  }

  #accept(identity: Identity, raw: unknown, via: ChangeSource): Change<T>[] {
    const known = this.#entries.get(identity.key);
    if (known?.resourceVersion === identity.resourceVersion && known.uid === identity.uid) return [];
    const anyway = this.#rewound && via === 'list';
    if (known !== undefined && !anyway && !isNewer(identity.resourceVersion, known.resourceVersion))
      return [];
    const object = this.#convert(raw);
    if (object === undefined) return known === undefined ? [] : this.#drop(known, via);
    this.#entries.set(identity.key, { ...identity, object });
    if (known === undefined) return [{ type: 'added', key: identity.key, object, via }];
    if (known.uid === identity.uid)
      return [{ type: 'modified', key: identity.key, object, old: known.object, via }];
    // Deleted and created again while nobody looked: two objects, not one that changed.
    return [
      { type: 'deleted', key: identity.key, object: known.object, old: known.object, via },
      { type: 'added', key: identity.key, object, via },
    ];
  }

  #drop(entry: Entry<T>, via: ChangeSource): Change<T>[] {
    this.#entries.delete(entry.key);
    return [{ type: 'deleted', key: entry.key, object: entry.object, old: entry.object, via }];
  }
}

/** A list being taken in, page by page. */
export interface Replacement<T> {
  /** Takes one object of the list. */
  accept(raw: unknown): Change<T>[];
  /** The list is complete: what was not in it is gone. */
  finish(): Change<T>[];
}

/** Whether resourceVersion `a` is newer than `b`, or merely another where they cannot be compared; see `ObjectStore`. */
export function isNewer(a: string, b: string): boolean {
  return isDecimal(a) && isDecimal(b) ? isOlder(b, a) : a !== b;
}

/** Whether resourceVersion `a` is known to be older than `b`; `false` where they cannot be compared. */
export function isOlder(a: string, b: string): boolean {
  if (!isDecimal(a) || !isDecimal(b)) return false;
  return a.length === b.length ? a < b : a.length < b.length;
}

function isDecimal(version: string): boolean {
  return /^(0|[1-9]\d*)$/.test(version);
}

function identityOf(raw: unknown): Identity | undefined {
  const metadata = (raw as { metadata?: unknown } | null | undefined)?.metadata;
  const { namespace, name, uid, resourceVersion } = (metadata ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string' || typeof resourceVersion !== 'string') return undefined;
  const key = typeof namespace === 'string' && namespace !== '' ? `${namespace}/${name}` : name;
  return { key, uid: typeof uid === 'string' ? uid : '', resourceVersion };
}
