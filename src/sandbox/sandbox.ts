/** Puts the embedded API server together. */
import { writeFile } from 'node:fs/promises';
import { Faults } from './faults.ts';
import { ApiServer } from './http/server.ts';
import type { Watch } from './http/watch.ts';
import { kubeconfigText } from './kubeconfig.ts';
import type { JsonObject, KubeObject } from './machinery/objects.ts';
import { Registry } from './machinery/registry.ts';
import type { ResourceType } from './machinery/resource.ts';
import { type Change, Store } from './machinery/store.ts';
import { Requests } from './requests.ts';
import { type CustomResource, customResource } from './resources/custom.ts';
import { endpointSlices } from './resources/endpointslice.ts';
import { events } from './resources/event.ts';
import { namespaces } from './resources/namespace.ts';
import { nodes } from './resources/node.ts';
import { configMaps, leases, pods, secrets } from './resources/plain.ts';
import { services } from './resources/service.ts';

/** How to start a sandbox. All of it may be left out. */
export interface SandboxOptions {
  /** TCP port on 127.0.0.1. Default 0: any free one. */
  readonly port?: number;
  /** Served beside the built-in kinds. */
  readonly customResources?: readonly CustomResource[];
  /** Ranges of cluster IPs, one for each IP family, the first is the primary. Default IPv4 and IPv6. */
  readonly serviceCidrs?: readonly string[];
  /** How many changes of each resource a watch can go back at least. Default 4096. */
  readonly historySize?: number;
  /** Between bookmarks. Default 60,000 ms, as the API server's. */
  readonly bookmarkIntervalMs?: number;
  /** Injected for tests. Default `Date.now` and `Math.random`. */
  readonly now?: () => number;
  readonly random?: () => number;
}

/** Names an object of a resource: `services`, `default/web`. */
export interface ObjectName {
  /** The plural, such as `services`. */
  readonly resource: string;
  /** Default `default`; ignored for kinds without a namespace. */
  readonly namespace?: string;
  readonly name: string;
}

/**
 * Direct access to the objects, for tests and the simulated nodes: by the API's rules, but not over HTTP, not counted as
 * requests and not met by faults. Objects handed out are frozen.
 */
export interface Objects {
  /** @throws ApiError as the API would refuse it */
  create(resource: string, object: JsonObject): KubeObject;
  get(name: ObjectName): KubeObject | undefined;
  list(resource: string, namespace?: string): KubeObject[];
  /** A JSON merge patch; with `status`, of the status subresource. @throws ApiError */
  patch(name: ObjectName, patch: JsonObject, options?: { status?: boolean }): KubeObject;
  /** Returns whether it is gone at once; false while finalizers hold it. @throws ApiError */
  delete(name: ObjectName): boolean;
  /** Calls `listener` on every later change, synchronously. Returns how to stop it. */
  subscribe(resource: string, listener: (change: Change) => void): () => void;
}

/** A running sandbox. */
export interface Sandbox {
  /** `http://127.0.0.1:PORT`. No authentication. */
  readonly url: string;
  /** A kubeconfig as YAML text. */
  readonly kubeconfig: string;
  writeKubeconfig(path: string): Promise<void>;
  readonly requests: Requests;
  readonly faults: Faults;
  readonly objects: Objects;
  /** The API server goes away as if killed: all connections are cut, the port is closed, the objects stay. */
  crash(): Promise<void>;
  /** The API server is back after `crash`, on the same port. */
  recover(): Promise<void>;
  /** Ends everything. Safe to call twice. */
  stop(): Promise<void>;
}

const SERVICE_CIDRS = ['10.96.0.0/16', 'fd00:10:96::/112'];
const HISTORY_SIZE = 4096;
const BOOKMARK_INTERVAL_MS = 60_000;
const NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system'];

/**
 * Starts an embedded Kubernetes API server on loopback.
 *
 * Flow: builds the resource types, fills in what every cluster has (namespaces, the `kubernetes` Service), listens.
 * Guarantees: listens on 127.0.0.1 only; every write is checked by rules taken from kube-apiserver; what the shared
 * contract suite checks holds here as it does there. Left out: authentication, authorisation, admission webhooks,
 * server-side apply, protobuf, and every kind that neither Berth nor the demo needs.
 * Caveats: everything is in memory and gone with the process.
 *
 * @throws Error EADDRINUSE when the port asked for is taken
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { now = Date.now, random = Math.random } = options;
  const store = new Store({ historySize: options.historySize ?? HISTORY_SIZE });
  const registry = new Registry({ types: typesOf(options, random), store, now, random });
  bootstrap(registry);
  const watches = new Set<Watch>();
  const requests = new Requests();
  const faults = new Faults({ watches: () => watches, forgetHistory: () => store.forgetHistory() });
  const bookmarkIntervalMs = options.bookmarkIntervalMs ?? BOOKMARK_INTERVAL_MS;
  const server = new ApiServer({ registry, requests, faults, now, bookmarkIntervalMs }, watches);
  await server.listen(options.port ?? 0);
  return {
    get url() {
      return server.url;
    },
    get kubeconfig() {
      return kubeconfigText(server.url);
    },
    writeKubeconfig: (path) => writeFile(path, kubeconfigText(server.url), { mode: 0o600 }),
    requests,
    faults,
    objects: objectsOf(registry),
    crash: () => server.close(true),
    recover: () => server.listen(),
    stop: () => server.close(),
  };
}

function typesOf(options: SandboxOptions, random: () => number): ResourceType[] {
  const serviceCidrs = options.serviceCidrs ?? SERVICE_CIDRS;
  const builtIn = [services({ serviceCidrs, random }), nodes, namespaces, endpointSlices, events, leases];
  return [...builtIn, configMaps, secrets, pods, ...(options.customResources ?? []).map(customResource)];
}

/** What kube-apiserver makes by itself. */
function bootstrap(registry: Registry): void {
  for (const name of NAMESPACES) {
    registry.create({ type: registry.type('namespaces'), namespace: '' }, { metadata: { name } });
  }
  registry.create(
    { type: registry.type('services'), namespace: 'default' },
    {
      metadata: { name: 'kubernetes', labels: { component: 'apiserver', provider: 'kubernetes' } },
      spec: { ports: [{ name: 'https', port: 443, targetPort: 6443 }] },
    },
  );
}

function objectsOf(registry: Registry): Objects {
  const refOf = ({ resource, namespace = 'default', name }: ObjectName) => {
    const type = registry.type(resource);
    return { type, namespace: type.namespaced ? namespace : '', name };
  };
  return {
    create: (resource, object) => {
      const type = registry.type(resource);
      const { namespace } = (object['metadata'] ?? {}) as { namespace?: string };
      return registry.create(
        { type, namespace: type.namespaced ? (namespace ?? 'default') : '' },
        structuredClone(object),
      );
    },
    get: (name) => registry.find(refOf(name))?.object,
    list: (resource, namespace) => {
      const prefix = namespace === undefined ? '' : `${namespace}/`;
      return registry
        .collection(registry.type(resource))
        .entries(prefix)
        .map(({ object }) => object);
    },
    patch: (name, patch, { status = false } = {}) =>
      registry.patch(refOf(name), { kind: 'merge', body: structuredClone(patch) }, { status }),
    delete: (name) => registry.delete(refOf(name)).gone,
    subscribe: (resource, listener) => registry.subscribe(registry.type(resource), listener),
  };
}
