import type { HealthCheck, IpAddress, ObservedLoadBalancer } from '@berth/core';
import type { ListenReason } from './proxy/listen-error.ts';
import type { LocalSettings } from './settings.ts';

/** What holds for all ports of a load balancer. Type aliases, so that they are `Json`. */
export type Frontend = {
  readonly sourceRanges: readonly string[];
  readonly clientIPAffinitySeconds: number;
  readonly healthCheck: HealthCheck;
  readonly settings: LocalSettings;
};

/** One node and the address that it is reached by. */
export type TargetAddress = {
  readonly node: string;
  readonly address: IpAddress;
};

/** What a listener is for: where it listens, and the node port behind it. */
export type ListenerWish = {
  readonly addresses: readonly IpAddress[];
  readonly nodePort: number;
};

/** Why a port could not be opened. */
export type Failure = {
  readonly code: ListenReason;
  readonly message: string;
  readonly remedy: string;
};

/** A listener as it is. With a failure, nothing is open. */
export type ListenerState = ListenerWish & {
  readonly failure?: Failure;
};

/** A load balancer as it is in this process. */
export interface LocalLoadBalancer extends ObservedLoadBalancer {
  readonly frontend: Frontend;
  readonly targets: readonly TargetAddress[];
  /** By `443/TCP`. */
  readonly listeners: Readonly<Record<string, ListenerState>>;
}
