import { actAsLeader, type Acting } from '../controller/as-leader.ts';
import { askLeader, type Question } from '../controller/ask-leader.ts';
import type { ControllerSettings } from '../controller/controller.ts';
import { probe } from '../controller/probe.ts';
import { lookOnce, type Looked, type RunOptions } from '../controller/run.ts';
import { unseen, type Unseen } from '../controller/unseen.ts';
import { KubeClient, type Connection } from '../kube/index.ts';
import { systemClock } from '../provider/clock.ts';
import { withConnection, type Invocation } from './invocation.ts';
import { withProgress } from './progress.ts';
import { counted } from './terminal.ts';

/** Where an answer came from. */
export type Source =
  | { readonly from: 'leader'; readonly leader: string }
  | {
      readonly from: 'observation';
      readonly because: string;
      /** Providers that see nothing from here although something was made with them. */
      readonly unseen: readonly Unseen[];
    };

/** What the controller and a look at the cluster have in common. */
export function runOptions(
  invocation: Invocation,
  connection: Connection,
  signal: AbortSignal,
): Omit<RunOptions, 'election' | 'listen' | 'pod'> {
  const { settings, log, version, directory } = invocation;
  const { providers, defaultProvider, clusterId, clusterName, controller } = settings;
  return {
    connection,
    providers,
    defaultProvider,
    clusterId,
    clusterName,
    settings: controller,
    from: directory,
    signal,
    clock: systemClock,
    random: Math.random,
    log,
    version,
  };
}

/** A look must change nothing, whatever is configured. */
const LOOKING: Pick<ControllerSettings, 'drift' | 'deleteOrphans'> = {
  drift: 'observe',
  deleteOrphans: false,
};

/** Observes cluster and providers by itself for the time of `work`, then lets everything go. */
export async function withLook<T>(
  invocation: Invocation,
  connection: Connection,
  work: (looked: Looked, signal: AbortSignal) => Promise<T> | T,
): Promise<T> {
  const done = new AbortController();
  const signal = AbortSignal.any([invocation.signal, done.signal]);
  const options = runOptions(invocation, connection, signal);
  try {
    const looked = await withProgress(invocation.terminal, 'looking at the cluster', async () => {
      await probe(new KubeClient(connection, { version: invocation.version }), signal);
      return await lookOnce({ ...options, settings: { ...options.settings, ...LOOKING } });
    });
    try {
      return await work(looked, signal);
    } finally {
      await looked.close();
    }
  } finally {
    done.abort(new Error('the command is done'));
  }
}

/** A question, and how to answer it without a leader. */
export interface Inquiry<T> {
  readonly question: Question;
  readonly parameters?: (client: KubeClient) => Readonly<Record<string, string>>;
  /** Whether an answer of the leader has the right form. */
  readonly accepts: (value: unknown) => value is T;
  readonly look: (looked: Looked, client: KubeClient) => Promise<T> | T;
}

/** An answer, and where it came from. */
export interface Answer<T> {
  readonly source: Source;
  readonly value: T;
}

/** Asks the leader where it is reached, and looks by itself otherwise; says which. */
export function inquire<T>(invocation: Invocation, inquiry: Inquiry<T>): Promise<Answer<T>> {
  const { settings, signal, terminal } = invocation;
  const { question, accepts, look } = inquiry;
  return withConnection(invocation, async (connection, client) => {
    const { namespace } = settings.election;
    const parameters = inquiry.parameters?.(client) ?? {};
    const asked = await withProgress(terminal, 'asking the leader', () =>
      askLeader({ client, namespace, question, parameters, signal }),
    );
    if (asked.asked && accepts(asked.value))
      return { source: { from: 'leader', leader: asked.leader }, value: asked.value };
    const because = asked.asked ? `the leader ${asked.leader} speaks another version` : asked.why;
    return await withLook(invocation, connection, async (looked) => {
      const value = await look(looked, client);
      return { source: { from: 'observation', because, unseen: unseen(looked) }, value };
    });
  });
}

/** Where somebody acts who is not a controller. */
export interface LeadingPlace {
  readonly connection: Connection;
  readonly client: KubeClient;
  readonly acting: Acting;
}

/** Does something with the Lease in hand, so that no controller acts meanwhile. @throws Denied `LeaderIsRunning`. */
export function withLeadership<T>(
  invocation: Invocation,
  work: (place: LeadingPlace) => Promise<T>,
): Promise<T> {
  const { settings, log, signal, terminal } = invocation;
  const { election } = settings;
  return withConnection(invocation, (connection, client) => {
    const onWait = (holder: string): void =>
      void terminal.err.write(`Waiting for the Lease of ${holder}, which seems to be gone, to run out.\n`);
    return actAsLeader({ client, election, log, signal, onWait }, (acting) =>
      work({ connection, client, acting }),
    );
  });
}

/** Says on standard error where the answer comes from, and what is not in it. */
export function tellSource(invocation: Invocation, source: Source): void {
  const { err } = invocation.terminal;
  if (source.from === 'leader') {
    err.write(`Answered by the leader ${source.leader}.\n`);
    return;
  }
  err.write(`Observed from here: ${source.because}.\n`);
  tellUnseen(invocation, source.unseen);
}

/** Says which providers cannot be looked into from another process, and what to do about it. */
export function tellUnseen({ terminal, settings }: Invocation, unseen: readonly Unseen[]): void {
  const { namespace } = settings.election;
  for (const { provider, services } of unseen) {
    terminal.err.write(
      `The provider ${provider} keeps its load balancers inside the process that runs it, so those of ` +
        `${counted(services, 'Service')} cannot be seen from here. Let that process answer: its Lease is looked for ` +
        `in ${namespace}, and --leader-elect-namespace names another.\n`,
    );
  }
}
