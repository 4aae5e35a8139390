/** Questions about what a speaker knows. All of them pure. */
import type { IpAddress } from '@berth/core';
import { scoreOf } from './rendezvous.ts';
import type { Claim, ElectionState, Group, NodeName } from './types.ts';

/** Somebody who claims a group: the best of the claims for its addresses. */
export interface Claimant {
  readonly node: NodeName;
  readonly claim: Claim;
}

/** Whether the node's speaker is heard; ourselves we always hear. */
export function isLive(state: ElectionState, node: NodeName): boolean {
  return node === state.self || state.peers.get(node)?.state === 'live';
}

/** How many speakers are heard, this one included. */
export function liveCount(state: ElectionState): number {
  return 1 + [...state.peers.values()].filter((peer) => peer.state === 'live').length;
}

/** How many speakers there should be, this one included: all that were ever heard and have not left. */
export function memberCount(state: ElectionState): number {
  return 1 + [...state.peers.values()].filter((peer) => peer.state !== 'left').length;
}

/** Whether half or fewer of the members are heard. */
export function isIsolated(state: ElectionState): boolean {
  const members = memberCount(state);
  return members > 1 && liveCount(state) * 2 <= members;
}

/**
 * Whether more than half of the members are known to be heard since the last loss. When a cable is pulled, the peers
 * fall silent one after the other, and after the first of them a speaker still seems to hear most of the rest.
 */
export function hasMajority(state: ElectionState): boolean {
  const { lostAtMs } = state;
  if (lostAtMs === undefined) return !isIsolated(state);
  const there = [...state.peers].filter(
    ([node, peer]) => peer.state === 'live' && (state.confirmed.get(node) ?? -Infinity) >= lostAtMs,
  );
  return (1 + there.length) * 2 > memberCount(state);
}

/** The order of claims for one group, best first: epoch, members seen, score, name. */
export function compareClaimants(key: string): (a: Claimant, b: Claimant) => number {
  return (a, b) =>
    b.claim.epoch - a.claim.epoch ||
    b.claim.seen - a.claim.seen ||
    scoreOf(b.node, key) - scoreOf(a.node, key) ||
    (a.node < b.node ? -1 : Number(a.node > b.node));
}

/** Who claims the group at present, best first; the others only while they are heard. */
export function claimantsOf(state: ElectionState, group: Group): readonly Claimant[] {
  const index = claimIndex(state.claims);
  const found = new Map<NodeName, Claim>();
  const take = (node: NodeName, claim: Claim): void => {
    const before = found.get(node);
    if (before === undefined || before.epoch < claim.epoch) found.set(node, claim);
  };
  for (const address of group.addresses) {
    const held = state.held.get(address);
    if (held !== undefined) take(state.self, held);
    for (const { node, claim } of index.get(address) ?? []) if (isLive(state, node)) take(node, claim);
  }
  const claimants = [...found].map(([node, claim]) => ({ node, claim }));
  return claimants.length > 1 ? claimants.toSorted(compareClaimants(group.key)) : claimants;
}

type ClaimIndex = ReadonlyMap<IpAddress, readonly Claimant[]>;
const indices = new WeakMap<ElectionState['claims'], ClaimIndex>();

/** Claims by address; made once for each state of the claims. */
function claimIndex(claims: ElectionState['claims']): ClaimIndex {
  const made = indices.get(claims);
  if (made !== undefined) return made;
  const index = new Map<IpAddress, Claimant[]>();
  for (const [node, list] of claims) {
    for (const [address, claim] of list) {
      const claimants = index.get(address);
      if (claimants === undefined) index.set(address, [{ node, claim }]);
      else claimants.push({ node, claim });
    }
  }
  indices.set(claims, index);
  return index;
}

/**
 * The order in which nodes should get a free group: where it was before (unless it should be at its best node), the
 * highest weight, the highest score, the name.
 */
export function compareCandidates(group: Group): (a: NodeName, b: NodeName) => number {
  const former = (node: NodeName): number => Number(!group.failback && node === group.former);
  const weight = (node: NodeName): number => group.eligible.get(node) ?? 0;
  return (a, b) =>
    former(b) - former(a) ||
    weight(b) - weight(a) ||
    scoreOf(b, group.key) - scoreOf(a, group.key) ||
    (a < b ? -1 : Number(a > b));
}

/** The live, eligible nodes in that order. */
export function candidatesOf(state: ElectionState, group: Group): readonly NodeName[] {
  return [...group.eligible.keys()].filter((node) => isLive(state, node)).toSorted(compareCandidates(group));
}

/** Whether another live node is eligible. */
export function hasSuccessor(state: ElectionState, group: Group): boolean {
  for (const node of group.eligible.keys()) if (node !== state.self && isLive(state, node)) return true;
  return false;
}

/** A place among the candidates. */
export interface Rank {
  /** From 0; -1 for who is no candidate. */
  readonly rank: number;
  /** The candidate before all others. */
  readonly first: NodeName | undefined;
}

const ranks = new WeakMap<
  ElectionState['peers'],
  Map<Group, { readonly except: NodeName | undefined; readonly rank: Rank }>
>();

/** A speaker's own place among the candidates; worked out once for each state of the peers. */
export function rankOf(state: ElectionState, group: Group, except?: NodeName): Rank {
  let remembered = ranks.get(state.peers);
  if (remembered === undefined) ranks.set(state.peers, (remembered = new Map()));
  const known = remembered.get(group);
  if (known !== undefined && known.except === except) return known.rank;
  const rank = countRank(state, group, except);
  remembered.set(group, { except, rank });
  return rank;
}

function countRank(state: ElectionState, group: Group, except: NodeName | undefined): Rank {
  const { self } = state;
  const compare = compareCandidates(group);
  let first: NodeName | undefined;
  let better = 0;
  for (const node of group.eligible.keys()) {
    if (node === except || !isLive(state, node)) continue;
    if (first === undefined || compare(node, first) < 0) first = node;
    if (node !== self && compare(node, self) < 0) better += 1;
  }
  return { rank: group.eligible.has(self) && self !== except ? better : -1, first };
}

/** One more than every epoch of the group that was heard of. */
export function nextEpoch(state: ElectionState, group: Group): number {
  const heard = group.addresses.map((address) => state.floor.get(address) ?? 0);
  const ours = group.addresses.map((address) => state.held.get(address)?.epoch ?? 0);
  return Math.max(group.epoch, ...heard, ...ours) + 1;
}

/** Whether nobody has to look for a stranger who uses the address. */
export function isKnown(state: ElectionState, group: Group, address: IpAddress): boolean {
  return group.known.has(address) || state.used.has(address);
}
