/**
 * Processes of a provider's own, such as the speaker of `metal`: they run beside the controller, on other nodes and
 * with other rights, and end when they are told to. The command line starts them and hands them what they may use.
 */
import type { EndpointSlice } from '../model/endpoint.ts';
import type { Node } from '../model/node.ts';
import type { Service } from '../model/service.ts';
import type { Clock, Log } from './spi.ts';

/** A process of a provider, by name under `ProviderFactory.processes`. */
export interface ProviderProcess<Config = unknown> {
  /** One sentence, for the help. */
  readonly description: string;
  /**
   * Runs until `host.signal` aborts and everything is left in good order.
   *
   * @throws BerthError when it cannot start, or cannot go on.
   */
  run(config: Config, host: ProcessHost): Promise<void>;
}

/** What the command line was told, for the process; see `berth help NAME`. */
export interface ProcessOptions {
  /** The Node that it runs on. */
  readonly node: string;
  /** Where its shared secret is; read from the API server when absent. */
  readonly secretFile?: string;
  /** Regular expressions of interfaces that are left alone; the process has its own when absent. */
  readonly excludeInterfaces?: readonly string[];
  /** Takes no notice of the label that excludes nodes from load balancers. */
  readonly ignoreExcludeLabel: boolean;
  /** `loadBalancerClass` values of `providers.NAME.classes`, served beside the provider's own. */
  readonly classes: readonly string[];
}

/** What a process may use. */
export interface ProcessHost {
  readonly clock: Clock;
  readonly log: Log;
  /** Asks to stop. */
  readonly signal: AbortSignal;
  readonly options: ProcessOptions;
  /** `--cluster-id`; absent: the UID of the namespace kube-system is the cluster's identity. */
  readonly clusterId: string | undefined;
  /** Berth's own namespace. */
  readonly namespace: string;
  /** Whether something starts the process again whenever it ends by itself, as the kubelet does. */
  readonly supervised: boolean;
  readonly api: ClusterApi;
  /** Serves /healthz, /readyz, /metrics and /api/* over HTTP. @throws Error `EADDRINUSE`, `EACCES`. */
  serve(sources: ProcessSources): Promise<Served>;
}

/** Where the HTTP endpoint of a process is. */
export interface Served {
  readonly host: string;
  readonly port: number;
  /** How others reach it: `pod/NAMESPACE/NAME:PORT` or a URL; `undefined` for a pod that listens on loopback only. */
  readonly endpoint: string | undefined;
}

/** What the HTTP endpoint of a process shows; asked at the moment of each request. */
export interface ProcessSources {
  ready(): boolean;
  /** In the Prometheus text format; that of the requests to the API server is added. */
  metrics(): string | Promise<string>;
  /** The answer to GET /api/QUESTION as JSON; `undefined` is answered 503. */
  answer(question: string, query: URLSearchParams): unknown;
}

/** One request to the API server. */
export interface ApiCall {
  /** `GET` unless given. */
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  /** Sent as JSON; a PATCH is a merge patch. */
  readonly body?: unknown;
  readonly signal: AbortSignal;
  /** Milliseconds of each attempt. */
  readonly timeoutMs?: number;
  /** Attempts after the first; 3 unless given. Only what does no harm twice is tried again. */
  readonly retries?: number;
}

/** An event about an object. */
export interface ProcessEvent {
  readonly type: 'Normal' | 'Warning';
  /** CamelCase or as an incumbent writes it. */
  readonly reason: string;
  readonly message: string;
}

/** A live copy of one resource. */
export interface LiveList<T> {
  /** Resolves when the first list is in, or the API server is known not to have the resource. */
  readonly synced: Promise<void>;
  /** Whether a watch stands at this moment, or the resource does not exist. */
  readonly isConnected: boolean;
  list(): readonly T[];
  /** Takes the answer to a write of our own, so that the copy has it at once. */
  put(raw: unknown): void;
}

/** The API server, as far as a process of a provider may use it. Nothing is asked at rest: lists are watched. */
export interface ClusterApi {
  /** @throws BerthError `ApiNotFound`, `ApiAlreadyExists`, `ApiConflict`, `ApiForbidden`, `ApiUnreachable` and others. */
  request<T = unknown>(call: ApiCall): Promise<T>;
  services(onChange: () => void): LiveList<Service>;
  nodes(onChange: () => void): LiveList<Node>;
  endpointSlices(onChange: () => void): LiveList<EndpointSlice>;
  /** Any resource as plain JSON, without managedFields. */
  objects(path: string, onChange: () => void): LiveList<unknown>;
  /** Writes an event about a Service; returns at once. */
  event(service: Service, event: ProcessEvent): void;
}
