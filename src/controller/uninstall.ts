import {
  getService,
  isApiError,
  patchStatus,
  removeFinalizer,
  toService,
  type KubeClient,
} from '../kube/index.ts';
import { asBerthError } from '../model/errors.ts';
import { ANNOTATION_APPLIED, CONDITION } from '../model/names.ts';
import { keyOf, type Service, type ServiceKey } from '../model/service.ts';
import { hasFinalizer } from '../plan/lifecycle.ts';
import { compareText, SHARED } from '../plan/step.ts';
import type { PlanEntry } from './inspect.ts';
import { removeObserved, removeSharedResources, type Removal } from './remove.ts';
import type { Looked } from './run.ts';

/** How often a Service that somebody edits at the same moment is tried again. */
const MAX_CONFLICTS = 5;

/** Something that could not be undone, and why. */
export interface Failure {
  readonly key: ServiceKey;
  readonly message: string;
}

/** Services that carry a trace of ours, sorted by key. Pure. */
export function claimed(services: readonly Service[]): readonly Service[] {
  return services
    .filter(
      (service) =>
        hasFinalizer(service) ||
        service.conditions.some(({ type }) => type === CONDITION) ||
        service.annotations[ANNOTATION_APPLIED] !== undefined,
    )
    .toSorted((a, b) => compareText(keyOf(a), keyOf(b)));
}

/** What letting go of a Service needs. */
export interface Release {
  readonly client: KubeClient;
  readonly signal: AbortSignal;
  /** Whether the addresses go from the status as well, because the load balancer is gone. */
  readonly emptied: boolean;
}

/**
 * Takes our condition, our annotation and our finalizer from a Service, the finalizer last, because one that is being
 * deleted is gone with it. What others wrote stays. A Service that is gone counts as done.
 *
 * @throws ApiError
 */
export async function release(service: Service, { client, signal, emptied }: Release): Promise<void> {
  const context = { client, signal };
  let current: Service | undefined = service;
  for (let conflicts = 0; current !== undefined;) {
    try {
      const cleared = await patchStatus(context, current, {
        ...(emptied ? { ingress: [] } : {}),
        condition: null,
        annotations: { [ANNOTATION_APPLIED]: null },
        nowMs: 0,
      });
      await removeFinalizer(context, toService(cleared) ?? current);
      return;
    } catch (error) {
      if (isApiError(error, 'ApiNotFound')) return;
      if (!isApiError(error, 'ApiConflict') || ++conflicts > MAX_CONFLICTS) throw error;
      current = await read(context, current);
    }
  }
}

async function read(
  context: { readonly client: KubeClient; readonly signal: AbortSignal },
  service: Service,
): Promise<Service | undefined> {
  try {
    return await getService(context, service);
  } catch (error) {
    if (isApiError(error, 'ApiNotFound')) return undefined;
    throw error;
  }
}

/** What deleting everything would do: every load balancer that is ours by its marks, with or without a Service. */
export function deletionPlan({ controller }: Looked): readonly PlanEntry[] {
  return controller.runtimes.flatMap(({ provider, state }) => [
    ...[...state.view.loadBalancers.keys()].toSorted(compareText).map((key) => ({
      key,
      provider: provider.name,
      steps: provider.plan({ scope: 'loadBalancer', key, desired: undefined }, state.view),
    })),
    ...[provider.plan({ scope: SHARED, desired: undefined }, state.view)]
      .filter((steps) => steps.length > 0)
      .map((steps) => ({ key: SHARED, provider: provider.name, steps })),
  ]);
}

/** Deletes every load balancer that is ours, then what they shared; one that fails does not keep the others. */
export async function deleteEverything(
  { controller }: Looked,
  removal: Removal & { readonly onDeleting?: (key: ServiceKey, provider: string) => void },
): Promise<readonly Failure[]> {
  const failures: Failure[] = [];
  const attempt = async (key: ServiceKey, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      removal.acting.signal.throwIfAborted();
      failures.push({ key, message: asBerthError(error).message });
    }
  };
  for (const runtime of controller.runtimes) {
    const { name } = runtime.provider;
    for (const key of [...runtime.state.view.loadBalancers.keys()].toSorted(compareText)) {
      removal.onDeleting?.(key, name);
      await attempt(key, () => removeObserved(runtime, key, removal));
    }
    if (runtime.state.view.loadBalancers.size === 0)
      await attempt(SHARED, () => removeSharedResources(runtime, removal));
  }
  return failures;
}
