import { accessSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import type { Agent } from 'node:http';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { Denied } from '../model/errors.ts';
import { agentFor, type Authorization, type Connection, type TlsMaterial } from './connection.ts';
import { type Configuration, podConfiguration } from './pod.ts';

/** How to find the API server. */
export interface ConnectOptions {
  /** An explicit kubeconfig; nothing else is looked at then. */
  readonly kubeconfig?: string | undefined;
  /** A context other than the kubeconfig's current one. */
  readonly context?: string | undefined;
  /** The process environment; read are `KUBECONFIG`, `HOME`, `KUBERNETES_SERVICE_HOST` and `_PORT`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where the pod's ServiceAccount is mounted. */
  readonly serviceAccountDir?: string;
}

const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';
/** For this long one reading of the credentials serves all requests (a token file is read once a minute anyway). */
const FRESH_MS = 1000;

/**
 * Finds the API server: the given kubeconfig; else the files in `KUBECONFIG`; else `~/.kube/config`; else, inside a
 * pod, its ServiceAccount. What a kubeconfig says (certificates, tokens, token files, `exec` plug-ins, OIDC, proxies)
 * is what `@kubernetes/client-node` makes of it; a token file or certificate that changes is picked up by itself.
 * @throws Denied, code `KubeconfigUnusable`, naming the file and the remedy.
 */
export async function connectKube(options: ConnectOptions = {}): Promise<Connection> {
  const found = find(options);
  const read = await reader(found, options);
  return new KubeConnection(found.source, read);
}

/** Where the configuration is: a list of kubeconfig files, or a ServiceAccount's directory. */
type Found = { readonly source: string } & ({ readonly files: readonly string[] } | { readonly pod: string });

function find({ kubeconfig, env = {}, serviceAccountDir = SERVICE_ACCOUNT_DIR }: ConnectOptions): Found {
  if (kubeconfig !== undefined) return { files: [kubeconfig], source: kubeconfig };
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  if (listed.length > 0) {
    // As with kubectl, files of the list may be missing as long as one is there.
    const present = listed.filter(exists);
    return { files: present.length > 0 ? present : listed, source: `KUBECONFIG=${env['KUBECONFIG']}` };
  }
  const usual = join(env['HOME'] ?? homedir(), '.kube', 'config');
  if (exists(usual)) return { files: [usual], source: usual };
  if (env['KUBERNETES_SERVICE_HOST'] && exists(join(serviceAccountDir, 'token'))) {
    return { pod: serviceAccountDir, source: "the pod's ServiceAccount" };
  }
  throw new Denied('KubeconfigUnusable', {
    message: `no kubeconfig: KUBECONFIG is not set, ${usual} does not exist, and this is not a pod with a ServiceAccount`,
    remedy: 'Name one with --kubeconfig FILE or KUBECONFIG',
  });
}

/** A function that reads the configuration anew; run once here, so that what is wrong with it is known at the start. */
async function reader(found: Found, { context, env = {} }: ConnectOptions): Promise<() => Configuration> {
  if ('pod' in found) return podReader(found, { context, env });
  // Not imported at the top, because it is large and a pod needs nothing of it.
  const { KubeConfig } = await import('@kubernetes/client-node');
  return () => {
    const config = new KubeConfig();
    try {
      config.loadFromOptions(mergeFiles(found.files, (file) => loadFile(new KubeConfig(), file)));
    } catch (error) {
      throw unusable(found.source, error);
    }
    if (context !== undefined) config.setCurrentContext(context);
    const name = config.getCurrentContext();
    const cluster = config.getCurrentCluster();
    if (!cluster || !URL.canParse(cluster.server))
      throw unusable(found.source, undefined, missing(name, cluster));
    // Without a user client-node would leave out even the cluster's CA.
    const user = config.getContextObject(name)?.user ?? '';
    if (!config.getCurrentUser()) config.addUser({ name: user });
    // client-node refuses plain HTTP unless told not to verify TLS, which plain HTTP has none of.
    if (cluster.server.startsWith('http:')) Object.assign(cluster, { skipTLSVerify: true });
    return fromClientNode(config);
  };
}

function podReader(
  { pod, source }: Extract<Found, { readonly pod: string }>,
  { context, env = {} }: ConnectOptions,
): () => Configuration {
  if (context !== undefined) throw unusable(source, undefined, missing(context, null));
  return () => {
    try {
      return podConfiguration(pod, env);
    } catch (error) {
      throw unusable(source, error);
    }
  };
}

function loadFile(config: KubeConfig, file: string): KubeConfig {
  config.loadFromFile(file);
  return config;
}

function missing(context: string, cluster: { readonly server: string } | null): string {
  if (cluster) return `its server "${cluster.server}" is not a URL`;
  return context ? `it has no usable context "${context}"` : 'it names no current-context';
}

/** Of entries with one name the first file's wins, as with kubectl. */
function mergeFiles(files: readonly string[], load: (file: string) => KubeConfig): object {
  const all = files.map(load);
  const merged = { clusters: new Map(), users: new Map(), contexts: new Map() };
  for (const config of all) {
    for (const list of ['clusters', 'users', 'contexts'] as const) {
      for (const entry of config[list])
        if (!merged[list].has(entry.name)) merged[list].set(entry.name, entry);
    }
  }
  return {
    clusters: [...merged.clusters.values()],
    users: [...merged.users.values()],
    contexts: [...merged.contexts.values()],
    currentContext: all.find((config) => config.currentContext)?.currentContext,
  };
}

/** What client-node makes of it: certificates, tokens, token files, `exec` plug-ins, OIDC and proxies. */
function fromClientNode(config: KubeConfig): Configuration {
  return {
    server: new URL(config.getCurrentCluster()?.server ?? ''),
    namespace: config.getContextObject(config.getCurrentContext())?.namespace || 'default',
    proxied: Boolean(config.getCurrentCluster()?.proxyUrl),
    apply: (options) => config.applyToHTTPSOptions(options),
  };
}

class KubeConnection implements Connection {
  readonly source: string;
  readonly server: URL;
  readonly namespace: string;
  readonly #read: () => Configuration;
  #config: Configuration;
  #agent: Agent | undefined;
  #material: TlsMaterial = {};
  #current: { readonly at: number; readonly authorization: Promise<Authorization> } | undefined;

  constructor(source: string, read: () => Configuration) {
    this.source = source;
    this.#read = read;
    this.#config = read();
    this.server = this.#config.server;
    this.namespace = this.#config.namespace;
  }

  /** Requests that begin together share one reading, so that an `exec` plug-in runs once and not thirty times. */
  authorize(): Promise<Authorization> {
    const now = performance.now();
    if (this.#current === undefined || now - this.#current.at > FRESH_MS) {
      const authorization = this.#authorize();
      authorization.catch(() => (this.#current = undefined));
      this.#current = { at: now, authorization };
    }
    return this.#current.authorization;
  }

  forget(): void {
    this.#current = undefined;
    try {
      this.#config = this.#read();
    } catch {
      // The old configuration may still work; if it does not, the next request says so.
    }
  }

  close(): void {
    this.#agent?.destroy();
  }

  async #authorize(): Promise<Authorization> {
    const options: RequestOptions = { headers: {} };
    try {
      await this.#config.apply(options);
      const agent = this.#agentFor(options);
      return { headers: { ...textHeaders(options.headers), ...basicAuth(options.auth) }, agent };
    } catch (error) {
      throw unusable(this.source, error);
    }
  }

  /** client-node's agents keep no connection alive, so they serve only where a proxy has to be gone through. */
  #agentFor(options: RequestOptions): Agent {
    if (this.#config.proxied && typeof options.agent === 'object') return options.agent;
    const { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized } = options as TlsMaterial;
    const material: TlsMaterial = { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized };
    if (this.#agent === undefined || !same(material, this.#material)) {
      // Requests under way on the old agent finish there; its idle sockets close by themselves.
      this.#agent = agentFor(this.server.protocol, material);
      this.#material = material;
    }
    return this.#agent;
  }
}

function same(a: TlsMaterial, b: TlsMaterial): boolean {
  return (Object.keys(a) as (keyof TlsMaterial)[]).every((field) => {
    const [left, right] = [a[field], b[field]];
    return Buffer.isBuffer(left) && Buffer.isBuffer(right) ? left.equals(right) : left === right;
  });
}

function textHeaders(headers: RequestOptions['headers']): Record<string, string> {
  // A token file may end in a newline, which no header may hold.
  return Object.fromEntries(
    Object.entries(headers ?? {}).map(([name, value]) => [name, String(value).trim()]),
  );
}

function basicAuth(auth: string | null | undefined): Record<string, string> {
  return auth ? { Authorization: `Basic ${Buffer.from(auth).toString('base64')}` } : {};
}

function unusable(source: string, cause: unknown, message?: string): Denied {
  const words = message ?? (cause instanceof Error ? cause.message : String(cause));
  return new Denied('KubeconfigUnusable', {
    message: `cannot use ${source}: ${words}`,
    remedy: 'Check the file and the files it names, or name another with --kubeconfig FILE',
    cause,
  });
}

function exists(file: string): boolean {
  try {
    accessSync(file);
    return true;
  } catch {
    return false;
  }
}
