import type { ServiceKey } from '../model/service.ts';
import type { ChangeContext } from '../plan/change.ts';
import type { ProviderTraits } from '../plan/desired.ts';
import { settingNames } from '../plan/settings.ts';
import { ObservedState } from '../provider/observed.ts';
import type { Observed, Provider, Recollection } from '../provider/spi.ts';
import { AddressBook, type Made } from './address-book.ts';
import { SharedNeeds } from './shared-needs.ts';

/**
 * One provider with everything that the controller keeps for it while it leads: what was last observed, the addresses
 * that its Services hold, and which keys changed while an observation was under way.
 */
export class ProviderRuntime {
  readonly provider: Provider;
  readonly traits: ProviderTraits;
  /** Undefined when the provider chooses addresses itself. */
  readonly book: AddressBook | undefined;
  readonly state = new ObservedState();
  /** Whether it has been observed, so that something may be planned for it. */
  ready = false;
  /** Services that wait for an address to become free. */
  readonly waiting = new Set<ServiceKey>();
  /** Keys whose last step failed in a way that leaves open what it did: observed again before the next plan. */
  readonly doubtful = new Set<ServiceKey>();
  /** What the load balancers need of what they share. */
  readonly needs = new SharedNeeds();
  /** Since when (monotonic milliseconds) nothing was found of a Service that is to be cleaned up, by UID. */
  readonly unseen = new Map<string, number>();
  readonly #settings: ReadonlySet<string>;
  #touched: Set<ServiceKey> | undefined;
  #shared: Promise<unknown> = Promise.resolve();

  constructor(provider: Provider) {
    this.provider = provider;
    this.traits = traitsOf(provider);
    this.#settings = settingNames(provider.settings);
    const { pools } = provider;
    this.book =
      pools === undefined
        ? undefined
        : new AddressBook(
            provider.capabilities,
            () => pools.call(provider),
            () => provider.quarantined?.() ?? [],
          );
  }

  /** What decides whether a change of a Service matters to this provider. */
  get changeContext(): ChangeContext {
    return { settings: this.#settings, sharing: this.provider.capabilities.sharing };
  }

  /** Whether something of the Service's key, complete or half made, was observed. */
  has(key: ServiceKey): boolean {
    return this.state.view.loadBalancers.has(key);
  }

  /** The load balancers that were found, with their addresses where the provider says them. */
  get made(): readonly Made[] {
    const { provider, state } = this;
    return [...state.view.loadBalancers].map(([key, found]) => ({
      key,
      uid: found.uid,
      addresses: provider.addressesOf?.(found) ?? [],
    }));
  }

  /** Notes that a key's state has just been changed by a step, so that an older observation does not undo it. */
  touch(key: ServiceKey): void {
    this.#touched?.add(key);
  }

  /**
   * Reads everything anew. Keys that were changed by steps while the read was under way keep what the steps said:
   * the read may be older.
   */
  async observeAll(
    signal: AbortSignal,
    recollected?: ReadonlyMap<ServiceKey, Recollection>,
  ): Promise<Observed> {
    return await this.#observe(signal, { recollected });
  }

  /** The same for some keys. */
  async observeKeys(keys: readonly ServiceKey[], signal: AbortSignal): Promise<Observed> {
    return await this.#observe(signal, { keys });
  }

  async #observe(
    signal: AbortSignal,
    {
      keys,
      recollected,
    }: {
      readonly keys?: readonly ServiceKey[] | undefined;
      readonly recollected?: ReadonlyMap<ServiceKey, Recollection> | undefined;
    },
  ): Promise<Observed> {
    const touched = new Set<ServiceKey>();
    this.#touched = touched;
    try {
      const observed = await this.provider.observe(signal, keys, recollected);
      const kept = [...touched].map((key) => [key, this.state.view.loadBalancers.get(key)] as const);
      this.state.absorb(observed, keys);
      for (const [key, loadBalancer] of kept) this.state.set(key, loadBalancer);
      return observed;
    } finally {
      this.#touched = undefined;
    }
  }

  /** Reads one key anew, after a `Conflict`. */
  async observeKey(key: ServiceKey, signal: AbortSignal): Promise<void> {
    const observed = await this.provider.observe(signal, [key]);
    this.state.absorb(observed, [key]);
  }

  /** Runs work on the shared resources one after another: they are a serial key of their own. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#shared.then(work, work);
    this.#shared = result.catch(() => undefined);
    return result;
  }
}

/** What the planner has to know of the provider; methods keep their object. */
function traitsOf(provider: Provider): ProviderTraits {
  const { name, capabilities, settings, prefixes } = provider;
  const [targetsOf, nodeLabelsOf, check] = [
    provider.targetsOf?.bind(provider),
    provider.nodeLabelsOf?.bind(provider),
    provider.check?.bind(provider),
  ];
  return {
    name,
    capabilities,
    settings,
    ...(prefixes === undefined ? {} : { prefixes }),
    ...(targetsOf === undefined ? {} : { targetsOf }),
    ...(nodeLabelsOf === undefined ? {} : { nodeLabelsOf }),
    ...(check === undefined ? {} : { check }),
  };
}
