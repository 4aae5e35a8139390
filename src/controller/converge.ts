import { isBerthError, Transient, type BerthError, asBerthError, type ErrorKind } from '../model/errors.ts';
import { REASONS } from '../model/reasons.ts';
import { SHARED, stagesOf, stepText, type Step } from '../plan/step.ts';
import type { Instrument, Log, PlanRequest } from '../provider/spi.ts';
import { watchfulSignal } from '../provider/watchful-signal.ts';
import type { ProviderRuntime } from './runtime.ts';

/** How many plans in a row may be carried out before the provider is said not to converge. */
const MAX_ROUNDS = 10;

/** How many steps a message about a plan names. */
const NAMED_STEPS = 3;

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
 * leads to the same plan again, or to yet another one all the time.
 */
export async function converge(
  runtime: ProviderRuntime,
  request: PlanRequest,
  { observer, signal }: { readonly observer: StepObserver; readonly signal: AbortSignal },
): Promise<number> {
  let count = 0;
  let before: readonly Step[] = [];
  for (let round = 0; ; round++) {
    const steps = runtime.provider.plan(request, runtime.state.view);
    if (steps.length === 0) return count;
    if (same(steps, before) || round === MAX_ROUNDS) throw doesNotConverge(runtime, steps);
    before = steps;
    for (const stage of stagesOf(steps)) {
      await carryOut(runtime, stage, { observer, signal });
      count += stage.length;
    }
  }
}

/** Compares as text only when there is something to compare with, which is rare: most plans need one round. */
function same(a: readonly Step[], b: readonly Step[]): boolean {
  return a.length === b.length && JSON.stringify(a) === JSON.stringify(b);
}

function doesNotConverge(runtime: ProviderRuntime, steps: readonly Step[]): Transient {
  const named = steps.slice(0, NAMED_STEPS).map(stepText).join('; ');
  const more = steps.length > NAMED_STEPS ? ` and ${steps.length - NAMED_STEPS} more` : '';
  return new Transient('DoesNotConverge', {
    message: `provider ${runtime.provider.name} still plans, after its steps were carried out: ${named}${more}`,
    remedy: REASONS.DoesNotConverge.remedy,
  });
}

/** Throws unless this process may act at this very moment. */
export function mustHold({ holds }: Pick<StepObserver, 'holds'>): void {
  if (!holds()) throw leaseLost();
}

function leaseLost(): Transient {
  return new Transient('LeaseLost', {
    message: 'the Lease is no longer held, so nothing more is begun',
    remedy: 'The process that holds it goes on',
  });
}

/** Works with a signal that is aborted with the other one, and from the moment the Lease is not held. */
async function whileHeld<T>(
  signal: AbortSignal,
  { holds }: StepObserver,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await work(watchfulSignal(controller, () => (holds() ? undefined : leaseLost())));
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

async function carryOut(
  runtime: ProviderRuntime,
  stage: readonly Step[],
  { observer, signal }: { readonly observer: StepObserver; readonly signal: AbortSignal },
): Promise<void> {
  signal.throwIfAborted();
  mustHold(observer);
  const outcomes = await whileHeld(signal, observer, (held) =>
    Promise.allSettled(stage.map((step) => applyOne(runtime, step, { observer, signal: held }))),
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

async function applyOne(
  runtime: ProviderRuntime,
  step: Step,
  { observer, signal }: { readonly observer: StepObserver; readonly signal: AbortSignal },
): Promise<void> {
  const { provider, state } = runtime;
  const labels = { provider: provider.name, verb: step.verb, resource: step.resource };
  observer.log.info({ ...labels, scope: step.scope, key: step.key, because: step.because }, 'step');
  const change = await provider.apply(step, state.view, signal);
  state.merge(step, change);
  if (step.scope !== SHARED) runtime.touch(step.scope);
  observer.steps.record(labels, 1);
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
