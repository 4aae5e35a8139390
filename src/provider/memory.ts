/**
 * The reference provider: complete, with nothing behind it but a `MemoryCloud`. It is what tests and benchmarks of the
 * core run on, and an example of the contract: plan is a pure comparison, apply carries out one step and may be
 * repeated, ingress only reads.
 */
import { z } from 'zod';
import { parseRange, type IpRange } from '../model/address.ts';
import type { Capabilities } from '../model/capabilities.ts';
import { Conflict } from '../model/errors.ts';
import type { LoadBalancer } from '../model/load-balancer.ts';
import type { AddressPool } from '../model/pool.ts';
import { REASONS } from '../model/reasons.ts';
import type { ServiceKey } from '../model/service.ts';
import type { SettingsOf, SettingsTable } from '../model/settings.ts';
import { portText } from '../plan/desired.ts';
import { compareText, ordered, type Json, type Step, type StepVerb } from '../plan/step.ts';
import {
  MemoryCloud,
  withoutListener,
  type MemoryFrontend,
  type MemoryListener,
  type MemoryLoadBalancer,
  type MemoryTarget,
} from './memory-cloud.ts';
import { CONTRACT, type Change, type Host, type IngressResult, type Provider } from './spi.ts';

export * from './memory-cloud.ts';

const settings = {
  idleTimeoutSeconds: {
    annotations: ['memory.berth.dev/idle-timeout-seconds'],
    type: 'a whole number of seconds from 1 to 3600',
    default: 60,
    doc: 'How long a connection may be silent before it is closed.',
    schema: z
      .string()
      .regex(/^\d{1,4}$/)
      .transform(Number)
      .pipe(z.number().min(1).max(3600)),
  },
} as const satisfies SettingsTable;

/** The values of the provider's annotations. */
export type MemorySettings = SettingsOf<typeof settings>;

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

type Balancer = LoadBalancer<MemorySettings>;
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
    settings,
    ...(pools === undefined ? {} : { pools: typeof pools === 'function' ? pools : () => pools }),
    async observe(signal, keys) {
      return { environment: undefined, shared: undefined, loadBalancers: await cloud.describe(signal, keys) };
    },
    plan(request, observed) {
      if (request.scope === 'shared') return [];
      const have = observed.loadBalancers.get(request.key);
      if (request.desired === undefined) return have === undefined ? [] : teardown(request.key, have);
      // The core removes another Service's load balancer first; a plan is total, so it says so here as well.
      if (have !== undefined && have.uid !== request.desired.uid) return teardown(request.key, have);
      return ordered(differences(request.desired, have));
    },
    apply: (step, _observed, signal) => carryOut({ cloud, step, signal }),
    ingress: (desired, have) => ingressOf(desired, have, options.hostnames ?? false),
    close: () => Promise.resolve(),
  };
}

/** The steps that make it as desired: the load balancer itself, then its listeners and targets side by side. */
function differences(desired: Balancer, have: MemoryLoadBalancer | undefined): readonly Step[] {
  const scope = desired.key;
  const wanted = frontendOf(desired);
  const listeners = Object.fromEntries(desired.ports.map((port) => [portText(port), listenerOf(port)]));
  const names = new Set([...Object.keys(listeners), ...Object.keys(have?.listeners ?? {})]);
  return [
    ...(have === undefined || !satisfies(have.frontend, wanted)
      ? [
          step({
            scope,
            resource: 'loadBalancer',
            key: scope,
            stage: 0,
            before: have && { uid: have.uid, ...have.frontend },
            after: { uid: desired.uid, ...wanted },
          }),
        ]
      : []),
    ...[...names].flatMap((name) =>
      same(have?.listeners[name], listeners[name])
        ? []
        : [
            step({
              scope,
              resource: 'listener',
              key: name,
              stage: 1,
              before: have?.listeners[name],
              after: listeners[name],
            }),
          ],
    ),
    ...targetSteps(scope, have?.targets ?? [], { after: targetsOf(desired), stage: 1 }),
  ];
}

