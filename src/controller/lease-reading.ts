import { isApiError, resourcePath, toLease, type KubeClient, type LeaseRecord } from '../kube/index.ts';
import { LEASE_NAME } from '../model/names.ts';

/** What reading the controllers' Lease takes. */
export interface LeaseRead {
  readonly client: KubeClient;
  /** Where the Lease is. */
  readonly namespace: string;
  readonly signal: AbortSignal;
}

/** The Lease of Berth's controllers as it is now; `undefined` when there is none. @throws ApiError */
export async function readControllerLease(request: LeaseRead): Promise<LeaseRecord | undefined> {
  const { client, namespace, signal } = request;
  const path = resourcePath('/apis/coordination.k8s.io/v1', 'leases', { namespace, name: LEASE_NAME });
  try {
    return toLease(await client.request({ path, signal }));
  } catch (error) {
    if (isApiError(error, 'ApiNotFound')) return undefined;
    throw error;
  }
}

/** The process behind a Lease's identity, as people know it: identities are `NAME_UUID`. */
export function holderName(holder: string): string {
  return holder.replace(/_[0-9a-f-]{36}$/, '');
}
