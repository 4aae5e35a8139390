import { spawnSync } from 'node:child_process';
import { describeUnless } from './describe.ts';

/** A `describe` whose tests need the program `kubectl`; where there is none, see `describeUnless`. */
export async function describeWithKubectl(name: string, define: () => void): Promise<void> {
  const { error } = spawnSync('kubectl', ['version', '--client'], { timeout: 20_000 });
  const why =
    'needs kubectl, but there is none on the PATH. Install the Kubernetes client (the package kubectl).';
  await describeUnless(error ? why : undefined, { name, part: 'kubectl' }, define);
}
