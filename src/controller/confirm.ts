import { NotReady } from '../model/errors.ts';
import { REASONS } from '../model/reasons.ts';
import { keyOf, type Service } from '../model/service.ts';
import type { Clock } from '../provider/spi.ts';
import type { ProviderRuntime } from './runtime.ts';

/**
 * Makes sure that nothing is there of a Service that is to be cleaned up. A read may miss what was made a moment ago,
 * by a process that was killed then; so where nothing is found, and this process has not removed it itself, it is
 * looked for once more after the time that the provider states.
 *
 * @throws NotReady `DeletionUnconfirmed` until that time has passed.
 */
export async function confirmAbsence(
  runtime: ProviderRuntime,
  service: Service,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const { settleMs } = runtime.provider;
  const key = keyOf(service);
  if (settleMs === undefined || runtime.has(key)) return;
  const now = clock.monotonic();
  const since = runtime.unseen.get(service.uid);
  if (since === undefined) runtime.unseen.set(service.uid, now);
  const leftMs = (since ?? now) + settleMs - now;
  if (leftMs > 0) {
    throw new NotReady('DeletionUnconfirmed', {
      message: REASONS.DeletionUnconfirmed.meaning,
      remedy: REASONS.DeletionUnconfirmed.remedy,
      retryAfterMs: leftMs,
    });
  }
  if (since === Number.NEGATIVE_INFINITY) return;
  await runtime.observeKey(key, signal);
  runtime.unseen.set(service.uid, Number.NEGATIVE_INFINITY);
}
