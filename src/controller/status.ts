import type { Desired } from '../plan/desired.ts';
import { CONDITION } from '../model/names.ts';
import type { Ingress, PortStatus, Service } from '../model/service.ts';
import type { WantedCondition } from '../kube/status.ts';
import type { IngressResult } from '../provider/spi.ts';
import { compareText } from '../plan/step.ts';

/** What our condition shall say. */
export type Verdict = WantedCondition;

/** The ingress entries to write: the provider's, each with all ports and the errors of those that do not work. */
export function ingressOf(
  result: IngressResult & { readonly kind: 'ready' },
  desired: Desired,
): readonly Ingress[] {
  const errors = [...desired.portErrors, ...(result.portErrors ?? [])];
  const broken = new Set(errors.map(portKey));
  const served: readonly PortStatus[] = desired.loadBalancer.ports
    .filter((port) => !broken.has(portKey(port)))
    .map(({ port, protocol }) => ({ port, protocol }));
  const ports = [...served, ...errors].toSorted(
    (a, b) => a.port - b.port || compareText(a.protocol, b.protocol),
  );
  return result.ingress.map((entry) => ({ ...entry, ports }));
}

/** The verdict that stands in the Service's status now. */
export function verdictOf(service: Service): Verdict | undefined {
  return service.conditions.find(({ type }) => type === CONDITION);
}

function portKey(port: { readonly port: number; readonly protocol: string }): string {
  return `${port.port}/${port.protocol}`;
}
