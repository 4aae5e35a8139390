import { createCases } from './cases/create.ts';
import { patchCases, statusCases, transitionCases } from './cases/change.ts';
import { deleteCases } from './cases/delete.ts';
import { discoveryCases } from './cases/discovery.ts';
import { listCases } from './cases/lists.ts';
import { eventCases, leaseCases, nodeCases, sliceCases } from './cases/others.ts';
import { refusalCases } from './cases/refusals.ts';
import { tableCases } from './cases/tables.ts';
import { watchCases } from './cases/watches.ts';
import type { ContractCase } from './steps.ts';

export { contractResource, customCases, installContractResource } from './cases/custom.ts';
export { contractApi, type ContractApi, type ContractTarget } from './api.ts';
export { type Kubectl, type KubectlCase, kubectlCases, kubectlFor } from './kubectl.ts';
export type { ContractCase } from './steps.ts';

/**
 * What Berth, its demo and `kubectl` rely on of a Kubernetes API server, as data: any runner, any server. Every case
 * throws when the server behaves differently, and none depends on another.
 */
export const contractCases: readonly ContractCase[] = [
  ...discoveryCases,
  ...createCases,
  ...refusalCases,
  ...patchCases,
  ...transitionCases,
  ...statusCases,
  ...deleteCases,
  ...listCases,
  ...watchCases,
  ...nodeCases,
  ...sliceCases,
  ...eventCases,
  ...leaseCases,
  ...tableCases,
];
