/** What a command is carried out with. It imports nothing of the controller: a speaker starts with this and no more. */
import { connectKube, KubeClient, type Connection } from '../kube/index.ts';
import type { Log } from '../provider/spi.ts';
import type { Environment } from './environment.ts';
import type { Settings } from './settings.ts';
import type { Terminal } from './terminal.ts';

/** What every command is given. */
export interface Invocation {
  readonly terminal: Terminal;
  readonly environment: Environment;
  readonly settings: Settings;
  readonly log: Log;
  /** Aborts on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  readonly version: string;
  /** Where relative provider paths count from. */
  readonly directory: string;
  /** Whether the answer is to be JSON. */
  readonly json: boolean;
}

/**
 * Finds the API server and does something with it; the sockets are closed afterwards.
 *
 * @throws Denied `KubeconfigUnusable`; what `work` throws.
 */
export async function withConnection<T>(
  invocation: Invocation,
  work: (connection: Connection, client: KubeClient) => Promise<T>,
): Promise<T> {
  const { settings, environment, version } = invocation;
  const { kubeconfig, context } = settings;
  const connection = await connectKube({ kubeconfig, context, env: environment.variables });
  try {
    return await work(connection, new KubeClient(connection, { version }));
  } finally {
    connection.close();
  }
}
