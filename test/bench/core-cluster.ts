import { rmSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContractEvent, ContractWatch } from '../contract/api.ts';
import { type ControlPlane, startControlPlane } from '../harness/controlplane.ts';

/** As whom Berth signs in; the audit log is about this user alone. */
export const BERTH_USER = 'system:serviceaccount:berth-system:berth';
/** Where the benchmark's Services live. */
export const NAMESPACE = 'bench';
/** Requests that the benchmark itself keeps in flight. */
const IN_FLIGHT = 16;

/** How many requests of each kind there were: `patch services/status` and so on. */
export type Tally = ReadonlyMap<string, number>;

/** The real control plane with everything that the benchmark asks of it. */
export interface BenchCluster {
  readonly plane: ControlPlane;
  /** What Berth has asked of the API server so far, by the API server's own audit log. */
  tally(): Promise<Tally>;
  createNodes(from: number, to: number): Promise<void>;
  createServices(names: readonly string[]): Promise<void>;
  deleteServices(names: readonly string[]): Promise<void>;
  /** Changes a label, which no load balancer can see. */
  relabelServices(names: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

/** Starts etcd and kube-apiserver with an audit log of Berth's requests. */
export async function startCluster(): Promise<BenchCluster> {
  const dir = await mkdtemp(join(tmpdir(), 'berth-bench-'));
  // However this process ends; the control plane has a guard of its own for that.
  process.once('exit', () => rmSync(dir, { recursive: true, force: true }));
  const log = join(dir, 'audit.log');
  await writeFile(join(dir, 'policy.json'), JSON.stringify(auditPolicy));
  const plane = await startControlPlane({
    apiServerArgs: [`--audit-policy-file=${join(dir, 'policy.json')}`, `--audit-log-path=${log}`],
  });
  const send = async (method: string, path: string, body?: unknown): Promise<void> => {
    const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const { status, text } = await plane.request(
      method,
      path,
      body === undefined ? {} : { body, contentType },
    );
    if (status >= 300) throw new Error(`${method} ${path} was answered ${status}: ${text.slice(0, 300)}`);
  };
  for (const name of [NAMESPACE, 'berth-system'])
    await send('POST', '/api/v1/namespaces', { metadata: { name } });
  const services = `/api/v1/namespaces/${NAMESPACE}/services`;
  return {
    plane,
    tally: async () => tallyOf(await readFile(log, 'utf8').catch(() => '')),
    createNodes: (from, to) =>
      sideBySide(range(from, to), (index) => send('POST', '/api/v1/nodes', aNode(index))),
    createServices: (names) => sideBySide(names, (name) => send('POST', services, aService(name))),
    deleteServices: (names) => sideBySide(names, (name) => send('DELETE', `${services}/${name}`)),
    relabelServices: (names) => {
      const body = { metadata: { labels: { relabelled: 'true' } } };
      return sideBySide(names, (name) => send('PATCH', `${services}/${name}`, body));
    },
    stop: () => plane.stop(),
  };
}

/** Metadata of Berth's requests and nothing else, so that the log costs the API server next to nothing. */
const auditPolicy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata', users: [BERTH_USER] }, { level: 'None' }],
};

interface AuditEvent {
  readonly stage: string;
  readonly verb: string;
  readonly objectRef?: { readonly resource?: string; readonly subresource?: string };
  readonly responseStatus?: { readonly code?: number };
}

/** A watch counts when it begins, everything else when it is answered; what was refused counts once more as such. */
function tallyOf(log: string): Tally {
  const tally = new Map<string, number>();
  const add = (name: string): void => void tally.set(name, (tally.get(name) ?? 0) + 1);
  for (const line of log.split('\n').slice(0, -1)) {
    const { stage, verb, objectRef, responseStatus } = JSON.parse(line) as AuditEvent;
    if (stage !== (verb === 'watch' ? 'ResponseStarted' : 'ResponseComplete')) continue;
    const { resource = 'other', subresource } = objectRef ?? {};
    add(`${verb} ${resource}${subresource === undefined ? '' : `/${subresource}`}`);
    const code = responseStatus?.code ?? 0;
    if (code >= 300 && resource !== 'leases') add(`refused ${code}`);
  }
  return tally;
}

/** What came on top of an earlier tally. */
export function since(before: Tally, now: Tally): Tally {
  const grown = [...now].map(([name, count]) => [name, count - (before.get(name) ?? 0)] as const);
  return new Map(grown.filter(([, count]) => count > 0));
}

/** Requests whose kind matches. The Lease is left out: it is renewed on its own schedule, whatever else happens. */
export function sum(tally: Tally, matches: RegExp = /./): number {
  let total = 0;
  for (const [name, count] of tally)
    if (matches.test(name) && !/ leases$|^refused/.test(name)) total += count;
  return total;
}

/** Requests that change something. */
export const WRITES = /^(create|update|patch|delete)/;

/** A tally in one line: `2000 patch services, 1 list nodes`. */
export function tallyText(tally: Tally): string {
  return [...tally]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}

/** Waits until Berth has asked nothing of the API server for a second, Lease aside: its events trail behind. */
export async function quiet(cluster: BenchCluster, signal: AbortSignal): Promise<Tally> {
  let before = await cluster.tally();
  for (;;) {
    await sleep(1_000, undefined, { signal });
    const now = await cluster.tally();
    if (sum(since(before, now)) === 0) return now;
    before = now;
  }
}

/** Sees Services as a client does, by one watch: when each got its ingress, and when each was gone. */
export class Observer {
  /** Names, each with the `performance.now()` at which it was first seen. */
  readonly seen: Map<string, number> = new Map();
  /** The same of its first ingress. */
  readonly served: Map<string, number> = new Map();
  readonly deleted: Map<string, number> = new Map();
  readonly #watch: ContractWatch<SeenService>;

