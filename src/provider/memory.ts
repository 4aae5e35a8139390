/**
 * The reference provider: complete, with nothing behind it but a `MemoryCloud`. It is what tests and benchmarks of the
 * core run on, and an example of the contract: plan is a pure comparison, apply carries out one step and may be
 * repeated, ingress only reads.
 */
import { z } from 'zod';
import type { Capabilities } from '../model/capabilities.ts';
import { Conflict } from '../model/errors.ts';
import type { LoadBalancer } from '../model/load-balancer.ts';
import type { AddressPool } from '../model/pool.ts';
import { REASONS } from '../model/reasons.ts';
import type { ServiceKey } from '../model/service.ts';
import { portText } from '../model/service.ts';
import type { Step } from '../plan/step.ts';
import {
  MemoryCloud,
  withoutListener,
  type MemoryFrontend,
  type MemoryListener,
  type MemoryLoadBalancer,
  type MemoryTarget,
} from './memory-cloud.ts';
import { fileStore } from './memory-file.ts';
import { memorySettings, planMemory, same, type MemorySettings } from './memory-plan.ts';
import { poolsSchema } from './pool-config.ts';
import { CONTRACT, type Change, type Host, type IngressResult, type Provider } from './spi.ts';

export type { MemorySettings } from './memory-plan.ts';
export * from './memory-cloud.ts';
export { fileStore, type CloudState, type CloudStore } from './memory-file.ts';

const CAPABILITIES: Capabilities = {
  loadBalancerIP: 'honoured',
  protocols: ['TCP', 'UDP', 'SCTP'],
  mixedProtocols: true,
  sourceRanges: true,
  targets: 'nodePort',
  families: ['IPv4', 'IPv6'],
  sessionAffinity: true,
  sharing: false,
  healthCheck: true,
};

/** What may be different from one memory provider to the next. */
export interface MemoryProviderOptions {
  /** Default `memory`. */
  readonly name?: string;
  /** Default `berth.dev/NAME`. */
  readonly classes?: readonly string[];
  /** Overrides of what it can do. */
  readonly capabilities?: Partial<Capabilities>;
  /** With pools the core assigns the addresses; without, the cloud chooses. A function is asked each time. */
  readonly pools?: readonly AddressPool[] | (() => readonly AddressPool[]);
  /** Whether the status has a host name in place of addresses, as clouds with DNS names have. */
  readonly hostnames?: boolean;
}

type MemoryChange = Change<MemoryLoadBalancer>;

/** Makes a provider over a cloud, which several providers may share: two replicas, or one after a restart. */
export function createMemoryProvider(
  cloud: MemoryCloud,
  options: MemoryProviderOptions = {},
): Provider<MemoryLoadBalancer, MemorySettings> {
  const { pools, name = 'memory' } = options;
  return {
    contract: CONTRACT,
    name,
    classes: options.classes ?? [`berth.dev/${name}`],
    capabilities: { ...CAPABILITIES, ...options.capabilities },
    settings: memorySettings,
    ...(pools === undefined ? {} : { pools: typeof pools === 'function' ? pools : () => pools }),
    addressesOf: ({ frontend }) => frontend.addresses,
    async observe(signal, keys) {
      return { environment: undefined, shared: undefined, loadBalancers: await cloud.describe(signal, keys) };
    },
    plan: planMemory,
    apply: (step, _observed, signal) => carryOut({ cloud, step, signal }),
    ingress: (desired, have) => ingressOf(desired, have, options.hostnames ?? false),
    close: () => Promise.resolve(),
  };
}

interface Job {
  readonly cloud: MemoryCloud;
  readonly step: Step;
  readonly signal: AbortSignal;
}

/**
 * Carries out one step. A create looks first: if the same thing was made by an attempt whose reply was lost, it is
 * recognised and only brought to the state that the step asks for.
 */
function carryOut(job: Job): Promise<MemoryChange> {
  if (job.step.resource === 'loadBalancer') return applyLoadBalancer(job);
  return job.step.resource === 'listener' ? applyListener(job) : applyTargets(job);
}

