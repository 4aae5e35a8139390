import { CONDITION } from '../model/names.ts';
import { sleep } from '../provider/clock.ts';
import type { Clock, Log } from '../provider/spi.ts';
import type { Acting } from './as-leader.ts';
import { removeObserved } from './remove.ts';
import type { Looked } from './run.ts';
import type { Orphan, SweepReport } from './sweep.ts';
import { unseen, type Unseen } from './unseen.ts';

/** What one sweep from outside of a controller found. */
export interface SweepOnce {
  readonly reports: readonly SweepReport[];
  /** Providers about which nothing can be said from here. */
  readonly unseen: readonly Unseen[];
}

/**
 * Reads everything anew and compares. A Service counts as drifted when its condition says that it was provisioned and
 * yet there are steps for it: without a controller that remembers, an edit that nobody acted upon looks the same.
 *
 * @throws the signal's reason.
 */
export async function sweepOnce(looked: Looked, signal: AbortSignal): Promise<SweepOnce> {
  const { controller, cluster } = looked;
  const reports = await controller.sweep(signal);
  const provisioned = (key: string): boolean =>
    cluster.services
      .get(key)
      ?.conditions.some(({ type, status }) => type === CONDITION && status === 'True') === true;
  const blind = unseen(looked);
  const planned = controller.inspect.plan().filter(({ key, steps }) => steps.length > 0 && provisioned(key));
  return {
    unseen: blind,
    reports: reports.map((report) => ({
      ...report,
      drifted: blind.some(({ provider }) => provider === report.provider)
        ? []
        : planned
            .filter(({ provider }) => provider === report.provider)
            .map(({ key, steps }) => ({ key, steps })),
    })),
  };
}

/** What deleting orphans needs. */
export interface OrphanDeletion {
  readonly looked: Looked;
  readonly acting: Acting;
  readonly clock: Clock;
  readonly log: Log;
  /** Between the two observations, in milliseconds. */
  readonly pauseMs: number;
  readonly onDeleting?: (orphan: Orphan) => void;
}

/** What came of it. */
export interface OrphanOutcome {
  readonly found: readonly Orphan[];
  readonly deleted: readonly Orphan[];
  readonly failed: readonly { readonly orphan: Orphan; readonly message: string }[];
  readonly unseen: readonly Unseen[];
}

/**
 * Deletes what is ours by its marks and belongs to no Service, after two complete observations of the provider and two
 * quorum lists of Services said so, some seconds apart.
 */
export async function deleteOrphans(options: OrphanDeletion): Promise<OrphanOutcome> {
  const { looked, acting, clock, log, pauseMs, onDeleting } = options;
  const first = orphansOf(await looked.controller.sweep(acting.signal));
  if (first.length > 0) await sleep(clock, pauseMs, acting.signal);
  const second = first.length === 0 ? [] : orphansOf(await looked.controller.sweep(acting.signal));
  const found = second.filter((orphan) => first.some((other) => idOf(other) === idOf(orphan)));
  const deleted: Orphan[] = [];
  const failed: { orphan: Orphan; message: string }[] = [];
  for (const orphan of found) {
    const runtime = looked.controller.runtimes.find(({ provider }) => provider.name === orphan.provider);
    if (runtime === undefined || runtime.state.view.loadBalancers.get(orphan.key)?.uid !== orphan.uid)
      continue;
    onDeleting?.(orphan);
    try {
      await removeObserved(runtime, orphan.key, { acting, clock, log });
      deleted.push(orphan);
    } catch (error) {
      acting.signal.throwIfAborted();
      failed.push({ orphan, message: error instanceof Error ? error.message : String(error) });
    }
  }
  return { found, deleted, failed, unseen: unseen(looked) };
}

function orphansOf(reports: readonly SweepReport[]): readonly Orphan[] {
  return reports.flatMap(({ orphans }) => orphans);
}

function idOf({ provider, key, uid }: Orphan): string {
  return `${provider} ${key} ${uid}`;
}
