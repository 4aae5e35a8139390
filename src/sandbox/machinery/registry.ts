/**
 * Creates, updates, patches and deletes objects by the rules of an API server. The HTTP layer and the simulated nodes
 * both work through this; nothing else writes to the store.
 */
import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Change, Collection, Entry, Store } from './store.ts';
import { decodeObject, type FieldValidation } from './decode.ts';
import { type Json, type KubeObject, keyOf } from './objects.ts';
import { applyPatch, type PatchKind } from './apply-patch.ts';
import { resourceId, type ResourceType } from './resource.ts';
import {
  ApiError,
  alreadyExists,
  conflict,
  FieldErrors,
  forbidden,
  invalid,
  namespaceTerminating,
  notFound,
} from './status.ts';
import {
  isFinished,
  matchName,
  matchNamespace,
  namespaceFinalizers,
  specChanged,
  takeOver,
} from './update-rules.ts';
import { validateMeta, validateMetaUpdate } from './validate-meta.ts';

/** Which object is meant. `namespace` is empty for kinds without one. */
export interface ObjectRef {
  readonly type: ResourceType;
  readonly namespace: string;
  readonly name: string;
}

/** How a write is to be done. */
export interface WriteOptions {
  /** Everything but storing it. */
  readonly dryRun?: boolean;
  /** Unknown fields: refused, reported through `warn`, or dropped silently. Default `Ignore`. */
  readonly fieldValidation?: FieldValidation;
  readonly warn?: (text: string) => void;
  /** Writes to `/status`. */
  readonly status?: boolean;
}

/** Options of a deletion (meta/v1 DeleteOptions). */
export interface DeleteOptions {
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly dryRun?: boolean;
}

/** What a write did. */
export interface Written {
  readonly object: KubeObject;
  /** True when a PUT created the object. */
  readonly created: boolean;
}

/** The objects of one sandbox and the rules they live by. */
export class Registry {
  readonly store: Store;
  readonly types: readonly ResourceType[];
  readonly #random: () => number;
  readonly #now: () => number;

  constructor(options: {
    types: readonly ResourceType[];
    store: Store;
    now: () => number;
    random: () => number;
  }) {
    this.store = options.store;
    this.types = options.types;
    this.#random = options.random;
    this.#now = options.now;
  }

  /** @throws Error when the sandbox does not serve it: list it in the option `customResources` */
  type(plural: string, group?: string): ResourceType {
    const found = this.types.find((type) => type.plural === plural && (group ?? type.group) === type.group);
    if (!found)
      throw new Error(`The sandbox serves no resource ${plural}; name it in the option customResources.`);
    return found;
  }

  collection(type: ResourceType): Collection {
    return this.store.collection(resourceId(type));
  }

  find(ref: ObjectRef): Entry | undefined {
    return this.collection(ref.type).get(keyOf({ metadata: ref }));
  }

  /** @throws ApiError 404 */
  get(ref: ObjectRef): Entry {
    const entry = this.find(ref);
    if (entry === undefined) throw notFound(ref.type, ref.name);
    return entry;
  }

  /** Calls `listener` on every later change of a resource. Returns how to stop it. */
  subscribe(type: ResourceType, listener: (change: Change) => void): () => void {
    return this.collection(type).subscribe(listener);
  }

  /**
   * Creates the object in `body`.
   *
   * @throws ApiError 400, 403 (namespace goes away), 404 (no such namespace), 409 or 422
   */
  create(at: { type: ResourceType; namespace: string }, body: Json, options: WriteOptions = {}): KubeObject {
    const next = decodeObject(at.type, body, options);
    matchNamespace(at, next);
    if (next.metadata.resourceVersion !== undefined) {
      throw new ApiError(500, '', { message: 'resourceVersion should not be set on objects to be created' });
    }
    return this.#create(at.type, next, options);
  }

