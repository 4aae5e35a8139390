import { harnessEnvironment } from './environment.ts';

/** A group of tests that needs something that a machine may lack. */
export interface DemandingGroup {
  readonly name: string;
  /** What it needs, which `CI=true` demands of the machine; absent: it may lack there, too. */
  readonly part?: string;
}

/**
 * A `describe` for tests that need something of the machine; to be awaited at the top level of a test file. Where there
 * is a reason `why` not (with its remedy), the tests are counted as skipped with it in the title, or fail under `CI=true`.
 */
export async function describeUnless(
  why: string | undefined,
  { name, part }: DemandingGroup,
  define: () => void | Promise<void>,
): Promise<void> {
  // Not imported at the top, because the benchmarks use the harness outside vitest.
  const { describe, it } = await import('vitest');
  if (why === undefined) {
    describe(name, define);
    return;
  }
  if (part === undefined || !harnessEnvironment().ci) {
    describe.skip(`${name} [${why}]`, define);
    return;
  }
  describe(name, () => {
    it(`has the ${part} that CI=true demands`, () => {
      throw new Error(`${name}: ${why}`);
    });
  });
}
