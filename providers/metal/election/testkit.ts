/**
 * A network of speakers in virtual time: real agents over simulated heartbeats, messages, an API server and a segment
 * on which they answer. Deterministic: the same seed gives the same run.
 */
import type { IpAddress } from '@berth/core';
import { Agent, type AgentEffect, type AgentMessage, type AgentWorld } from './agent.ts';
import { ip, names } from './testkit-groups.ts';
import { randomFrom, Timeline } from './testkit-time.ts';
import type { Effect, Group, NodeName } from './types.ts';

export { aGroup, ip, names } from './testkit-groups.ts';

/** Settings of a simulated network; times in milliseconds. */
export interface NetworkOptions {
  readonly nodes: number;
  readonly seed?: number;
  /** Share of datagrams that are lost. */
  readonly loss?: number;
  readonly heartbeatMs?: number;
  readonly missedLimit?: number;
  readonly probeMs?: number;
}

/** Who answered for an address when: the record that assertions read. */
export interface Period {
  readonly node: NodeName;
  readonly fromMs: number;
  toMs: number;
}

/** The network. */
export class Network {
  readonly time = new Timeline();
  readonly random: () => number;
  readonly options: Required<NetworkOptions>;
  readonly speakers = new Map<NodeName, Speaker>();
  readonly periods = new Map<IpAddress, Period[]>();
  /** Addresses that a stranger uses. */
  readonly strangers = new Set<IpAddress>();
  nodes: Set<NodeName>;
  groups: readonly Group[] = [];
  /** Nodes that reach the API server. */
  apiReach: (node: NodeName) => boolean = () => true;
  /** Whether the gateway answers this node. */
  gatewayReach: (node: NodeName) => boolean = () => true;
  /** Whether a datagram or frame gets from one node to the other. */
  reach: (from: NodeName, to: NodeName) => boolean = () => true;
  /** Counts of what was asked of the API server, by node. */
  readonly quorumReads = new Map<NodeName, number>();
  moves = 0;

  constructor(options: NetworkOptions) {
    this.options = { seed: 1, loss: 0, heartbeatMs: 200, missedLimit: 3, probeMs: 450, ...options };
    this.random = randomFrom(this.options.seed);
    this.nodes = new Set(names(options.nodes));
  }

  /** Starts speakers on all nodes, or on the named ones. */
  start(...only: readonly NodeName[]): void {
    for (const node of only.length > 0 ? only : this.nodes) this.speakers.set(node, new Speaker(this, node));
  }

  /** Lets virtual time pass. */
  run(ms: number): void {
    this.time.runUntil(this.time.nowMs + ms);
  }

  /** The API server tells everybody whom it reaches about the present Nodes and groups. */
  publish(groups: readonly Group[] = this.groups): void {
    this.groups = groups;
    for (const speaker of this.speakers.values()) speaker.learn();
  }

  /** Nodes that answer for the address now. */
  owners(address: string): readonly NodeName[] {
    return [...this.speakers.values()]
      .filter((speaker) => speaker.answers(ip(address)))
      .map(({ node }) => node);
  }

  /** The only owner. @throws Error when there is none, or are several. */
  owner(address: string): NodeName {
    const owners = this.owners(address);
    if (owners.length !== 1) throw new Error(`${address} has ${owners.length} owners: ${owners.join()}`);
    return owners[0] ?? '';
  }

  /** Milliseconds during which as many nodes answered for the address, since the given time. */
  timeWith(address: string, wanted: (owners: number) => boolean, sinceMs: number): number {
    const periods = this.periods.get(ip(address)) ?? [];
    const edges = [sinceMs, this.time.nowMs, ...periods.flatMap(({ fromMs, toMs }) => [fromMs, toMs])]
      .filter((at) => at >= sinceMs && at <= this.time.nowMs)
      .toSorted((a, b) => a - b);
    let total = 0;
    for (const [index, from] of edges.entries()) {
      const to = edges[index + 1] ?? from;
      const count = periods.filter(
        (period) => period.fromMs <= from && period.toMs >= to && to > from,
      ).length;
      if (to > from && wanted(count)) total += to - from;
    }
    return total;
  }

  send(from: NodeName, to: NodeName, deliver: (speaker: Speaker) => void): void {
    if (!this.reach(from, to) || this.random() < this.options.loss) return;
    this.time.at(this.time.nowMs + 0.2 + this.random(), () => {
      const speaker = this.speakers.get(to);
      if (speaker !== undefined && this.reach(from, to)) speaker.deliver(() => deliver(speaker));
    });
  }

  opened(address: IpAddress, node: NodeName): void {
    const list = this.periods.get(address) ?? [];
    const last = list.at(-1);
    if (last !== undefined && last.node !== node) this.moves += 1;
    this.periods.set(address, [...list, { node, fromMs: this.time.nowMs, toMs: Infinity }]);
  }

