import type { Provider } from './spi.ts';
import type { Service } from '../model/service.ts';
import { ProviderLoadError } from './load-error.ts';

export { ProviderLoadError, type ProviderLoadCode } from './load-error.ts';
export {
  loadAnnouncements,
  loadCommand,
  loadDoctor,
  loadProcess,
  loadProvider,
  prepareProvider,
  type LoadRequest,
} from './load.ts';

/** The value of `--default-provider` that leaves Services without a class to others. */
export const NO_DEFAULT = 'none';

/**
 * The configured providers and which of them serves a Service. Pure routing: the class decides, annotations never do.
 */
export class Registry {
  readonly providers: readonly Provider[];
  /** Serves Services without a class, if any provider does. */
  readonly defaultProvider: Provider | undefined;
  readonly #byClass = new Map<string, Provider>();
  readonly #byName = new Map<string, Provider>();

  /**
   * `defaultProvider` is a provider's name or `none`. Unset, it is the only configured provider, except `aws`, beside
   * which another controller usually serves the Services without a class.
   *
   * @throws ProviderLoadError `ClassConflict` when two providers have one name or serve one class,
   * `ProviderNotFound` when `defaultProvider` is the name of none.
   */
  constructor(providers: readonly Provider[], defaultProvider?: string) {
    this.providers = [...providers];
    for (const provider of providers) {
      this.#claim(this.#byName, provider, { what: 'name', value: provider.name });
      for (const value of provider.classes) {
        this.#claim(this.#byClass, provider, { what: 'loadBalancerClass', value });
      }
    }
    this.defaultProvider = this.#default(defaultProvider);
  }

  /** The provider of this name. */
  named(name: string): Provider | undefined {
    return this.#byName.get(name);
  }

  /** The provider that serves the Service, by its class alone; whether it wants one is not looked at. */
  serving(service: Pick<Service, 'loadBalancerClass'>): Provider | undefined {
    const { loadBalancerClass } = service;
    if (loadBalancerClass === undefined || loadBalancerClass === '') return this.defaultProvider;
    return this.#byClass.get(loadBalancerClass);
  }

  #claim(
    claimed: Map<string, Provider>,
    provider: Provider,
    { what, value }: { readonly what: string; readonly value: string },
  ): void {
    const other = claimed.get(value);
    if (other !== undefined) {
      throw new ProviderLoadError('ClassConflict', {
        message: `the providers ${other.name} and ${provider.name} both have the ${what} ${value}`,
        remedy:
          what === 'name'
            ? 'Configure each provider once'
            : `Take ${value} out of providers.${other.name}.classes or providers.${provider.name}.classes`,
      });
    }
    claimed.set(value, provider);
  }

  #default(name: string | undefined): Provider | undefined {
    if (name === NO_DEFAULT) return undefined;
    if (name === undefined) {
      const [only] = this.providers;
      return this.providers.length === 1 && only?.name !== 'aws' ? only : undefined;
    }
    const found = this.#byName.get(name);
    if (found !== undefined) return found;
    const names = this.providers.map((provider) => provider.name).join(', ') || 'none';
    throw new ProviderLoadError('ProviderNotFound', {
      message: `the default provider ${name} is not configured (configured: ${names})`,
      remedy: `Add --provider ${name}, or name a configured one or "${NO_DEFAULT}" in --default-provider`,
    });
  }
}
