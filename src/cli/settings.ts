import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { basename, resolve } from 'node:path';
import type { ControllerSettings } from '../controller/controller.ts';
import type { ElectionSettings, ProviderSpec } from '../controller/run.ts';
import { deepFreeze } from '../provider/freeze.ts';
import { isPath } from '../provider/resolve.ts';
import { readConfigFile, type FileSettings, type LOG_LEVELS } from './config-file.ts';
import type { Environment } from './environment.ts';
import type { ListenAddress } from './values.ts';

/** How much is logged. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What the command line says; what was not given is absent. Durations are milliseconds. */
export interface Flags {
  readonly config?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly provider?: readonly string[];
  readonly defaultProvider?: string;
  readonly clusterId?: string;
  readonly clusterName?: string;
  readonly leaderElect?: boolean;
  readonly leaderElectNamespace?: string;
  readonly sweepInterval?: number;
  readonly drift?: ControllerSettings['drift'];
  readonly deleteOrphans?: boolean;
  readonly allocateNodePorts?: boolean;
  readonly concurrentSyncs?: number;
  readonly listen?: ListenAddress;
  readonly logLevel?: LogLevel;
  readonly output?: 'table' | 'json';
  readonly awsVpcId?: string;
  readonly clusterPolicyHealthCheck?: string;
}

/** Flags that say in short what a provider's section has under `config`: flag, provider, key. */
const PROVIDER_FLAGS = [
  ['awsVpcId', 'aws', 'vpcId'],
  ['clusterPolicyHealthCheck', 'aws', 'clusterPolicyHealthCheck'],
] as const;

/** Everything that can be configured, resolved once and frozen. */
export interface Settings {
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  /** The cluster's identity; read from the cluster when unset. */
  readonly clusterId: string | undefined;
  readonly clusterName: string;
  readonly providers: readonly ProviderSpec[];
  readonly defaultProvider: string | undefined;
  /** Whether `run` takes part in an election; the namespace is where the Lease is looked for in any case. */
  readonly elect: boolean;
  readonly election: ElectionSettings;
  readonly controller: ControllerSettings;
  readonly listen: ListenAddress;
  /** How others reach this process: `pod/NAMESPACE/NAME`; `undefined` outside of a pod. */
  readonly pod: string | undefined;
  readonly logLevel: LogLevel | undefined;
}

/** Where the Lease is when nothing says otherwise: the namespace of the manifests. */
export const BERTH_NAMESPACE = 'berth-system';

/** Serves when nothing says otherwise. */
const DEFAULT_PROVIDER = 'local';

/**
 * Puts flags, configuration file and environment together. A flag wins over the file, the file over the default.
 *
 * @throws UsageError when the file cannot be read or is wrong.
 */
export function resolveSettings(flags: Flags, environment: Environment): Settings {
  const file: FileSettings = flags.config === undefined ? {} : readConfigFile(flags.config);
  const { inPod, podName, podNamespace } = environment;
  const elect = flags.leaderElect ?? file.leaderElection?.enabled ?? true;
  return deepFreeze({
    kubeconfig: flags.kubeconfig ?? file.kubeconfig,
    context: flags.context ?? file.context,
    clusterId: flags.clusterId ?? file.clusterId,
    clusterName: flags.clusterName ?? file.clusterName ?? 'kubernetes',
    providers: providersOf(flags.provider, file.providers).map((spec) => withFlags(spec, flags)),
    defaultProvider: flags.defaultProvider ?? file.defaultProvider,
    elect,
    election: electionOf(flags, file, environment),
    controller: controllerOf(flags, file),
    listen: flags.listen ?? file.listen ?? (inPod ? IN_POD : AT_TERMINAL),
    pod: podName !== undefined && podNamespace !== undefined ? `pod/${podNamespace}/${podName}` : undefined,
    logLevel: flags.logLevel ?? file.logLevel,
  });
}

/** A pod's probes and scrapers come from outside of it, by a port that the manifests name. */
const IN_POD: ListenAddress = { host: '0.0.0.0', port: 8080 };
/** Elsewhere only this machine asks, and finds the port in the Lease. */
const AT_TERMINAL: ListenAddress = { host: '127.0.0.1', port: 0 };

/** Which providers to load: those of the flags, else those of the file. A section of the file configures either. */
function providersOf(
  flags: readonly string[] | undefined,
  sections: FileSettings['providers'] = {},
): readonly ProviderSpec[] {
  const named = Object.keys(sections);
  const wanted = flags ?? (named.length > 0 ? named : [DEFAULT_PROVIDER]);
  return wanted.map((given) => {
    const name = sectionOf(given, sections);
    if (name === undefined) return { spec: given };
    const { provider, classes, config } = sections[name] ?? {};
    return {
      spec: provider ?? given,
      section: name,
      ...(config === undefined ? {} : { config }),
      ...(classes === undefined ? {} : { classes }),
    };
  });
}

/** A provider's configuration with what flags say of it; a flag wins over the file. */
function withFlags(spec: ProviderSpec, flags: Flags): ProviderSpec {
  const given = PROVIDER_FLAGS.flatMap(([flag, provider, key]) =>
    spec.spec === provider && flags[flag] !== undefined ? [[key, flags[flag]] as const] : [],
  );
  if (given.length === 0) return spec;
  return { ...spec, config: { ...(spec.config as object | undefined), ...Object.fromEntries(given) } };
}

/**
 * The section of the file for a provider as a flag names it: the one of that name; the one that loads the same; or,
 * for a path or package, the one with its short name (`hello` for `./provider-hello` and `@example/provider-hello`).
 */
function sectionOf(given: string, sections: NonNullable<FileSettings['providers']>): string | undefined {
  const names = Object.keys(sections);
  const path = isPath(given) ? resolve(given) : given;
  const short = basename(given)
    .replace(/\.[cm]?[jt]s$/, '')
    .replace(/^(berth-)?provider-/, '');
  return (
    names.find((name) => name === given) ??
    names.find((name) => sections[name]?.provider === path) ??
    names.find((name) => name === short && sections[name]?.provider === undefined)
  );
}

function electionOf(flags: Flags, file: FileSettings, environment: Environment): ElectionSettings {
  const { namespace, leaseDuration, renewDeadline, retryPeriod } = file.leaderElection ?? {};
  return {
    namespace: flags.leaderElectNamespace ?? namespace ?? environment.podNamespace ?? BERTH_NAMESPACE,
    // A restarted process is another candidate, so the name alone would not do.
    identity: `${environment.podName ?? hostname()}_${randomUUID()}`,
    ...(leaseDuration === undefined ? {} : { leaseDurationMs: leaseDuration }),
    ...(renewDeadline === undefined ? {} : { renewDeadlineMs: renewDeadline }),
    ...(retryPeriod === undefined ? {} : { retryPeriodMs: retryPeriod }),
  };
}

function controllerOf(flags: Flags, file: FileSettings): ControllerSettings {
  return {
    concurrentSyncs: flags.concurrentSyncs ?? file.concurrentSyncs ?? 10,
    sweepIntervalMs: flags.sweepInterval ?? file.sweepInterval ?? 600_000,
    drift: flags.drift ?? file.drift ?? 'enforce',
    deleteOrphans: flags.deleteOrphans ?? file.deleteOrphans ?? false,
    allocateNodePorts: flags.allocateNodePorts ?? file.allocateNodePorts ?? true,
  };
}
