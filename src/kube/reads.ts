import { ApiError } from './errors.ts';
import type { KubeClient, Requester } from './client.ts';
import { resourcePath } from './paths.ts';
import { record, text } from './raw.ts';

/**
 * The cluster's identity: the UID of the namespace `kube-system`, which lasts as long as the cluster's data.
 * @throws ApiError
 */
export async function readClusterId(client: Requester, signal: AbortSignal): Promise<string> {
  const path = resourcePath('/api/v1', 'namespaces', { name: 'kube-system' });
  const uid = text(record(record(await client.request({ path, signal }))['metadata'])['uid']);
  if (uid !== '') return uid;
  throw new ApiError('ApiBadAnswer', {
    what: `GET ${path}`,
    message: 'the namespace kube-system has no UID',
  });
}

/** The API server's version, such as `v1.34.1`. @throws ApiError */
export async function readServerVersion(client: Requester, signal: AbortSignal): Promise<string> {
  return text(record(await client.request({ path: '/version', signal }))['gitVersion'], 'unknown');
}

/** A pod's HTTP port and what to ask there. */
export interface PodTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
  /** Path and query behind the pod's address, beginning with a slash. */
  readonly path: string;
}

/**
 * GETs something from a pod through the API server (`pods/proxy`), so that no network path to the pod is needed.
 * Returns the body as text. @throws ApiError, also for a failing status that the pod itself gave.
 */
export function readFromPod(client: KubeClient, target: PodTarget, signal: AbortSignal): Promise<string> {
  const { namespace, pod, port } = target;
  const base = resourcePath('/api/v1', 'pods', { namespace, name: `${pod}:${port}`, subresource: 'proxy' });
  const [path = '', search = ''] = target.path.split('?', 2);
  const query = Object.fromEntries(new URLSearchParams(search));
  return client.text({ path: base + path, query, signal, retries: 0 });
}
