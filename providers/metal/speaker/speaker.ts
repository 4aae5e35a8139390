/**
 * One speaker at work: the election over the wire, for the objects of the cluster. Everything that takes time is done
 * beside; the election hears of it as an input.
 */
import { keyOf, type Clock, type ClusterApi, type IpAddress, type Log, type Service } from '@berth/core';
import { Agent, type AgentEffect, type AgentMessage, type AgentWorld } from '../election/agent.ts';
import type { Facts } from '../election/payload.ts';
import type { Effect, NodeName } from '../election/types.ts';
import { isIsolated, isLive } from '../election/view.ts';
import type { Mac, WireApi, WirePeer } from '../wire/types.ts';
import { internalIp, type ClusterWatch } from './cluster.ts';
import type { StatusScene } from './l2-status.ts';
import type { SpeakerCounts } from './metrics.ts';
import {
  announcedSamples,
  peerSamples,
  speakerReport,
  wantedStatuses,
  type FoundConflict,
  type ReportSources,
  type SpeakerReport,
} from './report.ts';
import { GroupMemory } from './group-memory.ts';
import { Looks } from './looks.ts';
import type { GroupView } from './view.ts';

/** What a speaker is made of. */
export interface SpeakerParts {
  readonly node: NodeName;
  /** This node's InternalIP: peers are talked with in its family. */
  readonly address: IpAddress;
  readonly cluster: ClusterWatch;
  readonly wire: WireApi;
  readonly api: ClusterApi;
  readonly clock: Clock;
  readonly log: Log;
  /** Where ServiceL2Status objects go. */
  readonly namespace: string;
  /** Ends everything that is under way. */
  readonly signal: AbortSignal;
  /** Where this speaker is reached, if it is. */
  readonly endpoint: string | undefined;
  /** Something may have to be written about what this node announces. */
  readonly onAnnounced: () => void;
}

/** Between two looks at the cluster, in milliseconds: changes that come together are one look. */
const REFRESH_MS = 3;

/** See the file's head. `start` begins; `leave` resolves when everything is handed over. */
export class Speaker implements AgentWorld {
  readonly agent: Agent;
  readonly #parts: SpeakerParts;
  readonly #looks: Looks;
  readonly #facts = new Map<NodeName, Facts>();
  readonly #since = new Map<IpAddress, string>();
  readonly #conflicts = new Map<IpAddress, FoundConflict>();
  readonly #groups = new GroupMemory();
  readonly #failures = new Map<string, string>();
  readonly #gone = Promise.withResolvers<void>();
  #view: ReadonlyMap<string, GroupView> = new Map();
  #peers = '';
  #refreshedMs = -Infinity;
  #refreshTookMs = 0;
  #pending: (() => void) | undefined;
  #cancelWake: (() => void) | undefined;
  #started = false;
  readonly #counts = { takeovers: 0, conflicts: 0, duplicates: 0 };

