import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from './daemon.ts';
import type { MetalLab } from './metal-lab.ts';
import { LAB_NAMESPACE } from './metal-objects.ts';
import type { LabProcess } from './metal-process.ts';

const BERTH = fileURLToPath(new URL('../../src/bin/berth.mjs', import.meta.url));

/** Who Berth's processes are for the API server; its audit log tells them apart. */
export const USERS = {
  controller: 'system:serviceaccount:berth-system:berth',
  speaker: 'system:serviceaccount:berth-system:berth-speaker',
} as const;

/** How to start Berth in the lab. */
export interface LabBerthOptions {
  /** Arguments of the node processes. */
  readonly nodeArgs?: readonly string[];
  /** Further arguments of each speaker. */
  readonly speakerArgs?: readonly string[];
  /** Berth's program; default: the one of the sources. */
  readonly program?: string;
  /** Speakers find the API server as in a pod, by their ServiceAccount, and not through a kubeconfig. */
  readonly asPods?: boolean;
}

/** Gives a program the files that the kubelet gives a pod. Arguments: their directory, then the program. */
const IN_POD = [
  'mount -t tmpfs -o mode=755 none /run',
  'mkdir -p /run/secrets/kubernetes.io/serviceaccount',
  'cp "$1"/* /run/secrets/kubernetes.io/serviceaccount/',
  'shift',
  'exec "$@"',
].join(' && ');

/** Berth in the lab: a controller in this namespace and a speaker on each node, each a process of its own. */
export class LabBerth {
  readonly #lab: MetalLab;
  readonly #options: LabBerthOptions;
  readonly #speakers = new Map<string, LabProcess>();
  #controller: LabProcess | undefined;
  /** Directory with the files of the speakers' ServiceAccount. */
  #account: string | undefined;

  private constructor(lab: MetalLab, options: LabBerthOptions) {
    this.#lab = lab;
    this.#options = options;
  }

  /** Starts the controller and a speaker on every node. */
  static async start(lab: MetalLab, options: LabBerthOptions = {}): Promise<LabBerth> {
    const berth = new LabBerth(lab, options);
    await berth.startController();
    for (const { name } of lab.net.nodes) berth.startSpeaker(name);
    return berth;
  }

  /** @throws Error when it does not run. */
  get controller(): LabProcess {
    if (this.#controller === undefined) throw new Error('the controller does not run');
    return this.#controller;
  }

  /** The newest speaker of a node. @throws Error when none was started. */
  speaker(node: string): LabProcess {
    const found = this.#speakers.get(node);
    if (found === undefined) throw new Error(`no speaker was started on ${node}`);
    return found;
  }

  /** Starts `berth run`; returns when it acts. */
  async startController(): Promise<LabProcess> {
    const { dir, plane } = this.#lab;
    const port = await freePort();
    const file = join(dir, `berth-${port}.yaml`);
    const config = {
      kubeconfig: plane.kubeconfig(USERS.controller),
      clusterName: 'lab',
      providers: { metal: {} },
      leaderElection: { namespace: 'berth-system' },
      listen: `127.0.0.1:${port}`,
    };
    await writeFile(file, JSON.stringify(config));
    const { nodeArgs = [], program = BERTH } = this.#options;
    const command = [process.execPath, ...nodeArgs, program, 'run', '--config', file];
    const started = this.#lab.start(undefined, 'berth-run', command);
    this.#controller = started;
    await started.until('it is ready', () =>
      fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(1_000) }).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
    return started;
  }

