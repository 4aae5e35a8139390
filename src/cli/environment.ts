import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What Berth takes from the process environment; nothing else of it is read anywhere. */
export interface Environment {
  /** For finding the API server: `KUBECONFIG`, `HOME`, `KUBERNETES_SERVICE_HOST` and `_PORT`. */
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Whether this process runs inside a pod that has a ServiceAccount. */
  readonly inPod: boolean;
  /** `POD_NAME` of the downward API; with the namespace it says how others reach this process. */
  readonly podName: string | undefined;
  /** `POD_NAMESPACE` of the downward API, else the ServiceAccount's namespace. */
  readonly podNamespace: string | undefined;
  /** `NODE_NAME` of the downward API: the node that a speaker runs on. */
  readonly nodeName: string | undefined;
  /** `NO_COLOR` (https://no-color.org): set to anything but nothing, output has no colour. */
  readonly noColor: boolean;
}

/** Where every pod that may talk to the API server finds its identity. */
const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Reads the environment of this process; the only place that does. Tests give one of their own. */
export function readEnvironment(
  variables: Readonly<Record<string, string | undefined>> = process.env,
  serviceAccountDir: string = SERVICE_ACCOUNT_DIR,
): Environment {
  const given = (name: string): string | undefined => variables[name] || undefined;
  const inPod =
    given('KUBERNETES_SERVICE_HOST') !== undefined && existsSync(join(serviceAccountDir, 'token'));
  return {
    variables,
    inPod,
    podName: given('POD_NAME'),
    podNamespace: given('POD_NAMESPACE') ?? (inPod ? namespaceIn(serviceAccountDir) : undefined),
    nodeName: given('NODE_NAME'),
    noColor: given('NO_COLOR') !== undefined,
  };
}

function namespaceIn(directory: string): string | undefined {
  const file = join(directory, 'namespace');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() || undefined : undefined;
}
