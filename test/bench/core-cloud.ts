import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CloudState, MemoryLoadBalancer, MemoryTarget } from '../../src/provider/memory.ts';
import { parseIp } from '../../src/model/address.ts';
import type { Protocol } from '../../src/model/service.ts';
import { type BenchCluster, NAMESPACE } from './core-cluster.ts';

interface RawService {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: {
    readonly ports: readonly {
      readonly port: number;
      readonly protocol: Protocol;
      readonly nodePort: number;
    }[];
  };
  readonly status: { readonly loadBalancer: { readonly ingress?: readonly { readonly ip: string }[] } };
}

interface RawNode {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly providerID: string };
  readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] };
}

/**
 * Writes a file for the memory provider to find all load balancers in, as they were when Berth was stopped, and
 * returns its path. If it were not exactly so, the restart would show it as steps.
 */
export async function writeCloud({ plane }: BenchCluster): Promise<string> {
  const list = async <T>(path: string): Promise<readonly T[]> =>
    (await plane.request<{ readonly items: readonly T[] }>('GET', path)).json.items;
  const nodes = await list<RawNode>('/api/v1/nodes');
  const targets = nodes.map(targetOf).toSorted((a, b) => (a.node < b.node ? -1 : 1));
  const services = await list<RawService>(`/api/v1/namespaces/${NAMESPACE}/services`);
  const state: CloudState = {
    loadBalancers: services.map((service) => [
      `${NAMESPACE}/${service.metadata.name}`,
      loadBalancerOf(service, targets),
    ]),
    violations: [],
  };
  const path = join(plane.dir, 'cloud.json');
  await writeFile(path, JSON.stringify(state));
  return path;
}

function loadBalancerOf(
  { metadata, spec, status }: RawService,
  targets: readonly MemoryTarget[],
): MemoryLoadBalancer {
  const ports = spec.ports.map(({ protocol, port, nodePort }) => ({ protocol, port, nodePort }));
  return {
    uid: metadata.uid,
    frontend: {
      families: ['IPv4'],
      addresses: (status.loadBalancer.ingress ?? []).flatMap(({ ip }) => parseIp(ip) ?? []),
      sourceRanges: [],
      clientIPAffinitySeconds: 0,
      healthCheck: 'default',
      idleTimeoutSeconds: 60,
    },
    listeners: Object.fromEntries(ports.map((port) => [`${port.port}/${port.protocol}`, port])),
    targets,
  };
}

function targetOf({ metadata, spec, status }: RawNode): MemoryTarget {
  const internal = status.addresses.filter(({ type }) => type === 'InternalIP');
  return {
    node: metadata.name,
    providerID: spec.providerID,
    addresses: internal.flatMap(({ address }) => parseIp(address) ?? []),
  };
}
