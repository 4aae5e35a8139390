/** The API server as a provider's process sees it: watched lists, single requests, events. */
import {
  EventRecorder,
  isApiError,
  type KubeClient,
  ListWatch,
  type RequestRecord,
  resourcePath,
  SERVICES_PATH,
  toEndpointSlice,
  toNode,
  toPlainObject,
  toService,
} from '../../kube/index.ts';
import type { ApiCall, ClusterApi, LiveList } from '../../provider/process.ts';
import type { Log } from '../../provider/spi.ts';

/** How long to wait before a resource that the API server does not know is looked for again, in milliseconds. */
const ABSENT_MS = 30_000;

/** What the API of a process is made of. */
export interface ProcessApiOptions {
  readonly client: KubeClient;
  readonly log: Log;
  /** Ends the watches. */
  readonly signal: AbortSignal;
  /** Who writes the events. */
  readonly instance: string;
  /** Told of what cannot be read for the first time, before it is tried again; all trouble is logged without it. */
  readonly onTrouble?: (error: unknown) => void;
}

/** Opens the API server for a process; watches begin when a list is asked for. */
export function processApi(options: ProcessApiOptions): ClusterApi & { close(ms: number): Promise<void> } {
  const { client, log, instance } = options;
  const recorder = new EventRecorder({
    client,
    component: 'berth-speaker',
    instance,
    onDrop: ({ record, why }) => log.debug({ reason: record.reason, why }, 'event dropped'),
  });
  return {
    request: <T>(call: ApiCall) => client.request(call) as Promise<T>,
    services: (onChange) => live(options, { path: SERVICES_PATH, convert: toService, onChange }),
    nodes: (onChange) => live(options, { path: resourcePath('/api/v1', 'nodes'), convert: toNode, onChange }),
    endpointSlices: (onChange) =>
      live(options, {
        path: '/apis/discovery.k8s.io/v1/endpointslices',
        convert: toEndpointSlice,
        onChange,
      }),
    objects: (path, onChange) => live<unknown>(options, { path, convert: toPlainObject, onChange }),
    event({ namespace, name, uid, resourceVersion }, event) {
      recorder.event({ apiVersion: 'v1', kind: 'Service', namespace, name, uid, resourceVersion }, event);
    },
    close: (ms) => recorder.close(ms),
  };
}

interface Resource<T> {
  readonly path: string;
  readonly convert: (raw: unknown) => T | undefined;
  readonly onChange: () => void;
}

function live<T>(
  { client, log, signal, onTrouble }: ProcessApiOptions,
  { path, convert, onChange }: Resource<T>,
): LiveList<T> {
  const absent = Promise.withResolvers<void>();
  let isAbsent = false;
  const watch = new ListWatch<T>({
    client,
    path,
    convert,
    signal,
    tuning: { backoffMaxMs: ABSENT_MS },
    onChange() {
      if (watch.isSynced) onChange();
    },
    onTrouble({ error, retryInMs }) {
      isAbsent = isApiError(error, 'ApiNotFound');
      if (isAbsent) absent.resolve();
      else if (onTrouble !== undefined) {
        if (!watch.isSynced) onTrouble(error);
      } else log.warn({ path, error: String(error), retryInMs }, 'watch broken');
      onChange();
    },
  });
  const synced = Promise.race([watch.synced, absent.promise]);
  synced.then(onChange, () => undefined);
  watch.synced.then(onChange, () => undefined);
  return {
    synced,
    get isConnected() {
      return watch.isConnected || isAbsent;
    },
    list: () => watch.list(),
    put: (raw) => watch.put(raw),
  };
}

/** `rest_client_requests_total`, without a metrics library in memory. */
export class RequestCounts {
  readonly #counts = new Map<string, number>();

  take({ code, method, host }: RequestRecord): void {
    const labels = `code="${code}",method="${method}",host="${host}"`;
    this.#counts.set(labels, (this.#counts.get(labels) ?? 0) + 1);
  }

  /** In the Prometheus text format. */
  text(): string {
    const lines = [...this.#counts].map(
      ([labels, count]) => `rest_client_requests_total{${labels}} ${count}`,
    );
    return ['# TYPE rest_client_requests_total counter', ...lines.toSorted(), ''].join('\n');
  }
}
