/** What one speaker does about one group. Pure. */
import { mayClaim } from './permission.ts';
import { claimantsOf, hasSuccessor, rankOf, type Claimant } from './view.ts';
import type { ElectionState, Group, NodeName } from './types.ts';

/** A decision about one group. `holder` is who answers for it, as far as this speaker knows. */
export type Decision =
  /** It is ours and stays so. `contested`: somebody else claims it, too, and will give way. */
  | { readonly action: 'keep'; readonly because: string; readonly contested: boolean }
  /** It is ours until a successor claims it, at most until `untilMs`. */
  | { readonly action: 'cede'; readonly because: string; readonly untilMs: number }
  | { readonly action: 'claim'; readonly because: string }
  /** It is not ours; what we answer for of it ends now. */
  | {
      readonly action: 'leave';
      readonly because: string;
      readonly holder: NodeName | undefined;
      /** It is to be had, and this speaker may have it when its turn comes. */
      readonly open: boolean;
      /** When this may change without anything happening. */
      readonly atMs?: number;
      /** Looking around may allow the claim. */
      readonly lookAround?: boolean;
    };

/** Decides about one group at the given time. */
export function decide(state: ElectionState, group: Group, nowMs: number): Decision {
  const claimants = claimantsOf(state, group);
  const [best] = claimants;
  if (best?.node === state.self) return asHolder(state, group, { nowMs, contested: claimants.length > 1 });
  if (best === undefined) return contest(state, group, { nowMs });
  return besideHolder(state, group, { nowMs, best });
}

interface Now {
  readonly nowMs: number;
}

function asHolder(
  state: ElectionState,
  group: Group,
  { nowMs, contested }: Now & { readonly contested: boolean },
): Decision {
  const leaving = state.leavingSinceMs !== undefined;
  if (!leaving && group.eligible.has(state.self)) {
    return { action: 'keep', because: 'it was ours before', contested };
  }
  const because = leaving ? 'this speaker is leaving' : 'this node is not eligible any more';
  const since = state.leavingSinceMs ?? state.cedingSince.get(group.key) ?? nowMs;
  const untilMs = since + state.tuning.handOverMs;
  if (nowMs < untilMs && hasSuccessor(state, group)) return { action: 'cede', because, untilMs };
  return { action: 'leave', because, holder: undefined, open: true };
}

function besideHolder(
  state: ElectionState,
  group: Group,
  { nowMs, best }: Now & { readonly best: Claimant },
): Decision {
  const { node, claim } = best;
  const held = { action: 'leave', holder: node, open: false } as const;
  if (claim.ceding) return contest(state, group, { nowMs, instead: node });
  if (!group.eligible.has(node)) {
    const atMs = (state.openSince.get(group.key) ?? nowMs) + state.tuning.uninvitedMs;
    // Whoever is cut off from the API server knows less than the holder may know by now.
    if (state.connected && nowMs >= atMs) return contest(state, group, { nowMs, instead: node });
    return { ...held, open: true, atMs, because: `held by ${node}, which is not eligible any more` };
  }
  if (group.failback && rankOf(state, group).rank === 0) {
    const atMs = (state.warmSinceMs ?? nowMs) + state.tuning.failbackMs;
    if (state.connected && nowMs >= atMs && mayClaim(state, group, nowMs).granted)
      return { action: 'claim', because: `this node is the best one, taken back from ${node}` };
    return { ...held, atMs, because: `held by ${node}, to be taken back` };
  }
  return { ...held, because: `held by ${node}` };
}

/** The group is to be had: whose turn is it? */
function contest(
  state: ElectionState,
  group: Group,
  { nowMs, instead }: Now & { readonly instead?: NodeName },
): Decision {
  const open = { action: 'leave', holder: instead, open: true } as const;
  if (!group.eligible.has(state.self) || instead === state.self) {
    const { first } = rankOf(state, group, instead);
    const because = first === undefined ? 'no live node is eligible' : 'this node is not eligible';
    return { ...open, because };
  }
  const permission = mayClaim(state, group, nowMs);
  if (!permission.granted) {
    const { why, atMs, lookAround = false } = permission;
    // Not open: its turn is counted from when it may claim, or all would claim when a common obstacle goes.
    return { ...open, open: false, because: why, lookAround, ...(atMs === undefined ? {} : { atMs }) };
  }
  const { rank, first } = rankOf(state, group, instead);
  const atMs = (state.openSince.get(group.key) ?? nowMs) + rank * state.tuning.rankMs;
  if (nowMs < atMs) return { ...open, atMs, because: `${first} comes first` };
  return { action: 'claim', because: reason(state, group, { rank, instead }) };
}

function reason(
  { self }: ElectionState,
  group: Group,
  { rank, instead }: { readonly rank: number; readonly instead: NodeName | undefined },
): string {
  const from = instead === undefined ? 'nobody held it' : `${instead} gave it up`;
  if (rank > 0) return `${from}, and ${rank} better ${rank === 1 ? 'node' : 'nodes'} did not claim it`;
  if (group.former === self && !group.failback) return `${from}, and this node had it before`;
  const weight = group.eligible.get(self) ?? 0;
  return weight > 0
    ? `${from}, and this node is preferred (weight ${weight})`
    : `${from}, and this node comes first of ${group.eligible.size} eligible`;
}
