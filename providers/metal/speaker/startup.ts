/** What must be there before a speaker can open its sockets. */
import { readFileSync } from 'node:fs';
import { isBerthError, sleep, type ClusterApi, type IpAddress, type ProcessHost } from '@berth/core';
import { MissingCapability } from '../wire/errors.ts';
import { internalIp, type ClusterWatch } from './cluster.ts';

/** Number of CAP_NET_RAW (capabilities(7), linux/capability.h). */
const NET_RAW_BIT = 13n;
const RETRY_MS = 500;

/**
 * Whether the process lacks CAP_NET_RAW, by its effective set (proc(5), `CapEff`). Asked at once, so that the error
 * comes even while the API server is away.
 *
 * @throws MissingCapability
 */
export function requireNetRaw(status: string = readFileSync('/proc/self/status', 'utf8')): void {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  if (effective === undefined) return;
  if (((BigInt(`0x${effective}`) >> NET_RAW_BIT) & 1n) === 0n) throw new MissingCapability();
}

/** The cluster's identity: what the command line says, else the UID of the namespace kube-system, once it is known. */
export async function clusterIdentity(host: ProcessHost): Promise<string> {
  const { clusterId, signal, clock, log } = host;
  if (clusterId !== undefined) return clusterId;
  let told = false;
  for (;;) {
    signal.throwIfAborted();
    try {
      const uid = await readClusterUid(host.api, signal);
      if (uid !== '') return uid;
    } catch (error) {
      if (!isBerthError(error)) throw error;
      if (!told) log.warn({ error: error.message }, 'waiting for the API server');
      told = true;
    }
    await sleep(clock, RETRY_MS, signal);
  }
}

/** A read that only a quorum of the API server's store can answer. @throws BerthError */
export async function readClusterUid(
  api: ClusterApi,
  signal: AbortSignal,
  timeoutMs = 5_000,
): Promise<string> {
  const path = '/api/v1/namespaces/kube-system';
  const found = await api.request<{ metadata?: { uid?: string } }>({ path, signal, timeoutMs, retries: 0 });
  return found.metadata?.uid ?? '';
}

/** This node's InternalIP, as soon as its Node has one. */
export async function ownAddress(host: ProcessHost, cluster: ClusterWatch): Promise<IpAddress> {
  const { options, signal, clock, log } = host;
  let told = false;
  for (;;) {
    const node = cluster.nodes.find(({ name }) => name === options.node);
    const address = node === undefined ? undefined : internalIp(node);
    if (address !== undefined) return address;
    if (!told) {
      const why = node === undefined ? 'there is no Node of this name' : 'its Node has no InternalIP';
      log.warn({ node: options.node }, `waiting: ${why}; --node must be the name of the Node object`);
    }
    told = true;
    await sleep(clock, RETRY_MS, signal);
  }
}
