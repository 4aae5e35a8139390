import { z } from 'zod';
import type { LoadBalancer } from '../model/load-balancer.ts';
import type { ServiceKey } from '../model/service.ts';
import type { SettingsOf, SettingsTable } from '../model/settings.ts';
import { portText } from '../model/service.ts';
import { compareText, ordered, type Json, type Step, type StepVerb } from '../plan/step.ts';
import type { MemoryFrontend, MemoryListener, MemoryLoadBalancer, MemoryTarget } from './memory-cloud.ts';
import type { Observed, PlanRequest } from './spi.ts';

/** The annotations that the memory provider understands. */
export const memorySettings = {
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
export type MemorySettings = SettingsOf<typeof memorySettings>;

type Balancer = LoadBalancer<MemorySettings>;

/** The steps from what was observed to what is wanted. Pure; `[]` when nothing differs. */
export function planMemory(
  request: PlanRequest<MemorySettings>,
  observed: Observed<MemoryLoadBalancer>,
): readonly Step[] {
  if (request.scope === 'shared') return [];
  const { key, desired } = request;
  const have = observed.loadBalancers.get(key);
  if (desired === undefined) return have === undefined ? [] : teardown(key, have);
  // The core removes another Service's load balancer first; a plan is total, so it says so here as well.
  if (have !== undefined && have.uid !== desired.uid) return teardown(key, have);
  return ordered(differences(desired, have));
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

/**
 * Nodes or pods; sorted, so that the order in which they are listed is no difference. Nodes that come sorted, as the
 * core gives them, are taken as they are: one list that all load balancers share, and that is equal by identity.
 */
function targetsOf({ targets, endpoints }: Balancer): readonly MemoryTarget[] {
  if (endpoints.length === 0 && inOrder(targets)) return targets;
  const nodes = targets.map(({ node, providerID, addresses }) => ({ node, providerID, addresses }));
  const pods = endpoints
    .filter(({ ready }) => ready)
    .map(({ node, address }) => ({ node, providerID: '', addresses: [address] }));
  return [...nodes, ...pods].toSorted(
    (a, b) => compareText(a.node, b.node) || compareText(a.addresses.join(), b.addresses.join()),
  );
}

function inOrder(targets: Balancer['targets']): boolean {
  return targets.every(({ node }, index) => index === 0 || (targets[index - 1]?.node ?? '') < node);
}

/** Equality of plain values whose keys were written in the same order, as those of this provider are. */
export function same(a: Json | undefined, b: Json | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}
