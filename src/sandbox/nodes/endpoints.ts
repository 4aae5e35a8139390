/**
 * A mini endpoint controller: for every Service with a selector it keeps one EndpointSlice of the backends whose labels
 * match. Unlike pods, backends have no namespace: they match Services in all of them, so that `selector: {app: demo}`
 * works anywhere.
 */
import type { KubeObject, ServiceObject, ServicePort } from '../machinery/objects.ts';
import type { Objects } from '../sandbox.ts';
import type { Backend } from './backend.ts';

const SERVICE_LABEL = 'kubernetes.io/service-name';
const MANAGED_BY_LABEL = 'endpointslice.kubernetes.io/managed-by';
const MANAGER = 'sandbox.berth.dev';
/** The port behind a `targetPort` that is a name. */
const NAMED_PORT = 8080;
/** Ports below 1024 need privileges on some machines; backends serve them this much higher. */
const UNPRIVILEGED_OFFSET = 20_000;

/** The port a backend really listens on for a Service's port. */
export function backendPort({ targetPort }: Pick<ServicePort, 'targetPort'>): number {
  if (typeof targetPort === 'string') return NAMED_PORT;
  return targetPort < 1024 ? targetPort + UNPRIVILEGED_OFFSET : targetPort;
}

/** Keeps the slices. */
export class EndpointController {
  readonly #objects: Objects;
  readonly #backends: () => readonly Backend[];
  readonly #onError: (error: unknown) => void;
  readonly #unsubscribe: () => void;
  readonly #waiting = new Set<string>();
  #work: Promise<void> = Promise.resolve();

  constructor(objects: Objects, backends: () => readonly Backend[], onError: (error: unknown) => void) {
    this.#objects = objects;
    this.#backends = backends;
    this.#onError = onError;
    this.#unsubscribe = objects.subscribe('services', ({ entry }) => {
      const { namespace = '', name } = entry.object.metadata;
      this.#schedule(namespace, name);
    });
    this.syncAll();
  }

  /** Looks at every Service again, after backends came, went or changed. Resolves when all slices are written. */
  syncAll(): Promise<void> {
    for (const { metadata } of this.#objects.list('services'))
      this.#schedule(metadata.namespace ?? '', metadata.name);
    return this.#work;
  }

  /** Resolves when everything that is due is written. */
  settled(): Promise<void> {
    return this.#work;
  }

  stop(): void {
    this.#unsubscribe();
  }

  /** One Service after the other: opening ports takes time, and two at once could write each other's past. */
  #schedule(namespace: string, name: string): void {
    const key = `${namespace}/${name}`;
    // What is waiting will see the change anyway.
    if (this.#waiting.has(key)) return;
    this.#waiting.add(key);
    const sync = async (): Promise<void> => {
      this.#waiting.delete(key);
      await this.#sync(namespace, name);
    };
    this.#work = this.#work.then(sync).catch(this.#onError);
  }

  async #sync(namespace: string, name: string): Promise<void> {
    const at = { resource: 'endpointslices', namespace, name: `${name}-sandbox` };
    const service = this.#objects.get({ resource: 'services', namespace, name }) as ServiceObject | undefined;
    const existing = this.#objects.get(at);
    if (service?.spec.selector === undefined || service.spec.type === 'ExternalName') {
      if (existing) this.#objects.delete(at);
      return;
    }
    const { selector, ports = [] } = service.spec;
    const chosen = this.#backends().filter(({ options }) =>
      Object.entries(selector).every(([key, value]) => options.labels[key] === value),
    );
    await openPorts(chosen, ports);
    const body = sliceOf(service, chosen);
    // The Service or its namespace may have gone while ports were being opened.
    if (this.#objects.get({ resource: 'services', namespace, name })?.metadata.uid !== service.metadata.uid)
      return;
    if (existing) this.#objects.patch(at, body);
    else
      this.#objects.create('endpointslices', {
        ...body,
        metadata: { ...metadataOf(service), name: at.name },
      });
  }
}

async function openPorts(backends: readonly Backend[], ports: readonly ServicePort[]): Promise<void> {
  for (const backend of backends.filter(({ ready }) => ready)) {
    for (const port of ports) {
      if (port.protocol !== 'SCTP') await backend.listen(port.protocol, backendPort(port));
    }
  }
}

function sliceOf(
  service: ServiceObject,
  backends: readonly Backend[],
): { addressType: string; endpoints: {}[]; ports: {}[] } {
  return {
    addressType: 'IPv4',
    endpoints: backends.map(({ options, ready }) => ({
      addresses: [options.address],
      conditions: { ready, serving: ready, terminating: !ready },
      nodeName: options.nodeName,
      targetRef: { kind: 'Pod', name: options.name },
    })),
    ports: (service.spec.ports ?? []).map((port) => ({
      name: port.name ?? '',
      port: backendPort(port),
      protocol: port.protocol,
    })),
  };
}

function metadataOf(service: KubeObject): { namespace: string; labels: Record<string, string> } {
  return {
    namespace: service.metadata.namespace ?? '',
    labels: { [SERVICE_LABEL]: service.metadata.name, [MANAGED_BY_LABEL]: MANAGER },
  };
}
