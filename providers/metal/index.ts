/**
 * Bare metal, the controller half: addresses from pools (MetalLB's IPAddressPools or the configuration file). The
 * other half, the speakers, announce what stands in the Services' status.
 */
import {
  CONTRACT,
  type Announcements,
  type AnnouncementsHost,
  type DoctorCheck,
  type DoctorHost,
  type Host,
  type Provider,
} from '@berth/core';
import { capabilities } from './capabilities.ts';
import { configSchema, type MetalConfig } from './config.ts';
import { applied, ingress, plan, type MetalLoadBalancer } from './plan.ts';
import { poolPatches } from './pool-status.ts';
import { watchSources } from './sources.ts';
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
    announces: true,
    pools: () => sources.pools().pools.map(({ pool }) => pool),
    poolPatches: (usage) => poolPatches(sources.objects(), usage),
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
createMetal.announcements = async (config: MetalConfig, host: AnnouncementsHost): Promise<Announcements> =>
  (await import('./announcements.ts')).announcements(config, host);
createMetal.doctor = async (config: MetalConfig, host: DoctorHost): Promise<readonly DoctorCheck[]> =>
  (await import('./doctor/index.ts')).doctor(config, host);

export default createMetal;
