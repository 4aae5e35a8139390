import type { Capabilities } from '../model/capabilities.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Target } from '../model/load-balancer.ts';
import type { ServiceKey } from '../model/service.ts';
import type { Provider } from '../provider/spi.ts';
import type { Driver } from './driver.ts';

/** A provider in a world of its own: what one case works on. */
export interface ConformanceWorld {
  readonly provider: Provider;
  /** Lets go of the world and of every provider that was made in it. */
  dispose(): Promise<void>;
  /** Another instance over the same world, as after the process was killed and started again. */
  restart?(): Promise<Provider>;
  /** Changes something of this load balancer behind the provider's back, as a person with a console does. */
  drift?(key: ServiceKey): Promise<void>;
  /** Lets `ms` milliseconds pass after a `NotReady`; without it, the kit really waits. */
  settle?(ms: number): Promise<void>;
  /** What went wrong unseen, for example something that was made twice; must be empty after every case. */
  violations?(): readonly string[];
}

/** How the kit gets at a provider. Everything optional has a default that needs no privilege. */
export interface ConformanceSubject {
  /** For titles: `memory with pools`. */
  readonly name: string;
  /** A new world with nothing in it; called for each case. */
  create(): Promise<ConformanceWorld>;
  /** At least two nodes that may be used as targets. */
  readonly targets?: readonly Target[];
  /** At least two pods that may be backends, where traffic goes to pods. */
  readonly endpoints?: readonly Endpoint[];
  /** At least three free ports that a load balancer may listen on. */
  readonly ports?: readonly number[];
  /** Addresses to ask for, one for each family that can be asked for; by default the last ones of the first pool. */
  readonly addresses?: readonly string[];
  /** An annotation of the provider whose value makes a difference, with that value. */
  readonly annotation?: readonly [name: string, value: string];
  /** Whether a node change may cost one step for each port (a target group of its own) rather than one in all. */
  readonly targetsPerPort?: boolean;
}

/** What a case can look at before it says whether it applies. */
export interface ConformanceTraits {
  readonly capabilities: Capabilities;
  readonly subject: ConformanceSubject;
  readonly world: ConformanceWorld;
}

/** One promise that every provider keeps, as data: an adapter makes a test of it. */
export interface ConformanceCase {
  /** A sentence about the provider. */
  readonly name: string;
  /** `true`, or the reason why the case does not apply. What a capability excludes has a case that asserts the opposite. */
  readonly requires?: (traits: ConformanceTraits) => true | string;
  /** Rejects with what was expected and what was found. */
  readonly run: (driver: Driver) => Promise<void>;
}

/** How a case ended that did not fail. */
export type ConformanceOutcome =
  | { readonly kind: 'passed' }
  | { readonly kind: 'skipped'; readonly reason: string };