  closed(address: IpAddress, node: NodeName): void {
    const open = this.periods
      .get(address)
      ?.find((period) => period.node === node && period.toMs === Infinity);
    if (open !== undefined) open.toMs = this.time.nowMs;
  }
}

/** A peer as a simulated wire sees it. */
interface Heard {
  nonce: string;
  alive: boolean;
  left: boolean;
  lastMs: number;
  digest: Uint8Array;
}

const EMPTY = new Uint8Array(0);
let boots = 0;

/** One simulated node with its speaker. */
export class Speaker implements AgentWorld {
  readonly node: NodeName;
  readonly nonce = `boot-${++boots}`;
  readonly agent: Agent;
  readonly effects: Effect[] = [];
  readonly #network: Network;
  readonly #heard = new Map<NodeName, Heard>();
  readonly #answering = new Set<IpAddress>();
  readonly #clockOffset: number;
  #digest = EMPTY as Uint8Array;
  #handover = EMPTY as Uint8Array;
  #wakes = 0;
  #leaving = false;
  #backlog: (() => void)[] | undefined;
  running = true;
  ended = false;

  constructor(network: Network, node: NodeName, predecessor?: Speaker) {
    this.#network = network;
    this.node = node;
    // Every process counts its time from somewhere else.
    this.#clockOffset = Math.floor(network.random() * 1e9);
    this.agent = new Agent({ self: node, now: () => this.#now(), world: this });
    if (predecessor !== undefined) {
      for (const [name, heard] of predecessor.#heard) this.#heard.set(name, { ...heard, alive: false });
      const handover = predecessor.#handover;
      predecessor.kill(false);
      this.agent.resume(handover);
    }
    this.learn();
    const phase = network.random() * network.options.heartbeatMs;
    network.time.at(network.time.nowMs + phase, () => this.#beat());
  }

  /** Whether a request for the address would be answered now. */
  answers(address: IpAddress): boolean {
    return this.running && this.#backlog === undefined && this.#answering.has(address);
  }

  /** Takes in what the API server says, if it is reached. */
  learn(): void {
    const network = this.#network;
    if (!this.running) return;
    if (!network.apiReach(this.node))
      return this.#do(() => this.agent.input({ type: 'connection', connected: false }));
    const groups = network.groups;
    const nodes = new Set(network.nodes);
    network.time.at(network.time.nowMs + 1 + network.random() * 10, () =>
      this.#do(() => {
        this.agent.input({ type: 'groups', groups });
        this.agent.input({ type: 'cluster', nodes, ready: nodes });
      }),
    );
  }

  /** The process ends without a word. `silence`: what it answered for is not answered any more. */
  kill(silence = true): void {
    this.running = false;
    if (this.#network.speakers.get(this.node) === this) this.#network.speakers.delete(this.node);
    for (const address of this.#answering) this.#network.closed(address, this.node);
    if (silence) this.#answering.clear();
  }

  /** The process ends politely. */
  leave(): void {
    this.agent.input({ type: 'leave' });
  }

  /** The process stands still for a while, then goes on with what came in meanwhile. */
  stall(ms: number): void {
    this.#backlog = [];
    for (const address of this.#answering) this.#network.closed(address, this.node);
    this.#network.time.at(this.#network.time.nowMs + ms, () => {
      const backlog = this.#backlog ?? [];
      for (const heard of this.#heard.values()) heard.lastMs = this.#network.time.nowMs;
      // As the wire does: the sockets are drained before anything is judged or answered.
      this.#backlog = undefined;
      for (const run of backlog) run();
      this.agent.input({ type: 'stalled' });
      for (const address of this.#answering) this.#network.opened(address, this.node);
      this.agent.tick();
    });
  }

  deliver(run: () => void): void {
    this.#do(run);
  }

  /** A datagram of the heartbeat protocol. */
  heartbeat(
    from: NodeName,
    nonce: string,
    { digest, leaving }: { digest: Uint8Array; leaving: boolean },
  ): void {
    const known = this.#heard.get(from);
    if (known?.nonce !== nonce) return this.#challenge(from, nonce);
    known.lastMs = this.#network.time.nowMs;
    if (leaving) {
      if (!known.left) this.agent.input({ type: 'goodbye', node: from });
      known.left = true;
      known.alive = false;
      return;
    }
    if (!known.alive) {
      known.alive = true;
      this.agent.heard(from, nonce);
    }
    if (known.digest !== digest) {
      known.digest = digest;
      this.agent.digest(from, digest);
    }
  }

  perform(effect: AgentEffect): void {
    const network = this.#network;
    this.effects.push(effect);
    if (effect.type === 'announce') {
      for (const address of effect.addresses) {
        if (!this.#answering.has(address)) network.opened(address, this.node);
        this.#answering.add(address);
      }
    } else if (effect.type === 'withdraw') {
      for (const address of effect.addresses) {
        if (this.#answering.delete(address)) network.closed(address, this.node);
      }
    } else if (effect.type === 'probe') this.#probe(effect.address);
    else if (effect.type === 'quorumRead') this.#quorumRead();
    else if (effect.type === 'gateway') this.#askGateway();
    else if (effect.type === 'goodbye') {
      this.#leaving = true;
      this.#tell();
    } else if (effect.type === 'left') {
      this.ended = true;
      this.#network.time.at(this.#network.time.nowMs, () => this.kill());
    }
  }

  send(to: NodeName | undefined, kind: AgentMessage, payload: Uint8Array): void {
    for (const peer of to === undefined ? this.#network.nodes : [to]) {
      if (peer === this.node) continue;
      const { node, nonce } = this;
      this.#network.send(node, peer, (speaker) => {
        if (speaker.#heard.get(node)?.nonce === nonce) speaker.agent.message(node, kind, payload);
      });
    }
  }

  setDigest(digest: Uint8Array): void {
    this.#digest = digest;
  }

  setHandover(payload: Uint8Array): void {
    this.#handover = payload;
  }

  facts(): void {}

  wake(afterMs: number | undefined): void {
    const wake = ++this.#wakes;
    if (afterMs === undefined) return;
    this.#network.time.at(this.#network.time.nowMs + afterMs, () => {
      if (wake === this.#wakes) this.#do(() => this.agent.tick());
    });
  }

  #now(): number {
    return this.#network.time.nowMs + this.#clockOffset;
  }

  #do(run: () => void): void {
    if (!this.running) return;
    if (this.#backlog === undefined) run();
    else this.#backlog.push(run);
  }

  #beat(): void {
    if (!this.running) return;
    const { heartbeatMs } = this.#network.options;
    if (this.#backlog === undefined) {
      this.#tell();
      this.#judge();
    }
    this.#network.time.at(this.#network.time.nowMs + heartbeatMs, () => this.#beat());
  }

  #tell(): void {
    const beat = { digest: this.#digest, leaving: this.#leaving };
    for (const peer of this.#network.nodes) {
      if (peer === this.node) continue;
      this.#network.send(this.node, peer, (speaker) => speaker.heartbeat(this.node, this.nonce, beat));
    }
  }

  /** Looks for silent peers; ten times in a heartbeat's interval, as the wire's loop does at least. */
  #judge(): void {
    const { heartbeatMs, missedLimit } = this.#network.options;
    for (let part = 0; part < 10; part++) {
      this.#network.time.at(this.#network.time.nowMs + (part * heartbeatMs) / 10, () => {
        if (!this.running || this.#backlog !== undefined) return;
        for (const [node, heard] of this.#heard) {
          if (!heard.alive || this.#network.time.nowMs - heard.lastMs <= heartbeatMs * missedLimit) continue;
          heard.alive = false;
          this.agent.input({ type: 'gone', node });
        }
      });
    }
  }

  /** A new nonce counts once it has answered: one round trip. */
  #challenge(from: NodeName, nonce: string): void {
    const { node } = this;
    this.#network.send(node, from, (speaker) => {
      if (speaker.nonce !== nonce) return;
      this.#network.send(from, node, (back) => {
        if (back !== this || this.#heard.get(from)?.nonce === nonce) return;
        const nowMs = this.#network.time.nowMs;
        this.#heard.set(from, { nonce, alive: true, left: false, lastMs: nowMs, digest: EMPTY });
        this.agent.heard(from, nonce);
      });
    });
  }

  #probe(address: IpAddress): void {
    const network = this.#network;
    const beganMs = this.#now();
    network.time.at(network.time.nowMs + network.options.probeMs, () => {
      const holder = [...network.speakers.values()].find(
        (other) => other !== this && other.answers(address) && network.reach(this.node, other.node),
      );
      const user = network.strangers.has(address) ? '02:00:00:00:00:99' : holder?.node;
      this.#do(() =>
        this.agent.input({ type: 'probed', address, beganMs, ...(user === undefined ? {} : { user }) }),
      );
    });
  }

  #quorumRead(): void {
    const network = this.#network;
    network.quorumReads.set(this.node, (network.quorumReads.get(this.node) ?? 0) + 1);
    const beganMs = this.#now();
    const until = network.time.nowMs + 800;
    // What is sent while nothing gets through is sent again, and answered when it does.
    const look = (): void => {
      const good = network.apiReach(this.node);
      const over = good || network.time.nowMs >= until;
      network.time.at(network.time.nowMs + (good ? 5 : 20), () =>
        over ? this.#do(() => this.agent.input({ type: 'quorumRead', beganMs, good })) : look(),
      );
    };
    look();
  }

  #askGateway(): void {
    const beganMs = this.#now();
    const good = this.#network.gatewayReach(this.node);
    this.#network.time.at(this.#network.time.nowMs + (good ? 2 : 300), () =>
      this.#do(() => this.agent.input({ type: 'gateway', beganMs, good })),
    );
  }
}
