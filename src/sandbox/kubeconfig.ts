/** A kubeconfig for the sandbox: one cluster, one user without credentials. */
import { stringify } from 'yaml';

/** Name of cluster, user and context. */
export const CONTEXT = 'berth-sandbox';

/** The kubeconfig as YAML text, for kubectl and every client library. */
export function kubeconfigText(server: string): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: CONTEXT, cluster: { server } }],
    users: [{ name: CONTEXT, user: {} }],
    contexts: [{ name: CONTEXT, context: { cluster: CONTEXT, user: CONTEXT, namespace: 'default' } }],
    'current-context': CONTEXT,
  });
}
