import { spawnSync } from 'node:child_process';
import { harnessEnvironment } from './environment.ts';

/**
 * A `describe` whose tests need the program `kubectl`. Where there is none, they are counted as skipped with the
 * remedy in the title, or fail under `CI=true`.
 */
export async function describeWithKubectl(name: string, define: () => void): Promise<void> {
  const { describe, it } = await import('vitest');
  const { error } = spawnSync('kubectl', ['version', '--client'], { timeout: 20_000 });
  if (!error) {
    describe(name, define);
    return;
  }
  const why =
    'needs kubectl, but there is none on the PATH. Install the Kubernetes client (the package kubectl).';
  if (!harnessEnvironment().ci) {
    describe.skip(`${name} [${why}]`, define);
    return;
  }
  describe(name, () => {
    it('has the kubectl that CI=true demands', () => {
      throw new Error(`${name} ${why}`);
    });
  });
}
