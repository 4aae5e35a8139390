import { Conflict, Denied, REASONS, type Change, type ServiceKey, type Step } from '@berth/core';
import type { Balancer } from './balancer.ts';
import type { Proxies } from './proxies.ts';
import type { Frontend, ListenerState, ListenerWish, LocalLoadBalancer, TargetAddress } from './state.ts';

type LocalChange = Change<LocalLoadBalancer>;

/**
 * Carries out one step. Repeating one changes nothing.
 *
 * A port that cannot be opened is remembered as such, so that the other ports go on and the status says which one and
 * why; the plan then asks once more (`replace`), and if that fails too the error is thrown, which makes the core tell
 * people and try again later.
 *
 * @throws Conflict `ConflictObserved` when the proxy is not as it was observed.
 * @throws Denied `PortDenied`, `PortInUse`, `AddressNotLocal` or `ListenFailed`.
 */
export async function apply(step: Step, proxies: Proxies): Promise<LocalChange> {
  if (step.resource === 'balancer') return applyBalancer(step, proxies);
  return step.resource === 'targets' ? applyTargets(step, proxies) : await applyListener(step, proxies);
}

function applyBalancer(step: Step, proxies: Proxies): LocalChange {
  const key = step.scope;
  const present = proxies.get(key);
  if (step.verb === 'delete') {
    proxies.remove(key);
    return { loadBalancer: () => undefined };
  }
  const { uid, ...frontend } = step.after as Frontend & { readonly uid: string };
  if (present !== undefined && present.uid !== uid)
    throw changed(`the proxy of ${key} serves an earlier Service`);
  const balancer = present ?? proxies.add({ key, uid }, frontend);
  balancer.configure(frontend);
  const made = balancer.state;
  return { loadBalancer: (now) => ({ ...(now ?? made), frontend }) };
}

function applyTargets(step: Step, proxies: Proxies): LocalChange {
  const targets = (step.after ?? []) as readonly TargetAddress[];
  existing(proxies, step.scope).setTargets(targets);
  return { loadBalancer: (now) => now && { ...now, targets } };
}

async function applyListener(step: Step, proxies: Proxies): Promise<LocalChange> {
  const name = step.key;
  if (step.verb === 'delete') {
    proxies.get(step.scope)?.close(name);
    return { loadBalancer: (now) => now && { ...now, listeners: without(now.listeners, name) } };
  }
  const state = await existing(proxies, step.scope).open(name, step.after as ListenerWish);
  const again = (step.before as ListenerState | undefined)?.failure !== undefined;
  if (state.failure !== undefined && again) {
    const { code, message, remedy } = state.failure;
    throw new Denied(code, { message, remedy });
  }
  return {
    loadBalancer: (now) => now && { ...now, listeners: { ...now.listeners, [name]: state } },
  };
}

function existing(proxies: Proxies, key: ServiceKey): Balancer {
  const balancer = proxies.get(key);
  if (balancer === undefined) throw changed(`there is no proxy for ${key}`);
  return balancer;
}

function changed(message: string): Conflict {
  return new Conflict('ConflictObserved', { message, remedy: REASONS.ConflictObserved.remedy });
}

function without<T>(record: Readonly<Record<string, T>>, name: string): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => key !== name));
}
