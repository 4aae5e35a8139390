import { Denied } from '../model/errors.ts';
import type { Requester } from './client.ts';
import { isApiError } from './errors.ts';
import { durationSeconds, type LeaseRecord, microTime, toLease } from './lease-record.ts';
import { resourcePath } from './paths.ts';

/** API group and version of Leases. */
export const LEASE_API = '/apis/coordination.k8s.io/v1';

/** What a write says. Annotations with `null` are removed. */
export interface LeaseWrite {
  readonly holder: string;
  readonly durationMs: number;
  readonly acquireTime: string;
  readonly transitions: number;
  readonly annotations: Readonly<Record<string, string | null>>;
  readonly wallMs: number;
}

/** Reads and writes one Lease; tries nothing again by itself, as its users have deadlines. */
export class LeaseClient {
  readonly #client: Requester;
  readonly #at: { readonly namespace: string; readonly name: string };
  readonly #timeoutMs: number;

  /** `timeoutMs` is for each request. */
  constructor(
    client: Requester,
    at: { readonly namespace: string; readonly name: string },
    timeoutMs: number,
  ) {
    this.#client = client;
    this.#at = { namespace: at.namespace, name: at.name };
    this.#timeoutMs = timeoutMs;
  }

  /** Reads the Lease by quorum; `undefined` if there is none. @throws ApiError */
  async read(signal: AbortSignal): Promise<LeaseRecord | undefined> {
    try {
      return toLease(await this.#request('GET', undefined, signal));
    } catch (error) {
      if (isApiError(error, 'ApiNotFound')) return undefined;
      throw error;
    }
  }

  /**
   * Creates the Lease (`base` undefined), or changes it if it is still as in `base`.
   * @throws ApiError, `ApiConflict` or `ApiAlreadyExists` if somebody was faster; Denied if the namespace is missing.
   */
  async write(base: LeaseRecord | undefined, write: LeaseWrite, signal: AbortSignal): Promise<LeaseRecord> {
    const spec = {
      holderIdentity: write.holder,
      leaseDurationSeconds: durationSeconds(write.durationMs),
      acquireTime: write.acquireTime,
      renewTime: microTime(write.wallMs),
      leaseTransitions: write.transitions,
    };
    const answer =
      base === undefined
        ? await this.#create(spec, write.annotations, signal)
        : await this.#request(
            'PATCH',
            { metadata: { resourceVersion: base.resourceVersion, annotations: write.annotations }, spec },
            signal,
          );
    const lease = toLease(answer);
    if (lease === undefined) throw new Error('the API server answered a Lease without a resourceVersion');
    return lease;
  }

  async #create(spec: object, annotations: LeaseWrite['annotations'], signal: AbortSignal): Promise<unknown> {
    const { name, namespace } = this.#at;
    const kept = Object.fromEntries(Object.entries(annotations).filter(([, value]) => value !== null));
    const metadata = { name, namespace, annotations: kept };
    const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
    try {
      return await this.#request('POST', body, signal);
    } catch (error) {
      // A create finds nothing missing but the namespace.
      if (!isApiError(error, 'ApiNotFound')) throw error;
      throw new Denied('LeaseNamespaceMissing', {
        message: `the namespace "${namespace}", in which the Lease "${name}" belongs, does not exist`,
        remedy: `Create it (kubectl create namespace ${namespace}), or name the one that Berth runs in`,
        cause: error,
      });
    }
  }

  #request(method: 'GET' | 'POST' | 'PATCH', body: unknown, signal: AbortSignal): Promise<unknown> {
    const { namespace, name } = this.#at;
    const path = resourcePath(LEASE_API, 'leases', method === 'POST' ? { namespace } : { namespace, name });
    return this.#client.request({
      method,
      path,
      body,
      signal,
      timeoutMs: this.#timeoutMs,
      retries: 0,
      urgent: true,
    });
  }
}
