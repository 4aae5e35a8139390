import {
  compareText,
  familyOf,
  ordered,
  portText,
  type Json,
  type LoadBalancer,
  type Observed,
  type PlanRequest,
  type ServiceKey,
  type Step,
  type StepVerb,
} from '@berth/core';
import type { LocalSettings } from './settings.ts';
import type { Frontend, ListenerState, ListenerWish, LocalLoadBalancer, TargetAddress } from './state.ts';

/** What the planner compares with. */
export type LocalObserved = Observed<LocalLoadBalancer>;

type Desired = LoadBalancer<LocalSettings>;

/**
 * The steps from what is to what is wanted. Order: the balancer itself (what holds for all ports), its targets (one
 * step, whatever the number of ports), its listeners side by side, so that no port is open before there is something
 * behind it. Removal goes the other way: listeners, then the balancer with its targets.
 */
export function plan(request: PlanRequest<LocalSettings>, observed: LocalObserved): readonly Step[] {
  if (request.scope === 'shared') return [];
  const have = observed.loadBalancers.get(request.key);
  const { desired } = request;
  if (desired === undefined) return have === undefined ? [] : teardown(request.key, have);
  // The core removes another Service's load balancer first; a plan is total, so it says so here as well.
  if (have !== undefined && have.uid !== desired.uid) return teardown(request.key, have);
  return ordered([
    ...balancerSteps(desired, have),
    ...targetSteps(desired, have),
    ...listenerSteps(desired, have),
  ]);
}

/** What holds for all ports, as the balancer is to have it. */
export function frontendOf({
  sourceRanges,
  clientIPAffinitySeconds,
  healthCheck,
  settings,
}: Desired): Frontend {
  return { sourceRanges: sourceRanges.toSorted(compareText), clientIPAffinitySeconds, healthCheck, settings };
}

/**
 * The nodes with the address that each is reached by: the first one of the Service's first family, because a node port
 * is open for the families of its Service. A node that has none of these families is left out.
 */
export function targetsOf({ targets, families }: Desired): readonly TargetAddress[] {
  return targets
    .flatMap(({ node, addresses }) => {
      const [address] = families.flatMap((family) => addresses.find((ip) => familyOf(ip) === family) ?? []);
      return address === undefined ? [] : [{ node, address }];
    })
    .toSorted((a, b) => compareText(a.node, b.node));
}

/** The listeners that are wanted, by `443/TCP`. */
export function listenersOf({ ports, addresses }: Desired): Readonly<Record<string, ListenerWish>> {
  return Object.fromEntries(ports.map((port) => [portText(port), { addresses, nodePort: port.nodePort }]));
}

function balancerSteps(desired: Desired, have: LocalLoadBalancer | undefined): readonly Step[] {
  const { key: scope, uid } = desired;
  const frontend = frontendOf(desired);
  const part = { scope, resource: 'balancer', key: desired.name, stage: 0, after: { uid, ...frontend } };
  if (have === undefined) {
    return [step({ ...part, because: `Service ${scope} has no proxy` })];
  }
  const differing = [
    ...differences(have.frontend, frontend).filter((name) => name !== 'settings'),
    ...differences(have.frontend.settings, frontend.settings),
  ];
  if (differing.length === 0) return [];
  const before = { uid: have.uid, ...have.frontend };
  return [step({ ...part, before, because: `${differing.join(', ')} of the Service changed` })];
}

function targetSteps(desired: Desired, have: LocalLoadBalancer | undefined): readonly Step[] {
  const before = have?.targets ?? [];
  const after = targetsOf(desired);
  if (same(before, after)) return [];
  const gone = before.filter((one) => !after.some((other) => same(one, other)));
  const come = after.filter((one) => !before.some((other) => same(one, other)));
  const text = [...come.map(({ node }) => `+${node}`), ...gone.map(({ node }) => `-${node}`)].join(' ');
  const because = `the nodes to forward to changed: ${text}`;
  const part = { scope: desired.key, resource: 'targets', key: 'nodes', stage: 1, because };
  // Never a create or a delete: targets come and go with the balancer that has them.
  return [{ ...part, verb: 'update', before, after }];
}

function listenerSteps(desired: Desired, have: LocalLoadBalancer | undefined): readonly Step[] {
  const wanted = listenersOf(desired);
  const names = new Set([...Object.keys(wanted), ...Object.keys(have?.listeners ?? {})]);
  return [...names].flatMap((key) => {
    const [before, after] = [have?.listeners[key], wanted[key]];
    const verb = verbOf(before, after);
    if (verb === undefined) return [];
    const because = listenerReason(key, before, after);
    const part = { scope: desired.key, resource: 'listener', key, stage: 2, because };
    return [{ ...step({ ...part, before, after }), verb }];
  });
}

/** What must happen to a listener. Other addresses, and a failed attempt, need sockets of their own: `replace`. */
function verbOf(before: ListenerState | undefined, after: ListenerWish | undefined): StepVerb | undefined {
  if (before === undefined) return after === undefined ? undefined : 'create';
  if (after === undefined) return 'delete';
  if (before.failure !== undefined || !same(before.addresses, after.addresses)) return 'replace';
  return before.nodePort === after.nodePort ? undefined : 'update';
}

function listenerReason(
  key: string,
  before: ListenerState | undefined,
  after: ListenerWish | undefined,
): string {
  if (before === undefined) return `port ${key} is in the Service but has no listener`;
  if (after === undefined) return `port ${key} has a listener but is not in the Service`;
  if (before.failure !== undefined) return `port ${key} could not be opened: ${before.failure.code}`;
  if (before.nodePort !== after.nodePort && same(before.addresses, after.addresses))
    return `port ${key} forwards to node port ${before.nodePort}, ${after.nodePort} is wanted`;
  return `port ${key} listens on ${before.addresses.join(', ')}, ${after.addresses.join(', ')} is wanted`;
}

/** Needs nothing but what was observed. */
function teardown(scope: ServiceKey, have: LocalLoadBalancer): readonly Step[] {
  const because = `Service ${scope} wants no proxy any more`;
  return ordered([
    ...Object.entries(have.listeners).map(([key, before]) =>
      step({ scope, resource: 'listener', key, stage: 0, before, because }),
    ),
    step({
      scope,
      resource: 'balancer',
      key: scope.slice(scope.indexOf('/') + 1),
      stage: 1,
      before: { uid: have.uid, ...have.frontend, targets: have.targets },
      because,
    }),
  ]);
}

interface StepParts extends Omit<Step, 'verb' | 'before' | 'after'> {
  readonly before?: Json | undefined;
  readonly after?: Json | undefined;
}

/** A step whose verb follows from what there is before and after it. */
function step({ before, after, ...parts }: StepParts): Step {
  return {
    ...parts,
    verb: before === undefined ? 'create' : after === undefined ? 'delete' : 'update',
    ...(before === undefined ? {} : { before }),
    ...(after === undefined ? {} : { after }),
  };
}

/** Names of the fields whose values differ. */
function differences<T extends Readonly<Record<string, Json>>>(a: T, b: T): readonly string[] {
  return Object.keys(b).filter((name) => !same(a[name], b[name]));
}

/** Equality of plain values whose keys were written in the same order, as those of this provider are. */
function same(a: Json | undefined, b: Json | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