  constructor(parts: SpeakerParts) {
    this.#parts = parts;
    this.agent = new Agent({ self: parts.node, now: () => parts.clock.monotonic(), world: this });
    this.#looks = new Looks(parts, {
      input: (input) => this.agent.input(input),
      trouble: (what, error) => this.#trouble(what, error),
    });
  }

  /** Takes over from a predecessor if there is one, then takes part. */
  async start(): Promise<void> {
    const { wire, log } = this.#parts;
    this.interfacesChanged();
    await this.#setPeers();
    if (wire.predecessor !== undefined) {
      this.#view = this.#parts.cluster.view((node) => this.#facts.get(node));
      this.agent.resume(wire.predecessor.payload);
      await wire.takeOver();
      log.info({ addresses: this.agent.state.held.size }, 'took over from the speaker that ran here before');
    }
    this.#started = true;
    this.#refresh();
  }

  /** The objects of the cluster may have changed. */
  clusterChanged(): void {
    if (!this.#started || this.#pending !== undefined) return;
    const { clock } = this.#parts;
    // In a large cluster a look takes its time; between two of them the election has its turn.
    const pauseMs = Math.max(REFRESH_MS, 3 * this.#refreshTookMs);
    const waitMs = Math.max(0, this.#refreshedMs + pauseMs - clock.monotonic());
    this.#pending = clock.after(waitMs, () => this.#refresh());
  }

  /** This node's interfaces may have changed. `anew`: what the neighbours know of this node is wrong now. */
  interfacesChanged({ anew = false }: { readonly anew?: boolean } = {}): void {
    const usable = this.#parts.wire.interfaces().filter(({ unusable }) => unusable === undefined);
    const interfaces = usable.map(({ name, arp, ndp }) => ({ name, arp, ndp }));
    const facts: Facts = { interfaces, macs: [...new Set(usable.map(({ mac }) => mac))].toSorted() };
    this.#facts.set(this.#parts.node, facts);
    this.agent.setFacts(facts);
    if (anew) this.#announceAgain([...this.#since.keys()], true);
    this.clusterChanged();
  }

  /** Somebody else acts as the holder of an address of ours. */
  claimed({ address, mac }: { readonly address: IpAddress; readonly mac: Mac }): void {
    const { log, node } = this.#parts;
    const { held, leavingSinceMs } = this.agent.state;
    // Its successor announces it just before this node gives it up.
    if (!held.has(address) || leavingSinceMs !== undefined) return;
    const peer = [...this.#facts].find(([name, { macs }]) => name !== node && macs.includes(mac))?.[0];
    this.#counts.duplicates += 1;
    log.warn({ address, mac, peer }, 'somebody else acts as the holder of an address of this node');
    if (peer !== undefined) return this.send(peer, 'claims-request', new Uint8Array(0));
    const message = `${mac} acts as the holder of ${address}, which node ${node} announces; find out who it is, or give the Service another address`;
    this.#event(address, { type: 'Warning', reason: 'AddressClaimed', message });
  }

  /** Hands everything over; resolves when it is done, after a second at the latest. */
  async leave(): Promise<void> {
    this.agent.input({ type: 'leave' });
    this.agent.tick();
    await this.#gone.promise;
  }

  /** Whether this speaker takes part. */
  get ready(): boolean {
    return this.#started && this.agent.state.warmSinceMs !== undefined;
  }

  report(): SpeakerReport {
    return speakerReport(this.#sources());
  }

  counts(): SpeakerCounts {
    const { state } = this.agent;
    return {
      announced: announcedSamples({ agent: this.agent, view: this.#view }),
      peers: peerSamples(state),
      isolated: isIsolated(state),
      connected: state.connected,
      ...this.#counts,
    };
  }

  /** What should be written about this node, and what is; `undefined` while it does not take part or is leaving. */
  scene(): StatusScene | undefined {
    const { state } = this.agent;
    const { cluster, node, namespace } = this.#parts;
    if (state.warmSinceMs === undefined && state.held.size === 0) return undefined;
    if (state.leavingSinceMs !== undefined) return undefined;
    const live = [...state.peers.keys()].filter((peer) => isLive(state, peer));
    return {
      self: node,
      namespace,
      wanted: wantedStatuses(this.#sources(), namespace),
      observed: cluster.statuses,
      live: new Set([node, ...live]),
      services: new Set(cluster.services.map(keyOf)),
    };
  }

  perform(effect: AgentEffect): void {
    switch (effect.type) {
      case 'announce':
        return this.#announce(effect);
      case 'withdraw':
        return this.#withdraw(effect.addresses, effect.because);
      case 'probe':
        return this.#probe(effect.address);
      case 'quorumRead':
        return this.#looks.quorumRead();
      case 'gateway':
        return this.#looks.gateway();
      case 'conflict':
        return this.#conflict(effect.address, effect.user);
      case 'goodbye':
        return this.#parts.wire.goodbye();
      case 'left':
        return this.#gone.resolve();
    }
  }

  send(to: NodeName | undefined, kind: AgentMessage, payload: Uint8Array): void {
    if (to === undefined) this.#parts.wire.broadcast(kind, payload);
    else this.#parts.wire.send(to, kind, payload);
  }

  setDigest(digest: Uint8Array): void {
    this.#parts.wire.setDigest(digest);
  }

  setHandover(payload: Uint8Array): void {
    this.#parts.wire.setHandover(payload);
  }

  facts(node: NodeName, facts: Facts): void {
    if (JSON.stringify(this.#facts.get(node)) === JSON.stringify(facts)) return;
    this.#facts.set(node, facts);
    this.clusterChanged();
  }

  wake(afterMs: number | undefined): void {
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    if (afterMs !== undefined) this.#cancelWake = this.#parts.clock.after(afterMs, () => this.agent.tick());
  }

  #refresh(): void {
    const { cluster, clock, onAnnounced } = this.#parts;
    this.#pending = undefined;
    this.#refreshedMs = clock.monotonic();
    const before = this.#view;
    this.#view = cluster.view((node) => this.#facts.get(node));
    const { state } = this.agent;
    const isKnown = this.#view === before && state.cluster !== undefined;
    if (!isKnown || state.connected !== cluster.isConnected) this.#takeIn(before);
    onAnnounced();
    this.#refreshTookMs = clock.monotonic() - this.#refreshedMs;
  }

  /** Tells the election and the wire of a new view. */
  #takeIn(before: ReadonlyMap<string, GroupView>): void {
    const { cluster } = this.#parts;
    this.#setPeers().catch((error: unknown) =>
      this.#trouble('the peers could not be told to the wire', error),
    );
    const groups = this.#groups.changed(this.#view);
    if (groups !== undefined || this.agent.state.cluster === undefined)
      this.agent.input({ type: 'groups', groups: groups ?? [] });
    const { nodes } = cluster;
    const ready = nodes.filter((node) => node.ready === 'True' && internalIp(node) !== undefined);
    const names = (list: readonly { readonly name: string }[]): ReadonlySet<string> =>
      new Set(list.map(({ name }) => name));
    this.agent.input({ type: 'cluster', nodes: names(nodes), ready: names(ready) });
    this.agent.input({ type: 'connection', connected: cluster.isConnected });
    this.#followInterfaces(before);
    this.#tellFailures();
  }

  async #setPeers(): Promise<void> {
    const { cluster, node, address, wire } = this.#parts;
    const family = address.includes(':') ? 'IPv6' : 'IPv4';
    const peers = cluster.nodes
      .filter(({ name }) => name !== node)
      .flatMap((other): WirePeer[] => {
        const at = internalIp(other, family);
        return at === undefined ? [] : [{ node: other.name, address: at }];
      })
      .toSorted((a, b) => (a.node < b.node ? -1 : 1));
    const text = JSON.stringify(peers);
    if (text === this.#peers) return;
    this.#peers = text;
    await wire.setPeers(peers);
  }

  #announce({ key, addresses, burst, because }: Extract<Effect, { type: 'announce' }>): void {
    const { log, clock, node, onAnnounced } = this.#parts;
    const since = new Date(clock.now()).toISOString();
    const fresh = addresses.filter((address) => !this.#since.has(address));
    for (const address of fresh) this.#since.set(address, since);
    this.#counts.takeovers += fresh.length;
    this.#announceAgain(addresses, burst);
    log.info({ key, addresses, because }, 'announcing');
    if (burst) {
      const message = `announcing from node "${node}" with protocol "layer2": ${because}`;
      for (const address of fresh) this.#event(address, { type: 'Normal', reason: 'nodeAssigned', message });
    }
    onAnnounced();
  }

  #announceAgain(addresses: readonly IpAddress[], burst: boolean): void {
    const { wire, node } = this.#parts;
    const announcements = addresses.map((address) => {
      const interfaces = this.#viewOf(address)?.interfacesOn(node);
      return { address, burst, ...(interfaces === undefined ? {} : { interfaces }) };
    });
    wire.announce(announcements).catch((error: unknown) => this.#trouble('could not announce', error));
  }

  #withdraw(addresses: readonly IpAddress[], because: string): void {
    const { wire, log, onAnnounced } = this.#parts;
    for (const address of addresses) this.#since.delete(address);
    wire.withdraw(addresses).catch((error: unknown) => this.#trouble('could not withdraw', error));
    log.info({ addresses, because }, 'withdrawn');
    onAnnounced();
  }

  /** Announces on other interfaces when the advertisements changed. */
  #followInterfaces(before: ReadonlyMap<string, GroupView>): void {
    const { node } = this.#parts;
    for (const [key, view] of this.#view) {
      if (before.get(key) === view) continue;
      const [was, is] = [before.get(key)?.interfacesOn(node), view.interfacesOn(node)];
      if (before.has(key) && was?.join() === is?.join()) continue;
      const ours = view.group.addresses.filter((address) => this.#since.has(address));
      if (ours.length > 0 && before.has(key)) this.#announceAgain(ours, false);
    }
  }

  #probe(address: IpAddress): void {
    // Looking for the holder of a taken address, our own speakers are what is looked for.
    const strangers = this.agent.state.held.get(address)?.probing === true;
    const ignore = strangers ? [...this.#facts.values()].flatMap(({ macs }) => macs as readonly Mac[]) : [];
    const interfaces = this.#viewOf(address)?.interfacesOn(this.#parts.node);
    this.#looks.probe(address, { ignore, ...(interfaces === undefined ? {} : { interfaces }) });
  }

  #conflict(address: IpAddress, mac: string): void {
    const { clock, log, onAnnounced } = this.#parts;
    this.#counts.conflicts += 1;
    this.#conflicts.set(address, { mac, at: new Date(clock.now()).toISOString() });
    log.error({ address, mac }, 'somebody else on the network uses the address: it is not announced');
    const message = `${mac} on the network already uses ${address}, so it is not announced; take it out of the pool, or find that machine`;
    this.#event(address, { type: 'Warning', reason: 'AddressConflict', message });
    onAnnounced();
  }

  /** A Service that this node could announce but for an interface is told so, once. */
  #tellFailures(): void {
    const { node } = this.#parts;
    for (const [key, { verdicts, services }] of this.#view) {
      const verdict = verdicts.get(node);
      const message = verdict?.refusal === 'noInterface' ? verdict.message : '';
      if ((this.#failures.get(key) ?? '') === message) continue;
      this.#failures.set(key, message);
      if (message === '') continue;
      for (const service of services)
        this.#parts.api.event(service, {
          type: 'Warning',
          reason: 'announceFailed',
          message: `node "${node}": ${message}`,
        });
    }
  }

  #event(address: IpAddress, event: Parameters<ClusterApi['event']>[1]): void {
    const has = (service: Service): boolean => service.ingress.some(({ ip }) => ip === address);
    for (const service of this.#viewOf(address)?.services.filter(has) ?? [])
      this.#parts.api.event(service, event);
  }

  #viewOf(address: IpAddress): GroupView | undefined {
    return (
      this.#view.get(address) ??
      [...this.#view.values()].find(({ group }) => group.addresses.includes(address))
    );
  }

  #sources(): ReportSources {
    return {
      agent: this.agent,
      view: this.#view,
      since: this.#since,
      conflicts: this.#conflicts,
      statuses: this.#parts.cluster.statuses,
      facts: (node) => this.#facts.get(node),
      connected: this.#parts.cluster.isConnected,
      endpoint: this.#parts.endpoint,
    };
  }

  #trouble(what: string, error: unknown): void {
    if (!this.#parts.signal.aborted) this.#parts.log.warn({ error: String(error) }, what);
  }
}
