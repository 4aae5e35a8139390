import { asBerthError, Transient, type BerthError } from '../model/errors.ts';
import { REASONS } from '../model/reasons.ts';
import { checkIngress, checkPlan, defect } from './check.ts';
import { deepFreeze } from './freeze.ts';
import type { Clock, Instrument, Metrics, Provider } from './spi.ts';
import { watchfulSignal } from './watchful-signal.ts';

/** Milliseconds that one `observe` or `apply` may take when nothing else is said. */
export const DEFAULT_CALL_TIMEOUT_MS = 60_000;

/** What the guard works with. */
export interface GuardOptions {
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Longest time of one `observe` or `apply`, in milliseconds. */
  readonly timeoutMs?: number;
  /** Freezes what planners are given, so that one that alters its input is found. Costs time; for tests. */
  readonly strict?: boolean;
}

/**
 * The provider as the core uses it. Added around each call: a time-out, metrics, classification of whatever is thrown,
 * and a check of what is returned, so that providers stay plain.
 *
 * An `observe` or `apply` that is aborted or out of time rejects at once, whether the provider obeys the signal or
 * not; what it began may still take effect, which is why steps are safe to repeat and why the caller observes the key
 * again before it plans it.
 *
 * @throws Transient `ProviderTimeout` when a call takes too long.
 * @throws Denied `ProviderDefect` when the provider breaks the contract.
 */
export function guard(provider: Provider, options: GuardOptions): Provider {
  const calls = meter(provider.name, options);
  const pure = <T>(work: () => T): T => classified(work);
  const { contract, name, classes, capabilities, settings } = provider;
  return {
    contract,
    name,
    classes,
    capabilities,
    settings,
    ...optionalMembers(provider),
    async observe(signal, keys, recollected) {
      const observed = await calls('observe', signal, (inner) => provider.observe(inner, keys, recollected));
      if (typeof observed?.loadBalancers?.get !== 'function') throw defect(name, 'observe() returned no map');
      return observed;
    },
    plan(request, observed) {
      if (options.strict === true)
        deepFreeze([request, observed.environment, observed.shared, observed.loadBalancers]);
      const steps = pure(() => provider.plan(request, observed));
      checkPlan(name, request, steps);
      return steps;
    },
    async apply(step, observed, signal) {
      const operation = `${step.verb} ${step.resource}`;
      const change = await calls(operation, signal, (inner) => provider.apply(step, observed, inner));
      if (typeof change !== 'object' || change === null)
        throw defect(name, `apply(${operation}) returned no change`);
      return change;
    },
    ingress(desired, observed) {
      if (options.strict === true) deepFreeze([desired, observed]);
      const result = pure(() => provider.ingress(desired, observed));
      checkIngress(name, result);
      return result;
    },
    close: () => provider.close(),
  };
}

/** Members that a provider may have; what they throw is classified as well. */
const OPTIONAL = [
  'prefixes',
  'planner',
  'settleMs',
  'secrets',
  'announces',
  'targetsOf',
  'nodeLabelsOf',
  'check',
  'needs',
  'remember',
  'leftovers',
  'pools',
  'addressesOf',
  'quarantined',
  'poolPatches',
] as const satisfies readonly (keyof Provider)[];

function optionalMembers(provider: Provider): Partial<Provider> {
  const present = OPTIONAL.filter((member) => provider[member] !== undefined);
  return Object.fromEntries(
    present.map((member) => {
      const value = provider[member];
      if (typeof value !== 'function') return [member, value];
      const method = value.bind(provider) as (...given: readonly unknown[]) => unknown;
      return [member, (...given: readonly unknown[]) => classified(() => method(...given))];
    }),
  );
}

type Calls = <T>(
  operation: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
) => Promise<T>;

function meter(
  provider: string,
  { clock, metrics, timeoutMs = DEFAULT_CALL_TIMEOUT_MS }: GuardOptions,
): Calls {
  const count: Instrument = metrics.counter(
    'berth_cloud_calls_total',
    'Calls of a provider by operation and outcome (ok, aborted, or the kind of error)',
    ['provider', 'operation', 'outcome'],
  );
  const time: Instrument = metrics.counter(
    'berth_cloud_call_seconds_total',
    'Time spent in calls of a provider',
    ['provider', 'operation'],
  );
  return async (operation, signal, work) => {
    const begun = clock.monotonic();
    let outcome = 'ok';
    try {
      return await withTimeout({ clock, timeoutMs, signal, what: `${provider}: ${operation}` }, work);
    } catch (error) {
      const known = asBerthError(error);
      outcome = signal.aborted ? 'aborted' : known.kind;
      throw known;
    } finally {
      count.record({ provider, operation, outcome }, 1);
      time.record({ provider, operation }, (clock.monotonic() - begun) / 1_000);
    }
  };
}

interface Limit {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly what: string;
}

async function withTimeout<T>(limit: Limit, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  limit.signal.throwIfAborted();
  const own = new AbortController();
  const cancelled = Promise.withResolvers<never>();
  const stop = (reason: unknown): void => {
    own.abort(reason);
    cancelled.reject(reason);
  };
  const onAbort = (): void => stop(limit.signal.reason);
  const signal = watchfulSignal(own, () => (limit.signal.aborted ? limit.signal.reason : undefined));
  const cancel = limit.clock.after(limit.timeoutMs, () => stop(timedOut(limit)));
  limit.signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work(signal), cancelled.promise]);
  } finally {
    cancel();
    limit.signal.removeEventListener('abort', onAbort);
  }
}

function classified<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw asBerthError(error);
  }
}

function timedOut({ what, timeoutMs }: Limit): BerthError {
  return new Transient('ProviderTimeout', {
    message: `${what} took longer than ${timeoutMs} ms`,
    remedy: REASONS.ProviderTimeout.remedy,
  });
}
