/** What a speaker says about itself over HTTP, and what it wants to be written about it. Pure. */
import { keyOf, type Announcement, type AnnouncingNode, type IpAddress } from '@berth/core';
import type { Agent } from '../election/agent.ts';
import type { Facts } from '../election/payload.ts';
import type { ElectionState, NodeName } from '../election/types.ts';
import { claimantsOf, isIsolated, isLive, memberCount } from '../election/view.ts';
import { nameFor, type L2Status } from './l2-status.ts';
import type { Sample } from './metrics.ts';
import type { GroupView, Verdict } from './view.ts';

/** A stranger that a probe of ours found. */
export interface FoundConflict {
  readonly mac: string;
  readonly at: string;
}

/** What reports are made from. */
export interface ReportSources {
  readonly agent: Agent;
  readonly view: ReadonlyMap<string, GroupView>;
  /** When this node began to answer for an address, RFC 3339. */
  readonly since: ReadonlyMap<IpAddress, string>;
  readonly conflicts: ReadonlyMap<IpAddress, FoundConflict>;
  readonly statuses: readonly L2Status[];
  readonly facts: (node: NodeName) => Facts | undefined;
  readonly connected: boolean;
  /** Where this speaker is reached, if it is. */
  readonly endpoint?: string | undefined;
}

/** One node and an address: why it is, or is not, the holder. */
export interface NodeReason extends AnnouncingNode {
  readonly eligible: boolean;
  /** Whether its speaker is heard. */
  readonly live: boolean;
}

/** One group of addresses. */
export interface AnnouncementReport extends Announcement {
  readonly nodes: readonly NodeReason[];
}

/** The answer to GET /api/announcements. */
export interface SpeakerReport {
  readonly node: NodeName;
  readonly members: number;
  readonly isolated: boolean;
  readonly connected: boolean;
  readonly ready: boolean;
  readonly leaving: boolean;
  readonly peers: readonly {
    readonly node: NodeName;
    readonly state: string;
    readonly interfaces: readonly string[];
  }[];
  readonly announcements: readonly AnnouncementReport[];
}

/** Who holds what, since when and why, as this speaker sees it; and each node with the reason why it is not the holder. */
export function speakerReport(sources: ReportSources): SpeakerReport {
  const { agent, view, facts, connected } = sources;
  const { state } = agent;
  return {
    node: state.self,
    members: memberCount(state),
    isolated: isIsolated(state),
    connected,
    ready: state.warmSinceMs !== undefined,
    leaving: state.leavingSinceMs !== undefined,
    peers: [...state.peers].map(([node, peer]) => ({
      node,
      state: peer.state,
      interfaces: facts(node)?.interfaces.map(({ name }) => name) ?? [],
    })),
    announcements: [...view.values()].map((group) => announcementReport(group, sources)),
  };
}

function announcementReport(view: GroupView, sources: ReportSources): AnnouncementReport {
  const { agent, since, statuses } = sources;
  const { state } = agent;
  const { group, services } = view;
  const keys = services.map(keyOf);
  const holder = claimantsOf(state, group)[0]?.node;
  const held = group.addresses.map((address) => state.held.get(address)).find((found) => found !== undefined);
  const written = statuses.find(({ service, node }) => keys.includes(service) && node === holder)?.claim
    ?.since;
  const decision = agent.decision(group.key);
  return {
    addresses: group.addresses,
    services: keys,
    holder,
    since: holder === state.self ? since.get(group.addresses[0] ?? ('' as IpAddress)) : written,
    because: holder === state.self ? (held?.because ?? '') : (decision?.because ?? ''),
    interfaces: view.interfacesOn(holder ?? state.self),
    nodes: [...view.verdicts].map(([node, verdict]): NodeReason => {
      const live = isLive(state, node);
      const [reason, message] = reasonOf(state, { node, view, holder });
      return { node, holder: node === holder, eligible: verdict.eligible, live, reason, message };
    }),
  };
}