async function applyLoadBalancer({ cloud, step, signal }: Job): Promise<MemoryChange> {
  const key = step.scope;
  if (step.verb === 'delete') {
    await cloud.deleteLoadBalancer(key, signal);
    return { loadBalancer: () => undefined };
  }
  const { uid, ...frontend } = step.after as MemoryFrontend & { readonly uid: string };
  const found = step.verb === 'create' ? (await cloud.describe(signal, [key])).get(key) : undefined;
  if (found !== undefined && found.uid !== uid) throw anothers(key);
  const made =
    step.verb === 'create' && found === undefined
      ? await cloud.createLoadBalancer({ key, uid }, frontend, signal)
      : await cloud.updateLoadBalancer(key, frontend, signal);
  return { loadBalancer: (now) => ({ ...(now ?? made), frontend: made.frontend }) };
}

async function applyListener({ cloud, step, signal }: Job): Promise<MemoryChange> {
  const { scope, key: name } = step;
  if (step.verb === 'delete') {
    await cloud.deleteListener(scope, name, signal);
    return { loadBalancer: (now) => now && withoutListener(now, name) };
  }
  const listener = step.after as MemoryListener;
  const found =
    step.verb === 'create' ? (await cloud.describe(signal, [scope])).get(scope)?.listeners[name] : undefined;
  if (step.verb === 'create' && found === undefined)
    await cloud.createListener(scope, name, { listener, signal });
  else if (!same(found, listener)) await cloud.updateListener(scope, name, { listener, signal });
  return { loadBalancer: (now) => now && { ...now, listeners: { ...now.listeners, [name]: listener } } };
}

async function applyTargets({ cloud, step, signal }: Job): Promise<MemoryChange> {
  const targets = (step.after ?? []) as readonly MemoryTarget[];
  await cloud.setTargets(step.scope, targets, signal);
  return { loadBalancer: (now) => now && { ...now, targets } };
}

function anothers(key: ServiceKey): Conflict {
  return new Conflict('ConflictObserved', {
    message: `the load balancer ${key} was made for an earlier Service of this name`,
    remedy: REASONS.ConflictObserved.remedy,
  });
}

function ingressOf(
  desired: LoadBalancer<MemorySettings>,
  have: MemoryLoadBalancer | undefined,
  hostnames: boolean,
): IngressResult {
  const missing = desired.ports.filter((port) => have?.listeners[portText(port)] === undefined);
  if (have === undefined || missing.length > 0) {
    return { kind: 'pending', code: 'Ensuring', message: REASONS.Ensuring.meaning, retryAfterMs: 1_000 };
  }
  if (hostnames) return { kind: 'ready', ingress: [{ hostname: `${desired.uid}.lb.memory.test` }] };
  return { kind: 'ready', ingress: have.frontend.addresses.map((ip) => ({ ip, ipMode: 'VIP' })) };
}

const configSchema = z.strictObject({
  /** Without pools the cloud chooses the addresses. */
  pools: poolsSchema.optional(),
  /** Milliseconds that every call of the cloud takes. */
  latencyMs: z.number().int().min(0).max(60_000).default(0),
  /** A file that the cloud lives in, so that it outlives the process. */
  file: z.string().min(1).optional(),
  /** Kills the process (SIGKILL) right after so many effects, for tests of what the next start makes of it. */
  killAfterEffects: z.number().int().min(1).optional(),
});

/** The factory behind `--provider memory`: each one has a cloud of its own, which goes with the process or is in a file. */
export function memoryFactory(
  config: z.output<typeof configSchema>,
  host: Host,
): Provider<MemoryLoadBalancer, MemorySettings> {
  const { pools, latencyMs, file } = config;
  const store = file === undefined ? {} : { store: fileStore(file) };
  const cloud = new MemoryCloud({ clock: host.clock, latencyMs, recordCalls: false, ...store });
  let left = config.killAfterEffects ?? Number.POSITIVE_INFINITY;
  cloud.onEffect = () => {
    left -= 1;
    if (left <= 0) process.kill(process.pid, 'SIGKILL');
  };
  return createMemoryProvider(cloud, pools === undefined ? {} : { pools });
}
memoryFactory.configSchema = configSchema;

export default memoryFactory;
