/** May this speaker claim something that it does not hold? Pure. */
import { hasMajority, isIsolated, memberCount } from './view.ts';
import type { ElectionState, Group, Look } from './types.ts';

/** Yes; or no and why, until when at least, and whether looking around may change it. */
export type Permission =
  | { readonly granted: true }
  | {
      readonly granted: false;
      readonly why: string;
      readonly atMs?: number;
      readonly lookAround?: boolean;
    };

/** What applies to all groups is worked out once for each state. */
const general = new WeakMap<ElectionState, { readonly nowMs: number; readonly permission: Permission }>();

const GRANTED: Permission = { granted: true };
const SETTLING = 'this speaker stood still or was cut off, and the others are only being heard again';

/** Whether the group may be claimed now, apart from whose turn it is. */
export function mayClaim(state: ElectionState, group: Group, nowMs: number): Permission {
  const conflict = Math.max(...group.addresses.map((address) => state.conflicts.get(address) ?? -Infinity));
  if (conflict > nowMs)
    return { granted: false, why: 'somebody else on the network uses the address', atMs: conflict };
  const known = general.get(state);
  const permission = known?.nowMs === nowMs ? known.permission : mayClaimAny(state, nowMs);
  general.set(state, { nowMs, permission });
  if (permission.granted || permission.lookAround !== true || !provenAlone(state, group)) return permission;
  return GRANTED;
}

/** What applies to all groups: whether anything at all may be claimed now. */
export function mayClaimAny(state: ElectionState, nowMs: number): Permission {
  if (state.leavingSinceMs !== undefined) return refused('this speaker is leaving');
  if (state.cluster === undefined) return refused('the API server has not answered yet');
  if (state.warmSinceMs === undefined) {
    const atMs = state.cluster.sinceMs + state.tuning.coldStartMs;
    return { granted: false, why: 'this speaker has just started and does not hear every Ready node', atMs };
  }
  if (nowMs < state.settledAtMs) return { granted: false, why: SETTLING, atMs: state.settledAtMs };
  const unread = unreadUntil(state);
  if (unread > nowMs)
    return { granted: false, why: 'the claims of a speaker are not known yet', atMs: unread };
  return isolationAllows(state);
}

/** Until when claims of a live peer may still come. */
function unreadUntil(state: ElectionState): number {
  const unread = [...state.peers.values()].filter(({ state: is, read }) => is === 'live' && !read);
  return Math.max(-Infinity, ...unread.map(({ sinceMs }) => sinceMs + state.tuning.unreadMs));
}

/**
 * A speaker that hears half or fewer of its members may be the one that is cut off. It is not, if the API server's
 * quorum answered a question asked after the loss.
 */
function isolationAllows(state: ElectionState): Permission {
  if (hasMajority(state) || isGood(state.quorumRead, state.lostAtMs)) return GRANTED;
  const why = isIsolated(state)
    ? 'this speaker hears half or fewer of the others, so it may be cut off itself'
    : 'a speaker was lost, and the others have not confirmed yet that they are there';
  return { granted: false, why, lookAround: true };
}

/** Of two there is no majority: the gateway answers, and nobody answers for the addresses. */
function provenAlone(state: ElectionState, group: Group): boolean {
  if (memberCount(state) !== 2 || !isGood(state.gateway, state.lostAtMs)) return false;
  return group.addresses.every((address) => isGood(state.looks.get(address), state.lostAtMs));
}

function isGood(look: Look | undefined, since: number | undefined): boolean {
  return look !== undefined && look.good && look.beganMs >= (since ?? -Infinity);
}

function refused(why: string): Permission {
  return { granted: false, why };
}
