/** Kubernetes objects of the metal lab. */
import { readdirSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { LabNet, LabNode } from './metal-net.ts';

/** Namespace of the lab's Services. */
export const LAB_NAMESPACE = 'lab';
/** Port that the pods listen on. */
export const POD_PORT = 8080;

/** A Service of the lab. */
export interface LabService {
  readonly name: string;
  /** Default `Cluster`. */
  readonly policy?: 'Cluster' | 'Local';
  /** Default IPv4 alone. */
  readonly families?: readonly ('IPv4' | 'IPv6')[];
  /** Names of nodes whose first pod stands behind it; default all nodes. */
  readonly pods?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  /** Of both protocols; default 80. */
  readonly port?: number;
  /** Default `berth.dev/metal`; `null`: none. */
  readonly loadBalancerClass?: string | null;
}

/** One port over TCP and over UDP; no selector, because there is nobody to follow it: the slices are made by hand. */
export function labService(service: LabService): object {
  const { name, policy = 'Cluster', families = ['IPv4'], annotations = {}, port = 80 } = service;
  const { loadBalancerClass = 'berth.dev/metal' } = service;
  return {
    metadata: { name, namespace: LAB_NAMESPACE, annotations },
    spec: {
      type: 'LoadBalancer',
      ...(loadBalancerClass === null ? {} : { loadBalancerClass }),
      externalTrafficPolicy: policy,
      ipFamilies: families,
      ipFamilyPolicy: families.length === 2 ? 'RequireDualStack' : 'SingleStack',
      ports: [
        { name: 'http', port, protocol: 'TCP', targetPort: POD_PORT },
        { name: 'udp', port, protocol: 'UDP', targetPort: POD_PORT },
      ],
    },
  };
}

/** The slices of a Service, one of each family. */
export function labSlices({ nodes }: LabNet, service: LabService): readonly object[] {
  const { name, families = ['IPv4'], pods = nodes.map((node) => node.name) } = service;
  return families.map((family) => ({
    metadata: {
      name: `${name}-${family.toLowerCase()}`,
      namespace: LAB_NAMESPACE,
      labels: { 'kubernetes.io/service-name': name, 'endpointslice.kubernetes.io/managed-by': 'lab' },
    },
    addressType: family,
    ports: [
      { name: 'http', port: POD_PORT, protocol: 'TCP' },
      { name: 'udp', port: POD_PORT, protocol: 'UDP' },
    ],
    endpoints: nodes
      .filter((node) => pods.includes(node.name))
      .map((node) => ({
        addresses: [family === 'IPv4' ? node.pods[0]?.ipv4 : node.pods[0]?.ipv6],
        nodeName: node.name,
        conditions: { ready: true, serving: true, terminating: false },
      })),
  }));
}

/** A Ready Node with InternalIPs of both families, or of IPv6 alone. */
export function labNodeObject({ name, ipv4, ipv6, podCidrs }: LabNode, ipv6Only = false): object {
  const internal = ipv6Only ? [ipv6] : [ipv4, ipv6];
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux' } },
    spec: { podCIDR: podCidrs[0], podCIDRs: podCidrs },
    status: {
      addresses: [
        ...internal.map((address) => ({ type: 'InternalIP', address })),
        { type: 'Hostname', address: name },
      ],
      conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'ready' }],
    },
  };
}

/** A pool with the lab's addresses, and an advertisement of it. */
export function labPool({ pools }: LabNet): readonly (readonly [path: string, object: object])[] {
  const base = '/apis/metallb.io/v1beta1/namespaces/metallb-system';
  const metadata = { name: 'lab', namespace: 'metallb-system' };
  return [
    [
      `${base}/ipaddresspools`,
      { apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool', metadata, spec: { addresses: pools } },
    ],
    [
      `${base}/l2advertisements`,
      {
        apiVersion: 'metallb.io/v1beta1',
        kind: 'L2Advertisement',
        metadata,
        spec: { ipAddressPools: ['lab'] },
      },
    ],
  ];
}

const CRDS = new URL('../../infra/manifests/crds/', import.meta.url);

/** The kinds of `metallb.io/v1beta1` that Berth reads or writes, as they are shipped. */
export const LAB_CRDS: readonly object[] = readdirSync(CRDS)
  .toSorted()
  .map((file) => parse(readFileSync(new URL(file, CRDS), 'utf8')) as object);
