import { afterAll, beforeAll, expect, it } from 'vitest';
import { contractCases } from '../contract/index.ts';
import { type ControlPlane, describeWithControlPlane, startControlPlane } from '../harness/controlplane.ts';

await describeWithControlPlane('the API contract on a real kube-apiserver', () => {
  let server: ControlPlane;
  beforeAll(async () => {
    server = await startControlPlane();
  });
  afterAll(() => server?.stop());

  // As rows of a table, because vitest shortens a `$name` title but not a `%s` one.
  it.each(contractCases.map(({ name, run }) => [name, run] as const))('%s', async (_name, run) => {
    await expect(run(server.api())).resolves.toBeUndefined();
  });
});
