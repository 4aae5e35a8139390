/**
 * The metal lab: three nodes and a client in network namespaces on one bridge, a real control plane beside them, and
 * (when asked for) kube-proxy and little pods on each node.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Tool } from '../../infra/packages.ts';
import {
  type ControlPlane,
  type ControlPlaneUser,
  startControlPlane,
  whyNoControlPlane,
} from './controlplane.ts';
import { describeUnless } from './describe.ts';
import { furnish, kubeProxy } from './metal-furnish.ts';
import { buildNet } from './metal-net-build.ts';
import type { LabNet, LabNode } from './metal-net.ts';
import { LAB_NAMESPACE, type LabService, labService, labSlices } from './metal-objects.ts';
import { LabProcess } from './metal-process.ts';
import { batch, runIn, whyNoNamespaces } from './netns.ts';

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
  /** Starts a program in the namespace of a node (`node-1`), its pods (`node-1/pods`) or the `client`; absent: in this one. */
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

const UDP_PROGRAM = fileURLToPath(new URL('metal-udp.ts', import.meta.url));

/** Programs that the lab and its tests run. */
const PROGRAMS: readonly Tool[] = [
  'ip',
  'nft',
  'iptables',
  'ip6tables',
  'conntrack',
  'curl',
  'arping',
  'ndisc6',
  'tcpdump',
  'faketime',
];

/** Why the machine cannot have the lab, with the remedy; `undefined` when it can. Builds what it is built from. */
export async function whyNoMetalLab(withKubeProxy = false): Promise<string | undefined> {
  const why = (await whyNoNamespaces(PROGRAMS)) ?? (await whyNoControlPlane());
  if (why !== undefined || !withKubeProxy) return why;
  const proxy = await kubeProxy();
  return proxy.available ? undefined : `needs kube-proxy, but ${proxy.reason}. ${proxy.remedy}`;
}

/** A `describe` whose tests need the metal lab; where the machine cannot give one, see `describeUnless`. */
export async function describeWithMetalLab(
  name: string,
  options: { readonly kubeProxy?: boolean },
  define: () => void,
): Promise<void> {
  await describeUnless(await whyNoMetalLab(options.kubeProxy), { name, part: 'metal lab' }, define);
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
    await furnish(lab, options);
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

  node(name: string): LabNode {
    const found = this.net.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`the lab has no node ${name}`);
    return found;
  }

  nodeOfMac(mac: string): string | undefined {
    return this.net.nodes.find((node) => node.mac === mac)?.name;
  }

  start(where: string | undefined, name: string, command: readonly string[]): LabProcess {
    const namespace = this.#namespaceOf(where);
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

  #namespaceOf(where: string | undefined): string | undefined {
    if (where === undefined) return undefined;
    if (where === 'client') return this.net.client.namespace;
    const [name = '', part] = where.split('/');
    const { namespace, podNamespace } = this.node(name);
    return part === 'pods' ? podNamespace : namespace;
  }
}
