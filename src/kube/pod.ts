import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';

/** What a connection needs of a configuration, wherever that was read from. */
export interface Configuration {
  readonly server: URL;
  readonly namespace: string;
  /** Requests go through a proxy, for which the options come with an agent of their own. */
  readonly proxied: boolean;
  /** Puts TLS material and credentials that are valid now into the options. Throws what is wrong with the files. */
  apply(options: RequestOptions): Promise<void>;
}

/**
 * The configuration that every pod finds (Kubernetes documentation, "Accessing the Kubernetes API from a Pod"). The
 * token is a file that the kubelet replaces long before it expires, so it is read whenever it is asked for.
 *
 * Written out here because a pod needs nothing else of `@kubernetes/client-node`, which takes about 40 MB and 0.3 s of
 * CPU to load.
 */
export function podConfiguration(
  dir: string,
  env: Readonly<Record<string, string | undefined>>,
): Configuration {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  return {
    server: new URL(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`),
    namespace: namespaceOf(join(dir, 'namespace')),
    proxied: false,
    // oxlint-disable-next-line typescript/require-await -- client-node's counterpart may run a program
    async apply(options) {
      options.ca = readFileSync(join(dir, 'ca.crt'));
      const token = readFileSync(join(dir, 'token'), 'utf8').trim();
      options.headers = { ...options.headers, Authorization: `Bearer ${token}` };
    },
  };
}

function namespaceOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return 'default';
  }
}