  /**
   * Starts the speaker of a node; one that runs there is to hand over to it. For it alone: `args`, further arguments, and
   * `through`, a program that starts it.
   */
  startSpeaker(node: string, args: readonly string[] = [], through: readonly string[] = []): LabProcess {
    const { nodeArgs = [], speakerArgs = [], asPods = false, program = BERTH } = this.#options;
    const command = [
      ...through,
      process.execPath,
      ...nodeArgs,
      program,
      'speaker',
      '--node',
      node,
      ...speakerArgs,
      ...args,
    ];
    const placed = asPods
      ? this.#inPod(command)
      : [...command, '--kubeconfig', this.#lab.plane.kubeconfig(USERS.speaker)];
    const started = this.#lab.start(node, `berth-speaker-${node}`, placed);
    this.#speakers.set(node, started);
    return started;
  }

  /** The command in a mount namespace of its own (`ip netns exec` makes one), with a ServiceAccount's files. */
  #inPod(command: readonly string[]): readonly string[] {
    const account = (this.#account ??= this.#writeAccount());
    const { hostname, port } = new URL(this.#lab.plane.url);
    const variables = {
      KUBERNETES_SERVICE_HOST: hostname,
      KUBERNETES_SERVICE_PORT: port,
      HOME: '/nonexistent',
    };
    const env = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
    return ['sh', '-c', IN_POD, 'sh', account, 'env', '-u', 'KUBECONFIG', ...env, ...command];
  }

  /** Once: a speaker that has just been started may still be reading. */
  #writeAccount(): string {
    const { dir, plane } = this.#lab;
    const account = join(dir, 'serviceaccount');
    mkdirSync(account, { recursive: true });
    copyFileSync(plane.caFile, join(account, 'ca.crt'));
    writeFileSync(join(account, 'token'), plane.token(USERS.speaker), { mode: 0o600 });
    writeFileSync(join(account, 'namespace'), 'berth-system');
    return account;
  }

  /** Starts the speakers that do not run. */
  startMissing(args: readonly string[] = []): void {
    for (const { name } of this.#lab.net.nodes)
      if (this.#speakers.get(name)?.alive !== true) this.startSpeaker(name, args);
  }

  /** Ends all speakers politely and starts them anew. */
  async restartSpeakers(args: readonly string[] = []): Promise<void> {
    await Promise.all(this.#lab.net.nodes.map(({ name }) => this.speaker(name).stop()));
    this.startMissing(args);
  }

  /** Every process that runs. */
  processes(): readonly LabProcess[] {
    return [...(this.#controller === undefined ? [] : [this.#controller]), ...this.#speakers.values()].filter(
      ({ alive }) => alive,
    );
  }

  /** Waits for the addresses in a Service's status. @throws Error with the end of the controller's log after 30 s. */
  async addressesOf(service: string, count = 1): Promise<readonly string[]> {
    let found: readonly string[] = [];
    await this.controller.until(`${LAB_NAMESPACE}/${service} has its address`, async () => {
      found = await this.#lab.addressesOf(service);
      return found.length >= count;
    });
    return found;
  }

  /** The nodes that answer for an address within a second, in any order; MACs of strangers as they are. */
  async holdersOf(address: string): Promise<readonly string[]> {
    const command = address.includes(':')
      ? ['ndisc6', '-m', '-r', '1', '-w', '700', address, 'eth0']
      : ['arping', '-b', '-c', '2', '-w', '1', '-I', 'eth0', address];
    // Both complain about requests that were not answered, the last ones among them.
    const said = await this.#lab.atClient(['sh', '-c', '"$@" || true', 'sh', ...command]);
    const macs = said.toLowerCase().match(/\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/g) ?? [];
    return [...new Set(macs.map((mac) => this.#lab.nodeOfMac(mac) ?? mac))].toSorted();
  }

  /** Waits until exactly one node answers, and returns it. @throws Error when it does not come to that. */
  async holderOf(address: string, limitMs = 20_000): Promise<string> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const holders = await this.holdersOf(address);
      if (holders.length === 1 && holders[0] !== undefined) return holders[0];
      if (performance.now() > deadline) {
        throw new Error(
          `after ${limitMs / 1000} s ${address} is answered by ${holders.join(' and ') || 'nobody'}. ${await this.lastWords()}`,
        );
      }
      await sleep(50);
    }
  }

  /** The ends of all logs, for people. */
  async lastWords(): Promise<string> {
    const all = [...(this.#controller === undefined ? [] : [this.#controller]), ...this.#speakers.values()];
    const logs = await Promise.all(all.map(async (one) => `${one.name}:\n${tail(await one.log())}`));
    return `The ends of the logs:\n${logs.join('\n')}`;
  }

  /** Ends all processes, politely. */
  async stop(): Promise<void> {
    await Promise.all(this.processes().map((process) => process.stop()));
  }
}

function tail(log: string): string {
  return log.trimEnd().split('\n').slice(-8).join('\n');
}
