/**
 * The metal lab: three nodes and a client in network namespaces on one bridge, a real control plane beside them, and
 * (when asked for) kube-proxy and little pods on each node.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureControlPlane } from '../../infra/controlplane/build.ts';
import { type ControlPlane, type ControlPlaneUser, controlPlane, startControlPlane } from './controlplane.ts';
import { harnessEnvironment } from './environment.ts';
import { batch, buildNet, type LabNet, type LabNode, runIn, whyNoLab } from './metal-net.ts';
import {
  LAB_CRDS,
  LAB_NAMESPACE,
  labNodeObject,
  labPool,
  type LabService,
  labService,
  labSlices,
  POD_PORT,
} from './metal-objects.ts';
import { LabProcess } from './metal-process.ts';

/** How to start the lab. */
export interface LabOptions {
  /** Nodes have no InternalIP of IPv4: speakers hear each other over IPv6. */
  readonly ipv6Only?: boolean;
  /** Mode of the kube-proxies; absent: none run. */
  readonly kubeProxy?: 'nftables' | 'iptables';
  /** Pods that answer on each node; default: when there are kube-proxies. */
  readonly pods?: boolean;
  /** Further arguments of kube-apiserver. */
  readonly apiServerArgs?: readonly string[];
  /** `RBAC` denies what no role allows; everything is allowed unless given. */
  readonly authorization?: 'RBAC';
  /** People beside the cluster's administrator. */
  readonly users?: readonly ControlPlaneUser[];
}

/** What curl from the client got. */
export interface Answer {
  /** `node-1-0`: the pod that answered. */
  readonly pod: string;
  /** Address that the pod saw as the client's. */
  readonly client: string;
}

/** A running lab. */
export interface MetalLab {
  readonly net: LabNet;
  readonly plane: ControlPlane;
  /** Logs and captures; goes away with the lab. */
  readonly dir: string;
  /** @throws Error when the lab has no such node. */
  node(name: string): LabNode;
  /** The node whose `eth0` has the MAC; `undefined` for strangers. */
  nodeOfMac(mac: string): string | undefined;
  /** Starts a program in a node's namespace, the client's, or (absent) this one. */
  start(where: string | undefined, name: string, command: readonly string[]): LabProcess;
  /** Runs a program at the client and returns its output. @throws Error when it fails. */
  atClient(command: readonly string[], options?: { input?: string; limitMs?: number }): Promise<string>;
  /** @throws Error for any answer of 300 and above. */
  send<T = unknown>(method: string, path: string, body?: object): Promise<T>;
  /** Creates the slices of a Service, then the Service; when that was begun, in milliseconds since the epoch. */
  createService(service: LabService): Promise<number>;
  deleteService(name: string): Promise<void>;
  /** The addresses in the Service's status. */
  addressesOf(name: string): Promise<readonly string[]>;
  /** Takes a node off the network without its noticing: its link stays up, and nothing passes. */
  cut(name: string): Promise<void>;
  /** Undoes `cut`. */
  join(name: string): Promise<void>;
  /** Pulls the node's cable: its link loses carrier. */
  unplug(name: string): Promise<void>;
  plug(name: string): Promise<void>;
  /** Nothing passes between the node and the API server; everything else does. */
  cutFromApi(name: string): Promise<void>;
  joinApi(name: string): Promise<void>;
  /** Over a new connection through the address, from the client. @throws Error after 3 s without an answer. */
  curl(address: string): Promise<Answer>;
  /** One datagram through the address. @throws Error after 3 s without an answer. */
  udp(address: string): Promise<Answer>;
  /** Drops what the client remembers about its neighbours. */
  forgetNeighbours(): Promise<void>;
  /** Ends everything and removes it. Safe to call twice. */
  stop(): Promise<void>;
}

const POD_PROGRAM = fileURLToPath(new URL('metal-pod.ts', import.meta.url));
const UDP_PROGRAM = fileURLToPath(new URL('metal-udp.ts', import.meta.url));
/** No kernel settings that need the whole machine, which a container may not change. */
const CONNTRACK_ARGS = [
  '--conntrack-max-per-core=0',
  '--conntrack-tcp-timeout-established=0',
  '--conntrack-tcp-timeout-close-wait=0',
];

/** Why the machine cannot have the lab, with the remedy; `undefined` when it can. Builds what it is built from. */
export async function whyNoMetalLab(kubeProxy = false): Promise<string | undefined> {
  const why = await whyNoLab();
  if (why !== undefined) return why;
  const answer = await controlPlane();
  if (!answer.available) return `needs the Kubernetes control plane, but ${answer.reason}. ${answer.remedy}`;
  if (!kubeProxy) return undefined;
  const proxy = await ensureControlPlane({ log: (line) => console.error(line), components: ['kube-proxy'] });
  return proxy.available ? undefined : `needs kube-proxy, but ${proxy.reason}. ${proxy.remedy}`;
}

