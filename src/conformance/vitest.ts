import { describe, it } from 'vitest';
import { conformanceCases, runCase } from './cases.ts';
import type { ConformanceSubject } from './subject.ts';

/**
 * Makes a vitest test of each conformance case: `conformance({ name, create })` in a test file is all that a provider
 * needs. A case that a capability excludes is shown as skipped, with the reason.
 */
export function conformance(subject: ConformanceSubject): void {
  describe(`${subject.name} keeps the provider contract`, () => {
    for (const one of conformanceCases) {
      // oxlint-disable-next-line vitest/valid-title, vitest/expect-expect -- both are in the case, which is data
      it(one.name, async ({ skip }) => {
        const outcome = await runCase(one, subject);
        if (outcome.kind === 'skipped') skip(outcome.reason);
      });
    }
  });
}