  #create(type: ResourceType, next: KubeObject, options: WriteOptions): KubeObject {
    const { metadata } = next;
    metadata.name ||= this.#generateName(type, metadata);
    this.#needsLiveNamespace(type, next);
    metadata.uid = randomUUID();
    metadata.creationTimestamp = this.#timestamp();
    delete metadata.deletionTimestamp;
    delete metadata.deletionGracePeriodSeconds;
    if (type.generation) metadata.generation = 1;
    else delete metadata.generation;
    type.rules.admit?.(next);
    type.rules.defaults?.(next);
    type.rules.allocate?.(next, undefined);
    type.rules.prepare?.(next, undefined);
    const errors = new FieldErrors();
    validateMeta(type, next, errors);
    type.rules.validate?.(next, errors, undefined);
    errors.throwIfAny(type, metadata.name);
    const existing = this.find({ type, namespace: metadata.namespace ?? '', name: metadata.name });
    if (existing) {
      const leaving = existing.object.metadata.deletionTimestamp !== undefined;
      throw alreadyExists(type, metadata.name, leaving ? 'object is being deleted: ' : '');
    }
    if (options.dryRun) return next;
    return this.#put(type, next, undefined);
  }

  /**
   * Replaces the object at `ref`, or its status.
   *
   * @throws ApiError 400, 404, 409 (resourceVersion or uid do not match) or 422
   */
  update(ref: ObjectRef, body: Json, options: WriteOptions = {}): Written {
    const next = decodeObject(ref.type, body, options);
    matchNamespace(ref, next);
    matchName(ref, next);
    const previous = this.find(ref)?.object;
    if (previous === undefined) {
      if (!ref.type.createOnUpdate || options.status) throw notFound(ref.type, ref.name);
      if (next.metadata.uid !== undefined)
        throw conflict(ref.type, ref.name, uidMismatch(next.metadata.uid, ''));
      delete next.metadata.resourceVersion;
      return { object: this.#create(ref.type, next, options), created: true };
    }
    const { uid = '' } = previous.metadata;
    if (next.metadata.uid !== undefined && next.metadata.uid !== uid) {
      throw conflict(ref.type, ref.name, uidMismatch(next.metadata.uid, uid));
    }
    return { object: this.#replace(ref, { next, previous }, options), created: false };
  }

  /**
   * Patches the object at `ref`, or its status.
   *
   * @throws ApiError 400, 404, 409, 415 (strategic merge on a custom resource) or 422
   */
  patch(ref: ObjectRef, patch: { kind: PatchKind; body: Json }, options: WriteOptions = {}): KubeObject {
    const previous = this.get(ref).object;
    const next = applyPatch(ref.type, { ...patch, target: previous }, options);
    matchNamespace(ref, next);
    matchName(ref, next);
    return this.#replace(ref, { next, previous }, options);
  }

  #replace(
    ref: ObjectRef,
    change: { next: KubeObject; previous: KubeObject },
    options: WriteOptions,
  ): KubeObject {
    const { type } = ref;
    const { next, previous } = change;
    this.#checkVersion(ref, next, previous);
    takeOver(type, change, options.status ?? false);
    type.rules.defaults?.(next);
    if (!options.status) type.rules.allocate?.(next, previous);
    if (!options.status) type.rules.prepare?.(next, previous);
    const errors = new FieldErrors();
    validateMeta(type, next, errors);
    validateMetaUpdate(next.metadata, previous.metadata, errors);
    if (options.status) type.rules.validateStatus?.(next, errors, previous);
    else type.rules.validate?.(next, errors, previous);
    errors.throwIfAny(type, ref.name);
    if (type.generation && !options.status && specChanged(next, previous)) {
      next.metadata.generation = (previous.metadata.generation ?? 0) + 1;
    }
    if (options.dryRun || isDeepStrictEqual(next, previous)) return options.dryRun ? next : previous;
    if (isFinished(next)) {
      this.#remove(ref);
      return next;
    }
    return this.#put(type, next, previous);
  }

  #checkVersion(ref: ObjectRef, next: KubeObject, previous: KubeObject): void {
    const { resourceVersion } = next.metadata;
    if (resourceVersion === undefined && !ref.type.unconditionalUpdate) {
      const errors = new FieldErrors();
      errors.invalid('metadata.resourceVersion', 0, 'must be specified for an update');
      throw invalid({ ...ref.type, kind: ref.type.plural }, ref.name, errors.causes);
    }
    next.metadata.resourceVersion = previous.metadata.resourceVersion ?? '';
    if (resourceVersion !== undefined && resourceVersion !== next.metadata.resourceVersion) {
      throw conflict(ref.type, ref.name);
    }
  }

  /**
   * Deletes the object: at once, or, while it has finalizers, by marking it. Returns its last state and whether it is
   * gone. Deleting twice changes nothing.
   *
   * @throws ApiError 404, or 409 when a precondition does not hold
   */
  delete(ref: ObjectRef, options: DeleteOptions = {}): { object: KubeObject; gone: boolean } {
    if (ref.type.plural === 'namespaces' && IMMORTAL.has(ref.name)) {
      throw forbidden(ref.type, ref.name, 'this namespace may not be deleted');
    }
    const { object } = this.get(ref);
    const { metadata } = object;
    if (options.uid !== undefined && options.uid !== metadata.uid) {
      throw conflict(ref.type, ref.name, uidMismatch(options.uid, metadata.uid ?? ''));
    }
    if (options.resourceVersion !== undefined && options.resourceVersion !== metadata.resourceVersion) {
      const why = `Precondition failed: ResourceVersion in precondition: ${options.resourceVersion}, ResourceVersion in object meta: ${metadata.resourceVersion}`;
      throw conflict(ref.type, ref.name, why);
    }
    const waits = (metadata.finalizers?.length ?? 0) > 0 || namespaceFinalizers(object).length > 0;
    if (!waits) {
      if (!options.dryRun) this.#remove(ref);
      return { object, gone: true };
    }
    if (metadata.deletionTimestamp !== undefined) return { object, gone: false };
    const next = structuredClone(object);
    next.metadata.deletionTimestamp = this.#timestamp();
    if (ref.type.plural === 'namespaces') next['status'] = { phase: 'Terminating' };
    else next.metadata.deletionGracePeriodSeconds = 0;
    if (options.dryRun) return { object: next, gone: false };
    const marked = this.#put(ref.type, next, object);
    if (ref.type.plural === 'namespaces') this.#emptyNamespace(marked);
    return { object: marked, gone: false };
  }

  /** Stands in for the namespace controller: deletes what is inside, and the namespace once it is empty. */
  #emptyNamespace(namespace: KubeObject): void {
    const { name } = namespace.metadata;
    for (const type of this.types.filter(({ namespaced }) => namespaced)) {
      for (const { object } of this.collection(type).entries(`${name}/`)) {
        this.delete({ type, namespace: name, name: object.metadata.name });
      }
    }
    this.#finishNamespace(name);
  }

  #finishNamespace(name: string): void {
    const type = this.type('namespaces', '');
    const namespace = this.find({ type, namespace: '', name })?.object;
    if (namespace?.metadata.deletionTimestamp === undefined) return;
    const inside = this.types.some(
      (each) => each.namespaced && this.collection(each).entries(`${name}/`).length > 0,
    );
    if (!inside && !namespace.metadata.finalizers?.length) this.#remove({ type, namespace: '', name });
  }

  #put(type: ResourceType, next: KubeObject, previous: KubeObject | undefined): KubeObject {
    const { object } = this.collection(type).put(next);
    type.rules.stored?.(object, previous);
    return object;
  }

  #remove(ref: ObjectRef): void {
    const removed = this.collection(ref.type).remove(keyOf({ metadata: ref }));
    if (removed) ref.type.rules.stored?.(undefined, removed.object);
    if (ref.type.namespaced) this.#finishNamespace(ref.namespace);
  }

  #needsLiveNamespace(type: ResourceType, next: KubeObject): void {
    const { namespace = '', name } = next.metadata;
    if (!type.namespaced) return;
    const holder = this.get({ type: this.type('namespaces', ''), namespace: '', name: namespace }).object;
    if (holder.metadata.deletionTimestamp === undefined) return;
    throw namespaceTerminating(type, name, namespace);
  }

  /** Five characters of the API server's alphabet, which has no vowels; tried again when the name is taken. */
  #generateName(type: ResourceType, { generateName, namespace = '' }: KubeObject['metadata']): string {
    if (generateName === undefined) return '';
    for (let attempt = 1; ; attempt++) {
      const letters = Array.from({ length: 5 }, () => SUFFIX[Math.floor(this.#random() * SUFFIX.length)]);
      const name = generateName.slice(0, 58) + letters.join('');
      if (attempt === GENERATE_ATTEMPTS || !this.find({ type, namespace, name })) return name;
    }
  }

  #timestamp(): string {
    return `${new Date(this.#now()).toISOString().slice(0, 19)}Z`;
  }
}

/** Namespaces that cannot be deleted. */
const IMMORTAL: ReadonlySet<string> = new Set(['default', 'kube-system', 'kube-public']);
const GENERATE_ATTEMPTS = 8;
const SUFFIX = 'bcdfghjklmnpqrstvwxz2456789';

function uidMismatch(wanted: string, actual: string): string {
  return `Precondition failed: UID in precondition: ${wanted}, UID in object meta: ${actual}`;
}
