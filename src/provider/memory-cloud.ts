import type { IpFamily } from '../model/address.ts';
import { familyOf, ipFromNumber, ipToNumber, parseIp, type IpAddress } from '../model/address.ts';
import { Conflict, InvalidSpec } from '../model/errors.ts';
import { REASONS } from '../model/reasons.ts';
import type { Protocol, ServiceKey } from '../model/service.ts';
import { sleep, systemClock } from './clock.ts';
import type { CloudStore } from './memory-file.ts';
import type { Clock, ObservedLoadBalancer } from './spi.ts';

/** What a load balancer has once: addresses, who may connect, how it probes. Type aliases, so that they are `Json`. */
export type MemoryFrontend = {
  readonly families: readonly IpFamily[];
  readonly addresses: readonly IpAddress[];
  readonly sourceRanges: readonly string[];
  readonly clientIPAffinitySeconds: number;
  readonly healthCheck: string;
  readonly idleTimeoutSeconds: number;
};

/** One port that is served, and the node port behind it. */
export type MemoryListener = {
  readonly protocol: Protocol;
  readonly port: number;
  readonly nodePort: number;
};

/** One node that traffic goes to. */
export type MemoryTarget = {
  readonly node: string;
  readonly providerID: string;
  readonly addresses: readonly IpAddress[];
};

/** A load balancer as the cloud has it, complete or half made. Values are replaced, never altered. */
export interface MemoryLoadBalancer extends ObservedLoadBalancer {
  readonly frontend: MemoryFrontend;
  /** By `443/TCP`. */
  readonly listeners: Readonly<Record<string, MemoryListener>>;
  readonly targets: readonly MemoryTarget[];
}

/** The calls that the cloud offers. */
export type MemoryOperation =
  | 'describe'
  | 'createLoadBalancer'
  | 'updateLoadBalancer'
  | 'deleteLoadBalancer'
  | 'createListener'
  | 'updateListener'
  | 'deleteListener'
  | 'setTargets';

/** One call as it was made. */
export interface MemoryCall {
  readonly operation: MemoryOperation;
  /** Load balancer that it was about; none for a read of everything. */
  readonly key?: ServiceKey;
}

/** How a `MemoryCloud` behaves. */
export interface MemoryCloudOptions {
  /** What `latencyMs` is measured by. */
  readonly clock?: Clock;
  /** Milliseconds that every call takes before it has its effect. */
  readonly latencyMs?: number;
  /** Keeps what exists outside the process; without it, the cloud goes with the process. */
  readonly store?: CloudStore;
  /** Whether `calls` lists every call; `counts` are always kept. */
  readonly recordCalls?: boolean;
}

interface Fault {
  readonly operation: MemoryOperation;
  readonly error: unknown;
  readonly moment: 'before' | 'after';
}

/** First address of 198.18.0.0/15 and 2001:2::/48 (RFC 2544, RFC 5180: for benchmarks): what the cloud chooses from. */
const EPHEMERAL: Readonly<Record<IpFamily, string>> = { IPv4: '198.18.0.1', IPv6: '2001:2::1' };

/**
 * A cloud that lives in memory, apart from the provider that calls it: several providers (two replicas, or one after a
 * restart) may share it. It counts its calls, fails on request, and notes in `violations` what a correct caller never
 * causes: creating what exists (a step that takes effect twice) and tearing down in the wrong order.
 */
export class MemoryCloud {
  readonly calls: MemoryCall[] = [];
  readonly counts = new Map<MemoryOperation, number>();
  readonly violations: string[] = [];
  /** Called after each effect, for tests that stop the world between two effects; what it throws fails the call. */
  onEffect: ((call: MemoryCall) => void) | undefined;
  latencyMs: number;
  readonly #clock: Clock;
  readonly #recordCalls: boolean;
  readonly #store: CloudStore | undefined;
  readonly #loadBalancers = new Map<ServiceKey, MemoryLoadBalancer>();
  readonly #faults: Fault[] = [];
  readonly #owners = new Map<IpAddress, ServiceKey>();
  readonly #chosen: Record<IpFamily, bigint> = { IPv4: 0n, IPv6: 0n };

  constructor(options: MemoryCloudOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.latencyMs = options.latencyMs ?? 0;
    this.#recordCalls = options.recordCalls ?? true;
    this.#store = options.store;
  }

  /** What exists, as it is now; not a call. */
  get loadBalancers(): ReadonlyMap<ServiceKey, MemoryLoadBalancer> {
    return this.#loadBalancers;
  }

