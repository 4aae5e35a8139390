import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../src/sandbox/index.ts';
import {
  type ContractApi,
  contractApi,
  contractCases,
  contractResource,
  customCases,
} from './contract/index.ts';

/** The same cases run against a real kube-apiserver in `test/real/contract.test.ts`; both must pass. */
describe('the sandbox behaves as a Kubernetes API server does', () => {
  let sandbox: Sandbox;
  let api: ContractApi;

  beforeAll(async () => {
    sandbox = await startSandbox({ bookmarkIntervalMs: 1_000, customResources: [contractResource] });
    const compact = async (): Promise<void> => sandbox.faults.forgetHistory();
    api = contractApi({ url: sandbox.url, compact });
  });

  afterAll(async () => {
    api.close();
    await sandbox.stop();
  });

  const cases = [...contractCases, ...customCases];
  it.each(cases.map(({ name, run }) => [name, run] as const))('%s', async (_name, run) => {
    await expect(run(api)).resolves.toBeUndefined();
  });
});
