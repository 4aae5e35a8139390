/**
 * Bare metal, the controller half: addresses from pools (MetalLB's IPAddressPools or the configuration file). The
 * other half, the speakers, announce what stands in the Services' status.
 */
import { CONTRACT, type Host, type Provider } from '@berth/core';
import { capabilities } from './capabilities.ts';
import { configSchema, type MetalConfig } from './config.ts';
import { PATHS, poolsOf, toObject, type Pools } from './objects.ts';
import { applied, ingress, plan, type MetalLoadBalancer } from './plan.ts';
import { conflictOf, Quarantine } from './quarantine.ts';
import { speaker } from './speaker/index.ts';
import { SECRET } from './speaker/secret.ts';

export { configSchema, type MetalConfig } from './config.ts';
export type { MetalLoadBalancer } from './plan.ts';

/** The factory that Berth loads as `--provider metal`. */
export function createMetal(config: MetalConfig, host: Host): Provider<MetalLoadBalancer> {
  const given = new Map<string, MetalLoadBalancer>();
  const sources = watchSources(config, host);
  return {
    contract: CONTRACT,
    name: 'metal',
    classes: ['berth.dev/metal'],
    capabilities,
    settings: {},
    secrets: [SECRET],
    pools: () => sources.pools().pools.map(({ pool }) => pool),
    quarantined: () => sources.quarantine.addresses,
    observe: async (signal, keys) => {
      signal.throwIfAborted();
      const chosen = [...given].filter(([key]) => keys === undefined || keys.includes(key));
      return { environment: undefined, shared: undefined, loadBalancers: new Map(chosen) };
    },
    plan,
    apply: async (step, _observed, signal) => {
      signal.throwIfAborted();
      const next = applied(step, given.get(step.scope));
      if (next === undefined) given.delete(step.scope);
      else given.set(step.scope, next);
      return { loadBalancer: (now) => applied(step, now) };
    },
    ingress,
    close: () => Promise.resolve(),
  };
}
createMetal.configSchema = configSchema;
createMetal.processes = { speaker };

export default createMetal;

/** Watches what pools are made from; a change of any of it has all Services planned again. */
function watchSources(
  config: MetalConfig,
  { watch, enqueue, clock, log }: Host,
): { readonly pools: () => Pools; readonly quarantine: Quarantine } {
  let known: Pools | undefined;
  const changed = (because: string) => (): void => {
    known = undefined;
    enqueue(undefined, because);
  };
  const ours = ({ namespace }: { namespace: string }): boolean =>
    config.namespace === undefined || namespace === config.namespace;
  const pools = watch({ path: PATHS.pools, onChange: changed('the pools have changed') });
  const namespaces = watch({ path: PATHS.namespaces, onChange: changed('the namespaces have changed') });
  const quarantine = new Quarantine(clock, changed('an address left its quarantine'));
  const statuses = watch({
    path: PATHS.statuses,
    onChange: () => {
      const conflicts = statuses.list().flatMap((raw) => conflictOf(toObject(raw)) ?? []);
      for (const { address, mac } of quarantine.take(conflicts)) {
        log.warn(
          { address, mac },
          'somebody else on the network answers for an address of a pool: quarantined for an hour',
        );
        changed('an address is in quarantine')();
      }
    },
  });
  const read = (): Pools => {
    const objects = pools.list().map(toObject).filter(ours);
    const labels = new Map(
      namespaces
        .list()
        .map(toObject)
        .map((object) => [object.name, object.labels]),
    );
    const found = poolsOf({ config, objects, namespaces: labels });
    for (const { object, message } of found.problems) log.error({ object }, `left out: ${message}`);
    return found;
  };
  return { pools: () => (known ??= read()), quarantine };
}
