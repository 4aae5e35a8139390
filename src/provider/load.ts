import type { ErrorDetails } from '../model/errors.ts';
import { editDistance } from '../model/suggest.ts';
import { issueTexts } from './config-issues.ts';
import { ProviderLoadError } from './load-error.ts';
import { coreDirectory, isPath, moduleOfPackage, moduleOfPath } from './resolve.ts';
import type { AnnouncementsOf } from './announcements.ts';
import type { DoctorOf } from './doctor.ts';
import type { ProviderProcess } from './process.ts';
import { CONTRACT, type Host, type Provider, type ProviderCommand, type ProviderFactory } from './spi.ts';

/** What is to be loaded. */
export interface LoadRequest {
  /** What `--provider` says: `local`, the name of an npm package, or a path. */
  readonly spec: string;
  /** What the configuration file has under `providers.NAME.config`, not yet validated. */
  readonly config?: unknown;
  readonly host: Host;
  /** The directory that paths and packages are looked for from; usually the working directory. */
  readonly from: string;
  /** Key of its section in the configuration file, for messages; `spec` when unset. */
  readonly section?: string;
  /** Classes of `providers.NAME.classes`, served beside the provider's own: an incumbent's, for instance. */
  readonly classes?: readonly string[];
}

/** Providers with a short name: npm packages `@berth/provider-NAME`, which the core does not depend on. */
const SHORT_NAMES: readonly string[] = ['local', 'aws', 'metal'];

/** `loadBalancerClass` must be a label-style identifier (https://kubernetes.io/docs/concepts/services-networking/service/#load-balancer-class). */
const CLASS = /^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const NAME = /^[a-z]([-a-z0-9]{0,30}[a-z0-9])?$/;

/**
 * Finds a provider, validates its configuration, makes it and checks that it is one.
 *
 * @throws ProviderLoadError whose `code` says at which of these it failed.
 */
export async function loadProvider({ host, ...request }: LoadRequest): Promise<Provider> {
  const make = await prepareProvider(request);
  return await make(host);
}

/**
 * Finds a provider and validates its configuration: what can be said before the cluster is reached. What it returns makes
 * the provider and checks that it is one.
 *
 * @throws ProviderLoadError as `loadProvider` does, and so does what it returns.
 */
export async function prepareProvider(
  request: Omit<LoadRequest, 'host'>,
): Promise<(host: Host) => Promise<Provider>> {
  const factory = await importFactory(request);
  const config = await validated(factory, request);
  return async (host) => {
    const provider = await make(factory, config, { ...request, host });
    check(provider, request.spec);
    return withClasses(provider, request);
  };
}

/**
 * Finds a process of a provider and validates the provider's configuration; the provider itself is not made.
 *
 * @throws ProviderLoadError as `loadProvider` does, and `ProviderInvalid` when it has no such process.
 */
export async function loadProcess(
  request: Omit<LoadRequest, 'host'>,
  name: string,
): Promise<{ readonly process: ProviderProcess; readonly config: unknown }> {
  const factory = await importFactory(request);
  const process = factory.processes?.[name];
  if (process !== undefined) return { process, config: await validated(factory, request) };
  throw new ProviderLoadError('ProviderInvalid', {
    message: `the provider ${request.spec} has no ${name}`,
    remedy: 'Name a provider that has one, such as --provider metal',
  });
}

/**
 * Finds a command of a provider's own, with the provider's validated configuration.
 *
 * @throws ProviderLoadError when there is no such provider, or it has no such command.
 */
export async function loadCommand(
  request: Omit<LoadRequest, 'host'>,
  name: string,
): Promise<{ readonly command: ProviderCommand; readonly config: unknown }> {
  const factory = await importFactory(request);
  const command = factory.commands?.[name];
  if (command !== undefined) return { command, config: await validated(factory, request) };
  throw new ProviderLoadError('ProviderInvalid', {
    message: `the provider ${request.spec} has no command ${name}`,
    remedy: 'Name a provider that has one, such as --provider aws for iam-policy',
  });
}

