/** `berth doctor` for bare metal: pools and advertisements, kube-proxy, the speakers' key, the speakers, the nodes. */
import { isBerthError, parseIp, type DoctorCheck, type DoctorHost } from '@berth/core';
import type { MetalConfig } from '../config.ts';
import { advertisementsOf, PATHS, poolsOf, toObject, type KubeObject } from '../objects.ts';
import { toL2Status, type L2Status } from '../speaker/l2-status.ts';
import { SECRET } from '../speaker/secret.ts';
import { nodeChecks } from './node.ts';
import { poolChecks, type PoolScene } from './pools.ts';
import { strictArpCheck } from './proxy.ts';
import { localReaders } from './readers.ts';
import { askSpeakers, speakerChecks, type SpeakerScene } from './speakers.ts';

/** Milliseconds of one request. */
const REQUEST_MS = 10_000;
/** Less cannot protect anything; see `readKey`. */
const MIN_KEY_BYTES = 16;
/** Where the manifests put the speakers. */
const SPEAKER_NAMESPACE = 'berth-speaker';

/** Looks at everything that is the business of bare metal. What cannot be read is skipped. */
export async function doctor(config: MetalConfig, host: DoctorHost): Promise<readonly DoctorCheck[]> {
  const [pools, proxy, secret, scene] = await Promise.all([
    lookAtPools(config, host),
    lookAtProxy(host),
    lookAtSecret(host),
    lookAtSpeakers(config, host),
  ]);
  const { node } = host;
  // A speaker knows its own settings better than this process.
  const told =
    'answers' in scene && scene.answers.some(({ doctor: own, report }) => own && report.node === node);
  const local = node === undefined || told ? [] : nodeChecks(node, await localReaders());
  const speakers = 'answers' in scene ? speakerChecks(scene) : [skipped('speaker', scene.why)];
  return [...pools, proxy, secret, ...speakers, ...local];
}

type Read<T> = { readonly value: T } | { readonly why: string; readonly missing: boolean };

/** One object, or why it cannot be had. @throws the signal's reason */
async function read<T>({ api, signal }: DoctorHost, path: string): Promise<Read<T>> {
  try {
    return { value: await api.request<T>({ path, signal, timeoutMs: REQUEST_MS, retries: 0 }) };
  } catch (error) {
    signal.throwIfAborted();
    const missing = isBerthError(error) && error.code === 'ApiNotFound';
    return { why: error instanceof Error ? error.message : String(error), missing };
  }
}

/** A list; one whose kind the cluster does not know is empty. */
async function list(host: DoctorHost, path: string): Promise<Read<readonly unknown[]>> {
  const found = await read<{ items?: readonly unknown[] }>(host, path);
  if ('value' in found) return { value: found.value.items ?? [] };
  return found.missing ? { value: [] } : found;
}

function skipped(check: string, why: string): DoctorCheck {
  return { check, outcome: 'skipped', message: `it could not be read: ${why}` };
}

async function lookAtPools(config: MetalConfig, host: DoctorHost): Promise<readonly DoctorCheck[]> {
  const paths = [PATHS.pools, PATHS.advertisements, PATHS.namespaces, '/api/v1/services'];
  const lists = await Promise.all(paths.map((path) => list(host, path)));
  const failed = lists.find((found) => 'why' in found);
  if (failed !== undefined && 'why' in failed) return [skipped('pools', failed.why)];
  const [pools = [], ads = [], namespaces = [], services = []] = lists.map((found) =>
    'value' in found ? found.value.map(toObject) : [],
  );
  const ours = ({ namespace }: KubeObject): boolean =>
    config.namespace === undefined || namespace === config.namespace;
  const labels = new Map(namespaces.map((one) => [one.name, one.labels]));
  const found = poolsOf({ config, objects: pools.filter(ours), namespaces: labels });
  const advertised = advertisementsOf(config, ads.filter(ours));
  return poolChecks({
    pools: found.pools,
    advertisements: advertised.advertisements,
    problems: [...found.problems, ...advertised.problems],
    used: services.flatMap(addressesOf),
  });
}