/** The steps that leave nothing: what hangs on the load balancer first. Needs nothing but what was observed. */
function teardown(scope: ServiceKey, have: MemoryLoadBalancer): readonly Step[] {
  return ordered([
    ...Object.entries(have.listeners).map(([key, before]) =>
      step({ scope, resource: 'listener', key, stage: 0, before }),
    ),
    ...targetSteps(scope, have.targets, { after: [], stage: 0 }),
    step({
      scope,
      resource: 'loadBalancer',
      key: scope,
      stage: 1,
      before: { uid: have.uid, ...have.frontend },
    }),
  ]);
}

/** All targets of a load balancer change in one step, so that a new node costs one call. */
function targetSteps(
  scope: ServiceKey,
  before: readonly MemoryTarget[],
  { after, stage }: { readonly after: readonly MemoryTarget[]; readonly stage: number },
): readonly Step[] {
  if (same(before, after)) return [];
  const some = (targets: readonly MemoryTarget[]): Json | undefined =>
    targets.length > 0 ? targets : undefined;
  return [step({ scope, resource: 'targets', key: 'all', stage, before: some(before), after: some(after) })];
}

interface StepParts {
  readonly scope: ServiceKey;
  readonly resource: 'loadBalancer' | 'listener' | 'targets';
  readonly key: string;
  readonly stage: number;
  readonly before?: Json | undefined;
  readonly after?: Json | undefined;
}

function step({ before, after, ...parts }: StepParts): Step {
  const verb: StepVerb = before === undefined ? 'create' : after === undefined ? 'delete' : 'update';
  const reasons = {
    create: `${parts.resource} ${parts.key} is wanted and does not exist`,
    update: `${parts.resource} ${parts.key} is not as it is wanted`,
    delete: `${parts.resource} ${parts.key} exists and is not wanted`,
  };
  return {
    ...parts,
    verb,
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
    because: reasons[verb],
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
  desired: Balancer,
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

function frontendOf(desired: Balancer): MemoryFrontend {
  const { healthCheck } = desired;
  return {
    families: desired.families,
    addresses: desired.addresses,
    sourceRanges: desired.sourceRanges,
    clientIPAffinitySeconds: desired.clientIPAffinitySeconds,
    healthCheck: healthCheck.kind === 'http' ? `http :${healthCheck.port}${healthCheck.path}` : 'default',
    idleTimeoutSeconds: desired.settings.idleTimeoutSeconds,
  };
}

/** Whether it is as wanted. Addresses that nobody asked for by name may be any. */
function satisfies(have: MemoryFrontend, wanted: MemoryFrontend): boolean {
  const asked = wanted.addresses.every((ip) => have.addresses.includes(ip));
  return asked && same({ ...have, addresses: [] }, { ...wanted, addresses: [] });
}

function listenerOf({ protocol, port, nodePort }: MemoryListener): MemoryListener {
  return { protocol, port, nodePort };
}

/** Sorted, so that the order in which nodes are listed is no difference. */
function targetsOf({ targets }: Balancer): readonly MemoryTarget[] {
  return targets
    .map(({ node, providerID, addresses }) => ({ node, providerID, addresses }))
    .toSorted((a, b) => compareText(a.node, b.node));
}

/** Equality of plain values whose keys were written in the same order, as those of this provider are. */
function same(a: Json | undefined, b: Json | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

const rangeSchema = z.string().transform((text, context): IpRange => {
  const range = parseRange(text);
  if (range !== undefined) return range;
  context.addIssue(`expected a CIDR, FIRST-LAST or one address, got ${JSON.stringify(text)}`);
  return z.NEVER;
});

const configSchema = z.strictObject({
  /** Without pools the cloud chooses the addresses. */
  pools: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        ranges: z.array(rangeSchema).min(1),
        autoAssign: z.boolean().default(true),
      }),
    )
    .optional(),
  /** Milliseconds that every call of the cloud takes. */
  latencyMs: z.number().int().min(0).max(60_000).default(0),
});

/** The factory behind `--provider memory`: each one has a cloud of its own, which is gone with the process. */
export function memoryFactory(
  config: z.output<typeof configSchema>,
  host: Host,
): Provider<MemoryLoadBalancer, MemorySettings> {
  const cloud = new MemoryCloud({ clock: host.clock, latencyMs: config.latencyMs, recordCalls: false });
  return createMemoryProvider(cloud, config.pools === undefined ? {} : { pools: config.pools });
}
memoryFactory.configSchema = configSchema;

export default memoryFactory;
