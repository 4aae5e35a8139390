import type { Holder } from '../model/pool.ts';
import { AssertionError } from 'node:assert';
import {
  familyOf,
  ipFromNumber,
  ipToNumber,
  parseIp,
  type IpAddress,
  type IpFamily,
} from '../model/address.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { asBerthError, isBerthError } from '../model/errors.ts';
import type { LoadBalancer, Target } from '../model/load-balancer.ts';
import { keyOf, type Service, type ServiceKey } from '../model/service.ts';
import { addressRequest } from '../plan/addresses.ts';
import { assign } from '../plan/assign.ts';
import { desired } from '../plan/desired.ts';
import { stagesOf, stepText, type Step } from '../plan/step.ts';
import { sleep, systemClock } from '../provider/clock.ts';
import { guard } from '../provider/guard.ts';
import { ObservedState } from '../provider/observed.ts';
import type { IngressResult, ObservedLoadBalancer, PlanRequest, Provider } from '../provider/spi.ts';
import { portWith, serviceWith, targetWith } from './fixtures.ts';
import { createTestHost } from './host.ts';
import type { ConformanceSubject, ConformanceWorld } from './subject.ts';

/** How often a plan may be carried out and followed by another one; the core allows no more. */
const MAX_PLANS = 5;
/** How often something may be waited for or observed again. */
const MAX_ROUNDS = 50;
/** Longest real wait for one `NotReady`, in milliseconds, when the world has no `settle`. */
const MAX_WAIT_MS = 5_000;

const TARGETS: readonly Target[] = [1, 2, 3].map((n) =>
  targetWith({
    node: `node-${n}`,
    providerID: `test:///node-${n}`,
    addresses: [`192.0.2.${10 + n}` as IpAddress],
  }),
);

const ENDPOINTS: readonly Endpoint[] = [1, 2].map((n) => ({
  address: `198.51.100.${10 + n}` as IpAddress,
  node: `node-${n}`,
  ready: true,
  serving: true,
  terminating: false,
  ports: [0, 1, 2].map((index) => ({ name: `port-${index}`, protocol: 'TCP', port: 8080 })),
}));

/**
 * What the kit drives a provider with: the same desired state, address assignment, guard and observed state as the
 * controller, without Kubernetes around it. Planner inputs are frozen.
 */
export class Driver {
  readonly world: ConformanceWorld;
  readonly subject: ConformanceSubject;
  /** Never aborted. */
  readonly signal: AbortSignal = new AbortController().signal;
  readonly targets: readonly Target[];
  readonly endpoints: readonly Endpoint[];
  readonly ports: readonly number[];
  /** What is known of the world: carried forward step by step, or read afresh by `observe()`. */
  state = new ObservedState();
  /** The provider as it is, without the guard. */
  raw: Provider;
  /** The provider behind the core's guard. */
  provider: Provider;
  readonly #held: Record<IpFamily, Map<bigint, readonly Holder[]>> = { IPv4: new Map(), IPv6: new Map() };

  constructor(world: ConformanceWorld, subject: ConformanceSubject) {
    this.world = world;
    this.subject = subject;
    this.raw = world.provider;
    this.provider = guarded(world.provider);
    this.targets = subject.targets ?? TARGETS;
    this.endpoints = subject.endpoints ?? ENDPOINTS;
    this.ports = subject.ports ?? [8081, 8082, 8083];
  }

  /** A Service that the provider can serve: its first protocol and family, the first of the subject's ports. */
  service(overrides: Partial<Service> = {}): Service {
    const [family = 'IPv4'] = this.provider.capabilities.families;
    return serviceWith({ ports: [this.port(0)], ipFamilies: [family], ...overrides });
  }

  /** The subject's port of this index, with a node port of its own. */
  port(index: number, overrides: Parameters<typeof portWith>[0] = {}): ReturnType<typeof portWith> {
    const [protocol = 'TCP'] = this.provider.capabilities.protocols;
    const port = this.ports[index] ?? fail(`the subject has no port ${index}`);
    return portWith({ name: `port-${index}`, protocol, port, nodePort: 30_001 + index, ...overrides });
  }

  /** What the core would want for a Service; with pools, addresses are assigned and kept as the core does. */
  want(service: Service, targets = this.targets, endpoints = this.endpoints): LoadBalancer {
    const { provider } = this;
    const pools = provider.pools?.();
    const assigned = pools === undefined ? undefined : this.#assign(service, pools);
    return desired(service, { traits: provider, targets, endpoints, assigned }).loadBalancer;
  }

  /** The steps to what is wanted, or (for a key) to nothing. */
  plan(goal: LoadBalancer | ServiceKey): readonly Step[] {
    return this.provider.plan(requestOf(goal), this.state.view);
  }

  /** Carries out one step and merges what it changed. A `NotReady` is waited for. */
  async apply(step: Step): Promise<void> {
    for (let round = 0; ; round++) {
      try {
        this.state.merge(step, await this.provider.apply(step, this.state.view, this.signal));
        return;
      } catch (error) {
        if (!isBerthError(error) || error.kind !== 'NotReady' || round === MAX_ROUNDS) throw error;
        await this.settle(error.retryAfterMs ?? 0);
      }
    }
  }

  /** Plans and applies, stage by stage, until nothing differs. Returns the steps of the first plan. */
  async converge(goal: LoadBalancer | ServiceKey): Promise<readonly Step[]> {
    if (typeof goal !== 'string') await this.convergeShared(goal);
    const steps = await this.#loop(requestOf(goal));
    if (typeof goal === 'string') this.#release(goal);
    return steps;
  }

  /** Forgets what was known and reads the world again. */
  async observe(): Promise<void> {
    this.state = new ObservedState(await this.provider.observe(this.signal));
  }

