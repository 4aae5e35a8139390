/**
 * Looking for what is wrong before somebody suffers from it: what `berth doctor` shows. A provider looks at what is its
 * own business; nothing is changed by it.
 */
import type { ClusterApi } from './process.ts';
import type { Log } from './spi.ts';

/** How a check came out. `skipped`: it could not be made, or there is nothing to say about the subject. */
export type Outcome = 'ok' | 'warning' | 'failed' | 'skipped';

/** One thing that was looked at. Plain data: it may come from another process as JSON. */
export interface DoctorCheck {
  /** What is looked at, lower case with hyphens: `strict-arp`. */
  readonly check: string;
  /** Which of several: a pool, a node, `NODE/INTERFACE`. */
  readonly subject?: string;
  readonly outcome: Outcome;
  /** For people, without the remedy. */
  readonly message: string;
  /** What to do; only where something is to be done. */
  readonly remedy?: string;
}

/** What looking may use. */
export interface DoctorHost {
  /** Only for reading. */
  readonly api: Pick<ClusterApi, 'request'>;
  /**
   * GETs /api/QUESTION where a process says that it is reached (`Served.endpoint`).
   *
   * @throws Error when it is not reached from here, or not within two seconds.
   */
  ask(endpoint: string, question: string): Promise<unknown>;
  /** Berth's own namespace. */
  readonly namespace: string;
  /** The machine that the command runs on is a node, by this name, and is to be looked at, too. */
  readonly node: string | undefined;
  /** Milliseconds since the epoch. */
  now(): number;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Looks at everything that is the provider's business. What cannot be read is a skipped check, and no error. */
export type DoctorOf<Config = unknown> = (
  config: Config,
  host: DoctorHost,
) => Promise<readonly DoctorCheck[]>;
