import {
  addFinalizer,
  allocateNodePorts,
  EventRecorder,
  isApiError,
  listServices,
  ListWatch,
  patchStatus,
  removeFinalizer,
  resourcePath,
  SERVICES_PATH,
  toEndpointSlice,
  toNode,
  toService,
  type KubeClient,
} from '../kube/index.ts';
import { COMPONENT } from '../model/names.ts';
import type { Node } from '../model/node.ts';
import type { EndpointSlice } from '../model/endpoint.ts';
import { keyOf, type Service, type ServiceKey } from '../model/service.ts';
import type { Log } from '../provider/spi.ts';
import { EndpointIndex } from './endpoint-index.ts';
import type { CacheEvent, Cluster, EndpointSource, Recorder, ServiceWrites } from './ports.ts';

/** What a live cluster is made of. */
export interface LiveClusterOptions {
  readonly client: KubeClient;
  readonly log: Log;
  /** Who writes the events: the pod's name, or the host's. */
  readonly instance: string;
  /** Ends the watches. */
  readonly signal: AbortSignal;
  readonly onService: (event: CacheEvent<Service>) => void;
  readonly onNode: (event: CacheEvent<Node>) => void;
  readonly onEndpoints: (key: ServiceKey) => void;
}

/** The API server as the controller sees it: two watched collections, the writes, events. */
export class LiveCluster implements Cluster {
  readonly services: ListWatch<Service>;
  readonly nodes: ListWatch<Node>;
  readonly writes: ServiceWrites;
  readonly quorum: Cluster['quorum'];
  readonly endpoints: EndpointSource;
  readonly events: Recorder;
  readonly #recorder: EventRecorder;

  /** Begins to list and watch at once. */
  constructor(options: LiveClusterOptions) {
    const { client, log, instance, signal, onService, onNode } = options;
    const onTrouble = (trouble: { path: string; error: unknown; retryInMs: number }): void =>
      log.warn(
        { path: trouble.path, error: String(trouble.error), retryInMs: trouble.retryInMs },
        'watch broken',
      );
    this.services = new ListWatch({
      client,
      path: SERVICES_PATH,
      convert: toService,
      onChange: onService,
      onTrouble,
      signal,
    });
    this.nodes = new ListWatch({
      client,
      path: resourcePath('/api/v1', 'nodes'),
      convert: toNode,
      onChange: onNode,
      onTrouble,
      signal,
    });
    this.#recorder = new EventRecorder({
      client,
      component: COMPONENT,
      instance,
      onDrop: ({ record, why }) => log.debug({ reason: record.reason, why }, 'event dropped'),
    });
    this.endpoints = liveEndpoints(options);
    this.writes = liveWrites(client, this.services);
    this.quorum = { listServices: (signal) => listServices({ client, signal }) };
    this.events = {
      record: (service, event) => this.#recorder.event({ ...REFERENCE, ...identityOf(service) }, event),
    };
  }

  /** Resolves when both first lists are in. */
  async synced(): Promise<void> {
    await Promise.all([this.services.synced, this.nodes.synced]);
  }

  /** Writes the events that are due, for at most `deadlineMs`. */
  async close(deadlineMs: number): Promise<void> {
    await this.#recorder.close(deadlineMs);
  }
}

const REFERENCE = { apiVersion: 'v1', kind: 'Service' } as const;

function identityOf({ namespace, name, uid, resourceVersion }: Service): {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
} {
  return { namespace, name, uid, resourceVersion };
}

/** EndpointSlices, watched from the first question on: most clusters never ask. */
function liveEndpoints({ client, log, signal, onEndpoints }: LiveClusterOptions): EndpointSource {
  const index = new EndpointIndex();
  let watch: ListWatch<EndpointSlice> | undefined;
  const path = '/apis/discovery.k8s.io/v1/endpointslices';
  return {
    of(key) {
      watch ??= new ListWatch({
        client,
        path,
        convert: toEndpointSlice,
        signal,
        onChange: ({ type, object, old }) => index.take(type, object, old).forEach(onEndpoints),
        onTrouble: ({ error, retryInMs }) =>
          log.warn({ path, error: String(error), retryInMs }, 'watch broken'),
      });
      return watch.isSynced ? index.of(key) : undefined;
    },
  };
}

/** The writes; each answer is in the cache before the write returns. */
function liveWrites(client: KubeClient, services: ListWatch<Service>): ServiceWrites {
  const taken = (service: Service, answer: unknown): Service => {
    if (answer === undefined) return service;
    services.put(answer);
    return toService(answer) ?? services.get(keyOf(service)) ?? service;
  };
  return {
    addFinalizer: async (service, signal) => taken(service, await addFinalizer({ client, signal }, service)),
    allocateNodePorts: async (service, signal) =>
      taken(service, await allocateNodePorts({ client, signal }, service)),
    patchStatus: async (service, wanted, signal) =>
      taken(service, await patchStatus({ client, signal }, service, { ...wanted, nowMs: Date.now() })),
    removeFinalizer: async (service, signal) => {
      try {
        taken(service, await removeFinalizer({ client, signal }, service));
      } catch (error) {
        if (!isApiError(error, 'ApiNotFound')) throw error;
      }
    },
  };
}
