import { resourcePath, SERVICES_PATH, type KubeClient } from '../kube/index.ts';

/**
 * Asks for what every command lists, one object of each, so that an API server that is away or refuses is an error at
 * once: the caches themselves wait and try again, as a controller must.
 *
 * @throws ApiError; the signal's reason.
 */
export async function probe(client: KubeClient, signal: AbortSignal): Promise<void> {
  const paths = [SERVICES_PATH, resourcePath('/api/v1', 'nodes')];
  await Promise.all(
    paths.map((path) => client.request({ path, query: { limit: 1 }, signal, timeoutMs: 10_000 })),
  );
}
