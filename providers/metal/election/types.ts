/**
 * The words of the election: who of the speakers answers for which addresses. Plain values; times are milliseconds of
 * one monotonic clock that is passed in.
 */
import type { IpAddress } from '@berth/core';

/** Name of a Node: the identity of its speaker, also across restarts. */
export type NodeName = string;

/** Key of a group: its first address. */
export type GroupKey = string;

/** What a speaker says about an address: that it answers for it. */
export interface Claim {
  /** Higher wins. A new claim is one above everything heard or written. */
  readonly epoch: number;
  /** How many members the claimant heard, itself included, when it claimed. */
  readonly seen: number;
  /** The claimant is not eligible any more and answers only until somebody else claims. */
  readonly ceding: boolean;
  /** The claimant still looks for a stranger who uses the address, and does not answer for it yet. */
  readonly probing: boolean;
}

/** The claims of one speaker. */
export type Claims = ReadonlyMap<IpAddress, Claim>;

/** An address that this speaker claims. */
export interface Held extends Claim {
  readonly sinceMs: number;
  /** Why it is ours, for people. */
  readonly because: string;
}

/** Addresses that belong to one node together: of one dual-stack Service, or shared by Services. */
export interface Group {
  readonly key: GroupKey;
  /** Sorted; never empty. */
  readonly addresses: readonly IpAddress[];
  /** Nodes that may announce it, whether their speakers are alive or not, with the weight of the preference for each. */
  readonly eligible: ReadonlyMap<NodeName, number>;
  /** The last holder that is written down in the cluster. */
  readonly former?: NodeName;
  /** The highest epoch that is written down in the cluster; 0 when none is. */
  readonly epoch: number;
  /** Addresses that were announced before, so that nobody has to look for a stranger. */
  readonly known: ReadonlySet<IpAddress>;
  /** Goes back to its best node as soon as that is there. */
  readonly failback: boolean;
}

/** Another speaker. */
export interface Peer {
  /** `left`: said goodbye, or its Node is gone; no member any more. */
  readonly state: 'live' | 'gone' | 'left';
  readonly sinceMs: number;
  /** Whether its claims are known since it was heard. */
  readonly read: boolean;
}

/** Numbers of the election, in milliseconds. */
export interface ElectionTuning {
  /** How long a fresh speaker waits for Ready nodes that it does not hear. */
  readonly coldStartMs: number;
  /** How long the best candidate has before the next one claims. */
  readonly rankMs: number;
  /** How long a holder that must go answers for want of a successor. */
  readonly handOverMs: number;
  /** How long the claims of a peer that is heard may be unknown before it counts as having none. */
  readonly unreadMs: number;
  /** How long a holder that seems not eligible is left alone when it does not cede by itself. */
  readonly uninvitedMs: number;
  /** Pause between two looks for the way out of isolation. */
  readonly clearanceMs: number;
  /** How long peers have to confirm that they are still there before they are asked again. */
  readonly confirmMs: number;
  /** How long nothing is claimed after this process stood still. */
  readonly settleMs: number;
  /** How long nothing is claimed by whoever was isolated, after the first sign that it is not any more. */
  readonly healMs: number;
  /** How late the answer to a look around may be before it may come from a network that has just been healed. */
  readonly promptMs: number;
  /** How long this speaker must have been up before it takes addresses back (`failback`). */
  readonly failbackMs: number;
  /** How long an address that a stranger uses is not claimed again. */
  readonly conflictMs: number;
}

/** The defaults. */
export const ELECTION_TUNING: ElectionTuning = {
  coldStartMs: 3_000,
  rankMs: 300,
  handOverMs: 900,
  unreadMs: 1_000,
  uninvitedMs: 2_000,
  clearanceMs: 1_000,
  confirmMs: 100,
  settleMs: 100,
  healMs: 600,
  promptMs: 150,
  failbackMs: 3_000,
  conflictMs: 3_600_000,
};

/** What a look that takes time came to. `beganMs` says whether it tells anything about what happened since. */
export interface Look {
  readonly beganMs: number;
  readonly good: boolean;
}

