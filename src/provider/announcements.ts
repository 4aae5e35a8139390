/**
 * Who answers for addresses on the network, for providers whose own processes do that on the nodes: what `berth status`
 * and `berth explain` show of it. Asked for at a terminal; nothing is changed.
 */
import type { ServiceKey } from '../model/service.ts';
import type { ClusterApi } from './process.ts';
import type { Log } from './spi.ts';

/** A node, and why it does or does not answer for addresses. */
export interface AnnouncingNode {
  readonly node: string;
  readonly holder: boolean;
  /** A word for programs. */
  readonly reason: string;
  /** For people. */
  readonly message: string;
}

/** Addresses that one node answers for. */
export interface Announcement {
  readonly addresses: readonly string[];
  /** All that have one of the addresses. */
  readonly services: readonly ServiceKey[];
  /** `undefined`: no node answers. */
  readonly holder: string | undefined;
  /** Since when, RFC 3339; `undefined` where nobody knows. */
  readonly since: string | undefined;
  /** Why this node, or why none. */
  readonly because: string;
  /** Network interfaces of the node that are used; `undefined`: every one that can be. */
  readonly interfaces: readonly string[] | undefined;
  /** Every node, sorted. */
  readonly nodes: readonly AnnouncingNode[];
}

/** What was found out, and from whom. */
export interface Announcements {
  /** `the speaker of node-1`; `the ServiceL2Status objects, because ...`. */
  readonly told: string;
  readonly announcements: readonly Announcement[];
}

/** What finding out may use. */
export interface AnnouncementsHost {
  /** The Services in question: those that the provider serves. */
  readonly services: readonly ServiceKey[];
  readonly api: ClusterApi;
  /**
   * GETs /api/QUESTION where a process says that it is reached (`Served.endpoint`).
   *
   * @throws Error when it is not reached from here, or not within two seconds.
   */
  ask(endpoint: string, question: string): Promise<unknown>;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Finds out who answers for the addresses of some Services. @throws BerthError when the cluster cannot be read. */
export type AnnouncementsOf<Config = unknown> = (
  config: Config,
  host: AnnouncementsHost,
) => Promise<Announcements>;
