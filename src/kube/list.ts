import type { Requester } from './client.ts';
import { ApiError, isApiError } from './errors.ts';

/** What to list. */
export interface ListRequest {
  readonly path: string;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  /** Objects a page; 500 unless given. */
  readonly pageSize?: number;
  /** Milliseconds for one page; 60,000 unless given. */
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

/** Takes a list in. `onStart` is called again when the server forgot the list half-way and it starts anew. */
export interface ListSink {
  /** A list of this resourceVersion begins. */
  readonly onStart?: (resourceVersion: string) => void;
  readonly onItem: (raw: unknown) => void;
}

/**
 * Lists everything at one path in pages, read by quorum, so that nothing older than the last write is seen
 * (Kubernetes API concepts, "Retrieving large results sets in chunks"). If the server has compacted the list away
 * between two pages (410), it starts again; if that happens twice, it is asked for in one piece, as a list that takes
 * longer than the server remembers would never come to its end.
 * @returns the list's resourceVersion, from which a watch goes on.
 * @throws ApiError
 */
export async function listAll(client: Requester, request: ListRequest, sink: ListSink): Promise<string> {
  const pageSizes = [request.pageSize ?? 500, request.pageSize ?? 500, undefined];
  for (const pageSize of pageSizes) {
    try {
      return await listPages(client, { ...request, limit: pageSize }, sink);
    } catch (error) {
      if (!isApiError(error, 'ApiExpired') || pageSize === undefined) throw error;
    }
  }
  throw new Error('unreachable: the last round returns or throws');
}

async function listPages(
  client: Requester,
  request: ListRequest & { readonly limit: number | undefined },
  sink: ListSink,
): Promise<string> {
  const { path, labelSelector, fieldSelector, limit, signal, timeoutMs = 60_000 } = request;
  let start = '';
  let next: string | undefined;
  do {
    const query = { labelSelector, fieldSelector, limit, continue: next };
    const page = readPage(await client.request({ path, query, signal, timeoutMs }), path);
    if (next === undefined) {
      start = page.resourceVersion;
      sink.onStart?.(start);
    }
    page.items.forEach(sink.onItem);
    next = page.continue;
  } while (next !== undefined);
  return start;
}

function readPage(
  body: unknown,
  path: string,
): {
  readonly items: readonly unknown[];
  readonly resourceVersion: string;
  readonly continue: string | undefined;
} {
  const { metadata, items } = (body ?? {}) as { metadata?: Record<string, unknown> | null; items?: unknown };
  const resourceVersion = metadata?.['resourceVersion'];
  if (
    typeof resourceVersion !== 'string' ||
    !(Array.isArray(items) || items === null || items === undefined)
  ) {
    throw new ApiError('ApiBadAnswer', {
      what: `GET ${path}`,
      message: 'the answer is no list of Kubernetes objects',
    });
  }
  const token = metadata?.['continue'];
  return {
    items: items ?? [],
    resourceVersion,
    continue: typeof token === 'string' && token !== '' ? token : undefined,
  };
}
