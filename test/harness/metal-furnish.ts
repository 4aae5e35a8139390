/** What the metal lab begins with: objects of its cluster, and (when asked for) little pods and kube-proxies. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type ControlPlaneAvailability, ensureControlPlane } from '../../infra/controlplane/build.ts';
import type { LabOptions, MetalLab } from './metal-lab.ts';
import type { LabNode } from './metal-net.ts';
import { LAB_CRDS, LAB_NAMESPACE, labNodeObject, labPool, POD_PORT } from './metal-objects.ts';
import { runIn } from './netns.ts';

const POD_PROGRAM = fileURLToPath(new URL('metal-pod.ts', import.meta.url));
/** No kernel settings that need the whole machine, which a container may not change. */
const CONNTRACK_ARGS = [
  '--conntrack-max-per-core=0',
  '--conntrack-tcp-timeout-established=0',
  '--conntrack-tcp-timeout-close-wait=0',
];

/** Finds or builds kube-proxy. Building takes a while and says so. */
export function kubeProxy(): Promise<ControlPlaneAvailability> {
  return ensureControlPlane({ log: (line) => console.error(line), components: ['kube-proxy'] });
}

/** Creates the objects, then starts pods and proxies. @throws Error when a part does not come up. */
export async function furnish(
  lab: MetalLab,
  { kubeProxy: mode, pods = mode !== undefined, ipv6Only = false }: LabOptions,
): Promise<void> {
  for (const name of [LAB_NAMESPACE, 'berth-system', 'metallb-system'])
    await lab.send('POST', '/api/v1/namespaces', { metadata: { name } });
  for (const crd of LAB_CRDS)
    await lab.send('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd);
  for (const node of lab.net.nodes) await lab.send('POST', '/api/v1/nodes', labNodeObject(node, ipv6Only));
  for (const [path, object] of labPool(lab.net)) await whenServed(lab, path, object);
  if (pods) for (const node of lab.net.nodes) startPods(lab, node);
  if (mode !== undefined) await startProxies(lab, mode);
}

/** A kind is served a moment after its definition was accepted. */
async function whenServed({ plane }: MetalLab, path: string, object: object): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const { status, text } = await plane.request('POST', path, { body: object });
    if (status < 300) return;
    if (status !== 404 || attempt > 200) throw new Error(`POST ${path} was answered ${status}: ${text}`);
    await sleep(50);
  }
}

function startPods(lab: MetalLab, { name, pods }: LabNode): void {
  const served = pods.flatMap(({ ipv4, ipv6 }, index) => [ipv4, ipv6].map((ip) => `${name}-${index}=${ip}`));
  lab.start(`${name}/pods`, `pods-${name}`, [process.execPath, POD_PROGRAM, String(POD_PORT), ...served]);
}

async function startProxies(lab: MetalLab, mode: string): Promise<void> {
  const answer = await kubeProxy();
  if (!answer.available) throw new Error(`${answer.reason}. ${answer.remedy}`);
  const { slot, nodes } = lab.net;
  const kubeconfig = lab.plane.kubeconfig();
  const cidrs = [`10.${slot}.0.0/16`, `fdbe:1:${slot.toString(16)}::/48`];
  // Its first rules are written when it has everything; 200 there means that they are.
  const healthy = (namespace: string): Promise<boolean> =>
    runIn(namespace, ['curl', '-sf', '-m1', 'http://127.0.0.1:10256/healthz']).then(
      () => true,
      () => false,
    );
  await Promise.all(
    nodes.map(({ name, namespace }) =>
      lab
        .start(name, `kube-proxy-${name}`, [
          join(answer.dir, 'kube-proxy'),
          `--kubeconfig=${kubeconfig}`,
          `--hostname-override=${name}`,
          `--proxy-mode=${mode}`,
          `--cluster-cidr=${cidrs.join(',')}`,
          '--metrics-bind-address=127.0.0.1:10249',
          ...CONNTRACK_ARGS,
        ])
        .until('it is healthy', () => healthy(namespace)),
    ),
  );
}
