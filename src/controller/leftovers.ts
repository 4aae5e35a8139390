import { asBerthError } from '../model/errors.ts';
import type { LoadBalancer } from '../model/load-balancer.ts';
import { stepText } from '../plan/step.ts';
import { mustHold, type StepObserver } from './converge.ts';
import type { Outcome } from './queue.ts';
import type { ProviderRuntime } from './runtime.ts';

/** When to try again what failed, in milliseconds: nobody waits for it. */
const FAILED_MS = 60_000;

/**
 * Clears away what a load balancer does not use any more, once everything that people wait for is done. Says when to
 * look again; what fails is logged and tried again, and never told to anybody.
 */
export async function clearLeftovers(
  runtime: ProviderRuntime,
  desired: LoadBalancer,
  { observer, signal }: { readonly observer: StepObserver; readonly signal: AbortSignal },
): Promise<Outcome> {
  const { provider, state } = runtime;
  const observed = state.view.loadBalancers.get(desired.key);
  const steps = observed === undefined ? [] : (provider.leftovers?.(desired, observed) ?? []);
  let laterMs = Infinity;
  for (const step of steps) {
    signal.throwIfAborted();
    mustHold(observer);
    try {
      state.merge(step, await provider.apply(step, state.view, signal));
      runtime.touch(desired.key);
      observer.steps.record({ provider: provider.name, verb: step.verb, resource: step.resource }, 1);
    } catch (error) {
      signal.throwIfAborted();
      const { kind, message, retryAfterMs } = asBerthError(error);
      if (kind !== 'NotReady')
        observer.log.warn({ scope: step.scope, error: message }, `step failed: ${stepText(step)}`);
      laterMs = Math.min(laterMs, retryAfterMs ?? FAILED_MS);
    }
  }
  return laterMs === Infinity ? { requeue: 'forget' } : { requeue: 'after', ms: laterMs, settled: true };
}