  /** Calls so far of everything that is not a read. */
  get writes(): number {
    return [...this.counts].reduce(
      (sum, [operation, count]) => sum + (operation === 'describe' ? 0 : count),
      0,
    );
  }

  /** Lets the next call of this operation fail, before its effect or after it (as if the reply had been lost). */
  failNext(operation: MemoryOperation, error: unknown, moment: 'before' | 'after' = 'before'): void {
    this.#faults.push({ operation, error, moment });
  }

  /** What somebody does by hand: no call, no check. `undefined` takes the load balancer away. */
  tamper(key: ServiceKey, edit: (now: MemoryLoadBalancer) => MemoryLoadBalancer | undefined): void {
    const now = this.#loadBalancers.get(key);
    if (now !== undefined) this.#put(key, edit(now));
  }

  /** Reads all load balancers, or those of the given keys, in one call. */
  describe(
    signal: AbortSignal,
    keys?: readonly ServiceKey[],
  ): Promise<ReadonlyMap<ServiceKey, MemoryLoadBalancer>> {
    return this.#call(
      { operation: 'describe', ...(keys?.length === 1 ? { key: keys[0] } : {}) },
      signal,
      () => {
        if (keys === undefined) return new Map(this.#loadBalancers);
        return new Map(
          keys.flatMap((key) => {
            const found = this.#loadBalancers.get(key);
            return found === undefined ? [] : [[key, found] as const];
          }),
        );
      },
    );
  }

