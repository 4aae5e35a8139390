import { asBerthError } from '../model/errors.ts';
import type { Target } from '../model/load-balancer.ts';
import type { PlanRequest } from '../provider/spi.ts';
import { converge, type StepObserver } from './converge.ts';
import type { Outcome } from './queue.ts';
import type { ProviderRuntime } from './runtime.ts';

/** When to look again while a load balancer is left, in milliseconds. */
const IN_USE_MS = 10_000;

/** Prefix of the queue keys under which shared resources are looked after; no Service's key has one. */
const PREFIX = 'shared:';

/** The queue key of a provider's shared resources. */
export function sharedKey(runtime: ProviderRuntime): string {
  return `${PREFIX}${runtime.provider.name}`;
}

/** The provider name in a shared key; `undefined` for the key of a Service. */
export function sharedName(key: string): string | undefined {
  return key.startsWith(PREFIX) ? key.slice(PREFIX.length) : undefined;
}

/** What the shared resources of a provider are brought in line with. */
export interface SharedWork {
  readonly targets: readonly Target[];
  readonly observer: StepObserver;
  readonly signal: AbortSignal;
}

/** Brings the shared resources in line before a load balancer that needs them; waits while somebody else does. */
export async function ensureShared(runtime: ProviderRuntime, work: SharedWork): Promise<void> {
  const request = (): PlanRequest => sharedRequest(runtime, work.targets);
  const differs = (): boolean => runtime.provider.plan(request(), runtime.state.view).length > 0;
  if (!differs()) return;
  await runtime.exclusively(async () => {
    if (differs()) await convergeShared(runtime, request(), work);
  });
}

/** What is asked of the shared resources now. */
export function sharedRequest(
  { needs }: ProviderRuntime,
  targets: readonly Target[],
): Extract<PlanRequest, { readonly scope: 'shared' }> {
  return { scope: 'shared', desired: { targets, needs: needs.all, complete: needs.complete } };
}

/** Removes the shared resources, once no load balancer that may use them is left; says when to look again. */
export async function removeShared(runtime: ProviderRuntime, work: SharedWork): Promise<Outcome> {
  return await runtime.exclusively(async () => {
    if (runtime.state.view.loadBalancers.size > 0) return { requeue: 'after', ms: IN_USE_MS };
    await convergeShared(runtime, { scope: 'shared', desired: undefined }, work);
    return { requeue: 'forget' };
  });
}

/** When a pass over shared resources is due again that only had to wait. @throws the error, if it is another one. */
export function whenReady(error: unknown): Outcome {
  const { retryAfterMs } = asBerthError(error);
  if (retryAfterMs === undefined) throw error;
  return { requeue: 'after', ms: retryAfterMs };
}

/** Plans and acts; on a `Conflict` everything is observed again and the work is done once more. */
async function convergeShared(
  runtime: ProviderRuntime,
  request: PlanRequest,
  work: SharedWork,
): Promise<void> {
  try {
    await converge(runtime, request, work);
  } catch (error) {
    if (work.signal.aborted || asBerthError(error).kind !== 'Conflict') throw error;
    await runtime.observeAll(work.signal);
    await converge(runtime, request, work);
  }
}