  /** As if the process had been killed: another instance where the subject offers one, and everything read again. */
  async crash(): Promise<void> {
    if (this.world.restart !== undefined) {
      this.raw = await this.world.restart();
      this.provider = guarded(this.raw);
    }
    await this.observe();
  }

  /** What is known of one load balancer. */
  known(key: ServiceKey): ObservedLoadBalancer | undefined {
    return this.state.view.loadBalancers.get(key);
  }

  /** What the status would say. */
  ingress(wanted: LoadBalancer): IngressResult {
    return this.provider.ingress(wanted, this.known(wanted.key));
  }

  /** The status, waited for where it takes time; fails when it does not come. */
  async ready(wanted: LoadBalancer): Promise<Extract<IngressResult, { kind: 'ready' }>['ingress']> {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const result = this.ingress(wanted);
      if (result.kind === 'ready') return result.ingress;
      await this.settle(result.retryAfterMs);
      await this.observe();
      await this.converge(wanted);
    }
    return fail(`${wanted.key} has converged, but its ingress never became ready`);
  }

  /** Lets time pass for the provider. */
  async settle(ms: number): Promise<void> {
    if (this.world.settle !== undefined) await this.world.settle(ms);
    else await sleep(systemClock, Math.min(ms, MAX_WAIT_MS), this.signal);
  }

  /** The same for what load balancers share: for this one, or (`undefined`) when no Service is left. */
  async convergeShared(wanted: LoadBalancer | undefined): Promise<void> {
    const desired = wanted && {
      targets: wanted.targets,
      needs: (this.provider.needs?.(wanted) ?? []).toSorted(),
      // Other load balancers of the case may need more.
      complete: false,
    };
    await this.#loop({ scope: 'shared', desired });
  }

  async #loop(request: PlanRequest): Promise<readonly Step[]> {
    const first = this.provider.plan(request, this.state.view);
    let steps = first;
    let plans = 0;
    for (let round = 0; steps.length > 0; round++) {
      const before = JSON.stringify(steps);
      const done = await this.#round(steps);
      steps = this.provider.plan(request, this.state.view);
      if (done) plans += 1;
      const again = done && JSON.stringify(steps) === before;
      if (again || plans > MAX_PLANS || round > MAX_ROUNDS) {
        fail(
          `it does not converge: after ${round + 1} rounds the plan still has ${steps.map(stepText).join('; ')}`,
        );
      }
    }
    return first;
  }

  /**
   * One pass over a plan, as the core makes it: steps of a stage side by side, and none after a stage that failed.
   * Says whether all of it was carried out.
   */
  async #round(steps: readonly Step[]): Promise<boolean> {
    for (const stage of stagesOf(steps)) {
      const outcomes = await Promise.allSettled(
        stage.map(async (step) => {
          this.state.merge(step, await this.provider.apply(step, this.state.view, this.signal));
        }),
      );
      const errors = outcomes.flatMap((outcome) =>
        outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
      );
      if (errors.length > 0) {
        await this.#react(errors);
        return false;
      }
    }
    return true;
  }

  async #react(errors: readonly unknown[]): Promise<void> {
    const known = errors.map(asBerthError);
    const hard = known.find(({ kind }) => !['NotReady', 'Throttled', 'Conflict'].includes(kind));
    if (hard !== undefined) throw hard;
    const waits = known
      .filter(({ kind }) => kind !== 'Conflict')
      .map(({ retryAfterMs }) => retryAfterMs ?? 1_000);
    if (waits.length > 0) await this.settle(Math.max(...waits));
    if (waits.length < errors.length) await this.observe();
  }

  #assign(service: Service, pools: Parameters<typeof assign>[1]): readonly IpAddress[] {
    const key = keyOf(service);
    const current = (['IPv4', 'IPv6'] as const).flatMap((family) =>
      [...this.#held[family]].flatMap(([value, owner]) =>
        owner.some((holder) => holder.key === key) ? [ipFromNumber(value, family)] : [],
      ),
    );
    const request = addressRequest(service, this.provider.capabilities);
    const answer = assign([{ ...request, current }], pools, this.#held).get(key);
    if (answer === undefined || answer.problem !== undefined) {
      return fail(`the pools of the subject have no address for the kit: ${answer?.problem?.message}`);
    }
    this.#release(key);
    for (const ip of answer.addresses) this.#held[familyOf(ip)].set(ipToNumber(ip), [{ key }]);
    return answer.addresses;
  }

  #release(key: ServiceKey): void {
    for (const held of Object.values(this.#held)) {
      for (const [value, [owner]] of held) if (owner?.key === key) held.delete(value);
    }
  }

  /** An address that can be asked for, of the first family: the subject's, or the last one of the first pool. */
  askableAddress(): IpAddress | undefined {
    const [family] = this.provider.capabilities.families;
    const given = this.subject.addresses
      ?.map(parseIp)
      .find((ip) => ip !== undefined && familyOf(ip) === family);
    if (given !== undefined) return given;
    const range = this.provider
      .pools?.()
      .flatMap(({ ranges }) => ranges)
      .find((one) => one.family === family);
    return range === undefined ? undefined : ipFromNumber(range.last, range.family);
  }
}

/** The request for a plan: to what is wanted, or (for a key) to nothing. */
export function requestOf(goal: LoadBalancer | ServiceKey): PlanRequest {
  return typeof goal === 'string'
    ? { scope: 'loadBalancer', key: goal, desired: undefined }
    : { scope: 'loadBalancer', key: goal.key, desired: goal };
}

/** Fails the case. */
export function fail(message: string): never {
  throw new AssertionError({ message });
}

function guarded(provider: Provider): Provider {
  return guard(provider, { clock: systemClock, metrics: createTestHost().metrics, strict: true });
}
