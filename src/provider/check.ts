import { parseIp } from '../model/address.ts';
import { Denied } from '../model/errors.ts';
import { REASONS } from '../model/reasons.ts';
import { compareSteps, SHARED, type Step } from '../plan/step.ts';
import type { IngressResult, PlanRequest } from './spi.ts';

/**
 * Checks a plan against the contract: steps of the scope asked for, in the order of `compareSteps`, none twice.
 *
 * @throws Denied `ProviderDefect`.
 */
export function checkPlan(name: string, request: PlanRequest, steps: readonly Step[]): void {
  if (!Array.isArray(steps)) throw defect(name, 'plan() returned no list of steps');
  const scope = request.scope === SHARED ? SHARED : request.key;
  const seen = new Set<string>();
  for (const [index, step] of steps.entries()) {
    const id = `${step.resource} ${step.key}`;
    const before = steps[index - 1];
    if (step.scope !== scope) throw defect(name, `the plan of ${scope} has a step of ${step.scope}: ${id}`);
    if (seen.has(id)) throw defect(name, `the plan of ${scope} has two steps for ${id}`);
    if (before !== undefined && compareSteps(before, step) > 0) {
      throw defect(name, `the plan of ${scope} is not in the order of compareSteps at ${id}`);
    }
    seen.add(id);
  }
}

/**
 * Checks what a provider wants written into a status: entries with `ip` and `ipMode`, or `hostname`, and no `ports`.
 *
 * @throws Denied `ProviderDefect`.
 */
export function checkIngress(name: string, result: IngressResult): void {
  if (result.kind === 'pending') {
    const complete = result.code !== '' && result.message !== '' && result.retryAfterMs > 0;
    if (!complete)
      throw defect(name, 'ingress() is pending without code, message or a positive retryAfterMs');
    return;
  }
  for (const entry of result.ingress) {
    const { ip, hostname, ipMode } = entry;
    if ('ports' in entry) throw defect(name, 'ingress() has ports, which the core adds');
    if (ip === undefined && (hostname ?? '') === '')
      throw defect(name, 'ingress() has neither ip nor hostname');
    if (ip !== undefined && parseIp(ip) === undefined) throw defect(name, `ingress() has the ip ${ip}`);
    if ((ip === undefined) !== (ipMode === undefined))
      throw defect(name, 'ingress() has ip and ipMode not together');
  }
}

/** What is thrown when a provider breaks the contract: nothing that an edit of the Service or another try would mend. */
export function defect(name: string, message: string): Denied {
  return new Denied('ProviderDefect', {
    message: `provider ${name}: ${message}`,
    remedy: REASONS.ProviderDefect.remedy,
  });
}
