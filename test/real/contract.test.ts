import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts';
import {
  type ContractApi,
  contractApi,
  contractCases,
  contractResource,
  customCases,
  installContractResource,
  type Kubectl,
  kubectlCases,
  kubectlFor,
} from '../contract/index.ts';
import { type ControlPlane, describeWithControlPlane, startControlPlane } from '../harness/controlplane.ts';
import { harnessEnvironment } from '../harness/environment.ts';
import { describeWithKubectl } from '../harness/kubectl.ts';

// Both servers pass the same cases; `test/sandbox-contract.test.ts` runs `contractCases` on the sandbox.

/** Cases as rows of a table, because vitest shortens a `$name` title but not a `%s` one. */
function rows<T>(cases: readonly { name: string; run(subject: T): Promise<void> }[]) {
  return cases.map(({ name, run }) => [name, run] as const);
}

/** Runs the kubectl cases with the kubeconfig that is there once the server runs. */
function kubectlTests(kubeconfig: () => string): void {
  let kubectl: Kubectl;
  beforeAll(async () => {
    const environment = harnessEnvironment().forChildren;
    kubectl = await kubectlFor({ kubeconfig: kubeconfig(), environment });
  });
  afterAll(() => kubectl?.close());

  it.each(rows(kubectlCases))('%s', async (_name, run) => {
    await expect(run(kubectl)).resolves.toBeUndefined();
  });
}

await describeWithControlPlane('the API contract on a real kube-apiserver', async () => {
  let server: ControlPlane;
  beforeAll(async () => {
    server = await startControlPlane();
  });
  afterAll(() => server?.stop());

  it.each(rows(contractCases))('%s', async (_name, run) => {
    await expect(run(server.api())).resolves.toBeUndefined();
  });

  describe('with a CustomResourceDefinition', () => {
    beforeAll(() => installContractResource(server.api()));

    it.each(rows(customCases))('%s', async (_name, run) => {
      await expect(run(server.api())).resolves.toBeUndefined();
    });
  });

  await describeWithKubectl('with kubectl', () => kubectlTests(() => server.kubeconfig()));
});

describe('the sandbox with a custom resource', () => {
  let sandbox: Sandbox;
  let api: ContractApi;
  beforeAll(async () => {
    sandbox = await startSandbox({ customResources: [contractResource] });
    api = contractApi({ url: sandbox.url });
  });
  afterAll(async () => {
    api?.close();
    await sandbox?.stop();
  });

  it.each(rows(customCases))('%s', async (_name, run) => {
    await expect(run(api)).resolves.toBeUndefined();
  });
});

await describeWithKubectl('the sandbox with kubectl', () => {
  let sandbox: Sandbox;
  let scratch: string;
  let kubeconfig: string;
  beforeAll(async () => {
    sandbox = await startSandbox();
    scratch = await mkdtemp(join(tmpdir(), 'berth-sandbox-'));
    kubeconfig = join(scratch, 'kubeconfig.yaml');
    await sandbox.writeKubeconfig(kubeconfig);
  });
  afterAll(async () => {
    await sandbox?.stop();
    await rm(scratch, { recursive: true, force: true });
  });

  kubectlTests(() => kubeconfig);
});
