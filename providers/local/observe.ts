import type { Observed, ServiceKey } from '@berth/core';
import type { Proxies } from './proxies.ts';
import type { LocalLoadBalancer } from './state.ts';

/** What there is: the proxies of this process, all of them or those of the given keys. */
export function observe(proxies: Proxies, keys?: readonly ServiceKey[]): Observed<LocalLoadBalancer> {
  const found = (keys ?? proxies.keys()).flatMap((key) => {
    const balancer = proxies.get(key);
    return balancer === undefined ? [] : [[key, balancer.state] as const];
  });
  return { environment: undefined, shared: undefined, loadBalancers: new Map(found) };
}
