import { capabilityCases } from './cases/capabilities.ts';
import { faultCases } from './cases/faults.ts';
import { lifecycleCases } from './cases/lifecycle.ts';
import { planningCases } from './cases/planning.ts';
import { shapeCases } from './cases/shape.ts';
import { Driver } from './driver.ts';
import type { ConformanceCase, ConformanceOutcome, ConformanceSubject } from './subject.ts';

/** Everything that the core relies on of a provider. */
export const conformanceCases: readonly ConformanceCase[] = [
  ...shapeCases,
  ...planningCases,
  ...lifecycleCases,
  ...capabilityCases,
  ...faultCases,
];

/**
 * Runs one case in a world of its own. For adapters: a test runner makes a test of each case and shows a skipped one
 * with its reason.
 *
 * @throws what the case rejects with, when the provider does not keep the promise.
 */
export async function runCase(
  one: ConformanceCase,
  subject: ConformanceSubject,
): Promise<ConformanceOutcome> {
  const world = await subject.create();
  try {
    const { capabilities } = world.provider;
    const answer = one.requires?.({ capabilities, subject, world }) ?? true;
    if (answer !== true) return { kind: 'skipped', reason: answer };
    const driver = new Driver(world, subject);
    // As the core does before it asks for the first plan.
    await driver.observe();
    await one.run(driver);
    const violations = world.violations?.() ?? [];
    if (violations.length > 0) throw new Error(`the world complains: ${violations.join('; ')}`);
    return { kind: 'passed' };
  } finally {
    await world.dispose();
  }
}
