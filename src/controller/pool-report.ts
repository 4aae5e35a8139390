import type { PoolUsage } from '../plan/pool-usage.ts';
import { isBerthError } from '../model/errors.ts';
import type { Clock, Log, ObjectPatch } from '../provider/spi.ts';
import type { ControllerMetrics } from './metrics.ts';
import type { ProviderRuntime } from './runtime.ts';

/** How long changes are gathered before the pools' objects are written, in milliseconds. */
const GATHER_MS = 1_000;
/** How long to wait after a write that failed, in milliseconds. */
const RETRY_MS = 30_000;

/** What a report works with. */
export interface PoolReportOptions {
  readonly runtimes: readonly ProviderRuntime[];
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<ControllerMetrics, 'poolUsage'>;
  /** Writes an object; absent where nothing may be written. */
  readonly patch?: PatchObject | undefined;
}

/** Sends a merge patch. @throws BerthError */
export type PatchObject = (patch: ObjectPatch, signal: AbortSignal) => Promise<unknown>;

/**
 * Tells how full the pools are: in the metrics, which are counted when they are asked for, and in the pools' own objects
 * where the provider has some. `poke` says that something may have changed; what follows within a second is one write,
 * and nothing is written when nothing differs.
 */
export class PoolReport {
  readonly #options: PoolReportOptions;
  readonly #absent = new Set<string>();
  #signal: AbortSignal | undefined;
  #cancel: (() => void) | undefined;
  #working = false;

  constructor(options: PoolReportOptions) {
    this.#options = options;
  }

  /** From now on, until the signal aborts, the pools are told about. */
  begin(signal: AbortSignal): void {
    this.#signal = signal;
    this.#options.metrics.poolUsage(() =>
      signal.aborted ? [] : this.#usages().flatMap(({ usage }) => usage),
    );
    this.poke();
  }

  /** Nothing more is written. */
  close(): void {
    this.#cancel?.();
    this.#signal = undefined;
  }

  /** Addresses or pools may have changed. Returns at once. */
  poke(): void {
    this.#after(GATHER_MS);
  }

  #after(ms: number): void {
    const { clock, patch, runtimes } = this.#options;
    const told = runtimes.some(({ provider }) => provider.poolPatches !== undefined);
    if (!told || patch === undefined || this.#cancel !== undefined || this.#signal?.aborted !== false) return;
    this.#cancel = clock.after(ms, () => {
      this.#cancel = undefined;
      void this.#write();
    });
  }

  async #write(): Promise<void> {
    const { log } = this.#options;
    const signal = this.#signal;
    // What comes while something is being written is looked at by the next round.
    if (this.#working) return this.#after(GATHER_MS);
    if (signal === undefined || signal.aborted) return;
    this.#working = true;
    try {
      for (const { runtime, usage } of this.#usages()) {
        for (const patch of runtime.provider.poolPatches?.(usage) ?? []) await this.#send(patch, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ error: String(error), retryInMs: RETRY_MS }, 'how full a pool is could not be written');
      this.#after(RETRY_MS);
    } finally {
      this.#working = false;
    }
  }

  async #send(patch: ObjectPatch, signal: AbortSignal): Promise<void> {
    if (this.#absent.has(patch.path)) return;
    try {
      await this.#options.patch?.(patch, signal);
    } catch (error) {
      if (!isBerthError(error) || error.code !== 'ApiNotFound') throw error;
      // Gone, or a resource definition without this part: asking again would not make it appear.
      this.#absent.add(patch.path);
      this.#options.log.debug({ path: patch.path }, 'how full the pool is cannot be written there');
    }
  }

  #usages(): readonly { readonly runtime: ProviderRuntime; readonly usage: readonly PoolUsage[] }[] {
    return this.#options.runtimes
      .filter(({ ready }) => ready)
      .flatMap((runtime) => (runtime.book === undefined ? [] : [{ runtime, usage: runtime.book.usage() }]));
  }
}
