import { AffinityTable } from './affinity.ts';
import type { CheckSpec, HealthChecks, HealthWatch } from './health.ts';

/** Where connections go: a numeric address, so that no name is looked up, and a port. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** An endpoint and how its health is found out; without a check it counts as healthy. */
export interface TargetSpec extends Endpoint {
  readonly check?: CheckSpec;
}

/** How long a target that refused a connection is passed over, first and at most, in milliseconds. */
const PENALTY_MS = { first: 1_000, most: 15_000 } as const;

/** One endpoint that a listener may send clients to. One that leaves the set and comes back is the same by its `id`. */
export interface Target extends Endpoint {
  readonly id: string;
}

interface Member extends Target {
  watch: HealthWatch | undefined;
  check: CheckSpec | undefined;
  failures: number;
  avoidUntilMs: number;
}

/** What a target set works with. */
export interface TargetSetOptions {
  readonly checks: HealthChecks;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/**
 * The targets of one listener, and whose turn it is: round robin over those in rotation. (Least connections would send
 * a flood of long-lived connections to a node that has just joined.) In rotation is what its check finds healthy and
 * what has not just refused a connection; when that leaves none, all are, because a wrong check must not take the
 * service down.
 */
export class TargetSet {
  readonly #options: TargetSetOptions;
  readonly #affinity = new AffinityTable<string>();
  #members = new Map<string, Member>();
  #rotation: Member[] = [];
  #turn = 0;
  #reviewAtMs = Infinity;
  #affinityMs = 0;
  #version = 0;

  constructor(options: TargetSetOptions) {
    this.#options = options;
  }

  /** Replaces the targets. Those that stay keep what is known of their health. */
  update(specs: readonly TargetSpec[]): void {
    const next = new Map<string, Member>();
    for (const spec of specs) {
      const id = idOf(spec);
      const member = this.#members.get(id) ?? newMember(id, spec);
      next.set(id, member);
      this.#watch(member, spec.check);
    }
    for (const [id, member] of this.#members) if (!next.has(id)) member.watch?.close();
    this.#members = next;
    this.#review();
  }

  /** How long a client sticks to its target, in milliseconds; 0 for not at all. */
  set affinityMs(value: number) {
    if (value === 0) this.#affinity.clear();
    this.#affinityMs = value;
  }

  /** Whether clients stick to their target, so that `pick` wants to know who asks. */
  get sticky(): boolean {
    return this.#affinityMs > 0;
  }

  /** Another number after each change of the rotation. */
  get version(): number {
    return this.#version;
  }

  /** Whether the target is still in the set. */
  has(target: Target): boolean {
    return this.#members.has(target.id);
  }

  /** Whether the target gets new clients. */
  inRotation(target: Target): boolean {
    return this.#rotation.some(({ id }) => id === target.id);
  }

  /** The target for a client, none of `tried`; `undefined` when there is none. */
  pick(client: string | undefined, tried?: ReadonlySet<Target>): Target | undefined {
    const nowMs = this.#reviewAtMs === Infinity && this.#affinityMs === 0 ? 0 : this.#options.now();
    if (nowMs >= this.#reviewAtMs) this.#review();
    if (this.#affinityMs === 0 || client === undefined) return this.#next(tried);
    const last = this.#members.get(this.#affinity.get(client, nowMs) ?? '');
    const usable = last !== undefined && this.inRotation(last) && tried?.has(last) !== true;
    const target = usable ? last : this.#next(tried);
    if (target !== undefined) this.#affinity.set(client, target.id, nowMs + this.#affinityMs);
    return target;
  }

  /** Says that the target accepted a connection. */
  succeeded(target: Target): void {
    const member = this.#members.get(target.id);
    if (member === undefined || member.failures === 0) return;
    member.failures = 0;
    member.avoidUntilMs = 0;
    this.#review();
  }

  /** Says that the target could not be reached: others are preferred for a while, twice as long each time. */
  failed(target: Target): void {
    const member = this.#members.get(target.id);
    if (member === undefined) return;
    const penaltyMs = Math.min(PENALTY_MS.first * 2 ** member.failures, PENALTY_MS.most);
    member.failures++;
    member.avoidUntilMs = this.#options.now() + penaltyMs;
    this.#review();
  }

  /** Targets by id, with whether they are healthy and in rotation. */
  states(): readonly { readonly id: string; readonly healthy: boolean; readonly inRotation: boolean }[] {
    return [...this.#members.values()].map((member) => ({
      id: member.id,
      healthy: member.watch?.healthy ?? true,
      inRotation: this.inRotation(member),
    }));
  }

  /** Stops watching. */
  close(): void {
    for (const member of this.#members.values()) member.watch?.close();
    this.#members.clear();
    this.#rotation = [];
  }

  #next(tried: ReadonlySet<Target> | undefined): Target | undefined {
    const { length } = this.#rotation;
    for (let step = 0; step < length; step++) {
      this.#turn = (this.#turn + 1) % length;
      const target = this.#rotation[this.#turn];
      if (target !== undefined && tried?.has(target) !== true) return target;
    }
    if (tried === undefined) return undefined;
    return [...this.#members.values()].find((member) => !tried.has(member));
  }

  #watch(member: Member, check: CheckSpec | undefined): void {
    if (JSON.stringify(member.check) === JSON.stringify(check)) return;
    member.watch?.close();
    member.check = check;
    member.watch = check === undefined ? undefined : this.#options.checks.watch(check, () => this.#review());
  }

  /** Computes the rotation anew. Called when something changed, not for each client. */
  #review(): void {
    const nowMs = this.#options.now();
    this.#version++;
    const members = [...this.#members.values()];
    const healthy = members.filter((member) => member.watch?.healthy ?? true);
    const good = healthy.filter((member) => member.avoidUntilMs <= nowMs);
    this.#rotation = good.length > 0 ? good : healthy.length > 0 ? healthy : members;
    const penalties = members.map((member) => member.avoidUntilMs).filter((until) => until > nowMs);
    this.#reviewAtMs = Math.min(...penalties, Infinity);
  }
}

function idOf({ host, port }: Endpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function newMember(id: string, { host, port }: Endpoint): Member {
  return { id, host, port, watch: undefined, check: undefined, failures: 0, avoidUntilMs: 0 };
}
