import { isBerthError, Transient, type BerthError, asBerthError, type ErrorKind } from '../model/errors.ts';
import { REASONS } from '../model/reasons.ts';
import { SHARED, stagesOf, stepText, type Step } from '../plan/step.ts';
import type { Instrument, Log, PlanRequest } from '../provider/spi.ts';
import type { ProviderRuntime } from './runtime.ts';

/** How often a plan may be followed by another plan before the provider is said not to converge. */
const MAX_ROUNDS = 5;

/** What is told about steps that are carried out. */
export interface StepObserver {
  readonly log: Log;
  /** Labels: provider, verb, resource. */
  readonly steps: Instrument;
  /** Whether this process may act at this very moment, also when the signal has not had its turn yet. */
  readonly holds: () => boolean;
}

/**
 * Plans and acts until nothing differs: stage after stage, the steps of one stage side by side. What succeeded is
 * merged into the observed state at once, also when a sibling failed; after a failed stage no other is begun, and no
 * step is begun once `signal` is aborted.
 *
 * @returns the number of steps that were carried out.
 * @throws BerthError the worst error of the stage that failed; `Transient` `DoesNotConverge` when carrying out a plan
 * leads to the same plan again.
 */
export async function converge(
  runtime: ProviderRuntime,
  request: PlanRequest,
  { observer, signal }: { readonly observer: StepObserver; readonly signal: AbortSignal },
): Promise<number> {
  let count = 0;
  let before = '';
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const steps = runtime.provider.plan(request, runtime.state.view);
    if (steps.length === 0) return count;
    const text = JSON.stringify(steps);
    if (text === before) break;
    before = text;
    for (const stage of stagesOf(steps)) {
      await carryOut(runtime, stage, { observer, signal });
      count += stage.length;
    }
  }
  throw new Transient('DoesNotConverge', {
    message: `provider ${runtime.provider.name} plans ${before} again after it was carried out`,
    remedy: REASONS.DoesNotConverge.remedy,
  });
}

async function carryOut(
  runtime: ProviderRuntime,
  stage: readonly Step[],
  { observer, signal }: { readonly observer: StepObserver; readonly signal: AbortSignal },
): Promise<void> {
  signal.throwIfAborted();
  if (!observer.holds()) {
    throw new Transient('LeaseLost', {
      message: 'the Lease is no longer held, so no step is begun',
      remedy: 'The process that holds it goes on',
    });
  }
  const outcomes = await Promise.allSettled(
    stage.map(async (step) => {
      const { provider, state } = runtime;
      const labels = { provider: provider.name, verb: step.verb, resource: step.resource };
      observer.log.info({ ...labels, scope: step.scope, key: step.key, because: step.because }, 'step');
      const change = await provider.apply(step, state.view, signal);
      state.merge(step, change);
      if (step.scope !== SHARED) runtime.touch(step.scope);
      observer.steps.record(labels, 1);
    }),
  );
  const errors = outcomes.flatMap((outcome, index) => {
    if (outcome.status === 'fulfilled') return [];
    const error = asBerthError(outcome.reason);
    const step = stage[index];
    const fields = { scope: step?.scope, code: error.code, error: error.message };
    if (error.kind !== 'NotReady')
      observer.log.warn(fields, `step failed: ${step === undefined ? '' : stepText(step)}`);
    return [error];
  });
  if (errors.length > 0) throw worst(errors);
}

/** Kinds from the one that matters most to the one that matters least. */
const SEVERITY: readonly ErrorKind[] = [
  'NotOwned',
  'Denied',
  'InvalidSpec',
  'Unsupported',
  'Conflict',
  'Transient',
  'Throttled',
  'NotReady',
];

/** The error that the Service should be told about when several steps failed. */
export function worst(errors: readonly BerthError[]): BerthError {
  const [first] = errors.toSorted((a, b) => SEVERITY.indexOf(a.kind) - SEVERITY.indexOf(b.kind));
  if (first === undefined || !isBerthError(first)) throw new TypeError('worst() needs at least one error');
  return first;
}
