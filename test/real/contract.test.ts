import { afterAll, beforeAll, expect, it } from 'vitest';
import { contractCases } from '../contract/index.ts';
import { type ControlPlane, describeWithControlPlane, startControlPlane } from '../harness/controlplane.ts';

await describeWithControlPlane('the API contract on a real kube-apiserver', () => {
  let server: ControlPlane;
  beforeAll(async () => {
    server = await startControlPlane();
  });
  afterAll(() => server?.stop());

  it.each(contractCases)('$name', async ({ run }) => {
    await expect(run(server.api())).resolves.toBeUndefined();
  });
});