/** All that one speaker knows. */
export interface ElectionState {
  readonly self: NodeName;
  readonly tuning: ElectionTuning;
  /** The API server's nodes; absent until it has answered for the first time. */
  readonly cluster:
    | {
        readonly nodes: ReadonlySet<NodeName>;
        readonly ready: ReadonlySet<NodeName>;
        /** When it answered for the first time. */
        readonly sinceMs: number;
      }
    | undefined;
  /** Whether what is known of the API server is up to date. */
  readonly connected: boolean;
  readonly groups: ReadonlyMap<GroupKey, Group>;
  readonly peers: ReadonlyMap<NodeName, Peer>;
  /** Claims of the others. */
  readonly claims: ReadonlyMap<NodeName, Claims>;
  readonly held: ReadonlyMap<IpAddress, Held>;
  /** The highest epoch ever heard of each address. */
  readonly floor: ReadonlyMap<IpAddress, number>;
  /** Addresses that one of us answers or answered for. */
  readonly used: ReadonlySet<IpAddress>;
  /** What a peer claimed when it was lost: the neighbours may listen to it again when it is back. */
  readonly ghosts: ReadonlyMap<NodeName, Claims>;
  /** Since when a group has had no holder that stays. */
  readonly openSince: ReadonlyMap<GroupKey, number>;
  /** Since when we have been ceding a group. */
  readonly cedingSince: ReadonlyMap<GroupKey, number>;
  /** Groups that somebody else claimed, too, while they were ours. */
  readonly contested: ReadonlySet<GroupKey>;
  /** Addresses that a stranger uses, by us or by the others' word; until when. */
  readonly conflicts: ReadonlyMap<IpAddress, number>;
  /** When the cold start ended. */
  readonly warmSinceMs: number | undefined;
  /** When a member was last lost. Until more than half have confirmed since that they are there, all may be lost. */
  readonly lostAtMs: number | undefined;
  /** When the question was asked that a peer last confirmed. */
  readonly confirmed: ReadonlyMap<NodeName, number>;
  /** When peers were last asked to confirm. */
  readonly confirmAskedAtMs: number | undefined;
  readonly quorumRead: Look | undefined;
  readonly gateway: Look | undefined;
  readonly looks: ReadonlyMap<IpAddress, Look>;
  /** When looks for the way out of isolation were last asked for. */
  readonly lookedAtMs: number | undefined;
  /** Nothing is claimed before. */
  readonly settledAtMs: number;
  readonly leavingSinceMs: number | undefined;
  /** Whether everything was handed over and `left` was said. */
  readonly left: boolean;
}

/** What happens to a speaker. */
export type Input =
  | {
      readonly type: 'cluster';
      readonly nodes: ReadonlySet<NodeName>;
      readonly ready: ReadonlySet<NodeName>;
    }
  | { readonly type: 'connection'; readonly connected: boolean }
  | { readonly type: 'groups'; readonly groups: readonly Group[] }
  /** A peer is alive. Its claims of before stay until it tells the new ones. `fresh`: it is another process than before. */
  | { readonly type: 'heard'; readonly node: NodeName; readonly fresh: boolean }
  | { readonly type: 'gone'; readonly node: NodeName }
  | { readonly type: 'goodbye'; readonly node: NodeName }
  | {
      readonly type: 'claims';
      readonly node: NodeName;
      readonly claims: Claims;
      readonly conflicts: ReadonlySet<IpAddress>;
    }
  /** This process stood still. */
  | { readonly type: 'stalled' }
  /** A look for a stranger ended; `user` is who has the address. */
  | {
      readonly type: 'probed';
      readonly address: IpAddress;
      readonly beganMs: number;
      readonly user?: string;
    }
  /** A peer answered our question whether it is there. */
  | { readonly type: 'confirmed'; readonly node: NodeName; readonly beganMs: number }
  | { readonly type: 'quorumRead'; readonly beganMs: number; readonly good: boolean }
  | { readonly type: 'gateway'; readonly beganMs: number; readonly good: boolean }
  /** The predecessor on this node left its claims to us. */
  | { readonly type: 'resume'; readonly claims: Claims }
  /** Ends politely. */
  | { readonly type: 'leave' }
  | { readonly type: 'tick' };

/** What a speaker is to do. */
export type Effect =
  /** Answer for the addresses; `burst`: and tell the neighbours. */
  | {
      readonly type: 'announce';
      readonly key: GroupKey;
      readonly addresses: readonly IpAddress[];
      readonly burst: boolean;
      readonly because: string;
    }
  | { readonly type: 'withdraw'; readonly addresses: readonly IpAddress[]; readonly because: string }
  /** Look for a stranger; the answer is an input `probed`. */
  | { readonly type: 'probe'; readonly address: IpAddress }
  /** Ask all peers whether they are there; each answer is an input `confirmed`. */
  | { readonly type: 'confirm' }
  /** Ask the API server something that only a quorum of its store can answer: an input `quorumRead`. */
  | { readonly type: 'quorumRead' }
  /** Ask for the default gateway: an input `gateway`. */
  | { readonly type: 'gateway' }
  /** Our claims changed, or `to` has not heard them yet. */
  | { readonly type: 'sendClaims'; readonly to?: NodeName }
  /** A stranger uses the address. */
  | { readonly type: 'conflict'; readonly address: IpAddress; readonly user: string }
  | { readonly type: 'goodbye' }
  /** Everything is handed over. */
  | { readonly type: 'left' };

/** What a step comes to. */
export interface Outcome {
  readonly state: ElectionState;
  readonly effects: readonly Effect[];
  /** When to come back with a `tick` if nothing else happens before. */
  readonly wakeAtMs: number | undefined;
}

/** The state of a speaker that knows nothing yet. */
export function initialState(self: NodeName, tuning: Partial<ElectionTuning> = {}): ElectionState {
  return {
    self,
    tuning: { ...ELECTION_TUNING, ...tuning },
    cluster: undefined,
    connected: false,
    groups: new Map(),
    peers: new Map(),
    claims: new Map(),
    held: new Map(),
    floor: new Map(),
    used: new Set(),
    ghosts: new Map(),
    openSince: new Map(),
    cedingSince: new Map(),
    contested: new Set(),
    conflicts: new Map(),
    warmSinceMs: undefined,
    lostAtMs: undefined,
    confirmed: new Map(),
    confirmAskedAtMs: undefined,
    quorumRead: undefined,
    gateway: undefined,
    looks: new Map(),
    lookedAtMs: undefined,
    settledAtMs: -Infinity,
    leavingSinceMs: undefined,
    left: false,
  };
}
