/** What `infra/manifests` promises without a cluster; what needs one is in `test/real/rbac.test.ts`. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { EXIT } from '../src/cli/exit-codes.ts';
import { BERTH_NAMESPACE } from '../src/cli/settings.ts';

interface Deployment {
  readonly metadata: { readonly namespace: string };
  readonly spec: {
    readonly replicas: number;
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly serviceAccountName: string;
        readonly securityContext: object;
        readonly terminationGracePeriodSeconds: number;
        readonly containers: readonly Container[];
      };
    };
  };
}

interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly {
    readonly name: string;
    readonly valueFrom: { readonly fieldRef: { readonly fieldPath: string } };
  }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly securityContext: object;
  readonly resources: { readonly requests: object; readonly limits: object };
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

function manifest(name: string): unknown {
  return parse(readFileSync(new URL(`../infra/manifests/${name}`, import.meta.url), 'utf8'));
}

describe('the Deployment', () => {
  const deployment = manifest('30-deployment.yaml') as Deployment;
  const { template, replicas, selector } = deployment.spec;
  const [container] = template.spec.containers;

  it('is two replicas in the namespace in which the command line looks for the Lease', () => {
    expect(replicas).toBe(2);
    expect(deployment.metadata.namespace).toBe(BERTH_NAMESPACE);
    expect(template.metadata.labels).toMatchObject(selector.matchLabels);
    expect(template.spec.serviceAccountName).toBe('berth');
  });

  it('may as little as possible on its node', () => {
    expect(template.spec.securityContext).toMatchObject({
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(container?.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(container?.resources).toMatchObject({
      requests: { cpu: '50m', memory: '128Mi' },
      limits: { memory: '512Mi' },
    });
  });

  it('is probed at the port that it listens on', () => {
    const port = Number(container?.args[container.args.indexOf('--listen') + 1]?.split(':')[1]);
    expect(container?.ports).toEqual([{ name: 'http', containerPort: port }]);
    expect(container?.livenessProbe.httpGet).toEqual({ path: '/healthz', port: 'http' });
    expect(container?.readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'http' });
  });

  it('says who and where it is, so that the leader can be asked', () => {
    const env = Object.fromEntries(
      container?.env.map(({ name, valueFrom }) => [name, valueFrom.fieldRef.fieldPath]) ?? [],
    );
    expect(env).toEqual({ POD_NAME: 'metadata.name', POD_NAMESPACE: 'metadata.namespace' });
  });

  it('names no registry: the image has to be chosen', () => {
    expect(container?.image).toBe('berth:REPLACE-ME');
  });

  it('has arguments that the command line takes', () => {
    const berth = fileURLToPath(new URL('../src/bin/berth.mjs', import.meta.url));
    const run = (...args: readonly string[]): number | null =>
      spawnSync(process.execPath, [berth, ...args, '--kubeconfig', '/there/is/none'], { timeout: 10_000 })
        .status;
    const args = container?.args ?? [];
    // It gets as far as looking for a cluster.
    expect(run(...args)).toBe(EXIT.environment);
    expect(run(...args, '--no-such-option')).toBe(EXIT.usage);
  });
});

describe('the DaemonSet of the speakers', () => {
  const { spec } = manifest('speaker/30-daemonset.yaml') as {
    readonly spec: {
      readonly updateStrategy: object;
      readonly template: {
        readonly spec: {
          readonly hostNetwork: boolean;
          readonly containers: readonly (Partial<Container> & { readonly envFrom?: unknown })[];
          readonly volumes?: unknown;
        };
      };
    };
  };
  const pod = spec.template.spec;
  const [container, ...others] = pod.containers;

  it('starts the successor first, on the network of the node, without a port that would keep it from starting', () => {
    expect(spec.updateStrategy).toEqual({ rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } });
    expect(pod.hostNetwork).toBe(true);
    expect(others).toEqual([]);
    expect(container?.ports).toBeUndefined();
  });

  it('has CAP_NET_RAW and no other right', () => {
    expect(container?.securityContext).toMatchObject({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['NET_RAW'] },
    });
  });

  it('has no credentials: neither of a cloud nor of anything but its ServiceAccount', () => {
    expect(container?.env?.map(({ name }) => name)).toEqual(['NODE_NAME', 'POD_NAME']);
    expect([container?.envFrom, pod.volumes]).toEqual([undefined, undefined]);
  });
});
