import type { Clock } from '@berth/core';
import { probe as realProbe, type Probe } from './probe.ts';

/** How the health of one target is found out. Durations in milliseconds. */
export interface CheckSpec {
  readonly kind: 'tcp' | 'http';
  readonly host: string;
  readonly port: number;
  /** Only HTTP. */
  readonly path?: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Good answers in a row that make an unhealthy target healthy. */
  readonly healthyThreshold: number;
  /** Bad answers in a row that make a healthy target unhealthy. */
  readonly unhealthyThreshold: number;
  /** Whether the target expects a PROXY protocol header, also from a check. */
  readonly proxyProtocol?: boolean;
}

/** One subscription to a check. */
export interface HealthWatch {
  readonly healthy: boolean;
  /** Stops it; the check itself ends with its last watch. */
  close(): void;
}

/** What the checks work with. */
export interface HealthCheckOptions {
  readonly clock: Clock;
  /**
   * Checks begun in one second, all together, at most. With more targets than that allows they are checked less often:
   * a connection that fails finds a dead target as well, and the process stays idle at rest.
   */
  readonly maxPerSecond?: number;
  readonly probe?: Probe;
  /** Told once for each target whose health turns, whoever watches it. */
  readonly onTurn?: (spec: CheckSpec, healthy: boolean) => void;
  /** From 0 up to 1. */
  readonly random?: () => number;
}

interface Check {
  readonly spec: CheckSpec;
  readonly changed: Set<() => void>;
  readonly stop: AbortController;
  cancel: () => void;
  healthy: boolean;
  probed: boolean;
  /** Answers in a row that contradict `healthy`. */
  contrary: number;
}

const JITTER = 0.15;

/**
 * Checks targets, each once for everybody who asks for the same check. A target counts as healthy until its first
 * answer, so that a new Service is served at once; that first answer is believed immediately, later ones after the
 * threshold.
 */
export class HealthChecks {
  readonly #clock: Clock;
  readonly #spacingMs: number;
  readonly #probe: Probe;
  readonly #random: () => number;
  readonly #onTurn: HealthCheckOptions['onTurn'];
  readonly #checks = new Map<string, Check>();

  constructor(options: HealthCheckOptions) {
    this.#clock = options.clock;
    this.#spacingMs = 1_000 / (options.maxPerSecond ?? 25);
    this.#probe = options.probe ?? realProbe;
    this.#random = options.random ?? Math.random;
    this.#onTurn = options.onTurn;
  }

  /** Checks that run; watches of the same target with the same settings share one. */
  get size(): number {
    return this.#checks.size;
  }

  /** Watches a target; `changed` is called when its health turns. */
  watch(spec: CheckSpec, changed: () => void): HealthWatch {
    const key = JSON.stringify(spec);
    const check = this.#checks.get(key) ?? this.#begin(key, spec);
    // A function of its own for each watch: two watches may pass the same one.
    const notify = (): void => changed();
    check.changed.add(notify);
    return {
      get healthy() {
        return check.healthy;
      },
      close: () => {
        check.changed.delete(notify);
        if (check.changed.size === 0 && this.#checks.get(key) === check) this.#end(key, check);
      },
    };
  }

  /** Stops all checks. */
  close(): void {
    for (const [key, check] of this.#checks) this.#end(key, check);
  }

  #begin(key: string, spec: CheckSpec): Check {
    const check: Check = {
      spec,
      changed: new Set(),
      stop: new AbortController(),
      cancel: () => {},
      healthy: true,
      probed: false,
      contrary: 0,
    };
    this.#checks.set(key, check);
    const spreadMs = Math.min(spec.intervalMs, this.#checks.size * this.#spacingMs);
    this.#schedule(check, this.#random() * spreadMs);
    return check;
  }

  #end(key: string, check: Check): void {
    check.cancel();
    check.stop.abort();
    this.#checks.delete(key);
  }

  #schedule(check: Check, delayMs: number): void {
    check.cancel = this.#clock.after(delayMs, () => void this.#run(check));
  }

  async #run(check: Check): Promise<void> {
    const good = await this.#probe(check.spec, check.stop.signal);
    if (check.stop.signal.aborted) return;
    this.#answered(check, good);
    const intervalMs = Math.max(check.spec.intervalMs, this.#checks.size * this.#spacingMs);
    this.#schedule(check, intervalMs * (1 - JITTER + 2 * JITTER * this.#random()));
  }

  #answered(check: Check, good: boolean): void {
    const first = !check.probed;
    check.probed = true;
    if (good === check.healthy) {
      check.contrary = 0;
      return;
    }
    check.contrary++;
    const { healthyThreshold, unhealthyThreshold } = check.spec;
    if (!first && check.contrary < (good ? healthyThreshold : unhealthyThreshold)) return;
    check.healthy = good;
    check.contrary = 0;
    this.#onTurn?.(check.spec, good);
    for (const notify of check.changed) notify();
  }
}
