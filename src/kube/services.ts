import { FINALIZER } from '../model/names.ts';
import type { Service } from '../model/service.ts';
import type { Requester } from './client.ts';
import { listAll } from './list.ts';
import { resourcePath } from './paths.ts';
import { statusPatch, type WantedStatus } from './status.ts';
import { toService } from './convert.ts';

/**
 * Every write that the core makes to a Service. Each is one merge patch (RFC 7396) that holds nothing but the change
 * and the resourceVersion that it is based on, so that it fails with `ApiConflict` instead of undoing what somebody
 * else did meanwhile. Each returns the server's answer, for `ListWatch.put`, or `undefined` if nothing had to be sent.
 *
 * All throw `ApiError`: `ApiConflict` (read again, then decide again) and `ApiNotFound` (it is gone; during a clean-up
 * that is success) are the ones a caller expects.
 */
export interface WriteContext {
  readonly client: Requester;
  readonly signal: AbortSignal;
  /** Milliseconds for each attempt; 4,000 unless given, so that writes end well before a lost Lease is anyone else's. */
  readonly timeoutMs?: number;
}

const WRITE_TIMEOUT_MS = 4_000;

/** Path of all Services of the cluster. */
export const SERVICES_PATH = resourcePath('/api/v1', 'services');

/** Adds a finalizer (ours) behind those of others. */
export function addFinalizer(
  context: WriteContext,
  service: Service,
  finalizer: string = FINALIZER,
): Promise<unknown> {
  if (service.finalizers.includes(finalizer)) return Promise.resolve(undefined);
  return patchFinalizers(context, service, [...service.finalizers, finalizer]);
}

/** Removes a finalizer (ours); those of others stay in their order. */
export function removeFinalizer(
  context: WriteContext,
  service: Service,
  finalizer: string = FINALIZER,
): Promise<unknown> {
  if (!service.finalizers.includes(finalizer)) return Promise.resolve(undefined);
  const kept = service.finalizers.filter((name) => name !== finalizer);
  return patchFinalizers(context, service, kept);
}

/** Writes addresses, our condition and annotations, as far as they differ. `nowMs` is the wall clock, for the condition. */
export function patchStatus(
  context: WriteContext,
  service: Service,
  wanted: WantedStatus & { readonly nowMs: number },
): Promise<unknown> {
  const body = statusPatch(service, wanted, wanted.nowMs);
  return body === undefined
    ? Promise.resolve(undefined)
    : patch(context, service, { body, subresource: 'status' });
}

/** Takes our condition away, for a Service that is none of ours any more; the API server itself never does. */
export function clearCondition(context: WriteContext, service: Service): Promise<unknown> {
  return patchStatus(context, service, { condition: null, nowMs: 0 });
}

/** Makes the API server give every port its node port. */
export function allocateNodePorts(context: WriteContext, service: Service): Promise<unknown> {
  if (service.allocateLoadBalancerNodePorts) return Promise.resolve(undefined);
  return patch(context, service, {
    body: {
      metadata: { resourceVersion: service.resourceVersion },
      spec: { allocateLoadBalancerNodePorts: true },
    },
  });
}

/** Reads one Service by quorum. */
export async function getService(
  context: WriteContext,
  key: Pick<Service, 'namespace' | 'name'>,
): Promise<Service | undefined> {
  const { namespace, name } = key;
  const path = resourcePath('/api/v1', 'services', { namespace, name });
  return toService(await context.client.request({ path, signal: context.signal }));
}

/** Lists all Services by quorum, in pages: what a new leader reads after it acquired the Lease. */
export async function listServices(context: WriteContext): Promise<Service[]> {
  let services: Service[] = [];
  const { client, signal } = context;
  const sink = {
    onStart: () => (services = []),
    onItem: (raw: unknown) => {
      const service = toService(raw);
      if (service !== undefined) services.push(service);
    },
  };
  await listAll(client, { path: SERVICES_PATH, signal }, sink);
  return services;
}

function patchFinalizers(
  context: WriteContext,
  service: Service,
  finalizers: readonly string[],
): Promise<unknown> {
  // `null` and not an empty list: a merge patch that leaves nothing takes the field away.
  const list = finalizers.length === 0 ? null : finalizers;
  const metadata = { resourceVersion: service.resourceVersion, finalizers: list };
  return patch(context, service, { body: { metadata } });
}

async function patch(
  { client, signal, timeoutMs = WRITE_TIMEOUT_MS }: WriteContext,
  { namespace, name }: Service,
  { body, subresource }: { readonly body: object; readonly subresource?: string },
): Promise<unknown> {
  const at = { namespace, name, ...(subresource === undefined ? {} : { subresource }) };
  const path = resourcePath('/api/v1', 'services', at);
  // With the resourceVersion in it a second delivery conflicts and changes nothing.
  return client.request({ method: 'PATCH', path, body, signal, timeoutMs, idempotent: true });
}
