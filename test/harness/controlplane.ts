import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ControlPlaneAvailability, ensureControlPlane } from '../../infra/controlplane/build.ts';
import {
  type ContractApi,
  contractApi,
  type ContractRequest,
  type ContractResponse,
} from '../contract/api.ts';
import { Daemon, freePort } from './daemon.ts';
import { describeUnless } from './describe.ts';
import { type Guard, startGuard } from './guard.ts';

/** How to start the control plane. */
export interface ControlPlaneOptions {
  /** Default `AlwaysAllow`. Under `RBAC` only `admin` may do anything until roles are created. */
  readonly authorization?: 'AlwaysAllow' | 'RBAC';
  /** Further arguments of kube-apiserver; the last one of a name wins. */
  readonly apiServerArgs?: readonly string[];
  /** Address of this machine to listen on, for clients in other network namespaces; default 127.0.0.1. */
  readonly address?: string;
  /** Users beside `defaultUsers`. */
  readonly users?: readonly ControlPlaneUser[];
}

/** Somebody who may sign in with a token. */
export interface ControlPlaneUser {
  readonly name: string;
  readonly groups: readonly string[];
}

/** `admin` may do everything; the others have no rights of their own, as a ServiceAccount of that name would. */
export const defaultUsers: readonly ControlPlaneUser[] = [
  { name: 'admin', groups: ['system:masters'] },
  {
    name: 'system:serviceaccount:berth-system:berth',
    groups: ['system:serviceaccounts', 'system:serviceaccounts:berth-system'],
  },
  {
    name: 'system:serviceaccount:berth-system:berth-speaker',
    groups: ['system:serviceaccounts', 'system:serviceaccounts:berth-system'],
  },
  { name: 'nobody', groups: [] },
];

/** A running kube-apiserver with its etcd. The `user` of its calls defaults to `admin`. */
export interface ControlPlane {
  /** `https://127.0.0.1:PORT`, or with the `address` that was asked for; stays the same when the API server is started again. */
  readonly url: string;
  /** PEM file to verify the API server's certificate with. */
  readonly caFile: string;
  /** Scratch directory that goes away with the control plane; holds `etcd.log` and `kube-apiserver.log`. */
  readonly dir: string;
  /** Ids of the processes that are running now. */
  processes(): { readonly etcd?: number; readonly apiServer?: number };
  /** @throws Error for a user that was not named at the start. */
  token(user?: string): string;
  /** Writes a kubeconfig for the user and returns its path. */
  kubeconfig(user?: string): string;
  request<T = unknown>(
    method: string,
    path: string,
    options?: ContractRequest & { readonly user?: string },
  ): Promise<ContractResponse<T>>;
  /** A raw client, for watches and everything else that `request` is too small for. */
  api(user?: string): ContractApi;
  /** SIGKILL to kube-apiserver; returns when it is gone. etcd goes on. */
  killApiServer(): Promise<void>;
  /** Starts kube-apiserver again on the same port, with the same data, and waits until it is ready. */
  startApiServer(): Promise<void>;
  /** Ends everything and removes `dir`. Safe to call twice. */
  stop(): Promise<void>;
}

let availability: Promise<ControlPlaneAvailability> | undefined;

/** Finds or builds the control plane's binaries, once for this process. Building takes minutes and says so. */
export function controlPlane(): Promise<ControlPlaneAvailability> {
  availability ??= ensureControlPlane({ log: (line) => console.error(line) });
  return availability;
}

/** Why the machine cannot have the control plane, with the remedy; `undefined` when it can. */
export async function whyNoControlPlane(): Promise<string | undefined> {
  const answer = await controlPlane();
  return answer.available
    ? undefined
    : `needs the Kubernetes control plane, but ${answer.reason}. ${answer.remedy}`;
}

/** A `describe` whose tests need the control plane; where the machine cannot give one, see `describeUnless`. */
export async function describeWithControlPlane(
  name: string,
  define: () => void | Promise<void>,
): Promise<void> {
  await describeUnless(await whyNoControlPlane(), { name, part: 'real control plane' }, define);
}

