/**
 * The election as one pure function: `step(state, input, now)` gives the next state, what is to be done, and when to
 * come back. Everything that it knows of the world comes in as inputs; time is passed in.
 */
import type { IpAddress } from '@berth/core';
import { absorb } from './absorb.ts';
import { decide, type Decision } from './decide.ts';
import { mayClaimAny } from './permission.ts';
import { hasMajority, isIsolated, isKnown, liveCount, nextEpoch } from './view.ts';
import type { Effect, ElectionState, Group, GroupKey, Held, Input, Outcome } from './types.ts';

/** Takes one input in and decides everything anew. */
export function step(state: ElectionState, input: Input, nowMs: number): Outcome {
  const draft = new Draft(prepare(absorb(state, input, nowMs), nowMs), nowMs);
  if (input.type === 'leave' && state.leavingSinceMs === undefined) draft.effects.push({ type: 'goodbye' });
  draft.follow(state, input);
  draft.dropStrays();
  draft.settleAll();
  draft.confirm();
  draft.lookAround();
  draft.finishLeaving();
  // Whoever is heard anew, or stood still meanwhile, must compare its claims with ours.
  if (input.type === 'heard' && !draft.changed) draft.effects.push({ type: 'sendClaims', to: input.node });
  else if (draft.changed || input.type === 'stalled') draft.effects.push({ type: 'sendClaims' });
  return { state: draft.finished(), effects: draft.effects, wakeAtMs: draft.wakeAtMs };
}

/** What follows from the state by itself: the end of the cold start, of waiting for claims, of a loss. */
function prepare(state: ElectionState, nowMs: number): ElectionState {
  const read = withoutUnread(state, nowMs);
  // Every member is there again: nothing is left to prove.
  const whole = [...read.peers.values()].every((peer) => peer.state !== 'gone');
  const next = whole && read.lostAtMs !== undefined ? { ...read, lostAtMs: undefined } : read;
  const { cluster, peers, self, tuning } = next;
  if (next.warmSinceMs !== undefined || cluster === undefined) return next;
  const all = [...cluster.ready].every((node) => {
    const peer = peers.get(node);
    return node === self || (peer?.state === 'live' && peer.read) || peer?.state === 'left';
  });
  if (!all && nowMs < cluster.sinceMs + tuning.coldStartMs) return next;
  return { ...next, warmSinceMs: nowMs };
}

/** A peer that does not tell its claims in time counts as having none. */
function withoutUnread(state: ElectionState, nowMs: number): ElectionState {
  const late = [...state.peers].filter(
    ([, peer]) => peer.state === 'live' && !peer.read && nowMs >= peer.sinceMs + state.tuning.unreadMs,
  );
  if (late.length === 0) return state;
  const peers = new Map(state.peers);
  const claims = new Map(state.claims);
  for (const [node, peer] of late) {
    peers.set(node, { ...peer, read: true });
    claims.delete(node);
  }
  return { ...state, peers, claims };
}

/** A step under way: collects the changes of all groups, so that each map is copied once. */
class Draft {
  readonly state: ElectionState;
  readonly effects: Effect[] = [];
  readonly #nowMs: number;
  readonly #held: Map<IpAddress, Held>;
  readonly #openSince: Map<GroupKey, number>;
  readonly #cedingSince: Map<GroupKey, number>;
  readonly #contested: Set<GroupKey>;
  readonly #wanted: Group[] = [];
  #lookedAtMs: number | undefined;
  #confirmAskedAtMs: number | undefined;
  #left: boolean;
  changed = false;
  wakeAtMs: number | undefined;

