import type { BerthError } from '../model/errors.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { InvalidSpec, NotReady } from '../model/errors.ts';
import type { Target } from '../model/load-balancer.ts';
import { note, type Note } from '../model/reasons.ts';
import { keyOf, type Service, type ServiceKey } from '../model/service.ts';
import { desired, targetKindOf, type Desired, type ProviderTraits } from '../plan/desired.ts';
import { lifecycleOf } from '../plan/lifecycle.ts';
import type { Step } from '../plan/step.ts';
import type { AddressBook } from './address-book.ts';
import type { Cache } from './ports.ts';
import type { ProviderRuntime } from './runtime.ts';

/** When to look again for EndpointSlices, in milliseconds. */
const ENDPOINTS_MS = 500;

/** What a decision is made from, apart from the Service and its provider. */
export interface Surroundings {
  /** Eligible nodes, sorted by name. */
  readonly targets: readonly Target[];
  /** Labels of a node. */
  readonly labelsOf: (node: string) => Readonly<Record<string, string>>;
  /** Services that may want an address of the same provider. */
  readonly waiting: Iterable<Service>;
  /** Backends of a Service; `undefined` while they are not known yet. Asked only where traffic goes to pods. */
  readonly endpoints: (key: ServiceKey) => readonly Endpoint[] | undefined;
}

/** What one Service gets, before anything is done: the same value for `berth plan` and for the pass. */
export interface Decision extends Desired {
  /** What keeps the Service from being as it asks, though it is served meanwhile. */
  readonly problem: BerthError | undefined;
}

/**
 * Decides what a Service gets: its addresses and its desired load balancer.
 *
 * @throws BerthError when the Service gets nothing; `problem` carries what does not stop it from being served.
 */
export function decide(service: Service, runtime: ProviderRuntime, surroundings: Surroundings): Decision {
  const { book, traits } = runtime;
  const { targets, labelsOf } = surroundings;
  const endpoints = endpointsOf(service, runtime, surroundings);
  if (book === undefined) {
    return {
      ...desired(service, { traits, targets, labelsOf, endpoints, assigned: undefined }),
      problem: undefined,
    };
  }
  // The Service itself is looked at first, so that a bad annotation is named before an address is reserved for it.
  desired(service, { traits, targets: [], assigned: [] });
  const assignment = book.assignment(service, candidates(surroundings.waiting, book, traits));
  const problem =
    assignment.problem === undefined
      ? undefined
      : new InvalidSpec(assignment.problem.code, assignment.problem);
  if (problem !== undefined && assignment.addresses.length === 0) throw problem;
  const result = desired(service, { traits, targets, labelsOf, endpoints, assigned: assignment.addresses });
  return { ...result, notes: [...result.notes, ...poolNotes(keyOf(service), runtime)], problem };
}

/**
 * The steps that the next pass over the key takes, in order: first what another Service of the same name left behind,
 * then what the desired state needs. `wanted: undefined` plans the removal.
 */
export function plannedSteps(
  key: ServiceKey,
  wanted: Desired['loadBalancer'] | undefined,
  runtime: ProviderRuntime,
): readonly Step[] {
  const { provider, state } = runtime;
  const observed = state.view.loadBalancers.get(key);
  const replaced = wanted !== undefined && observed !== undefined && observed.uid !== wanted.uid;
  if (!replaced) return provider.plan({ scope: 'loadBalancer', key, desired: wanted }, state.view);
  const { environment, shared } = state.view;
  const loadBalancers = new Map(state.view.loadBalancers);
  loadBalancers.delete(key);
  return [
    ...provider.plan({ scope: 'loadBalancer', key, desired: undefined }, state.view),
    ...provider.plan({ scope: 'loadBalancer', key, desired: wanted }, { environment, shared, loadBalancers }),
  ];
}

/** Services that may want an address of a provider, looked for when somebody asks and not before. */
export function* waitingFor(
  runtime: ProviderRuntime,
  services: Pick<Cache<Service>, 'list'>,
  serving: (service: Service) => ProviderRuntime | undefined,
): Generator<Service> {
  for (const service of services.list()) {
    if (runtime.book?.holdsFor(service.uid) === true) continue;
    if (serving(service) === runtime && lifecycleOf(service, true) === 'ensure') yield service;
  }
}

/** Services without an address that can be served: what is wrong with one must not cost another its address. */
function* candidates(
  waiting: Iterable<Service>,
  book: AddressBook,
  traits: ProviderTraits,
): Generator<Service> {
  for (const service of waiting) {
    if (book.holds(keyOf(service))) continue;
    try {
      desired(service, { traits, targets: [], assigned: [] });
    } catch {
      continue;
    }
    yield service;
  }
}

/** The backends, where traffic goes to them. */
function endpointsOf(
  service: Service,
  runtime: ProviderRuntime,
  surroundings: Surroundings,
): readonly Endpoint[] {
  if (targetKindOf(service, runtime.traits) !== 'podIP') return [];
  const endpoints = surroundings.endpoints(keyOf(service));
  if (endpoints !== undefined) return endpoints;
  throw new NotReady('EndpointsUnknown', {
    message: 'the EndpointSlices have not been listed yet',
    remedy: 'Berth looks again by itself',
    retryAfterMs: ENDPOINTS_MS,
  });
}

function poolNotes(key: ServiceKey, runtime: ProviderRuntime): readonly Note[] {
  const outside = runtime.book?.outsidePools(key) ?? [];
  return outside.map((ip) =>
    note('AddressOutsidePool', ip, `${ip} is in use and stays, but no pool has it any more`),
  );
}
