/** What goes back: negotiation of the format, and sending it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ResourceType } from '../machinery/resource.ts';
import { ApiError } from '../machinery/status.ts';
import { type IncludeObject, partialMetadata, table } from '../machinery/table.ts';
import type { KubeObject } from '../machinery/objects.ts';

/** An answer that is complete when it is sent. */
export interface Reply {
  readonly code: number;
  /** The body, already as text. */
  readonly body: string;
  readonly contentType?: string;
}

/** A JSON answer. */
export function json(code: number, body: object): Reply {
  return { code, body: JSON.stringify(body) };
}

/** How the client wants objects: whole, as a Table, or only their metadata. */
export type Format = 'object' | 'table' | 'metadata';

/**
 * Reads the Accept header.
 *
 * @throws ApiError 406 when nothing of what it names can be made; protobuf cannot
 */
export function formatOf(accept: string | undefined): Format {
  for (const part of (accept ?? '*/*').split(',')) {
    const [media = '', ...parameters] = part.split(';').map((piece) => piece.trim());
    if (!['application/json', 'application/*', '*/*', ''].includes(media)) continue;
    const as = parameters.find((parameter) => parameter.startsWith('as='))?.slice(3);
    if (as === undefined) return 'object';
    if (as === 'Table') return 'table';
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') return 'metadata';
  }
  throw new ApiError(406, 'NotAcceptable', {
    message: 'only the following media types are accepted: application/json',
    details: {},
  });
}

/** The parameter `includeObject` of a Table request. */
export function includeObject(query: URLSearchParams): IncludeObject {
  const value = query.get('includeObject');
  return value === 'Object' || value === 'None' ? value : 'Metadata';
}

/** One object in the format that was asked for. */
export function shape(
  type: ResourceType,
  object: KubeObject,
  as: { format: Format; include: IncludeObject; headers?: boolean; now: number },
): object {
  if (as.format === 'object') return object;
  if (as.format === 'metadata') return partialMetadata(object);
  const { resourceVersion = '' } = object.metadata;
  return table({
    columns: type.columns,
    objects: [object],
    metadata: { resourceVersion },
    include: as.include,
    headers: as.headers ?? true,
    now: as.now,
  });
}

/** Sends a reply, with the warnings that arose. */
export function send(response: ServerResponse, reply: Reply, warnings: readonly string[] = []): void {
  if (response.headersSent || response.destroyed) return;
  const body = Buffer.from(reply.body);
  for (const warning of warnings) {
    response.appendHeader('warning', `299 - ${JSON.stringify(warning)}`);
  }
  response.writeHead(reply.code, {
    'content-type': reply.contentType ?? 'application/json',
    'content-length': body.length,
    'cache-control': 'no-cache, private',
  });
  response.end(body);
}

/** Sends a refusal as a Status, with Retry-After where it says when to come back. */
export function sendError(response: ServerResponse, error: ApiError): void {
  const seconds = error.details?.retryAfterSeconds;
  if (seconds !== undefined && !response.headersSent) response.setHeader('retry-after', String(seconds));
  send(response, json(error.code, error.status()));
}

const BODY_LIMIT_BYTES = 3 * 1024 * 1024;

/** Reads a body. @throws ApiError 413 beyond 3 MiB, after the rest was read and dropped, so that the answer arrives */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= BODY_LIMIT_BYTES) chunks.push(chunk);
  }
  if (size <= BODY_LIMIT_BYTES) return Buffer.concat(chunks);
  throw new ApiError(413, 'RequestEntityTooLarge', {
    message: `Request entity too large: limit is ${BODY_LIMIT_BYTES}`,
  });
}
