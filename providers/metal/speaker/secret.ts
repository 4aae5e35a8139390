import { readFile } from 'node:fs/promises';
import { Denied, isBerthError, sleep, type ProcessHost } from '@berth/core';

/** The Secret that all speakers share; the controller makes it. */
export const SECRET = { name: 'berth-speaker', key: 'key', bytes: 32 } as const;
/** Less cannot protect anything. */
const MIN_BYTES = 16;
const RETRY_MS = 500;

/**
 * The speakers' key: the file if one is named, else the Secret, for which is waited as long as it takes.
 *
 * @throws Denied `SpeakerMisplaced` when the file cannot be used; the signal's reason.
 */
export async function readKey(host: ProcessHost): Promise<Uint8Array> {
  const { options, signal } = host;
  if (options.secretFile !== undefined)
    return keyFrom(await fileBytes(options.secretFile), options.secretFile);
  const path = `/api/v1/namespaces/${host.namespace}/secrets/${SECRET.name}`;
  let told: string | undefined;
  for (;;) {
    signal.throwIfAborted();
    try {
      const secret = await host.api.request<{ data?: Record<string, string> }>({ path, signal, retries: 0 });
      return keyFrom(
        Buffer.from(secret.data?.[SECRET.key] ?? '', 'base64'),
        `the Secret ${host.namespace}/${SECRET.name}`,
      );
    } catch (error) {
      if (!isBerthError(error) || error.code === 'SpeakerMisplaced') throw error;
      if (told !== error.code)
        host.log.warn(
          { error: error.message },
          `waiting for the Secret ${SECRET.name}, which the controller makes`,
        );
      told = error.code;
    }
    await sleep(host.clock, RETRY_MS, signal);
  }
}

async function fileBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw unusable(
      `the key file ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

function keyFrom(bytes: Uint8Array, where: string): Uint8Array {
  if (bytes.length >= MIN_BYTES) return bytes;
  throw unusable(`${where} has ${bytes.length} bytes of key, at least ${MIN_BYTES} are needed`);
}

function unusable(message: string): Denied {
  return new Denied('SpeakerMisplaced', {
    message,
    remedy: `Mount the key of the Secret ${SECRET.name}, or let the controller of the provider metal make it`,
  });
}
