import { ANNOTATION_PAUSED, FINALIZER } from '../model/names.ts';
import type { Service } from '../model/service.ts';

/**
 * What a pass has to do about a Service: nothing, make it so, clear away what was made, or (paused) leave everything
 * as it is until the annotation goes.
 */
export type Lifecycle = 'ignore' | 'ensure' | 'cleanup' | 'paused';

/** Whether the Service carries our finalizer, that is, whether something may have been made for it. */
export function hasFinalizer(service: Pick<Service, 'finalizers'>): boolean {
  return service.finalizers.includes(FINALIZER);
}

/** Whether something may have been made for a Service that no longer wants it. */
export function needsCleanup(service: Pick<Service, 'finalizers' | 'deleting' | 'type'>): boolean {
  return hasFinalizer(service) && (service.deleting || service.type !== 'LoadBalancer');
}

/** Whether the Service is frozen by its annotation. */
export function isPaused(service: Pick<Service, 'annotations'>): boolean {
  return service.annotations[ANNOTATION_PAUSED] === 'true';
}

/**
 * The decision over {finalizer, deletionTimestamp, type, served}: `served` says whether a configured provider serves
 * the Service's class. A Service that is neither served nor carries our finalizer is never touched.
 */
export function lifecycleOf(service: Service, served: boolean): Lifecycle {
  const cleanup = needsCleanup(service);
  const ensure = service.type === 'LoadBalancer' && !service.deleting && served;
  if (!cleanup && !ensure) return 'ignore';
  if (isPaused(service)) return 'paused';
  return cleanup ? 'cleanup' : 'ensure';
}
