/**
 * What the controller needs of its surroundings, as interfaces: `kube/` implements them over the API server, tests by
 * hand. Everything that leaves the process takes an AbortSignal.
 */
import type { WantedStatus } from '../kube/status.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Node } from '../model/node.ts';
import type { Service, ServiceKey } from '../model/service.ts';

/** A change of a watched object. `old` is what the cache held before; `via: put` is the answer of our own write. */
export interface CacheEvent<T> {
  readonly type: 'added' | 'modified' | 'deleted';
  readonly key: string;
  readonly object: T;
  readonly old?: T | undefined;
  readonly via: 'list' | 'watch' | 'put';
}

/**
 * A watched collection, kept up to date. Keys are `namespace/name`, or `name` for what has no namespace. The answers
 * of our own writes are in it at once, and no older watch event overwrites them.
 */
export interface Cache<T> {
  get(key: string): T | undefined;
  list(): readonly T[];
}

/**
 * The writes that the controller makes, each with the object's resourceVersion as precondition. They return the
 * object as the API server answered it.
 *
 * @throws Conflict when the object has changed meanwhile; BerthError of other kinds as `kube/errors.ts` documents.
 */
export interface ServiceWrites {
  addFinalizer(service: Service, signal: AbortSignal): Promise<Service>;
  /** An object that is gone is success. */
  removeFinalizer(service: Service, signal: AbortSignal): Promise<void>;
  /** Writes what differs; `condition: null` removes ours. Without a difference nothing is sent. */
  patchStatus(service: Service, wanted: WantedStatus, signal: AbortSignal): Promise<Service>;
  allocateNodePorts(service: Service, signal: AbortSignal): Promise<Service>;
}

/** Reads that must not come from a cache. */
export interface QuorumReads {
  /** All Services by quorum read, complete or an error. */
  listServices(signal: AbortSignal): Promise<readonly Service[]>;
}

/** Events for people, never waited for. */
export interface Recorder {
  record(service: Service, event: { type: 'Normal' | 'Warning'; reason: string; message: string }): void;
}

/** Backends of Services, watched from the first question on. */
export interface EndpointSource {
  /** The backends of a Service, of all its slices; `undefined` until the first list is in. */
  of(key: ServiceKey): readonly Endpoint[] | undefined;
}

/** Everything of the cluster that the controller uses. */
export interface Cluster {
  readonly services: Cache<Service>;
  readonly nodes: Cache<Node>;
  readonly endpoints: EndpointSource;
  readonly writes: ServiceWrites;
  readonly quorum: QuorumReads;
  readonly events: Recorder;
}
