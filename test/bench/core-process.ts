import { BerthProcess, launch } from './berth-process.ts';
import { BERTH_USER, type BenchCluster } from './core-cluster.ts';

/** A step in Berth's log. */
export interface LoggedStep {
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly verb: string;
  readonly resource: string;
}

/** How to start Berth. */
export interface StartOptions {
  /** Arguments of its node process. */
  readonly nodeArgs: readonly string[];
  /** A file with the load balancers that exist; without, there is none. */
  readonly cloudFile?: string;
}

/** One `berth run` with the provider `memory`, and what it tells of itself. */
export class CoreBerth extends BerthProcess {
  /** Starts it with everything else as it is by default, leader election included. */
  static async start(
    { plane }: BenchCluster,
    { nodeArgs, cloudFile: file }: StartOptions,
  ): Promise<CoreBerth> {
    const pools = [{ name: 'bench', addresses: ['198.18.0.0/16'] }];
    const settings = {
      kubeconfig: plane.kubeconfig(BERTH_USER),
      clusterName: 'bench',
      providers: { memory: { config: { pools, file } } },
      leaderElection: { namespace: 'berth-system' },
    };
    return new CoreBerth(await launch({ dir: plane.dir, settings, nodeArgs }));
  }

  /** One family of `/metrics`: label text to value. */
  async metric(name: string): Promise<ReadonlyMap<string, number>> {
    const text = await (await this.get('/metrics')).text();
    const lines = text
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    return new Map(
      lines.map((line) => {
        const space = line.lastIndexOf(' ');
        return [line.slice(name.length, space), Number(line.slice(space + 1))];
      }),
    );
  }

  /** How many steps have been carried out, by its own metric. */
  async steps(labels: RegExp): Promise<number> {
    let total = 0;
    for (const [label, value] of await this.metric('berth_plan_steps_total'))
      if (labels.test(label)) total += value;
    return total;
  }

  /** How many passes over Services have succeeded, by its own metric. */
  async passes(): Promise<number> {
    const syncs = await this.metric('service_controller_loadbalancer_sync_total');
    return syncs.get('{outcome="success"}') ?? 0;
  }

  /** Milliseconds until `/api/plan` has planned everything anew and answered. */
  async planMs(): Promise<number> {
    const begun = performance.now();
    const answer = await this.get('/api/plan');
    if (!answer.ok) throw new Error(`/api/plan was answered ${answer.status}`);
    await answer.text();
    return performance.now() - begun;
  }

  /** What it logged since a moment, in milliseconds since the epoch. Not JSON: left out. */
  async logged(sinceWallMs: number): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const lines = (await this.log()).split('\n');
    return lines.flatMap((line) => {
      if (!line.startsWith('{')) return [];
      const entry = JSON.parse(line) as Record<string, unknown>;
      return Date.parse(String(entry['time'])) >= sinceWallMs ? [entry] : [];
    });
  }

  /** The steps among what it logged. */
  async loggedSteps(sinceWallMs: number): Promise<readonly LoggedStep[]> {
    const entries = await this.logged(sinceWallMs);
    return entries
      .filter(({ message }) => message === 'step')
      .map(({ time, verb, resource }) => ({
        time: Date.parse(String(time)),
        verb: String(verb),
        resource: String(resource),
      }));
  }
}
