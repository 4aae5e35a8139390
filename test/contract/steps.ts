import assert from 'node:assert/strict';
import type { ContractApi, ContractEvent, ContractRequest, ContractResponse, ContractWatch } from './api.ts';
import {
  aService,
  type KubeObject,
  type List,
  pathOf,
  type Service,
  type ServiceSpec,
  type Status,
  unique,
} from './objects.ts';

/** One behaviour of the API server. Independent of every other case: it makes what it needs under names of its own. */
export interface ContractCase {
  readonly name: string;
  /** The optional call of `ContractApi` that the case cannot do without; runners skip it on a server that lacks it. */
  readonly needs?: 'compact';
  run(api: ContractApi): Promise<void>;
}

export const mergePatch = 'application/merge-patch+json';
export const strategicPatch = 'application/strategic-merge-patch+json';
export const jsonPatch = 'application/json-patch+json';
export const tableFormat = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

/** Makes a namespace for one case and returns its name. */
export async function aNamespace(api: ContractApi): Promise<string> {
  const name = unique('contract');
  await must(api, 'POST', '/api/v1/namespaces', {
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
  });
  return name;
}

/** A request that has to succeed; returns the answer's object. */
export async function must<T = KubeObject>(
  api: ContractApi,
  method: string,
  ...[path, options]: [path: string, options?: ContractRequest]
): Promise<T> {
  const response = await api.request<T>(method, path, options);
  assert.ok(
    response.status >= 200 && response.status < 300,
    `${method} ${path}: ${response.status} ${response.text}`,
  );
  return response.json;
}

/** A Service made for one case: where it is and how it looked when it was created. */
export interface Made<T extends KubeObject> {
  readonly path: string;
  readonly collection: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: T;
}

/** Creates an object in `collection` and returns it with its path. */
export async function make<T extends KubeObject>(
  api: ContractApi,
  collection: string,
  body: KubeObject,
): Promise<Made<T>> {
  const object = await must<T>(api, 'POST', collection, { body });
  const name = object.metadata.name ?? '';
  return {
    path: `${collection}/${name}`,
    collection,
    namespace: object.metadata.namespace ?? '',
    name,
    object,
  };
}

/** Creates `aService(spec)` in a namespace of its own, or in the one that `service` names. */
export async function makeService(
  api: ContractApi,
  spec: Partial<ServiceSpec> = {},
  metadata: Service['metadata'] = {},
): Promise<Made<Service>> {
  const namespace = metadata.namespace ?? (await aNamespace(api));
  return make<Service>(api, pathOf('services', namespace), aService(spec, metadata));
}

/** Tries to create the Service in a new namespace and returns the answer, whatever it is. */
export async function tryService(
  api: ContractApi,
  spec: Partial<ServiceSpec>,
  metadata: Service['metadata'] = {},
) {
  const namespace = await aNamespace(api);
  return api.request<Service>('POST', pathOf('services', namespace), { body: aService(spec, metadata) });
}

export async function get<T = Service>(api: ContractApi, path: string): Promise<T> {
  return must<T>(api, 'GET', path);
}

/** A merge patch that has to succeed. */
export async function patch<T = Service>(api: ContractApi, path: string, body: unknown): Promise<T> {
  return must<T>(api, 'PATCH', path, { body, contentType: mergePatch });
}

/** What a refusal must look like. */
export interface Refusal {
  readonly code: number;
  readonly reason: string;
  /** `details.causes[].field` of one of the causes, in any case: Kubernetes 1.34 says `spec.LoadBalancerSourceRanges`. */
  readonly field?: string;
  /** `details.causes[].reason` of that cause. */
  readonly cause?: string;
}

/** Asserts that an answer is a Status object that refuses for the given reason. */
export function expectRefusal(response: ContractResponse, refusal: Refusal): Status {
  assert.equal(response.status, refusal.code, response.text);
  const status = response.json as Status;
  assert.equal(status.kind, 'Status');
  assert.equal(status.apiVersion, 'v1');
  assert.equal(status.status, 'Failure');
  assert.equal(status.reason, refusal.reason);
  assert.equal(status.code, refusal.code);
  assert.ok(status.message, 'a refusal has a message');
  if (refusal.field !== undefined) {
    const causes = status.details?.causes ?? [];
    const wanted = refusal.field.toLowerCase();
    const cause = causes.find(({ field }) => field?.toLowerCase() === wanted);
    assert.ok(cause, `no cause names ${refusal.field}: ${JSON.stringify(causes)}`);
    if (refusal.cause !== undefined) assert.equal(cause.reason, refusal.cause);
  }
  return status;
}

/** The next event of a watch, within 10 s. */
export async function nextEvent<T extends object = Service>(watch: ContractWatch): Promise<ContractEvent<T>> {
  const next = await within(watch.next(), 'an event of the watch');
  assert.ok(!next.done, 'the watch ended without the expected event');
  return next.value as ContractEvent<T>;
}

/** The next event that is no bookmark, within 10 s. */
export async function nextChange<T extends object = Service>(
  watch: ContractWatch,
): Promise<ContractEvent<T>> {
  for (;;) {
    const event = await nextEvent<T>(watch);
    if (event.type !== 'BOOKMARK') return event;
  }
}

/** `promise`, or an error that names what was waited for in vain for 10 s. */
export async function within<T>(promise: Promise<T>, what: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`waited 10 s for ${what}`)), 10_000);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What to watch. */
export interface WatchTarget {
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly accept?: string;
}

/** Opens a watch, runs `work` with it and closes it. */
export async function watching(
  api: ContractApi,
  target: WatchTarget,
  work: (watch: ContractWatch) => Promise<void>,
): Promise<void> {
  const watch = await within(api.watch(target.path, target.query, target.accept), 'the watch to open');
  try {
    await work(watch);
  } finally {
    watch.close();
  }
}

/** The resourceVersion of a list: where a watch that misses nothing starts. */
export async function versionOf(api: ContractApi, collection: string): Promise<string> {
  const { metadata } = await must<List<KubeObject>>(api, 'GET', collection);
  return metadata.resourceVersion;
}