  private constructor(watch: ContractWatch<SeenService>) {
    this.#watch = watch;
  }

  /** Begins to watch; everything that exists is told of first. */
  static async start(cluster: BenchCluster): Promise<Observer> {
    const path = `/api/v1/namespaces/${NAMESPACE}/services`;
    const observer = new Observer(await cluster.plane.api().watch<SeenService>(path));
    void observer.#follow();
    return observer;
  }

  close(): void {
    this.#watch.close();
  }

  async #follow(): Promise<void> {
    for await (const event of this.#watch) this.#take(event);
  }

  #take({ type, object }: ContractEvent<SeenService>): void {
    const { name = '' } = object.metadata ?? {};
    if (!this.seen.has(name)) this.seen.set(name, performance.now());
    if (type === 'DELETED') this.deleted.set(name, performance.now());
    else if (!this.served.has(name) && (object.status?.loadBalancer?.ingress?.length ?? 0) > 0)
      this.served.set(name, performance.now());
  }
}

interface SeenService {
  readonly metadata?: { readonly name?: string };
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly unknown[] } };
}

/** `count` names: `svc-0000` and on. */
export function serviceNames(count: number): readonly string[] {
  return range(0, count).map((index) => `svc-${String(index).padStart(4, '0')}`);
}

/** Whole numbers from `from` up to but not including `to`. */
export function range(from: number, to: number): readonly number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}

/** Two ports, a selector, labels and an annotation, as a chart would make them. */
function aService(name: string): object {
  const labels = { 'app.kubernetes.io/name': name, 'app.kubernetes.io/managed-by': 'bench' };
  return {
    metadata: { name, labels, annotations: { 'example.com/owner': 'team-a' } },
    spec: {
      type: 'LoadBalancer',
      selector: { app: name },
      ports: [
        { name: 'http', port: 80, targetPort: 8080 },
        { name: 'https', port: 443, targetPort: 8443 },
      ],
    },
  };
}

function aNode(index: number): object {
  const name = `node-${String(index).padStart(3, '0')}`;
  const zone = `zone-${index % 3}`;
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': zone } },
    spec: { providerID: `bench:///${zone}/${name}` },
    status: {
      addresses: [
        { type: 'InternalIP', address: `10.77.${index >> 8}.${index & 255}` },
        { type: 'Hostname', address: name },
      ],
      conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'ready' }],
    },
  };
}

async function sideBySide<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  // All workers draw from the same iterator.
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(range(0, IN_FLIGHT).map(worker));
}
