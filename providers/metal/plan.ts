import {
  ordered,
  portText,
  type IngressResult,
  type IpAddress,
  type LoadBalancer,
  type Observed,
  type ObservedLoadBalancer,
  type PlanRequest,
  type Step,
} from '@berth/core';

/** An address that is given to a Service, as the controller half keeps it. The announcing itself is the speakers'. */
export interface MetalLoadBalancer extends ObservedLoadBalancer {
  readonly addresses: readonly IpAddress[];
  readonly ports: readonly string[];
}

/** When to look again for an address, in milliseconds. */
const ENSURING_MS = 1_000;

/**
 * One step for each address that is given, taken back, or whose ports change. Speakers see the result in the Service's
 * status; nothing else has to be made.
 */
export function plan(request: PlanRequest, observed: Observed<MetalLoadBalancer>): readonly Step[] {
  if (request.scope === 'shared') return [];
  const { key, desired } = request;
  const have = observed.loadBalancers.get(key);
  const ours = desired === undefined || have?.uid === desired.uid ? have : undefined;
  const wanted = desired?.addresses ?? [];
  const before = have?.addresses ?? [];
  const after = { uid: desired?.uid ?? '', ports: desired?.ports.map(portText).toSorted() ?? [] };
  const changed = ours !== undefined && ours.ports.join() !== after.ports.join();
  const given = wanted.filter((ip) => ours?.addresses.includes(ip) !== true);
  const taken = before.filter((ip) => ours === undefined || !wanted.includes(ip));
  const kept = changed ? wanted.filter((ip) => ours.addresses.includes(ip)) : [];
  const ports = [...after.ports];
  const base = { scope: key, resource: 'address' };
  return ordered([
    ...taken.map((ip): Step => ({
      ...base,
      verb: 'delete',
      key: ip,
      stage: 0,
      before: { ports: [...(have?.ports ?? [])] },
      because: `${ip} is no longer the Service's`,
    })),
    ...given.map((ip): Step => ({
      ...base,
      verb: 'create',
      key: ip,
      stage: 1,
      after: { uid: after.uid, ports },
      because: `${ip} is the Service's and is not given yet`,
    })),
    ...kept.map((ip): Step => ({
      ...base,
      verb: 'update',
      key: ip,
      stage: 1,
      before: { ports: [...(have?.ports ?? [])] },
      after: { uid: after.uid, ports },
      because: `the ports of the Service on ${ip} have changed`,
    })),
  ]);
}

/** The state after one step. Pure; the step itself has no effect outside. */
export function applied(step: Step, now: MetalLoadBalancer | undefined): MetalLoadBalancer | undefined {
  const ip = step.key as IpAddress;
  const others = now?.addresses.filter((address) => address !== ip) ?? [];
  if (step.verb === 'delete')
    return now === undefined || others.length === 0 ? undefined : { ...now, addresses: others };
  const { uid, ports } = step.after as { uid: string; ports: string[] };
  return { uid, ports, addresses: [...others, ip] };
}

/** The addresses, once they are all given. */
export function ingress(desired: LoadBalancer, have: MetalLoadBalancer | undefined): IngressResult {
  const missing = desired.addresses.filter((ip) => have?.addresses.includes(ip) !== true);
  if (desired.addresses.length === 0 || missing.length > 0) {
    return {
      kind: 'pending',
      code: 'Ensuring',
      message: 'the address is being given',
      retryAfterMs: ENSURING_MS,
    };
  }
  return { kind: 'ready', ingress: desired.addresses.map((ip) => ({ ip, ipMode: 'VIP' })) };
}
