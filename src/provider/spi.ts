/**
 * The provider contract (SPI), version 1. A provider is a package whose default export is one factory
 * `(config, host) => Provider`. The core decides what is wanted and when; the provider says what differs (`plan`) and
 * carries it out (`apply`).
 */
import type { IpAddress } from '../model/address.ts';
import type { AddressPool } from '../model/pool.ts';
import type { Capabilities } from '../model/capabilities.ts';
import type { LoadBalancer, Target } from '../model/load-balancer.ts';
import type { Note } from '../model/reasons.ts';
import type { Ingress, PortStatus, ServiceKey } from '../model/service.ts';
import type { Schema, SettingsTable } from '../model/settings.ts';
import type { PoolUsage } from '../plan/pool-usage.ts';
import type { Json, Step } from '../plan/step.ts';
import type { AnnouncementsOf } from './announcements.ts';
import type { DoctorOf } from './doctor.ts';
import type { ProviderProcess } from './process.ts';

/** The version of this contract. A provider states the one it was written for; another one is refused at start. */
export const CONTRACT = 1;

/** The least that the core must see of an observed load balancer: whose it is. Providers extend it. */
export interface ObservedLoadBalancer {
  /** UID of the Service it was made for: another UID under the same key is removed before a new one is made. */
  readonly uid: string;
}

/** What a provider sees. All of it plain, read-only values. */
export interface Observed<L extends ObservedLoadBalancer = ObservedLoadBalancer, S = unknown, E = unknown> {
  /** What surrounds us and is not ours: subnets, instances. */
  readonly environment: E;
  /** What this cluster owns once. */
  readonly shared: S;
  /** What this cluster owns per Service, complete or half made, by `namespace/name`. */
  readonly loadBalancers: ReadonlyMap<ServiceKey, L>;
}

/**
 * What a step changed, as functions from the present observed state to the next, because steps of one stage run side
 * by side and must not overwrite what their siblings saw. Pure. A load balancer of which nothing is left becomes
 * `undefined`.
 */
export interface Change<L, S = unknown, E = unknown> {
  // Methods, because their parameters are compared both ways: a provider with types of its own stays a `Provider`.
  loadBalancer?(now: L | undefined): L | undefined;
  shared?(now: S): S;
  /** What the step learnt of the surroundings on its way. */
  environment?(now: E): E;
}

/** What a plan is asked for. `desired: undefined` means: nothing is wanted, remove what is there. */
export type PlanRequest<Settings = Readonly<Record<string, unknown>>> =
  | {
      readonly scope: 'loadBalancer';
      readonly key: ServiceKey;
      readonly desired: LoadBalancer<Settings> | undefined;
      /**
       * With `desired: undefined`: the settings of the Service that is going, if it is still there and they are valid.
       * A plan may ask them whether something may be deleted, and needs nothing of them.
       */
      readonly settings?: Settings;
    }
  | { readonly scope: 'shared'; readonly desired: SharedDesired | undefined };

/** What the shared resources must serve. It is `undefined` in a request when no Service of ours is left. */
export interface SharedDesired {
  readonly targets: readonly Target[];
  /** What `needs` says of all load balancers together: sorted, each once. */
  readonly needs: readonly string[];
  /** Whether every load balancer was asked. Until then, what nobody seems to need must stay. */
  readonly complete: boolean;
}

/**
 * What was remembered of a load balancer when nothing was left to do about it, given back to a later process. Only for
 * load balancers of which the same is still wanted, from the same version of the planner.
 */
export interface Recollection<Settings = Readonly<Record<string, unknown>>> {
  readonly desired: LoadBalancer<Settings>;
  /** What `remember` said. */
  readonly remembered: Json;
  /** Whether the targets are those of `desired`; if not, they must be read. */
  readonly sameTargets: boolean;
}

/** What to write into the Service's status, or why there is nothing to write yet. */
export type IngressResult =
  | {
      readonly kind: 'ready';
      /** Entries without `ports`: the core adds them, with the errors below. */
      readonly ingress: readonly Omit<Ingress, 'ports'>[];
      /** Ports that do not work, with a CamelCase code as `error`. */
      readonly portErrors?: readonly Required<PortStatus>[];
    }
  | {
      readonly kind: 'pending';
      readonly code: string;
      readonly message: string;
      readonly retryAfterMs: number;
    };