/**
 * Starts etcd and kube-apiserver on loopback and waits until the API answers and its own objects (namespaces, the
 * `kubernetes` Service) exist. Nothing outlives the calling process: a guard kills both and removes the directory when
 * the process ends in whatever way.
 *
 * @throws Error with the end of the log when a process does not come up, or when there are no binaries.
 */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const answer = await controlPlane();
  if (!answer.available) throw new Error(`${answer.reason}. ${answer.remedy}`);
  for (let attempt = 1; ; attempt++) {
    const running = await prepare(answer.dir, options);
    try {
      await running.etcd.start(() => etcdAnswers(running.etcdUrl));
      await running.apiServer.start(() => apiServerIsReady(running));
      return facade(running);
    } catch (error) {
      await shutDown(running);
      // Between choosing a free port and using it somebody else may take it; the log is where that shows.
      if (attempt === 3 || !String(error).includes('address already in use')) throw error;
    }
  }
}

interface Running {
  readonly dir: string;
  readonly url: string;
  readonly etcdUrl: string;
  readonly tokens: ReadonlyMap<string, string>;
  readonly etcd: Daemon;
  readonly apiServer: Daemon;
  readonly guard: Guard;
  readonly clients: ContractApi[];
}

async function prepare(binaries: string, options: ControlPlaneOptions): Promise<Running> {
  const dir = await mkdtemp(join(tmpdir(), 'berth-controlplane-'));
  const guard = startGuard({ dir });
  const [etcdPort, apiPort] = [await freePort(), await freePort()];
  const etcdUrl = `http://127.0.0.1:${etcdPort}`;
  const users = [...defaultUsers, ...(options.users ?? [])];
  const tokens = new Map(users.map(({ name }) => [name, randomBytes(16).toString('hex')]));
  const rows = users.map(
    ({ name, groups }, index) => `${tokens.get(name)},${name},${index},"${groups.join(',')}"\n`,
  );
  await writeFile(join(dir, 'tokens.csv'), rows.join(''), { mode: 0o600 });
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  await writeFile(join(dir, 'service-account.key'), key.export({ type: 'sec1', format: 'pem' }), {
    mode: 0o600,
  });
  const address = options.address ?? '127.0.0.1';
  const apiArgs = [...apiServerArgs({ dir, address, port: apiPort, etcdUrl }), ...authorizationArgs(options)];
  return {
    dir,
    url: `https://${address}:${apiPort}`,
    etcdUrl,
    tokens,
    etcd: new Daemon(dir, join(binaries, 'etcd'), etcdArgs(dir, etcdUrl)),
    apiServer: new Daemon(dir, join(binaries, 'kube-apiserver'), [
      ...apiArgs,
      ...(options.apiServerArgs ?? []),
    ]),
    guard,
    clients: [],
  };
}

