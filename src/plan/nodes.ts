import type { Target } from '../model/load-balancer.ts';
import { LABEL_EXCLUDE_NODE, LEAVING_TAINTS } from '../model/names.ts';
import type { Node } from '../model/node.ts';
import { compareText } from './step.ts';

/** Whether a node takes traffic, and if not, why, for people. */
export type Eligibility =
  | { readonly eligible: true }
  | { readonly eligible: false; readonly because: string };

/**
 * A node takes traffic unless it is being deleted, carries the exclude label (any value but `false`) or a taint that
 * says that it is about to go. Readiness is left to the load balancer's health check, so that a node that flaps does
 * not change anything (stable node set, KEP-3458).
 */
export function eligibilityOf(node: Node): Eligibility {
  if (node.deleting) return { eligible: false, because: 'it is being deleted' };
  const label = node.labels[LABEL_EXCLUDE_NODE];
  if (label !== undefined && label !== 'false') {
    return { eligible: false, because: `it has the label ${LABEL_EXCLUDE_NODE}=${label}` };
  }
  const taint = node.taints.find(({ key }) => LEAVING_TAINTS.includes(key));
  if (taint !== undefined) return { eligible: false, because: `it has the taint ${taint.key}` };
  return { eligible: true };
}

/** All eligible nodes as targets, sorted by name. */
export function targetsOf(nodes: Iterable<Node>): readonly Target[] {
  return [...nodes]
    .filter((node) => eligibilityOf(node).eligible)
    .map((node) => ({
      node: node.name,
      providerID: node.providerID,
      addresses: node.addresses.filter(({ type }) => type === 'InternalIP').map(({ address }) => address),
    }))
    .toSorted((a, b) => compareText(a.node, b.node));
}

/**
 * Everything about a node that a load balancer can see, as text: equal text means that nothing has to be planned.
 * Readiness and foreign taints are not part of it.
 */
export function nodeFingerprint(node: Node): string {
  const [target] = targetsOf([node]);
  return JSON.stringify([node.uid, target ?? null]);
}
