import { afterAll, beforeAll, expect, it } from 'vitest';
import { contractCases, kubectlCases, kubectlFor, type Kubectl } from '../contract/index.ts';
import { type ControlPlane, describeWithControlPlane, startControlPlane } from '../harness/controlplane.ts';
import { harnessEnvironment } from '../harness/environment.ts';
import { describeWithKubectl } from '../harness/kubectl.ts';

// The cases are rows of a table, because vitest shortens a `$name` title but not a `%s` one.
await describeWithControlPlane('the API contract on a real kube-apiserver', async () => {
  let server: ControlPlane;
  beforeAll(async () => {
    server = await startControlPlane();
  });
  afterAll(() => server?.stop());

  it.each(contractCases.map(({ name, run }) => [name, run] as const))('%s', async (_name, run) => {
    await expect(run(server.api())).resolves.toBeUndefined();
  });

  await describeWithKubectl('with kubectl', () => {
    let kubectl: Kubectl;
    beforeAll(async () => {
      kubectl = await kubectlFor({
        kubeconfig: server.kubeconfig(),
        environment: harnessEnvironment().forChildren,
      });
    });
    afterAll(() => kubectl?.close());

    it.each(kubectlCases.map(({ name, run }) => [name, run] as const))('%s', async (_name, run) => {
      await expect(run(kubectl)).resolves.toBeUndefined();
    });
  });
});