/**
 * Finds out how to ask who answers for addresses, with the provider's validated configuration; `undefined` when the
 * provider has nothing to say about that. The provider itself is not made.
 *
 * @throws ProviderLoadError as `loadProvider` does.
 */
export async function loadAnnouncements(
  request: Omit<LoadRequest, 'host'>,
): Promise<{ readonly announcements: AnnouncementsOf; readonly config: unknown } | undefined> {
  const factory = await importFactory(request);
  const { announcements } = factory;
  return announcements === undefined
    ? undefined
    : { announcements, config: await validated(factory, request) };
}

/**
 * Finds the checks of a provider's own, with the provider's validated configuration; `undefined` when it has none. The
 * provider itself is not made.
 *
 * @throws ProviderLoadError as `loadProvider` does.
 */
export async function loadDoctor(
  request: Omit<LoadRequest, 'host'>,
): Promise<{ readonly doctor: DoctorOf; readonly config: unknown } | undefined> {
  const factory = await importFactory(request);
  const { doctor } = factory;
  return doctor === undefined ? undefined : { doctor, config: await validated(factory, request) };
}

async function importFactory({ spec, from }: Omit<LoadRequest, 'host'>): Promise<ProviderFactory> {
  if (spec === 'memory') return asFactory(await import('./memory.ts'), spec);
  const url = locate(spec, from);
  let module: { readonly default?: unknown };
  try {
    // The name is data: the core imports no provider by itself, so that leaving one out breaks nothing.
    module = (await import(url)) as { readonly default?: unknown };
  } catch (error) {
    throw new ProviderLoadError('ProviderInvalid', {
      message: `the provider ${spec} (${url}) could not be imported: ${textOf(error)}`,
      remedy: 'Correct the module, or install what it depends on',
      cause: error,
    });
  }
  return asFactory(module, spec);
}

function locate(spec: string, from: string): string {
  const path = isPath(spec);
  const name = SHORT_NAMES.includes(spec) ? `@berth/provider-${spec}` : spec;
  const find = (): string | undefined =>
    path ? moduleOfPath(spec, from) : (moduleOfPackage(name, from) ?? moduleOfPackage(name, coreDirectory()));
  const url = attempt(find, (error) => ({
    message: `the package.json of the provider ${spec} cannot be read: ${textOf(error)}`,
    remedy: 'Correct the file',
    cause: error,
  }));
  if (url !== undefined) return url;
  throw new ProviderLoadError('ProviderNotFound', {
    message: path
      ? `the provider ${spec} is not a module: there is no such file in ${from}, or its package.json names no entry that exists`
      : `the provider ${spec} is not installed: there is no package ${name}`,
    remedy: path
      ? 'Give the path of a JavaScript module, or of a directory whose package.json has "exports"'
      : `${suggestion(spec)}Install it with \`npm install ${name}\`, or give its path (./my-provider)`,
  });
}

/** A short name that is at most two edits away, as a question; else nothing. */
function suggestion(spec: string): string {
  const near = SHORT_NAMES.find((known) => editDistance(known, spec) <= 2);
  return near === undefined || near === spec ? '' : `Did you mean ${near}? `;
}

function attempt<T>(work: () => T, details: (error: unknown) => ErrorDetails): T {
  try {
    return work();
  } catch (error) {
    throw new ProviderLoadError('ProviderInvalid', details(error));
  }
}

function asFactory(module: { readonly default?: unknown }, spec: string): ProviderFactory {
  if (typeof module.default === 'function') return module.default as ProviderFactory;
  throw new ProviderLoadError('ProviderInvalid', {
    message: `the default export of the provider ${spec} is ${module.default === undefined ? 'missing' : `of type ${typeof module.default}`}`,
    remedy: 'Export one factory as default: (config, host) => provider',
  });
}

async function validated(factory: ProviderFactory, request: Omit<LoadRequest, 'host'>): Promise<unknown> {
  const config = request.config ?? {};
  if (factory.configSchema === undefined) return config;
  const result = await factory.configSchema['~standard'].validate(config);
  if (result.issues === undefined) return result.value;
  const at = `providers.${request.section ?? request.spec}.config`;
  throw new ProviderLoadError('ProviderConfigInvalid', {
    message: result.issues
      .flatMap((issue) => issueTexts(issue, { at, schema: factory.configSchema }))
      .join('; '),
    remedy: `Correct ${result.issues.length === 1 ? 'the value' : 'these values'} in the configuration`,
  });
}

