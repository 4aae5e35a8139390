import { hasFinalizer } from '../plan/lifecycle.ts';
import type { Looked } from './run.ts';

/** A provider that sees nothing from here although something was made with it. */
export interface Unseen {
  readonly provider: string;
  /** How many Services have our finalizer and an address in their status. */
  readonly services: number;
}

/**
 * Providers whose state lives in the process that runs them: Services show that something was made, and a look from
 * another process finds nothing at all. What such a look would plan or sweep says little.
 */
export function unseen({ controller, cluster }: Looked): readonly Unseen[] {
  return controller.runtimes.flatMap((runtime) => {
    if (runtime.state.view.loadBalancers.size > 0) return [];
    const made = cluster.services
      .list()
      .filter(
        (service) =>
          hasFinalizer(service) && service.ingress.length > 0 && controller.serving(service) === runtime,
      );
    return made.length === 0 ? [] : [{ provider: runtime.provider.name, services: made.length }];
  });
}
