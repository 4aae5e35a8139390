import type { TargetSpec } from './targets.ts';

/** How connections are treated. Durations in milliseconds. */
export interface TrafficSettings {
  /** How long a target may take to accept before the next one is tried. Only TCP. */
  readonly connectTimeoutMs: number;
  /** How long a connection or datagram session may be silent before it is ended. */
  readonly idleTimeoutMs: number;
  /** How long connections may go on after their target or listener was removed. */
  readonly drainMs: number;
  /** Whether each connection begins with a PROXY protocol v2 header that names the client. Only TCP. */
  readonly proxyProtocol: boolean;
  /** Connections (or datagram sessions) at once; further clients are turned away (UDP: the oldest session goes). */
  readonly maxConnections: number;
}

/** Everything about a listener that can change while it runs. */
export interface ListenerSettings {
  readonly targets: readonly TargetSpec[];
  /** CIDRs of the clients that may connect; none means everybody. */
  readonly sourceRanges: readonly string[];
  /** How long a client sticks to its target; 0 for not at all. */
  readonly affinityMs: number;
  readonly traffic: TrafficSettings;
}

/** What a listener counted since it was opened. */
export interface ListenerStats {
  /** Connections (or datagram sessions) now. */
  readonly open: number;
  /** Accepted altogether. */
  readonly accepted: number;
  /** Turned away: by source ranges, or because there were too many. */
  readonly refused: number;
  /** Attempts to reach a target that failed. */
  readonly connectFailures: number;
}

/** What TCP and UDP listeners have in common. */
export interface Listener {
  /** Changes a running listener; established connections are not touched unless their target is gone. */
  update(settings: ListenerSettings): void;
  /** Stops listening at once; connections may go on for `drainMs` and are reset then. */
  close(drainMs: number): void;
  readonly stats: ListenerStats;
  /** Targets by id, with whether they are healthy and get new clients. */
  targetStates(): readonly { readonly id: string; readonly healthy: boolean; readonly inRotation: boolean }[];
}
