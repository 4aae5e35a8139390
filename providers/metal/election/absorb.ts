/** What an input tells a speaker: from one state to the next, before anything is decided. Pure. */
import type { IpAddress } from '@berth/core';
import { isIsolated } from './view.ts';
import type { Claim, Claims, ElectionState, Group, Held, Input, NodeName, Peer } from './types.ts';

/** Takes an input in. Anything that is not known or not possible changes nothing. */
export function absorb(state: ElectionState, input: Input, nowMs: number): ElectionState {
  switch (input.type) {
    case 'cluster':
      return withNodes(state, input, nowMs);
    case 'connection':
      return { ...state, connected: input.connected };
    case 'groups':
      return withGroups(state, input.groups);
    case 'heard':
      return heard(state, input, nowMs);
    case 'gone':
      return lost(state, input.node, nowMs);
    case 'goodbye':
      return left(state, input.node, nowMs);
    case 'claims':
      return withClaims(state, input, nowMs);
    case 'stalled':
      return stalled(state, nowMs);
    case 'probed':
      return probed(state, input, nowMs);
    case 'confirmed':
      return { ...state, confirmed: new Map(state.confirmed).set(input.node, input.beganMs) };
    case 'quorumRead':
    case 'gateway':
      return looked(state, input, nowMs);
    case 'resume':
      return resumed(state, input.claims, nowMs);
    case 'leave':
      return { ...state, leavingSinceMs: state.leavingSinceMs ?? nowMs };
    case 'tick':
      return state;
  }
}

function withNodes(
  state: ElectionState,
  { nodes, ready }: Extract<Input, { type: 'cluster' }>,
  nowMs: number,
): ElectionState {
  const peers = new Map(state.peers);
  let claims = state.claims;
  for (const [node, peer] of peers) {
    // A Node that is gone takes its speaker out of the members; while it is still heard, the wire forgets it.
    if (nodes.has(node) || peer.state === 'left') continue;
    peers.set(node, { state: 'left', sinceMs: nowMs, read: false });
    claims = without(claims, node);
  }
  const cluster = { nodes, ready, sinceMs: state.cluster?.sinceMs ?? nowMs };
  return { ...state, cluster, connected: true, peers, claims };
}

function withGroups(state: ElectionState, list: readonly Group[]): ElectionState {
  const groups = new Map(list.map((group) => [group.key, group]));
  const keep = <V>(map: ReadonlyMap<string, V>): ReadonlyMap<string, V> =>
    new Map([...map].filter(([key]) => groups.has(key)));
  const used = new Set(list.flatMap(({ addresses }) => addresses));
  return {
    ...state,
    groups,
    openSince: keep(state.openSince),
    cedingSince: keep(state.cedingSince),
    contested: new Set([...state.contested].filter((key) => groups.has(key))),
    looks: new Map([...state.looks].filter(([address]) => used.has(address))),
  };
}

function withPeer(state: ElectionState, node: NodeName, peer: Peer): ElectionState {
  if (node === state.self) return state;
  return { ...state, peers: new Map(state.peers).set(node, peer) };
}

/** Whoever was cut off hears the others again one after the other; until then it knows too little to claim. */
function heard(
  state: ElectionState,
  { node, fresh }: Extract<Input, { type: 'heard' }>,
  nowMs: number,
): ElectionState {
  const known = withPeer(state, node, { state: 'live', sinceMs: nowMs, read: false });
  // A new process never answered for anything that the old one may have gone on answering for.
  const next = fresh ? { ...known, ghosts: without(known.ghosts, node) } : known;
  if (state.peers.get(node)?.state !== 'gone' || !isIsolated(state)) return next;
  return { ...next, settledAtMs: Math.max(state.settledAtMs, nowMs + state.tuning.healMs) };
}

/**
 * Whoever was cut off is answered the moment the cut is healed, which is before it can hear the others again: an answer
 * that was late, or came after failures, proves nothing before they have had the time to be heard.
 */
function looked(
  state: ElectionState,
  { type, beganMs, good }: Extract<Input, { type: 'quorumRead' | 'gateway' }>,
  nowMs: number,
): ElectionState {
  const before = state[type];
  const failing = before?.good === false && before.beganMs >= (state.lostAtMs ?? -Infinity);
  const healed = good && (failing || nowMs - beganMs > state.tuning.promptMs);
  const settledAtMs = healed ? Math.max(state.settledAtMs, nowMs + state.tuning.healMs) : state.settledAtMs;
  return { ...state, [type]: { beganMs, good }, settledAtMs };
}