function etcdArgs(dir: string, url: string): string[] {
  return [
    `--data-dir=${join(dir, 'etcd')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    // A single member has no peers, but etcd insists on listening for them.
    '--listen-peer-urls=http://127.0.0.1:0',
    '--unsafe-no-fsync',
    '--log-level=warn',
  ];
}

function apiServerArgs(server: { dir: string; address: string; port: number; etcdUrl: string }): string[] {
  const key = join(server.dir, 'service-account.key');
  return [
    `--etcd-servers=${server.etcdUrl}`,
    `--bind-address=${server.address}`,
    // Also a name in the certificate that it signs for itself.
    `--advertise-address=${server.address}`,
    `--secure-port=${server.port}`,
    `--cert-dir=${join(server.dir, 'certs')}`,
    `--token-auth-file=${join(server.dir, 'tokens.csv')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${key}`,
    `--service-account-signing-key-file=${key}`,
    '--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112',
    // No controller manager runs here, which is what creates the default ServiceAccount that pods need.
    '--disable-admission-plugins=ServiceAccount',
    // The reconciler refuses to publish a loopback address and would say so every ten seconds.
    '--endpoint-reconciler-type=none',
  ];
}

function authorizationArgs(options: ControlPlaneOptions): string[] {
  return [`--authorization-mode=${options.authorization ?? 'AlwaysAllow'}`];
}

async function etcdAnswers(url: string): Promise<boolean> {
  const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(1_000) }).catch(
    () => undefined,
  );
  return response?.ok ?? false;
}

/** `/readyz` alone is too early: the namespaces and the `kubernetes` Service are created just after it. */
async function apiServerIsReady(running: Running): Promise<boolean> {
  try {
    const api = connect(running, 'admin');
    const limit = { signal: AbortSignal.timeout(2_000) };
    try {
      for (const path of ['/readyz', ...bootstrapObjects]) {
        if ((await api.request('GET', path, limit)).status !== 200) return false;
      }
      return true;
    } finally {
      api.close();
    }
  } catch {
    return false;
  }
}

const bootstrapObjects = [
  '/api/v1/namespaces/kube-system',
  '/api/v1/namespaces/default',
  '/api/v1/namespaces/default/services/kubernetes',
];

function connect(running: Running, user: string): ContractApi {
  return contractApi({
    url: running.url,
    token: tokenOf(running, user),
    ca: readFileSync(caFileOf(running)),
    compact: () => forgetHistory(running),
  });
}

function tokenOf(running: Running, user: string): string {
  const token = running.tokens.get(user);
  if (token === undefined)
    throw new Error(`The control plane knows no user ${user}. Name it in the option users.`);
  return token;
}

/** kube-apiserver signs its own certificate when it is given none; this file holds the chain. */
function caFileOf(running: Running): string {
  return join(running.dir, 'certs', 'apiserver.crt');
}

/** etcd's compaction alone is not enough: kube-apiserver answers from its watch cache until it is started again. */
async function forgetHistory(running: Running): Promise<void> {
  await compact(running.etcdUrl);
  await running.apiServer.kill();
  await running.apiServer.start(() => apiServerIsReady(running));
}

/** Compacts etcd at its newest revision, through its JSON gateway (etcd.io: "gRPC gateway"). */
async function compact(etcdUrl: string): Promise<void> {
  const call = async (path: string, body: unknown): Promise<{ header: { revision: string } }> => {
    const response = await fetch(etcdUrl + path, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    });
    if (!response.ok)
      throw new Error(`etcd answered ${response.status} to ${path}: ${await response.text()}`);
    return (await response.json()) as { header: { revision: string } };
  };
  const { header } = await call('/v3/kv/range', { key: 'AA==' });
  await call('/v3/kv/compaction', { revision: header.revision, physical: true });
}

function facade(running: Running): ControlPlane {
  const clients = new Map<string, ContractApi>();
  const api = (user = 'admin'): ContractApi => {
    const known = clients.get(user) ?? connect(running, user);
    if (!clients.has(user)) running.clients.push(known);
    clients.set(user, known);
    return known;
  };
  return {
    url: running.url,
    caFile: caFileOf(running),
    dir: running.dir,
    processes: () => ({
      ...(running.etcd.pid === undefined ? {} : { etcd: running.etcd.pid }),
      ...(running.apiServer.pid === undefined ? {} : { apiServer: running.apiServer.pid }),
    }),
    token: (user = 'admin') => tokenOf(running, user),
    kubeconfig: (user = 'admin') => writeKubeconfig(running, user),
    request: (method, path, { user, ...options } = {}) => api(user).request(method, path, options),
    api,
    killApiServer: () => running.apiServer.kill(),
    startApiServer: () => running.apiServer.start(() => apiServerIsReady(running)),
    stop: () => shutDown(running),
  };
}

function writeKubeconfig(running: Running, user: string): string {
  const path = join(running.dir, `kubeconfig-${user.replaceAll(/[^a-z-]+/g, '-')}.yaml`);
  const name = 'berth-test';
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server: running.url, 'certificate-authority': caFileOf(running) } }],
    users: [{ name: user, user: { token: tokenOf(running, user) } }],
    contexts: [{ name, context: { cluster: name, user, namespace: 'default' } }],
    'current-context': name,
  };
  writeFileSync(path, JSON.stringify(config, null, 2), { mode: 0o600 });
  return path;
}

async function shutDown(running: Running): Promise<void> {
  for (const client of running.clients.splice(0)) client.close();
  await running.apiServer.kill();
  await running.etcd.kill();
  await rm(running.dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  running.guard.dismiss();
}