  /**
   * Makes a load balancer, choosing an address for each family that none was asked for, and returns it.
   *
   * @throws InvalidSpec `AddressInUse` when another load balancer has an address that was asked for.
   */
  createLoadBalancer(
    id: { readonly key: ServiceKey; readonly uid: string },
    frontend: MemoryFrontend,
    signal: AbortSignal,
  ): Promise<MemoryLoadBalancer> {
    return this.#call({ operation: 'createLoadBalancer', key: id.key }, signal, () => {
      if (this.#loadBalancers.has(id.key)) throw this.#violation(`load balancer ${id.key} was created twice`);
      const addresses = this.#addresses(id.key, frontend, []);
      return this.#put(id.key, {
        uid: id.uid,
        frontend: { ...frontend, addresses },
        listeners: {},
        targets: [],
      });
    });
  }

  /** Changes what a load balancer has once; addresses that were not asked for stay as they are. */
  updateLoadBalancer(
    key: ServiceKey,
    frontend: MemoryFrontend,
    signal: AbortSignal,
  ): Promise<MemoryLoadBalancer> {
    return this.#call({ operation: 'updateLoadBalancer', key }, signal, () => {
      const now = this.#existing(key);
      const addresses = this.#addresses(key, frontend, now.frontend.addresses);
      return this.#put(key, { ...now, frontend: { ...frontend, addresses } });
    });
  }

  /** Removes an empty load balancer; one that does not exist is removed already. */
  deleteLoadBalancer(key: ServiceKey, signal: AbortSignal): Promise<void> {
    return this.#call({ operation: 'deleteLoadBalancer', key }, signal, () => {
      const now = this.#loadBalancers.get(key);
      if (now !== undefined && (Object.keys(now.listeners).length > 0 || now.targets.length > 0)) {
        throw this.#violation(`load balancer ${key} was deleted before its listeners and targets`);
      }
      this.#put(key, undefined);
    });
  }

  /** Makes a listener; `name` is `443/TCP`. */
  createListener(key: ServiceKey, name: string, call: ListenerCall): Promise<void> {
    return this.#call({ operation: 'createListener', key }, call.signal, () => {
      const now = this.#existing(key);
      if (now.listeners[name] !== undefined)
        throw this.#violation(`listener ${name} of ${key} was created twice`);
      this.#put(key, { ...now, listeners: { ...now.listeners, [name]: call.listener } });
    });
  }

  /** Changes a listener. */
  updateListener(key: ServiceKey, name: string, call: ListenerCall): Promise<void> {
    return this.#call({ operation: 'updateListener', key }, call.signal, () => {
      const now = this.#existing(key);
      if (now.listeners[name] === undefined) throw notFound(`listener ${name} of ${key}`);
      this.#put(key, { ...now, listeners: { ...now.listeners, [name]: call.listener } });
    });
  }

  /** Removes a listener; one that does not exist is removed already. */
  deleteListener(key: ServiceKey, name: string, signal: AbortSignal): Promise<void> {
    return this.#call({ operation: 'deleteListener', key }, signal, () => {
      this.tamper(key, (now) => withoutListener(now, name));
    });
  }

  /** Replaces all targets of a load balancer. No targets for a load balancer that does not exist is no error. */
  setTargets(key: ServiceKey, targets: readonly MemoryTarget[], signal: AbortSignal): Promise<void> {
    return this.#call({ operation: 'setTargets', key }, signal, () => {
      if (targets.length === 0 && !this.#loadBalancers.has(key)) return;
      this.#put(key, { ...this.#existing(key), targets });
    });
  }

  async #call<T>(call: MemoryCall, signal: AbortSignal, effect: () => T): Promise<T> {
    this.counts.set(call.operation, (this.counts.get(call.operation) ?? 0) + 1);
    if (this.#recordCalls) this.calls.push(call);
    signal.throwIfAborted();
    if (this.latencyMs > 0) await sleep(this.#clock, this.latencyMs, signal);
    const at = this.#faults.findIndex(({ operation }) => operation === call.operation);
    const [fault] = at < 0 ? [] : this.#faults.splice(at, 1);
    if (fault?.moment === 'before') throw fault.error;
    const result = this.#stored(call, effect);
    if (call.operation !== 'describe') this.onEffect?.(call);
    if (fault !== undefined) throw fault.error;
    return result;
  }

  /** The effect on what the store has now; what it leaves is written before anybody hears of it. */
  #stored<T>(call: MemoryCall, effect: () => T): T {
    const state = this.#store?.read();
    if (state !== undefined) {
      for (const key of this.#loadBalancers.keys()) this.#put(key, undefined);
      for (const [key, loadBalancer] of state.loadBalancers) this.#put(key, loadBalancer);
      this.violations.splice(0, this.violations.length, ...state.violations);
    }
    try {
      return effect();
    } finally {
      if (call.operation !== 'describe') {
        this.#store?.write({ loadBalancers: [...this.#loadBalancers], violations: this.violations });
      }
    }
  }

  #put<T extends MemoryLoadBalancer | undefined>(key: ServiceKey, next: T): T {
    for (const ip of this.#loadBalancers.get(key)?.frontend.addresses ?? []) this.#owners.delete(ip);
    if (next === undefined) {
      this.#loadBalancers.delete(key);
      return next;
    }
    this.#loadBalancers.set(key, next);
    for (const ip of next.frontend.addresses) this.#owners.set(ip, key);
    return next;
  }

  #existing(key: ServiceKey): MemoryLoadBalancer {
    const now = this.#loadBalancers.get(key);
    if (now === undefined) throw notFound(`load balancer ${key}`);
    return now;
  }

  #addresses(key: ServiceKey, wanted: MemoryFrontend, have: readonly IpAddress[]): readonly IpAddress[] {
    return wanted.families.map((family) => {
      const asked = wanted.addresses.find((ip) => familyOf(ip) === family);
      const owner = asked === undefined ? undefined : this.#owners.get(asked);
      if (asked !== undefined && owner !== undefined && owner !== key) throw inUse(asked, owner);
      return asked ?? have.find((ip) => familyOf(ip) === family) ?? this.#choose(family);
    });
  }

  #choose(family: IpFamily): IpAddress {
    const first = ipToNumber(parseIp(EPHEMERAL[family]) as IpAddress);
    for (;;) {
      const ip = ipFromNumber(first + this.#chosen[family]++, family);
      if (!this.#owners.has(ip)) return ip;
    }
  }

  #violation(what: string): Conflict {
    this.violations.push(what);
    return new Conflict('ConflictObserved', { message: what, remedy: REASONS.ConflictObserved.remedy });
  }
}

/** What a listener is made or changed with. */
export interface ListenerCall {
  readonly listener: MemoryListener;
  readonly signal: AbortSignal;
}

/** The load balancer without one of its listeners. */
export function withoutListener(now: MemoryLoadBalancer, name: string): MemoryLoadBalancer {
  return {
    ...now,
    listeners: Object.fromEntries(Object.entries(now.listeners).filter(([key]) => key !== name)),
  };
}

function notFound(what: string): Conflict {
  return new Conflict('ConflictObserved', {
    message: `${what} does not exist any more`,
    remedy: REASONS.ConflictObserved.remedy,
  });
}

function inUse(ip: IpAddress, owner: ServiceKey): InvalidSpec {
  return new InvalidSpec('AddressInUse', {
    message: `${ip} belongs to the load balancer of ${owner}`,
    remedy: REASONS.AddressInUse.remedy,
  });
}