async function make(factory: ProviderFactory, config: unknown, request: LoadRequest): Promise<unknown> {
  try {
    return (await factory(config, request.host)) as unknown;
  } catch (error) {
    if (error instanceof ProviderLoadError) throw error;
    throw new ProviderLoadError('ProviderInvalid', {
      message: `the provider ${request.spec} could not be set up: ${textOf(error)}`,
      remedy: 'Correct its configuration or its surroundings as the message says',
      cause: error,
    });
  }
}

function check(provider: unknown, spec: string): asserts provider is Provider {
  const invalid = (message: string, remedy: string): ProviderLoadError =>
    new ProviderLoadError('ProviderInvalid', { message: `the provider ${spec} ${message}`, remedy });
  if (typeof provider !== 'object' || provider === null) {
    throw invalid('is not an object', 'Let the factory return a provider');
  }
  const { contract } = provider as Partial<Provider>;
  if (contract !== CONTRACT) {
    throw new ProviderLoadError('ProviderContractMismatch', {
      message: `the provider ${spec} was written for contract ${String(contract)}, this core speaks ${CONTRACT}`,
      remedy:
        typeof contract === 'number' && contract > CONTRACT
          ? 'Update Berth, or install an older version of the provider'
          : 'Install a newer version of the provider',
    });
  }
  const missing = missingMembers(provider as Record<string, unknown>);
  if (missing.length > 0)
    throw invalid(`has no ${missing.join(', no ')}`, 'Add what the provider contract asks for');
  const { name, classes } = provider as Provider;
  if (!NAME.test(name)) {
    throw invalid(
      `has the name ${JSON.stringify(name)}`,
      'Use up to 32 lower-case letters, digits and hyphens',
    );
  }
  checkClasses(classes, (bad) =>
    invalid(`serves the class ${JSON.stringify(bad)}`, `Use the form berth.dev/${name}, and at least one`),
  );
}

function missingMembers(provider: Readonly<Record<string, unknown>>): readonly string[] {
  const expected = {
    name: 'string',
    capabilities: 'object',
    settings: 'object',
    observe: 'function',
    plan: 'function',
    apply: 'function',
    ingress: 'function',
    close: 'function',
  };
  const missing = Object.entries(expected)
    .filter(([member, type]) => typeof provider[member] !== type || provider[member] === null)
    .map(([member, type]) => `${member} (${type})`);
  return Array.isArray(provider['classes']) ? missing : [...missing, 'classes (list)'];
}

function checkClasses(classes: readonly unknown[], invalid: (bad: unknown) => Error): void {
  const bad = classes.find((value) => typeof value !== 'string' || !CLASS.test(value));
  if (bad !== undefined || classes.length === 0) throw invalid(bad);
}

/**
 * The provider with the configured classes beside its own. A proxy, because a provider may be an instance of a class
 * with private fields, and because its optional members must stay reachable.
 */
function withClasses(
  provider: Provider,
  { classes: added = [], section, spec }: Omit<LoadRequest, 'host'>,
): Provider {
  if (added.length === 0) return provider;
  checkClasses(
    added,
    (bad) =>
      new ProviderLoadError('ProviderConfigInvalid', {
        message: `providers.${section ?? spec}.classes: ${JSON.stringify(bad)} is not a loadBalancerClass`,
        remedy:
          'Write it as the Services have it in spec.loadBalancerClass, for example example.com/internal',
      }),
  );
  const classes = [...new Set([...provider.classes, ...added])];
  // The proxy's target is empty rather than the provider, because a frozen one would not allow another answer.
  return new Proxy({} as Provider, {
    has: (_target, member) => member in provider,
    get(_target, member) {
      if (member === 'classes') return classes;
      const value: unknown = Reflect.get(provider, member);
      return typeof value === 'function' ? (value.bind(provider) as unknown) : value;
    },
  });
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