/** What it claimed is remembered, because it may go on answering where we do not hear it. */
function lost(state: ElectionState, node: NodeName, nowMs: number): ElectionState {
  if (node === state.self || state.peers.get(node)?.state === 'left') return state;
  const ghost = state.claims.get(node);
  return {
    ...withPeer(state, node, { state: 'gone', sinceMs: nowMs, read: false }),
    claims: without(state.claims, node),
    ghosts: ghost === undefined ? state.ghosts : new Map(state.ghosts).set(node, ghost),
    lostAtMs: nowMs,
  };
}

function left(state: ElectionState, node: NodeName, nowMs: number): ElectionState {
  const next = withPeer(state, node, { state: 'left', sinceMs: nowMs, read: false });
  return { ...next, claims: without(state.claims, node) };
}

function without(claims: ReadonlyMap<NodeName, Claims>, node: NodeName): ReadonlyMap<NodeName, Claims> {
  if (!claims.has(node)) return claims;
  const rest = new Map(claims);
  rest.delete(node);
  return rest;
}

function withClaims(
  state: ElectionState,
  { node, claims: told, conflicts: reported }: Extract<Input, { type: 'claims' }>,
  nowMs: number,
): ElectionState {
  const peer = state.peers.get(node);
  const peers =
    peer === undefined || peer.read ? state.peers : new Map(state.peers).set(node, { ...peer, read: true });
  const conflicts = new Map(state.conflicts);
  for (const address of reported) {
    if (!conflicts.has(address)) conflicts.set(address, nowMs + state.tuning.conflictMs);
  }
  return {
    ...state,
    peers,
    conflicts,
    claims: new Map(state.claims).set(node, told),
    floor: raised(state.floor, told),
    used: widened(state.used, told),
    ...laid(state, node),
  };
}

/** A lost peer tells its claims again: what is ours by now was contested, whoever has given way already. */
function laid(state: ElectionState, node: NodeName): Partial<ElectionState> {
  const ghost = state.ghosts.get(node);
  if (ghost === undefined) return {};
  const ghosts = without(state.ghosts, node);
  const ours = [...state.groups.values()].filter(({ addresses }) =>
    addresses.some((address) => ghost.has(address) && state.held.has(address)),
  );
  return { ghosts, contested: new Set([...state.contested, ...ours.map(({ key }) => key)]) };
}

function widened(used: ElectionState['used'], claims: Claims): ElectionState['used'] {
  const added = [...claims].filter(([address, { probing }]) => !probing && !used.has(address));
  return added.length === 0 ? used : new Set([...used, ...added.map(([address]) => address)]);
}

function raised(floor: ElectionState['floor'], claims: Claims): ElectionState['floor'] {
  const higher = [...claims].filter(([address, { epoch }]) => epoch > (floor.get(address) ?? 0));
  if (higher.length === 0) return floor;
  return new Map([...floor, ...higher.map(([address, { epoch }]): [IpAddress, number] => [address, epoch])]);
}

/** Everything that was waited for may have happened meanwhile without our noticing. */
function stalled(state: ElectionState, nowMs: number): ElectionState {
  return {
    ...state,
    settledAtMs: nowMs + state.tuning.settleMs,
    confirmed: new Map(),
    quorumRead: undefined,
    gateway: undefined,
    looks: new Map(),
  };
}

function probed(
  state: ElectionState,
  { address, beganMs, user }: Extract<Input, { type: 'probed' }>,
  nowMs: number,
): ElectionState {
  const looks = new Map(state.looks).set(address, { beganMs, good: user === undefined });
  const held = state.held.get(address);
  // Without a claim it was a look for a holder that is still there, and an answer is no stranger's.
  if (held?.probing !== true) return { ...state, looks };
  const next = new Map(state.held);
  if (user === undefined) return { ...state, looks, held: next.set(address, { ...held, probing: false }) };
  next.delete(address);
  const conflicts = new Map(state.conflicts).set(address, nowMs + state.tuning.conflictMs);
  return { ...state, looks, conflicts, held: next };
}

function resumed(state: ElectionState, claims: Claims, nowMs: number): ElectionState {
  const because = 'the speaker of this node held it before it was updated';
  const held = new Map(
    [...claims].map(([address, claim]: [IpAddress, Claim]): [IpAddress, Held] => [
      address,
      { ...claim, ceding: false, probing: false, sinceMs: nowMs, because },
    ]),
  );
  return { ...state, held, floor: raised(state.floor, claims), used: widened(state.used, held) };
}
