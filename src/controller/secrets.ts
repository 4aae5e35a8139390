import { randomBytes } from 'node:crypto';
import { isApiError, resourcePath, type Requester } from '../kube/index.ts';
import { sleep } from '../provider/clock.ts';
import type { Clock, Log, Provider, SecretDeclaration } from '../provider/spi.ts';

/** How long to wait before a Secret that could not be made is tried again, in milliseconds. */
const RETRY_MS = 10_000;

/** What `ensureSecrets` works with. */
export interface SecretsOptions {
  readonly client: Requester;
  readonly providers: readonly Provider[];
  /** Berth's own namespace. */
  readonly namespace: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * Makes the Secrets that providers declare and that are missing, with random content; one that exists is left as it
 * is. Tries again until they are there or the signal aborts; never throws.
 */
export async function ensureSecrets(options: SecretsOptions): Promise<void> {
  const declared = options.providers.flatMap(({ secrets = [] }) => secrets);
  await Promise.all(declared.map((secret) => ensure(secret, options)));
}

async function ensure(secret: SecretDeclaration, options: SecretsOptions): Promise<void> {
  const { namespace, clock, log, signal } = options;
  let told = '';
  while (!signal.aborted) {
    try {
      if (await makeIfMissing(secret, options))
        log.info({ namespace, secret: secret.name }, 'made the Secret');
      return;
    } catch (error) {
      if (signal.aborted) return;
      const text = String(error);
      if (text !== told)
        log.warn({ namespace, secret: secret.name, error: text }, 'the Secret could not be made');
      told = text;
    }
    await sleep(clock, RETRY_MS, signal).catch(() => undefined);
  }
}

async function makeIfMissing(
  { name, key, bytes }: SecretDeclaration,
  { client, namespace, signal }: SecretsOptions,
): Promise<boolean> {
  const at = { namespace, name };
  try {
    await client.request({ path: resourcePath('/api/v1', 'secrets', at), signal });
    return false;
  } catch (error) {
    if (!isApiError(error, 'ApiNotFound')) throw error;
  }
  const body = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, labels: { 'app.kubernetes.io/name': 'berth' } },
    type: 'Opaque',
    data: { [key]: randomBytes(bytes).toString('base64') },
  };
  try {
    await client.request({
      method: 'POST',
      path: resourcePath('/api/v1', 'secrets', { namespace }),
      body,
      signal,
      idempotent: true,
    });
    return true;
  } catch (error) {
    // Another process, or the answer to our own first attempt that was lost.
    if (isApiError(error, 'ApiAlreadyExists')) return false;
    throw error;
  }
}
