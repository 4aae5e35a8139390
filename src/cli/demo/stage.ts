import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Controller } from '../../controller/controller.ts';
import { runController, type RunEnd } from '../../controller/run.ts';
import { connectPlain } from '../../kube/index.ts';
import { systemClock } from '../../provider/clock.ts';
import { startNodes, startSandbox, type Sandbox, type SimulatedNodes } from '../../sandbox/index.ts';
import { CommandFailed } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import type { Invocation } from '../invocation.ts';
import { BERTH_NAMESPACE } from '../settings.ts';

/** Everything that the demo plays on: a cluster, its nodes and a controller, all in this process. */
export interface Stage {
  readonly sandbox: Sandbox;
  readonly nodes: SimulatedNodes;
  readonly controller: Controller;
  /** File with the kubeconfig. */
  readonly kubeconfig: string;
  /** An address of the pool that is not given to anybody who does not ask for it. */
  readonly requestable: string;
  readonly signal: AbortSignal;
  /** Resolves when the controller has ended, which it does not by itself. */
  readonly ended: Promise<RunEnd>;
  close(): Promise<void>;
}

/** Sets everything up, `port` for the API server (0: any). What is already there goes again when the rest fails. */
export async function startStage(invocation: Invocation, port: number): Promise<Stage> {
  const closers: (() => unknown)[] = [];
  const stop = new AbortController();
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).toReversed()) await closer();
  };
  try {
    const sandbox = await startSandbox({ port });
    closers.push(() => sandbox.stop());
    const directory = await mkdtemp(join(tmpdir(), 'berth-demo-'));
    closers.push(() => rm(directory, { recursive: true, force: true }));
    const kubeconfig = join(directory, 'kubeconfig');
    await sandbox.writeKubeconfig(kubeconfig);
    const nodes = await simulatedNodes(sandbox, invocation);
    closers.push(() => nodes.stop());
    const pool = poolBeside(nodes);
    const signal = AbortSignal.any([invocation.signal, stop.signal]);
    const { controller, ended } = await startController(invocation, { sandbox, pool, signal });
    closers.push(async () => {
      stop.abort(new Error('the demo is over'));
      await ended;
    });
    return { sandbox, nodes, controller, kubeconfig, requestable: `${pool}.200`, signal, ended, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function simulatedNodes(sandbox: Sandbox, { log }: Invocation): Promise<SimulatedNodes> {
  const onError = (error: unknown): void => log.warn({ error: String(error) }, 'simulated node');
  try {
    return await startNodes(sandbox, { count: 3, backendsPerNode: 2, onError });
  } catch (error) {
    throw new CommandFailed(error instanceof Error ? error.message : String(error), EXIT.environment);
  }
}

/**
 * The first three numbers of the pool's addresses. The nodes have claimed `127.66.X`, so that two demos on one machine
 * do not meet; the pool takes the same X.
 */
function poolBeside({ nodes }: SimulatedNodes): string {
  const block = nodes[0]?.address.split('.')[2] ?? '0';
  return `127.80.${block}`;
}

/** Starts the controller and waits until it acts. With an election, so that `berth plan` finds it by its Lease. */
async function startController(
  invocation: Invocation,
  {
    sandbox,
    pool,
    signal,
  }: { readonly sandbox: Sandbox; readonly pool: string; readonly signal: AbortSignal },
): Promise<{ readonly controller: Controller; readonly ended: Promise<RunEnd> }> {
  const { settings, log, version, directory } = invocation;
  const acting = Promise.withResolvers<Controller>();
  sandbox.objects.create('namespaces', { metadata: { name: BERTH_NAMESPACE } });
  const addresses = [`${pool}.1-${pool}.199`];
  const ended = runController({
    connection: connectPlain(sandbox.url),
    providers: [
      {
        spec: 'local',
        config: {
          pools: [
            { name: 'demo', addresses },
            { name: 'on-request', addresses: [`${pool}.200-${pool}.250`], autoAssign: false },
          ],
        },
      },
    ],
    defaultProvider: undefined,
    clusterId: undefined,
    clusterName: 'demo',
    settings: settings.controller,
    election: { ...settings.election, namespace: BERTH_NAMESPACE },
    listen: { host: '127.0.0.1', port: 0 },
    pod: undefined,
    from: directory,
    signal,
    clock: systemClock,
    random: Math.random,
    log,
    version,
    onActing: acting.resolve,
  });
  const failed = ended.then(() => {
    throw new CommandFailed('the controller ended before it began to act');
  });
  return { controller: await Promise.race([acting.promise, failed]), ended };
}
