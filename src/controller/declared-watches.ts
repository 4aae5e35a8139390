import { isApiError, ListWatch, toPlainObject, type KubeClient } from '../kube/index.ts';
import type { Log, WatchDeclaration, Watched } from '../provider/spi.ts';

/** How long to wait before a resource that the API server does not know is looked for again, in milliseconds. */
const ABSENT_MS = 30_000;

interface Declared {
  readonly declaration: WatchDeclaration;
  watch: ListWatch<unknown> | undefined;
}

/**
 * The resources that providers declared to read. They are declared while providers are made, and watched while this
 * process acts. A resource that the API server does not know counts as empty, and is looked for again.
 */
export class DeclaredWatches {
  readonly #declared: Declared[] = [];
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** What `Host.watch` does. */
  declare(declaration: WatchDeclaration): Watched {
    const declared: Declared = { declaration, watch: undefined };
    this.#declared.push(declared);
    return { list: () => declared.watch?.list() ?? [] };
  }

  /** Begins to watch; resolves when every first list is in, or the resource is known to be absent. */
  async open(client: KubeClient, signal: AbortSignal): Promise<void> {
    await Promise.all(this.#declared.map((declared) => this.#open(declared, client, signal)));
  }

  async #open(declared: Declared, client: KubeClient, signal: AbortSignal): Promise<void> {
    const { path, onChange } = declared.declaration;
    const absent = Promise.withResolvers<void>();
    const watch = new ListWatch<unknown>({
      client,
      path,
      convert: toPlainObject,
      signal,
      tuning: { backoffMaxMs: ABSENT_MS },
      onChange: () => {
        if (watch.isSynced) onChange();
      },
      onTrouble: ({ error, retryInMs }) => {
        if (isApiError(error, 'ApiNotFound')) absent.resolve();
        else this.#log.warn({ path, error: String(error), retryInMs }, 'watch broken');
      },
    });
    declared.watch = watch;
    await Promise.race([watch.synced, absent.promise]);
    onChange();
    // A resource that is installed later is told of when its first list is in.
    watch.synced.then(onChange, () => undefined);
  }
}