/**
 * A `describe` whose tests need the metal lab; to be awaited at the top level of a test file. Where the machine cannot
 * give one, the tests are counted as skipped with reason and remedy in the title, or fail under `CI=true`.
 */
export async function describeWithMetalLab(
  name: string,
  options: { readonly kubeProxy?: boolean },
  define: () => void,
): Promise<void> {
  const { describe, it } = await import('vitest');
  const why = await whyNoMetalLab(options.kubeProxy);
  if (why === undefined) {
    describe(name, define);
    return;
  }
  if (!harnessEnvironment().ci) {
    describe.skip(`${name} [${why}]`, define);
    return;
  }
  describe(name, () => {
    it('has the metal lab that CI=true demands', () => {
      throw new Error(`${name} ${why}`);
    });
  });
}

/**
 * Starts the lab. Nothing outlives the calling process: guards remove namespaces and processes when it ends.
 *
 * @throws Error when a part does not come up.
 */
export async function startMetalLab(options: LabOptions = {}): Promise<MetalLab> {
  const dir = await mkdtemp(join(tmpdir(), 'berth-lab-'));
  const undo: (() => Promise<void>)[] = [() => rm(dir, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const { net, remove } = await buildNet(dir);
    undo.push(remove);
    const { apiServerArgs = [], users = [], authorization = 'AlwaysAllow' } = options;
    const plane = await startControlPlane({ address: net.host.ipv4, apiServerArgs, authorization, users });
    undo.push(() => plane.stop());
    const lab = new Lab({ net, plane, dir, stop, ended: (step) => void undo.push(step) });
    await lab.furnish(options);
    return lab;
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Parts {
  readonly net: LabNet;
  readonly plane: ControlPlane;
  readonly dir: string;
  readonly stop: () => Promise<void>;
  readonly ended: (step: () => Promise<void>) => void;
}

class Lab implements MetalLab {
  readonly net: LabNet;
  readonly plane: ControlPlane;
  readonly dir: string;
  readonly stop: () => Promise<void>;
  readonly #ended: Parts['ended'];

  constructor({ net, plane, dir, stop, ended }: Parts) {
    this.net = net;
    this.plane = plane;
    this.dir = dir;
    this.stop = stop;
    this.#ended = ended;
  }

  /** Objects, then proxies and pods. */
  async furnish({ kubeProxy, pods = kubeProxy !== undefined, ipv6Only = false }: LabOptions): Promise<void> {
    for (const name of [LAB_NAMESPACE, 'berth-system', 'metallb-system'])
      await this.send('POST', '/api/v1/namespaces', { metadata: { name } });
    for (const crd of LAB_CRDS)
      await this.send('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd);
    for (const node of this.net.nodes)
      await this.send('POST', '/api/v1/nodes', labNodeObject(node, ipv6Only));
    for (const [path, object] of labPool(this.net)) await this.#whenServed(path, object);
    if (pods) for (const node of this.net.nodes) this.#startPods(node);
    if (kubeProxy !== undefined) await this.#startProxies(kubeProxy);
  }

  node(name: string): LabNode {
    const found = this.net.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`the lab has no node ${name}`);
    return found;
  }

  nodeOfMac(mac: string): string | undefined {
    return this.net.nodes.find((node) => node.mac === mac)?.name;
  }

  start(where: string | undefined, name: string, command: readonly string[]): LabProcess {
    const namespace =
      where === undefined
        ? undefined
        : where === 'client'
          ? this.net.client.namespace
          : this.node(where).namespace;
    const started = LabProcess.start({
      name,
      dir: this.dir,
      command,
      ...(namespace === undefined ? {} : { namespace }),
    });
    this.#ended(() => started.kill());
    return started;
  }

  atClient(command: readonly string[], options: { input?: string; limitMs?: number } = {}): Promise<string> {
    return runIn(this.net.client.namespace, command, options);
  }

  async send<T>(method: string, path: string, body?: object): Promise<T> {
    const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const options = body === undefined ? {} : { body, contentType };
    const { status, text, json } = await this.plane.request<T>(method, path, options);
    if (status >= 300) throw new Error(`${method} ${path} was answered ${status}: ${text.slice(0, 300)}`);
    return json;
  }

  async createService(service: LabService): Promise<number> {
    const slices = `/apis/discovery.k8s.io/v1/namespaces/${LAB_NAMESPACE}/endpointslices`;
    for (const slice of labSlices(this.net, service)) await this.send('POST', slices, slice);
    const begunMs = Date.now();
    await this.send('POST', `/api/v1/namespaces/${LAB_NAMESPACE}/services`, labService(service));
    return begunMs;
  }

  async deleteService(name: string): Promise<void> {
    await this.send('DELETE', `/api/v1/namespaces/${LAB_NAMESPACE}/services/${name}`);
    const slices = `/apis/discovery.k8s.io/v1/namespaces/${LAB_NAMESPACE}/endpointslices`;
    await this.send('DELETE', `${slices}?labelSelector=kubernetes.io/service-name=${name}`);
  }

  async addressesOf(name: string): Promise<readonly string[]> {
    const service = await this.send<{
      status: { loadBalancer?: { ingress?: readonly { ip: string }[] } };
    }>('GET', `/api/v1/namespaces/${LAB_NAMESPACE}/services/${name}`);
    return service.status.loadBalancer?.ingress?.map(({ ip }) => ip) ?? [];
  }

  cut(name: string): Promise<void> {
    return batch(this.net.fabric, [`link set ${this.node(name).port} nomaster`]);
  }

  join(name: string): Promise<void> {
    return batch(this.net.fabric, [`link set ${this.node(name).port} master br0`]);
  }

  unplug(name: string): Promise<void> {
    return batch(this.net.fabric, [`link set ${this.node(name).port} down`]);
  }

  plug(name: string): Promise<void> {
    return batch(this.net.fabric, [`link set ${this.node(name).port} up`]);
  }

  async cutFromApi(name: string): Promise<void> {
    const { port } = this.node(name);
    const input = `table bridge cut-${port} {
      chain forward {
        type filter hook forward priority 0
        iifname "${port}" oifname "host" drop
        iifname "host" oifname "${port}" drop
      }
    }
    `;
    await runIn(this.net.fabric, ['nft', '-f', '-'], { input });
  }

  async joinApi(name: string): Promise<void> {
    await runIn(this.net.fabric, ['nft', 'delete', 'table', 'bridge', `cut-${this.node(name).port}`]);
  }

  async curl(address: string): Promise<Answer> {
    const host = address.includes(':') ? `[${address}]` : address;
    return JSON.parse(await this.atClient(['curl', '-sS', '--max-time', '3', `http://${host}/`])) as Answer;
  }

  async udp(address: string): Promise<Answer> {
    return JSON.parse(await this.atClient([process.execPath, UDP_PROGRAM, address, '80'])) as Answer;
  }

  async forgetNeighbours(): Promise<void> {
    await this.atClient(['ip', 'neigh', 'flush', 'dev', 'eth0']);
  }

  /** A kind is served a moment after its definition was accepted. */
  async #whenServed(path: string, object: object): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const { status, text } = await this.plane.request('POST', path, { body: object });
      if (status < 300) return;
      if (status !== 404 || attempt > 200) throw new Error(`POST ${path} was answered ${status}: ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  #startPods({ name, podNamespace, pods }: LabNode): void {
    const served = pods.flatMap(({ ipv4, ipv6 }, index) =>
      [ipv4, ipv6].map((ip) => `${name}-${index}=${ip}`),
    );
    const command = [process.execPath, POD_PROGRAM, String(POD_PORT), ...served];
    const started = LabProcess.start({
      name: `pods-${name}`,
      dir: this.dir,
      namespace: podNamespace,
      command,
    });
    this.#ended(() => started.kill());
  }

  async #startProxies(mode: 'nftables' | 'iptables'): Promise<void> {
    const answer = await ensureControlPlane({
      log: (line) => console.error(line),
      components: ['kube-proxy'],
    });
    if (!answer.available) throw new Error(`${answer.reason}. ${answer.remedy}`);
    const kubeconfig = this.plane.kubeconfig();
    const cidrs = [`10.${this.net.slot}.0.0/16`, `fdbe:1:${this.net.slot.toString(16)}::/48`];
    const proxies = this.net.nodes.map(({ name }) =>
      this.start(name, `kube-proxy-${name}`, [
        join(answer.dir, 'kube-proxy'),
        `--kubeconfig=${kubeconfig}`,
        `--hostname-override=${name}`,
        `--proxy-mode=${mode}`,
        `--cluster-cidr=${cidrs.join(',')}`,
        '--metrics-bind-address=127.0.0.1:10249',
        ...CONNTRACK_ARGS,
      ]),
    );
    // Its first rules are written when it has everything; 200 there means that they are.
    const healthy = (name: string): Promise<boolean> =>
      runIn(this.node(name).namespace, ['curl', '-sf', '-m1', 'http://127.0.0.1:10256/healthz']).then(
        () => true,
        () => false,
      );
    await Promise.all(
      proxies.map((proxy, index) =>
        proxy.until('it is healthy', () => healthy(this.net.nodes[index]?.name ?? '')),
      ),
    );
  }
}