/** Time as the core sees it, so that tests can move it. All values are milliseconds. */
export interface Clock {
  /** Since the epoch. For people; may jump. */
  now(): number;
  /** Monotonic, for durations. */
  monotonic(): number;
  /** Calls back once; returns a function that cancels. Does not keep the process alive. */
  after(ms: number, callback: () => void): () => void;
}

/** Structured log: values first, then a message. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** A labelled number in `/metrics`. */
export interface Instrument {
  /** Adds to a counter, or sets a gauge. */
  record(labels: Readonly<Record<string, string>>, value: number): void;
}

/** Where a provider makes the metrics it needs. Asking twice for one name gives the same instrument. */
export interface Metrics {
  counter(name: string, help: string, labels: readonly string[]): Instrument;
  gauge(name: string, help: string, labels: readonly string[]): Instrument;
}

/** A resource that a provider wants to read: usually custom resources, such as pools. */
export interface WatchDeclaration {
  /** Path of the list in the API server: `/apis/metallb.io/v1beta1/ipaddresspools`. */
  readonly path: string;
  /** Called after each change, and once the first list is in. */
  onChange(): void;
}

/** A watched resource. A resource that the API server does not know counts as empty, and is looked for again. */
export interface Watched {
  /** All objects as plain JSON, without managedFields, in no particular order; empty until the first list is in. */
  list(): readonly unknown[];
}

/** A change of an object in the API server: a merge patch, sent by the core. */
export interface ObjectPatch {
  /** With the subresource where it has one: `.../ipaddresspools/NAME/status`. */
  readonly path: string;
  /** As JSON; a `bigint` is written with all its digits. */
  readonly body: unknown;
}

/** What a provider may use of its host. */
export interface Host {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The cluster: `id` is its identity (in names and tags), `name` is for people to read. */
  readonly cluster: { readonly id: string; readonly name: string };
  /** Plans the keys again soon; all keys of this provider when `undefined`. `because` goes to the log. */
  enqueue(keys: readonly ServiceKey[] | undefined, because: string): void;
  /**
   * Declares a resource to watch. To be called in the factory; the first list is in before the first `observe`. The
   * role that Berth runs under must allow list and watch.
   */
  watch(declaration: WatchDeclaration): Watched;
}

/** A Secret with random bytes that no person has to know. */
export interface SecretDeclaration {
  readonly name: string;
  /** Key of its `data`. */
  readonly key: string;
  readonly bytes: number;
}

/** A provider. Methods are called with what the core validated; they may throw the errors of `model/errors.ts`. */
export interface Provider<
  L extends ObservedLoadBalancer = ObservedLoadBalancer,
  Settings = Readonly<Record<string, unknown>>,
  S = unknown,
  E = unknown,
