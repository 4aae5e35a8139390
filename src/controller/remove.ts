import { asBerthError } from '../model/errors.ts';
import type { ServiceKey } from '../model/service.ts';
import { sleep } from '../provider/clock.ts';
import type { Clock, Log } from '../provider/spi.ts';
import type { Acting } from './as-leader.ts';
import { backoffMs } from './backoff.ts';
import { converge } from './converge.ts';
import type { ProviderRuntime } from './runtime.ts';

/** What removing needs, outside of a controller and its queue. */
export interface Removal {
  readonly acting: Acting;
  readonly clock: Clock;
  readonly log: Log;
}

/** How often what may work the next time is tried again. */
const MAX_FAILURES = 5;

/** How long something that takes time may take in all, in milliseconds. */
const PATIENCE_MS = 900_000;

/** Steps are counted by the controller's metrics; a single command has nobody to show them to. */
const UNCOUNTED = { record: () => {} };

/**
 * Removes one observed load balancer: plans from what is there to nothing and carries it out, waiting where the
 * provider says that something takes time.
 *
 * @throws BerthError when it cannot be removed; the signal's reason.
 */
export async function removeObserved(
  runtime: ProviderRuntime,
  key: ServiceKey,
  removal: Removal,
): Promise<void> {
  await persistently(runtime, { scope: 'loadBalancer', key, desired: undefined }, removal);
}

/** Removes what the load balancers of a provider shared; to be called when none is left. @throws as above. */
export async function removeSharedResources(runtime: ProviderRuntime, removal: Removal): Promise<void> {
  await persistently(runtime, { scope: 'shared', desired: undefined }, removal);
}

type Scope =
  | { readonly scope: 'loadBalancer'; readonly key: ServiceKey; readonly desired: undefined }
  | { readonly scope: 'shared'; readonly desired: undefined };

async function persistently(runtime: ProviderRuntime, request: Scope, removal: Removal): Promise<void> {
  const { acting, clock, log } = removal;
  const observer = { log, steps: UNCOUNTED, holds: acting.holds };
  const until = clock.monotonic() + PATIENCE_MS;
  for (let failures = 0; ;) {
    try {
      await converge(runtime, request, { observer, signal: acting.signal });
      return;
    } catch (thrown) {
      acting.signal.throwIfAborted();
      const error = asBerthError(thrown);
      const again = ['NotReady', 'Throttled', 'Transient', 'Conflict'].includes(error.kind);
      if (error.kind !== 'NotReady') failures += 1;
      if (!again || failures > MAX_FAILURES || error.code === 'LeaseLost' || clock.monotonic() > until)
        throw error;
      await sleep(clock, error.retryAfterMs ?? backoffMs(failures, Math.random), acting.signal);
      if (request.scope === 'loadBalancer') await runtime.observeKey(request.key, acting.signal);
    }
  }
}
