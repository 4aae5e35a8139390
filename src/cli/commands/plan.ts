import type { PlanEntry } from '../../controller/inspect.ts';
import type { StepVerb } from '../../plan/step.ts';
import { EXIT, PLAN_HAS_CHANGES, type ExitCode } from '../exit-codes.ts';
import type { Invocation } from '../invocation.ts';
import { inquire, tellSource } from '../session.ts';
import { counted, jsonText, paintFor, tableText, type Paint, type Style } from '../terminal.ts';
import { isList } from './answers.ts';

/** What a plan comes to. */
export interface PlanCounts extends Readonly<Record<StepVerb, number>> {
  /** Services that cannot be as they ask. */
  readonly problems: number;
}

/** `berth plan`: the steps that a controller would take now, and what stands in the way. Changes nothing. */
export async function planCommand(
  invocation: Invocation,
  { detailedExitcode = false }: { readonly detailedExitcode?: boolean },
): Promise<ExitCode> {
  const { source, value: plan } = await inquire(invocation, {
    question: 'plan',
    accepts: isList<PlanEntry>,
    look: ({ controller }) => controller.inspect.plan(),
  });
  const { out } = invocation.terminal;
  const counts = countPlan(plan);
  tellSource(invocation, source);
  if (invocation.json) out.write(jsonText({ source, counts, plan }));
  else out.write(planText(plan, paintFor(invocation.terminal)));
  const changes = plan.some(({ steps }) => steps.length > 0);
  return detailedExitcode && changes ? PLAN_HAS_CHANGES : EXIT.ok;
}

/** Steps by verb, and Services that cannot be as they ask. */
export function countPlan(plan: readonly PlanEntry[]): PlanCounts {
  const steps = plan.flatMap((entry) => entry.steps);
  const count = (verb: StepVerb): number => steps.filter((step) => step.verb === verb).length;
  return {
    create: count('create'),
    update: count('update'),
    replace: count('replace'),
    delete: count('delete'),
    problems: plan.filter(({ problem }) => problem !== undefined).length,
  };
}

const VERB_STYLES: Readonly<Record<StepVerb, Style>> = {
  create: 'good',
  update: 'warn',
  replace: 'warn',
  delete: 'bad',
};

/** The plan as people read it: steps in the order in which they are taken, problems, and a line of counts. */
export function planText(plan: readonly PlanEntry[], paint: Paint): string {
  const steps = plan.flatMap(({ key, provider, steps }) =>
    steps.map(({ stage, verb, resource, key: name, because }) => [
      key,
      provider,
      String(stage),
      paint(VERB_STYLES[verb], verb),
      resource,
      name,
      because,
    ]),
  );
  const problems = plan.flatMap(({ key, problem }) =>
    problem === undefined ? [] : [`${key}: ${paint('bad', problem.code)}: ${problem.message}\n`],
  );
  const parts = [
    steps.length === 0 ? '' : tableText(STEP_HEAD, steps),
    problems.join(''),
    `${countsLine(countPlan(plan))}\n`,
  ];
  return parts.filter((part) => part !== '').join('\n');
}

const STEP_HEAD = ['SERVICE', 'PROVIDER', 'STAGE', 'VERB', 'RESOURCE', 'KEY', 'BECAUSE'];

/** `Plan: 3 to create, 1 to update, 0 to replace, 2 to delete, 1 Service cannot be served` */
export function countsLine(counts: PlanCounts): string {
  const verbs = (['create', 'update', 'replace', 'delete'] as const).map(
    (verb) => `${counts[verb]} to ${verb}`,
  );
  const problems = counts.problems === 0 ? [] : [`${counted(counts.problems, 'Service')} cannot be served`];
  return `Plan: ${[...verbs, ...problems].join(', ')}`;
}
