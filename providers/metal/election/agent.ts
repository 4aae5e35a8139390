/** The election of one speaker together with the exchange of claims: everything but sockets and clocks. */
import { decide, type Decision } from './decide.ts';
import { decodeTold, digestOf, encodeTold, type Facts } from './payload.ts';
import { step } from './step.ts';
import {
  initialState,
  type Claims,
  type Effect,
  type ElectionState,
  type ElectionTuning,
  type GroupKey,
  type Input,
  type NodeName,
} from './types.ts';

/** What an agent is made of. */
export interface AgentOptions {
  readonly self: NodeName;
  /** Monotonic, in milliseconds. */
  readonly now: () => number;
  readonly world: AgentWorld;
  readonly tuning?: Partial<ElectionTuning>;
}

/** Effects that are left to the world; the others are messages. */
export type AgentEffect = Exclude<Effect, { type: 'sendClaims' | 'confirm' }>;

/** `notice`: a question whether somebody is there, or the answer to it. */
export type AgentMessage = 'claims' | 'claims-request' | 'notice';

/** What an agent does to the world. Nothing of it may call the agent back before it returns. */
export interface AgentWorld {
  /** Called in order. */
  perform(effect: AgentEffect): void;
  /** Tells one peer, or all of them. */
  send(to: NodeName | undefined, kind: AgentMessage, payload: Uint8Array): void;
  /** What heartbeats carry from now on. */
  setDigest(digest: Uint8Array): void;
  /** What a successor on this node is to be given. */
  setHandover(payload: Uint8Array): void;
  /** A peer told something about its node. */
  facts(node: NodeName, facts: Facts): void;
  /** Come back with `tick` after this long; replaces what was asked for before. */
  wake(afterMs: number | undefined): void;
}

/** A digest that differs from what was heard is asked about again after this long. */
const ASK_AGAIN_MS = 250;
const EMPTY = new Uint8Array(0);
const NO_FACTS: Facts = { interfaces: [], macs: [] };

interface Heard {
  readonly nonce: string;
  /** Of the last claims that were taken in. */
  readonly sequence: number;
  readonly digest: Uint8Array;
}

/**
 * Drives `step` and keeps the others informed: claims are sent when they change and to whoever is heard anew; whoever
 * carries a digest other than that of its last claims is asked for them until they come.
 */
