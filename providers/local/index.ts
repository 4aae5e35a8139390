/**
 * The embedded default: a TCP and UDP proxy in the process itself. It listens on addresses of this machine (loopback
 * unless configured otherwise) and forwards to the node ports of all nodes. Nothing outlives the process: after a
 * restart the core plans everything anew, with the addresses that the Services already have.
 */
import { CONTRACT, type Host, type Provider } from '@berth/core';
import { apply } from './apply.ts';
import { capabilities } from './capabilities.ts';
import { check } from './check.ts';
import { configSchema, type LocalConfig } from './config.ts';
import { ingress } from './ingress.ts';
import { observe } from './observe.ts';
import { plan } from './plan.ts';
import { Proxies } from './proxies.ts';
import { settingsWith, type LocalSettings } from './settings.ts';
import type { LocalLoadBalancer } from './state.ts';

export { configSchema, type LocalConfig } from './config.ts';
export { settings, type LocalSettings } from './settings.ts';
export type { LocalLoadBalancer } from './state.ts';

/** The provider over proxies that exist already; `createLocal` makes it with proxies of its own. */
export function providerOver(
  proxies: Proxies,
  config: LocalConfig,
): Provider<LocalLoadBalancer, LocalSettings> {
  const settings = settingsWith(config.defaults);
  return {
    contract: CONTRACT,
    name: 'local',
    classes: ['berth.dev/local'],
    capabilities,
    settings,
    pools: () => config.pools,
    observe: async (signal, keys) => {
      signal.throwIfAborted();
      return observe(proxies, keys);
    },
    check: (desired) => check(desired, settings),
    plan,
    apply: async (step, _observed, signal) => {
      signal.throwIfAborted();
      return await apply(step, proxies);
    },
    ingress,
    close: async () => proxies.close(),
  };
}

/** The factory that Berth loads as `--provider local`. */
export function createLocal(config: LocalConfig, host: Host): Provider<LocalLoadBalancer, LocalSettings> {
  return providerOver(new Proxies(host, config.healthChecksPerSecond), config);
}
createLocal.configSchema = configSchema;

export default createLocal;