function reasonOf(
  state: ElectionState,
  { node, view, holder }: { node: NodeName; view: GroupView; holder: NodeName | undefined },
): readonly [reason: string, message: string] {
  const verdict = view.verdicts.get(node);
  if (node === holder || verdict?.refusal !== undefined || isLive(state, node))
    return placeOf(verdict, { node, holder });
  const peer = state.peers.get(node);
  if (peer === undefined) return ['noSpeaker', 'no speaker was heard from it'];
  return peer.state === 'left'
    ? ['left', 'its speaker was stopped']
    : ['gone', 'its speaker is not heard any more'];
}

/** The place of a node, as far as the cluster's objects show it. */
export function placeOf(
  verdict: Verdict | undefined,
  { node, holder }: { readonly node: NodeName; readonly holder: NodeName | undefined },
): readonly [reason: string, message: string] {
  if (node === holder) return ['holder', 'it answers for the address'];
  if (verdict?.refusal !== undefined) return [verdict.refusal, verdict.message];
  return holder === undefined
    ? ['candidate', 'it may take the address']
    : ['notHolder', `${holder} has it and keeps it while it lives`];
}

/** The ServiceL2Status objects that should be there for this node. */
export function wantedStatuses(
  { agent, view, since, conflicts, facts, endpoint }: ReportSources,
  namespace: string,
): readonly L2Status[] {
  const { self, held } = agent.state;
  const wanted: L2Status[] = [];
  for (const { group, services, interfacesOn } of view.values()) {
    const ours = group.addresses.filter((address) => held.get(address)?.probing === false);
    const found = group.addresses.filter((address) => conflicts.has(address));
    if (ours.length === 0 && found.length === 0) continue;
    const present = facts(self)?.interfaces.map(({ name }) => name) ?? [];
    const interfaces = interfacesOn(self)?.filter((name) => present.includes(name)) ?? [];
    for (const service of services) {
      const has = (address: IpAddress): boolean => service.ingress.some(({ ip }) => ip === address);
      const addresses = ours.filter(has);
      const [conflict] = found.filter(has);
      if (addresses.length === 0 && conflict === undefined) continue;
      const key = keyOf(service);
      const epoch = Math.max(0, ...addresses.map((address) => held.get(address)?.epoch ?? 0));
      const first = addresses[0] ?? ('' as IpAddress);
      const claim = {
        addresses,
        epoch,
        since: since.get(first) ?? '',
        because: held.get(first)?.because ?? '',
        ...(endpoint === undefined ? {} : { endpoint }),
      };
      wanted.push({
        name: nameFor(key, self),
        namespace,
        node: self,
        service: key,
        interfaces,
        ...(addresses.length === 0 ? {} : { claim }),
        ...(conflict === undefined
          ? {}
          : {
              conflict: JSON.stringify({
                address: conflict,
                mac: conflicts.get(conflict)?.mac,
                at: conflicts.get(conflict)?.at,
              }),
            }),
      });
    }
  }
  return wanted;
}

/** `metallb_speaker_announced`. */
export function announcedSamples({ agent, view }: Pick<ReportSources, 'agent' | 'view'>): readonly Sample[] {
  const { self, held } = agent.state;
  return [...view.values()].flatMap(({ group, services }) =>
    services.flatMap((service) =>
      group.addresses
        .filter((ip) => held.get(ip)?.probing === false && service.ingress.some((entry) => entry.ip === ip))
        .map((ip) => ({ labels: { service: keyOf(service), protocol: 'layer2', node: self, ip }, value: 1 })),
    ),
  );
}

/** `berth_speaker_peers`. */
export function peerSamples({ peers }: ElectionState): readonly Sample[] {
  const states = ['live', 'gone', 'left'] as const;
  return states.map((is) => ({
    labels: { state: is },
    value: [...peers.values()].filter(({ state }) => state === is).length,
  }));
}