export class Agent {
  readonly #options: AgentOptions;
  readonly #heard = new Map<NodeName, Heard>();
  /** Digests that do not fit yet, and when they were last asked about. */
  readonly #asked = new Map<NodeName, number>();
  readonly #wanted = new Map<NodeName, Uint8Array>();
  #state: ElectionState;
  #facts: Facts = NO_FACTS;
  #wakeAtMs: number | undefined;
  #sequence = 0;
  #payload: Uint8Array = EMPTY;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#state = initialState(options.self, options.tuning);
    this.#renew();
  }

  get state(): ElectionState {
    return this.#state;
  }

  /** What is decided about a group at this moment, for people. */
  decision(key: GroupKey): Decision | undefined {
    const group = this.#state.groups.get(key);
    return group === undefined ? undefined : decide(this.#state, group, this.#options.now());
  }

  /** Something happened. */
  input(input: Input): void {
    const now = this.#options.now();
    const { state, effects, wakeAtMs } = step(this.#state, input, now);
    this.#state = state;
    this.#wakeAtMs = wakeAtMs;
    for (const effect of effects) {
      if (effect.type === 'sendClaims') this.#sendClaims(effect.to);
      else if (effect.type === 'confirm') this.#notice(undefined, { ping: now });
      else this.#options.world.perform(effect);
    }
    this.#arm();
  }

  /** Time has passed: the election's timers, and questions that were not answered. */
  tick(): void {
    const now = this.#options.now();
    for (const [node, at] of this.#asked) if (now >= at + ASK_AGAIN_MS) this.#ask(node, now);
    this.input({ type: 'tick' });
  }

  /** What this speaker says about its node from now on. */
  setFacts(facts: Facts): void {
    if (JSON.stringify(facts) === JSON.stringify(this.#facts)) return;
    this.#facts = facts;
    this.#sendClaims(undefined);
  }

  /** A peer is alive; `nonce` tells its processes apart. */
  heard(node: NodeName, nonce: string): void {
    const known = this.#heard.get(node)?.nonce === nonce;
    if (!known) {
      this.#heard.set(node, { nonce, sequence: -1, digest: EMPTY });
      this.#wanted.delete(node);
    }
    this.#asked.set(node, this.#options.now());
    this.input({ type: 'heard', node, fresh: !known });
    // It may never have missed us, so it has no reason to tell by itself.
    if (known) this.#ask(node, this.#options.now());
  }

  /** A peer's heartbeats carry this digest. */
  digest(node: NodeName, digest: Uint8Array): void {
    this.#wanted.set(node, digest);
    if (same(this.#heard.get(node)?.digest ?? EMPTY, digest)) this.#asked.delete(node);
    // What it is about is usually on its way already.
    else if (!this.#asked.has(node)) this.#asked.set(node, this.#options.now());
    this.#arm();
  }

  /** A peer sent claims, or asks for ours. What is malformed or old is ignored. */
  message(node: NodeName, kind: AgentMessage, payload: Uint8Array): void {
    if (kind === 'notice') return this.#noticed(node, payload);
    if (kind === 'claims-request') return this.#sendClaims(node);
    const told = decodeTold(payload);
    const before = this.#heard.get(node);
    if (told === undefined || (before !== undefined && told.sequence < before.sequence)) return;
    const digest = digestOf(payload);
    this.#heard.set(node, { nonce: before?.nonce ?? '', sequence: told.sequence, digest });
    if (same(this.#wanted.get(node) ?? digest, digest)) this.#asked.delete(node);
    const { claims, conflicts, interfaces, macs } = told;
    this.#options.world.facts(node, { interfaces, macs });
    this.input({ type: 'claims', node, claims, conflicts });
  }

  /** Takes on what the predecessor on this node held; its bytes are what it last gave to `setHandover`. */
  resume(payload: Uint8Array): void {
    const told = decodeTold(payload);
    if (told === undefined) return;
    this.#sequence = told.sequence;
    this.input({ type: 'resume', claims: told.claims });
  }

  #ask(node: NodeName, now: number): void {
    if (this.#state.peers.get(node)?.state !== 'live') {
      this.#asked.delete(node);
      return;
    }
    this.#asked.set(node, now);
    this.#options.world.send(node, 'claims-request', EMPTY);
  }

  #notice(to: NodeName | undefined, notice: Notice): void {
    this.#options.world.send(to, 'notice', Buffer.from(JSON.stringify(notice)));
  }

  /** A question is given back as it came: the time in it is the asker's. */
  #noticed(node: NodeName, payload: Uint8Array): void {
    const { ping, pong } = noticeIn(payload);
    if (ping !== undefined) this.#notice(node, { pong: ping });
    if (pong !== undefined && pong <= this.#options.now())
      this.input({ type: 'confirmed', node, beganMs: pong });
  }

  #sendClaims(to: NodeName | undefined): void {
    if (to === undefined) this.#renew();
    this.#options.world.send(to, 'claims', this.#payload);
  }

  /** Makes the payload anew after a change. */
  #renew(): void {
    const { held, conflicts } = this.#state;
    const { now, world } = this.#options;
    const current = [...conflicts].filter(([, until]) => until > now()).map(([address]) => address);
    const claims: Claims = held;
    this.#sequence += 1;
    this.#payload = encodeTold({
      sequence: this.#sequence,
      claims,
      conflicts: new Set(current),
      ...this.#facts,
    });
    world.setDigest(digestOf(this.#payload));
    world.setHandover(this.#payload);
  }

  #arm(): void {
    const asked = [...this.#asked.values()].map((at) => at + ASK_AGAIN_MS);
    const at = Math.min(this.#wakeAtMs ?? Infinity, ...asked);
    this.#options.world.wake(at === Infinity ? undefined : Math.max(0, at - this.#options.now()));
  }
}

interface Notice {
  readonly ping?: number;
  readonly pong?: number;
}

function noticeIn(payload: Uint8Array): Notice {
  try {
    const { ping, pong } = JSON.parse(Buffer.from(payload).toString('utf8')) as Record<string, unknown>;
    return {
      ...(typeof ping === 'number' ? { ping } : {}),
      ...(typeof pong === 'number' ? { pong } : {}),
    };
  } catch {
    return {};
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