  constructor(state: ElectionState, nowMs: number) {
    this.state = state;
    this.#nowMs = nowMs;
    this.#held = new Map(state.held);
    this.#openSince = new Map(state.openSince);
    this.#cedingSince = new Map(state.cedingSince);
    this.#contested = new Set(state.contested);
    this.#lookedAtMs = state.lookedAtMs;
    this.#confirmAskedAtMs = state.confirmAskedAtMs;
    this.#left = state.left;
    for (const peer of state.peers.values()) {
      if (peer.state === 'live' && !peer.read) this.#wake(peer.sinceMs + state.tuning.unreadMs);
    }
    this.#wake(
      state.warmSinceMs === undefined && state.cluster !== undefined
        ? state.cluster.sinceMs + state.tuning.coldStartMs
        : undefined,
    );
  }

  /** What the input changed of what we hold: an answer to a probe, or what a predecessor left. */
  follow(before: ElectionState, input: Input): void {
    if (before.held === this.state.held) return;
    this.changed = true;
    const announce = (addresses: readonly IpAddress[], burst: boolean): void => {
      for (const address of addresses) {
        const because = this.#held.get(address)?.because ?? '';
        this.effects.push({
          type: 'announce',
          key: this.#keyOf(address),
          addresses: [address],
          burst,
          because,
        });
      }
    };
    // The neighbours know this node's MAC already.
    if (input.type === 'resume') return announce([...this.#held.keys()], false);
    if (input.type !== 'probed') return;
    const { address, user } = input;
    if (user === undefined) return announce([address], true);
    const because = 'somebody else on the network uses the address';
    this.effects.push(
      { type: 'withdraw', addresses: [address], because },
      { type: 'conflict', address, user },
    );
  }

  /** Gives up addresses that are no Service's any more. */
  dropStrays(): void {
    // Before the API server has told, a successor answers for what its predecessor held.
    if (this.state.cluster === undefined || this.#held.size === 0) return;
    const used = new Set([...this.state.groups.values()].flatMap(({ addresses }) => addresses));
    const strays = [...this.#held.keys()].filter((address) => !used.has(address));
    if (strays.length > 0) this.#release(strays, 'no Service has the address any more');
  }

  /** Decides about every group; whoever has nothing and may claim nothing has nothing to decide. */
  settleAll(): void {
    const permission = mayClaimAny(this.state, this.#nowMs);
    if (this.#held.size > 0 || permission.granted || permission.lookAround === true) {
      for (const group of this.state.groups.values()) this.settle(group);
      return;
    }
    this.#openSince.clear();
    this.#cedingSince.clear();
    this.#wake(permission.atMs);
  }

  settle(group: Group): void {
    const decision = decide(this.state, group, this.#nowMs);
    this.#track(group, decision);
    switch (decision.action) {
      case 'keep':
        return this.#keep(group, decision.contested);
      case 'cede':
        this.#wake(decision.untilMs);
        return this.#mark(group, true);
      case 'claim':
        return this.#claim(group, { epoch: nextEpoch(this.state, group), because: decision.because });
      case 'leave': {
        this.#wake(decision.atMs);
        if (decision.lookAround === true) this.#wanted.push(group);
        const ours = group.addresses.filter((address) => this.#held.has(address));
        if (ours.length > 0) this.#release(ours, decision.because);
      }
    }
  }

  /** After a loss the others are asked whether they are there, until most of them have said so. */
  confirm(): void {
    const { lostAtMs, tuning } = this.state;
    if (lostAtMs === undefined || hasMajority(this.state) || isIsolated(this.state)) return;
    const asked = this.#confirmAskedAtMs ?? -Infinity;
    const again = asked < lostAtMs ? this.#nowMs : asked + tuning.confirmMs;
    if (again > this.#nowMs) return this.#wake(again);
    this.#confirmAskedAtMs = this.#nowMs;
    this.effects.push({ type: 'confirm' });
    this.#wake(this.#nowMs + tuning.confirmMs);
  }

  /** Whoever is isolated and could claim something looks for proof that it is not the one that is cut off. */
  lookAround(): void {
    if (this.#wanted.length === 0) return;
    const again = (this.#lookedAtMs ?? -Infinity) + this.state.tuning.clearanceMs;
    const fresh = (this.#lookedAtMs ?? -Infinity) < (this.state.lostAtMs ?? -Infinity);
    if (!isIsolated(this.state)) return;
    if (!fresh && this.#nowMs < again) return this.#wake(again);
    this.#lookedAtMs = this.#nowMs;
    this.#wake(this.#nowMs + this.state.tuning.clearanceMs);
    this.effects.push({ type: 'quorumRead' });
    if (this.state.peers.size !== 1) return;
    this.effects.push({ type: 'gateway' });
    for (const address of this.#wanted.flatMap(({ addresses }) => addresses))
      this.effects.push({ type: 'probe', address });
  }

  finishLeaving(): void {
    if (this.state.leavingSinceMs === undefined || this.#left || this.#held.size > 0) return;
    this.#left = true;
    this.effects.push({ type: 'left' });
  }

  finished(): ElectionState {
    const changes = {
      held: this.#held,
      openSince: this.#openSince,
      cedingSince: this.#cedingSince,
      contested: this.#contested,
      lookedAtMs: this.#lookedAtMs,
      confirmAskedAtMs: this.#confirmAskedAtMs,
      left: this.#left,
    };
    return { ...this.state, ...changes };
  }

  /** Since when a group is to be had, and since when we are giving it up. */
  #track({ key }: Group, decision: Decision): void {
    if (decision.action === 'leave' && decision.open) {
      if (!this.#openSince.has(key)) this.#openSince.set(key, this.#nowMs);
    } else this.#openSince.delete(key);
    if (decision.action === 'cede') {
      if (!this.#cedingSince.has(key)) this.#cedingSince.set(key, this.#nowMs);
    } else this.#cedingSince.delete(key);
  }

  #keep(group: Group, contested: boolean): void {
    this.#mark(group, false);
    const mine = group.addresses.flatMap((address) => this.#held.get(address) ?? []);
    if (mine.length < group.addresses.length) {
      const epoch = Math.max(...mine.map((held) => held.epoch), nextEpoch(this.state, group) - 1);
      this.#claim(group, { epoch, because: 'it belongs to what this node holds' });
    }
    if (contested) this.#contested.add(group.key);
    else if (this.#contested.delete(group.key)) {
      // The neighbours may have listened to the one who gave way.
      const addresses = group.addresses.filter((address) => this.#held.get(address)?.probing === false);
      const because = 'somebody else claimed it, too, and gave way';
      if (addresses.length > 0)
        this.effects.push({ type: 'announce', key: group.key, addresses, burst: true, because });
    }
  }

  #mark(group: Group, ceding: boolean): void {
    for (const address of group.addresses) {
      const held = this.#held.get(address);
      if (held === undefined || held.ceding === ceding) continue;
      this.#held.set(address, { ...held, ceding });
      this.changed = true;
    }
  }

  /** Claims what of the group is not ours yet; what was never announced is looked for first. */
  #claim(group: Group, { epoch, because }: { readonly epoch: number; readonly because: string }): void {
    const added = group.addresses.filter((address) => !this.#held.has(address));
    const seen = liveCount(this.state);
    const base = { epoch, seen, ceding: false, sinceMs: this.#nowMs, because };
    // A failed-back or contested claim is made anew, higher than the one that it replaces.
    for (const address of group.addresses.filter((address) => !added.includes(address))) {
      const held = this.#held.get(address);
      if (held !== undefined && held.epoch < epoch) this.#held.set(address, { ...held, epoch, seen });
    }
    const free = added.filter((address) => isKnown(this.state, group, address));
    for (const address of added) {
      const probing = !free.includes(address);
      this.#held.set(address, { ...base, probing });
      if (probing) this.effects.push({ type: 'probe', address });
    }
    this.changed = true;
    if (free.length > 0)
      this.effects.push({ type: 'announce', key: group.key, addresses: free, burst: true, because });
  }

  #release(addresses: readonly IpAddress[], because: string): void {
    for (const address of addresses) this.#held.delete(address);
    this.changed = true;
    this.effects.push({ type: 'withdraw', addresses, because });
  }

  #keyOf(address: IpAddress): GroupKey {
    const group = [...this.state.groups.values()].find(({ addresses }) => addresses.includes(address));
    return group?.key ?? address;
  }

  #wake(atMs: number | undefined): void {
    if (atMs === undefined || atMs <= this.#nowMs) return;
    this.wakeAtMs = Math.min(this.wakeAtMs ?? Infinity, atMs);
  }
}