> {
  /** Always `CONTRACT` of the version it was written for. */
  readonly contract: number;
  /** `local`, `aws`: lower case; the annotation prefix is `NAME.berth.dev/`. */
  readonly name: string;
  /** `loadBalancerClass` values that it serves. The first is its own (`berth.dev/NAME`). */
  readonly classes: readonly string[];
  readonly capabilities: Capabilities;
  /** The annotations it understands. Another key under its prefix is refused by the core. */
  readonly settings: SettingsTable;
  /**
   * Annotation prefixes beside its own that are its business, such as an incumbent's: one that is not in `settings`
   * gets the event `AnnotationIgnored`.
   */
  readonly prefixes?: readonly string[];
  /** What the traffic of a Service with these settings goes to, where a setting decides it; else the capability. */
  targetsOf?(settings: Settings): Capabilities['targets'];
  /** Labels that a node must have to be a target of a Service with these settings; an empty value takes any. */
  nodeLabelsOf?(settings: Settings): Readonly<Record<string, string>>;
  /**
   * Looks at what no single setting shows: whether they fit each other and the Service. Pure; what is left out or done
   * differently gets a note. Called before every plan.
   *
   * @throws InvalidSpec, Unsupported when nothing can be made of it.
   */
  check?(desired: LoadBalancer<Settings>): readonly Note[];
  /** What the load balancer needs of the shared resources, as short texts in the provider's own words. Pure. */
  needs?(desired: LoadBalancer<Settings>): readonly string[];
  /**
   * What identifies everything that was made for a load balancer, small and plain. The core keeps it on the Service
   * once nothing is left to do, and hands it to the `observe` of a later process.
   */
  remember?(desired: LoadBalancer<Settings>, observed: L): Json;
  /** Version of the planner and of everything configured that its plans depend on; with `remember`. */
  readonly planner?: string;
  /**
   * For how long a read may miss what was just made, in milliseconds. A deletion that finds nothing looks again after
   * this time before it is believed.
   */
  readonly settleMs?: number;
  /** Pools that the core assigns addresses from; without it, the provider chooses addresses itself. */
  pools?(): readonly AddressPool[];
  /**
   * The addresses that a load balancer has, complete or half made. For a provider with pools whose load balancers
   * outlive the process: what was given to one and is in no status yet is found again by this. Pure.
   */
  addressesOf?(observed: L): readonly IpAddress[];
  /**
   * Tells how full the pools are in objects of the API server, where the provider's pools are some: what differs, and
   * nothing when nothing does. Pure. The role that Berth runs under must allow the patches.
   */
  poolPatches?(usage: readonly PoolUsage[]): readonly ObjectPatch[];
  /** Addresses that must not be used for now, because a stranger on the network answers for them. */
  quarantined?(): readonly IpAddress[];
  /**
   * Reads what there is, in as few calls as possible; only the given keys when some are given. Called at start, on
   * the sweep and after a `Conflict`. What is recollected need not be read in depth where everything that is read
   * agrees with it; what is not recollected must be.
   */
  observe(
    signal: AbortSignal,
    keys?: readonly ServiceKey[],
    recollected?: ReadonlyMap<ServiceKey, Recollection<Settings>>,
  ): Promise<Observed<L, S, E>>;
  /**
   * The steps from observed to desired: pure and total, no clock, no I/O, no randomness; in the order of
   * `compareSteps`; `[]` when nothing differs.
   */
  plan(request: PlanRequest<Settings>, observed: Observed<L, S, E>): readonly Step[];
  /**
   * Steps that clear away what a load balancer does not use any more and that nothing waits for, such as the targets
   * that something replaced and that still drain. Pure. Carried out when the plan is done; a `NotReady` says when to
   * try again and holds nothing up. A plan for `desired: undefined` removes such things by itself.
   */
  leftovers?(desired: LoadBalancer<Settings>, observed: L): readonly Step[];
  /**
   * Carries out one step and says what changed. Safe to repeat after a crash anywhere inside it. Never polls or
   * sleeps: what takes time throws `NotReady`, which frees the worker.
   */
  apply(step: Step, observed: Observed<L, S, E>, signal: AbortSignal): Promise<Change<L, S, E>>;
  /** What the Service's status should say. Pure. */
  ingress(desired: LoadBalancer<Settings>, observed: L | undefined): IngressResult;
  /** Whether its addresses are answered for by processes of its own, whom `ProviderFactory.announcements` asks. */
  readonly announces?: boolean;
  /** Secrets that processes of the provider share; the controller makes those that are missing in its namespace. */
  readonly secrets?: readonly SecretDeclaration[];
  /** Lets go of sockets, processes and timers. Never throws. */
  close(): Promise<void>;
}

/**
 * The default export of a provider package. `config` is what the configuration file has under
 * `providers.NAME.config`, validated by `configSchema` when the factory carries one.
 */
export interface ProviderFactory<Config = unknown> {
  (config: Config, host: Host): Provider | Promise<Provider>;
  readonly configSchema?: Schema<Config>;
  /** Commands of the provider's own, such as `iam-policy`, by name. They need neither a cluster nor a provider. */
  readonly commands?: Readonly<Record<string, ProviderCommand<Config>>>;
  /** Processes of the provider's own that run beside the controller, such as `speaker`, by name. */
  readonly processes?: Readonly<Record<string, ProviderProcess<Config>>>;
  /** Who answers for the addresses, where the provider's own processes do. Needs no provider to be made. */
  readonly announcements?: AnnouncementsOf<Config>;
  /** What `berth doctor` looks at beside the core's own checks. Needs no provider to be made. */
  readonly doctor?: DoctorOf<Config>;
}

/** A command of a provider: prints something that follows from its configuration. */
export interface ProviderCommand<Config = unknown> {
  /** One sentence, for the help. */
  readonly description: string;
  /** The text for standard output. @throws BerthError */
  run(
    config: Config,
    cluster: { readonly id: string | undefined; readonly name: string },
  ): string | Promise<string>;
}
