/** The speaker as a process of the provider: `berth speaker`. */
import type { ProviderProcess } from '@berth/core';
import type { MetalConfig } from '../config.ts';

/** Its sockets and threads are loaded when it runs: the controller half needs none of them. */
export const speaker: ProviderProcess<MetalConfig> = {
  description: 'Answers ARP and NDP for the addresses that this node holds.',
  run: async (config, host) => (await import('./run.ts')).runSpeaker(config, host),
};
