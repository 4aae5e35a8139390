import { isBerthError, Denied } from '../model/errors.ts';
import { LEASE_NAME } from '../model/names.ts';
import { isApiError, runLeaderElection, type KubeClient, type LeaseRecord } from '../kube/index.ts';
import type { Log } from '../provider/spi.ts';
import { holderName, readControllerLease } from './lease-reading.ts';
import type { ElectionSettings } from './run.ts';

/** What acting in the leader's place needs. */
export interface AsLeaderOptions {
  readonly client: KubeClient;
  readonly election: ElectionSettings;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Told when a Lease has to be waited out whose holder seems to be gone. */
  readonly onWait?: (holder: string) => void;
}

/** What is true while the work runs. */
export interface Acting {
  /** Aborts when the Lease is lost or the caller's signal aborts: nothing may be begun after it. */
  readonly signal: AbortSignal;
  /** Whether the Lease is held at this very moment; asked before each step. */
  readonly holds: () => boolean;
}

/** How much longer than a Lease lasts is waited for one whose holder seems to be gone, in milliseconds. */
const MARGIN_MS = 5_000;

/**
 * Does something that only the leader may do, from outside of a controller: takes the Lease for as long as it lasts,
 * so that no controller begins to act meanwhile.
 *
 * Flow: a Lease that is held and was renewed lately is a refusal; one whose holder has not renewed it for its whole
 * duration is waited out (its clock may differ from ours) and taken. Where the Lease's namespace does not exist there
 * can be no controller with an election, and the work is done without one.
 *
 * @throws Denied `LeaderIsRunning` naming the holder and the remedy; what `work` throws.
 */
export async function actAsLeader<T>(
  options: AsLeaderOptions,
  work: (acting: Acting) => Promise<T>,
): Promise<T> {
  const { client, election, log, signal, onWait } = options;
  const lease = await readControllerLease({ client, namespace: election.namespace, signal });
  if (lease !== undefined && seemsAlive(lease, Date.now())) throw running(lease.holder, election.namespace);
  const gaveUp = new AbortController();
  let elected = false;
  let outcome: { readonly value: T } | undefined;
  let timer: NodeJS.Timeout | undefined;
  const refuse = (holder: string): void => gaveUp.abort(running(holder, election.namespace));
  try {
    await runLeaderElection({
      client,
      name: LEASE_NAME,
      ...election,
      signal: AbortSignal.any([signal, gaveUp.signal]),
      onElected: async (leadership) => {
        elected = true;
        clearTimeout(timer);
        outcome = {
          value: await work({
            signal: AbortSignal.any([signal, leadership.signal]),
            holds: () => leadership.holds(),
          }),
        };
      },
      onStandby: (holder) => {
        // The watch may show our own write before the election has stopped listening to it.
        if (elected || holder === election.identity) return;
        if (holder !== lease?.holder) return refuse(holder);
        onWait?.(holderName(holder));
        timer ??= setTimeout(() => refuse(holder), lease.durationMs + MARGIN_MS);
      },
      onTrouble: (error) => log.warn({ error: String(error) }, 'the Lease could not be read or renewed'),
    });
  } catch (error) {
    if (!isBerthError(error) || error.code !== 'LeaseNamespaceMissing') throw error;
    return await work({ signal, holds: () => true });
  } finally {
    clearTimeout(timer);
  }
  signal.throwIfAborted();
  gaveUp.signal.throwIfAborted();
  if (outcome === undefined) throw lost(election.namespace);
  return outcome.value;
}

/** Who holds the Lease by the look of it; `undefined` when nobody does. For a dry run, which takes nothing. */
export async function leaderNow(
  options: Pick<AsLeaderOptions, 'client' | 'election' | 'signal'>,
): Promise<string | undefined> {
  const { client, election, signal } = options;
  const lease = await readControllerLease({ client, namespace: election.namespace, signal });
  return lease !== undefined && seemsAlive(lease, Date.now()) ? holderName(lease.holder) : undefined;
}

/**
 * Makes sure that no controller is at work, for one that is to act without an election: two that act on the same
 * Services undo each other's work. Somebody who may not read the Lease is taken at their word.
 *
 * @throws Denied `LeaderIsRunning` naming the holder and the remedy.
 */
export async function mustBeAlone(
  options: Pick<AsLeaderOptions, 'client' | 'election' | 'signal'>,
): Promise<void> {
  const { client, election, signal } = options;
  let lease: LeaseRecord | undefined;
  try {
    lease = await readControllerLease({ client, namespace: election.namespace, signal });
  } catch (error) {
    // Whatever else is wrong with the API server is told by what comes next.
    if (isApiError(error)) return;
    throw error;
  }
  if (lease !== undefined && seemsAlive(lease, Date.now())) throw running(lease.holder, election.namespace);
}

/** By the wall clock, which may be wrong: good enough to refuse, not good enough to take the Lease. */
function seemsAlive({ holder, renewTime, durationMs }: LeaseRecord, nowMs: number): boolean {
  const renewedMs = Date.parse(renewTime);
  return holder !== '' && !Number.isNaN(renewedMs) && nowMs < renewedMs + durationMs;
}

function running(holder: string, namespace: string): Denied {
  const name = holderName(holder);
  // Pods of a Deployment are called DEPLOYMENT-TEMPLATE-POD.
  const deployment = /^(.+)-[a-z0-9]{5,10}-[a-z0-9]{5}$/.exec(name)?.[1];
  const how =
    deployment === undefined
      ? 'Stop that process first'
      : `Stop it first (kubectl --namespace ${namespace} scale deployment ${deployment} --replicas=0)`;
  return new Denied('LeaderIsRunning', {
    message: `the Lease ${namespace}/${LEASE_NAME} is held by ${name}, so a controller is at work`,
    remedy: `${how}, then run this again`,
  });
}

function lost(namespace: string): Denied {
  return new Denied('LeaseLost', {
    message: `the Lease ${namespace}/${LEASE_NAME} was lost on the way`,
    remedy:
      'Look who holds it (kubectl get lease), stop that process, and run this again: it goes on where it stopped',
  });
}