function addressesOf({ namespace, name, status }: KubeObject): PoolScene['used'] {
  const { loadBalancer } = (status ?? {}) as { loadBalancer?: { ingress?: readonly { ip?: string }[] } };
  return (loadBalancer?.ingress ?? []).flatMap(({ ip }) => {
    const address = parseIp(ip ?? '');
    return address === undefined ? [] : [{ address, key: `${namespace}/${name}` as const }];
  });
}

async function lookAtProxy(host: DoctorHost): Promise<DoctorCheck> {
  const path = '/api/v1/namespaces/kube-system/configmaps/kube-proxy';
  const found = await read<{ data?: Readonly<Record<string, string>> }>(host, path);
  if ('why' in found)
    return {
      check: 'strict-arp',
      outcome: 'skipped',
      message: found.missing
        ? 'there is no ConfigMap kube-system/kube-proxy; another program may do its work'
        : `kube-system/kube-proxy could not be read: ${found.why}`,
    };
  const text = found.value.data?.['config.conf'];
  if (text !== undefined) return strictArpCheck(text);
  return {
    check: 'strict-arp',
    outcome: 'skipped',
    message: 'kube-system/kube-proxy has no key config.conf',
  };
}

async function lookAtSecret(host: DoctorHost): Promise<DoctorCheck> {
  const check = 'speaker-key';
  const name = `the Secret ${host.namespace}/${SECRET.name}`;
  const path = `/api/v1/namespaces/${host.namespace}/secrets/${SECRET.name}`;
  const found = await read<{ data?: Readonly<Record<string, string>> }>(host, path);
  const remedy =
    'Start the controller with the provider metal: it makes the key; delete an unusable one before';
  if ('why' in found) {
    if (!found.missing) return skipped(check, found.why);
    return { check, outcome: 'failed', message: `there is no ${name.replace('the ', '')}`, remedy };
  }
  const bytes = Buffer.from(found.value.data?.[SECRET.key] ?? '', 'base64').length;
  if (bytes >= MIN_KEY_BYTES) return { check, outcome: 'ok', message: `${name} has a key of ${bytes} bytes` };
  const message = `${name} has ${bytes} bytes of key, at least ${MIN_KEY_BYTES} are needed`;
  return { check, outcome: 'failed', message, remedy };
}

async function lookAtSpeakers(
  config: MetalConfig,
  host: DoctorHost,
): Promise<SpeakerScene | { readonly why: string }> {
  const [nodes, written, pods] = await Promise.all([
    list(host, '/api/v1/nodes'),
    list(host, PATHS.statuses),
    speakerPods(host),
  ]);
  if ('why' in nodes) return { why: nodes.why };
  const statuses: readonly L2Status[] =
    'value' in written ? written.value.flatMap((raw) => toL2Status(raw) ?? []) : [];
  const ours = statuses.filter(
    ({ namespace }) => config.namespace === undefined || namespace === config.namespace,
  );
  const ready = nodes.value
    .map(toObject)
    .filter(isReady)
    .map(({ name }) => name);
  return { nodes: ready.toSorted(), pods, ...(await askSpeakers(host, ours)) };
}

function isReady({ status }: KubeObject): boolean {
  const { conditions = [] } = (status ?? {}) as {
    conditions?: readonly { type?: string; status?: string }[];
  };
  return conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True');
}

/** Nodes with a running pod of the DaemonSet. */
async function speakerPods(host: DoctorHost): Promise<ReadonlySet<string> | undefined> {
  const found = await Promise.all(
    [SPEAKER_NAMESPACE, host.namespace].map((namespace) =>
      list(host, `/api/v1/namespaces/${namespace}/pods`),
    ),
  );
  const nodes = found
    .flatMap((pods) => ('value' in pods ? pods.value : []))
    .filter((raw) => toObject(raw).labels['app.kubernetes.io/component'] === 'speaker')
    .map((raw) => raw as { spec?: { nodeName?: string }; status?: { phase?: string } })
    .filter(({ status }) => status?.phase === 'Running')
    .flatMap(({ spec }) => spec?.nodeName ?? []);
  return nodes.length === 0 ? undefined : new Set(nodes);
}
