/**
 * Which nodes may announce which addresses, and why the others may not. Pure: every speaker that has the same objects
 * comes to the same answer.
 */
import {
  familyOf,
  keyOf,
  LABEL_EXCLUDE_NODE,
  parseIp,
  poolHas,
  rangeHas,
  selectedByAny,
  selects,
  statusAddresses,
  type Endpoint,
  type IpAddress,
  type LabelSelector,
  type Node,
  type Service,
  type ServiceKey,
} from '@berth/core';
import { advertises, asSelectors, type Advertisement, type MetalPool } from '../objects.ts';
import type { Facts } from '../election/payload.ts';
import type { Group, NodeName } from '../election/types.ts';
import type { L2Status } from './l2-status.ts';
import { Remembered } from './remembered.ts';

/** Why a node may not announce an address. */
export type Refusal =
  | 'noServingEndpoint'
  | 'noLocalEndpoint'
  | 'noMatchingAdvertisement'
  | 'nodeNotSelected'
  | 'excludedByLabel'
  | 'networkUnavailable'
  | 'notReady'
  | 'deleting'
  | 'noInterface'
  | 'otherService';

/** Whether a node may announce a group, and why not. */
export interface Verdict {
  readonly eligible: boolean;
  readonly weight: number;
  readonly refusal?: Refusal;
  /** For people. */
  readonly message: string;
}

/** What is known of a group beside what the election needs. */
export interface GroupView {
  readonly group: Group;
  readonly services: readonly Service[];
  /** By node, sorted. */
  readonly verdicts: ReadonlyMap<NodeName, Verdict>;
  /** Interfaces that a node is to use; `undefined`: every one. */
  interfacesOn(node: NodeName): readonly string[] | undefined;
}

/** Everything that the view is made from. */
export interface ViewSources {
  readonly services: readonly Service[];
  readonly nodes: readonly Node[];
  readonly endpoints: (key: ServiceKey) => readonly Endpoint[];
  readonly pools: readonly MetalPool[];
  readonly advertisements: readonly Advertisement[];
  readonly statuses: readonly L2Status[];
  /** What a speaker says about its node; absent: nothing yet. */
  readonly facts: (node: NodeName) => Facts | undefined;
  /** `loadBalancerClass` values that are ours; a Service without a class is, too, once it has one of our addresses. */
  readonly classes: readonly string[];
  readonly ignoreExcludeLabel: boolean;
  readonly failback: boolean;
  /** Whether an address that was never announced is looked for first. */
  readonly conflictProbe: boolean;
}

/** A node that is not Ready for want of news gets nothing as long as another one is there. */
const UNKNOWN_PENALTY = 100_000;

/** What views were made of, so that a change costs what it changes. */
export class ViewMemory {
  /** Stands for everything that is not one Service's. */
  readonly common = new Remembered<object>();
  readonly subjects = new Remembered<Subject>();
  readonly groups = new Remembered<GroupView>();

  endRound(): void {
    for (const kind of [this.common, this.subjects, this.groups]) kind.endRound();
  }
}

/**
 * The groups of addresses that are to be announced, sorted by key. With the memory of the last view, groups are the same
 * objects as there where nothing that they are made of changed; objects are compared by identity.
 */
export function viewOf(sources: ViewSources, memory = new ViewMemory()): ReadonlyMap<string, GroupView> {
  const statuses = Map.groupBy(sources.statuses, ({ service }) => service);
  const common = memory.common.of('', commonParts(sources), () => ({}));
  const subjects = sources.services
    .map((service) => {
      const key = keyOf(service);
      const own: Own = { service, written: statuses.get(key) ?? [], endpoints: sources.endpoints(key) };
      const parts = [common, service, ...own.written, ...own.endpoints];
      return memory.subjects.of(key, parts, () => subjectOf(own, sources));
    })
    .filter((subject) => subject.addresses.length > 0)
    .toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const views = joined(subjects).map((members) =>
    memory.groups.of(members.map(({ key }) => key).join(), members, () => groupView(members, sources)),
  );
  memory.endRound();
  return new Map(
    views.toSorted((a, b) => (a.group.key < b.group.key ? -1 : 1)).map((view) => [view.group.key, view]),
  );
}

function commonParts(sources: ViewSources): readonly unknown[] {
  const { nodes, facts, pools, advertisements, classes } = sources;
  const { ignoreExcludeLabel, failback, conflictProbe } = sources;
  const settings = [ignoreExcludeLabel, failback, conflictProbe];
  return [pools, advertisements, ...settings, ...classes, ...nodes, ...nodes.map(({ name }) => facts(name))];
}

/** What is one Service's own. */
interface Own {
  readonly service: Service;
  /** What speakers wrote about it. */
  readonly written: readonly L2Status[];
  readonly endpoints: readonly Endpoint[];
}

/** A Service with what it has to do with announcing. */
interface Subject extends Own {
  readonly key: ServiceKey;
  readonly addresses: readonly IpAddress[];
  /** Those that are for its pools and for it. */
  readonly ads: readonly Advertisement[];
}

function subjectOf(own: Own, sources: ViewSources): Subject {
  const { service, written } = own;
  const addresses = ours(service, sources, written);
  const pools = sources.pools.filter(({ pool }) => addresses.some((address) => poolHas(pool, address)));
  // An address in use whose pool was taken away stays in use; which advertisement was for it is not known any more.
  const outside = addresses.length > 0 && pools.length === 0;
  const ads = sources.advertisements.filter(
    (ad) =>
      (outside || pools.some((pool) => advertises(ad, pool))) &&
      selectedByAny(asSelectors(ad.serviceSelectors), service.labels),
  );
  const endpoints = own.endpoints.filter(({ serving }) => serving);
  return { key: keyOf(service), service, written, addresses, ads, endpoints };
}

/**
 * The addresses of the Service that are from our pools, or that one of us announces already, sorted. Those of other
 * providers' Services are none of ours.
 */
function ours(
  service: Service,
  { pools, classes }: ViewSources,
  written: readonly L2Status[],
): readonly IpAddress[] {
  const { type, loadBalancerClass } = service;
  if (type !== 'LoadBalancer') return [];
  if (loadBalancerClass !== undefined && !classes.includes(loadBalancerClass)) return [];
  const claimed = written.flatMap(({ claim }) => claim?.addresses ?? []);
  const addresses = statusAddresses(service, parseIp).filter(
    (address) =>
      claimed.includes(address) ||
      pools.some(({ pool }) => pool.ranges.some((range) => rangeHas(range, address))),
  );
  return [...new Set(addresses)].toSorted(compareAddresses);
}

/** IPv4 before IPv6, so that the key of a group stays when it gets a second family. */
function compareAddresses(a: IpAddress, b: IpAddress): number {
  const family = familyOf(a).localeCompare(familyOf(b));
  return family === 0 ? Number(a > b) - Number(a < b) : family;
}

/** Services that have an address in common, directly or through others, belong together. */
function joined(subjects: readonly Subject[]): readonly (readonly Subject[])[] {
  const groupOf = new Map<IpAddress, Subject[]>();
  for (const subject of subjects) {
    const met = new Set(subject.addresses.flatMap((address) => [groupOf.get(address) ?? []]));
    const merged = [...met].flat();
    merged.push(subject);
    for (const address of merged.flatMap(({ addresses }) => addresses)) groupOf.set(address, merged);
  }
  return [...new Set(groupOf.values())];
}

function groupView(members: readonly Subject[], sources: ViewSources): GroupView {
  const addresses = [...new Set(members.flatMap((member) => member.addresses))].toSorted(compareAddresses);
  const sorted = members.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const verdicts = verdictsOf(sorted, sources);
  const eligible = new Map(
    [...verdicts].filter(([, verdict]) => verdict.eligible).map(([node, { weight }]) => [node, weight]),
  );
  const written = sorted.flatMap((member) => member.written);
  const former = written.filter(({ conflict }) => conflict === undefined).toSorted(byEpoch)[0]?.node;
  const group: Group = {
    key: addresses[0] ?? '',
    addresses,
    eligible,
    epoch: Math.max(0, ...written.map(({ claim }) => claim?.epoch ?? 0)),
    known: sources.conflictProbe ? knownOf(sorted) : new Set(addresses),
    failback: sources.failback,
    ...(former === undefined ? {} : { former }),
  };
  const labels = new Map(sources.nodes.map((node) => [node.name, node.labels]));
  return {
    group,
    services: sorted.map(({ service }) => service),
    verdicts,
    interfacesOn: (node) => interfacesFor(sorted, labels.get(node) ?? {}),
  };
}

function byEpoch(a: L2Status, b: L2Status): number {
  return (b.claim?.epoch ?? 0) - (a.claim?.epoch ?? 0) || (a.node < b.node ? -1 : 1);
}

/** Addresses that are written down as announced. An object of another speaker is about all of its Service's. */
function knownOf(members: readonly Subject[]): ReadonlySet<IpAddress> {
  return new Set(
    members.flatMap(({ written, addresses }) =>
      written
        .filter(({ conflict }) => conflict === undefined)
        .flatMap(({ claim }) => claim?.addresses ?? addresses),
    ),
  );
}

/**
 * The verdict on each node. A node must do for every Service of the group that can be served at all; where no node
 * does, one that serves some of them is better than none. Nodes that are not Ready come in when no other is left.
 */
function verdictsOf(members: readonly Subject[], sources: ViewSources): ReadonlyMap<NodeName, Verdict> {
  const active = members.filter(({ endpoints, ads }) => endpoints.length > 0 && ads.length > 0);
  const judged = active.length > 0 ? active : members;
  const each = sources.nodes
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((node) => ({
      node: node.name,
      verdicts: judged.map((member) => verdictOn(node, member, sources)),
    }));
  const strict = new Map(each.map(({ node, verdicts }) => [node, all(verdicts)]));
  if (hasEligible(strict)) return strict;
  const lenient = new Map(each.map(({ node, verdicts }) => [node, some(verdicts)]));
  if (hasEligible(lenient)) return lenient;
  return new Map([...strict].map(([node, verdict]) => [node, withoutReadiness(verdict)]));
}

function hasEligible(verdicts: ReadonlyMap<NodeName, Verdict>): boolean {
  return [...verdicts.values()].some(({ eligible }) => eligible);
}

function all(verdicts: readonly Verdict[]): Verdict {
  const refused = verdicts.find(({ eligible }) => !eligible);
  const weight = verdicts.reduce((sum, verdict) => sum + verdict.weight, 0);
  return refused ?? { eligible: true, weight, message: 'eligible' };
}

function some(verdicts: readonly Verdict[]): Verdict {
  const accepted = verdicts.filter(({ eligible }) => eligible);
  return accepted.length === 0 ? all(verdicts) : all(accepted);
}

/** If none is Ready, being Ready is no criterion. */
function withoutReadiness(verdict: Verdict): Verdict {
  if (verdict.refusal !== 'notReady') return verdict;
  return {
    eligible: true,
    weight: verdict.weight,
    message: 'eligible: not Ready, but neither is any other node',
  };
}

function verdictOn(node: Node, subject: Subject, sources: ViewSources): Verdict {
  const ads = subject.ads.filter((ad) => selectedByAny(asSelectors(ad.nodeSelectors), node.labels));
  const refused = refusalOf(node, { subject, ads, sources });
  const weight = ads.reduce((sum, ad) => sum + weightOf(ad, node), 0);
  if (refused !== undefined) return { eligible: false, weight, ...refused };
  if (node.ready === 'Unknown')
    return { eligible: true, weight: weight - UNKNOWN_PENALTY, message: 'eligible, if no Ready node is' };
  const message = weight > 0 ? `eligible, preferred with weight ${weight}` : 'eligible';
  return { eligible: true, weight, message };
}

/** Weights of preferences count in advertisements that apply, each once. */
function weightOf(ad: Advertisement, { labels }: Node): number {
  return ad.preferredNodeSelectors
    .filter(({ preference }) => selects(preference as LabelSelector, labels))
    .reduce((sum, { weight }) => sum + weight, 0);
}

interface Judged {
  readonly subject: Subject;
  /** Advertisements that select the node. */
  readonly ads: readonly Advertisement[];
  readonly sources: ViewSources;
}

type Refused = Required<Pick<Verdict, 'refusal' | 'message'>>;

function refusalOf(node: Node, judged: Judged): Refused | undefined {
  const { subject, ads } = judged;
  const name = keyOf(subject.service);
  if (subject.ads.length === 0) {
    const message = `no L2Advertisement is for a pool of ${name} and selects it`;
    return { refusal: 'noMatchingAdvertisement', message };
  }
  if (subject.endpoints.length === 0)
    return { refusal: 'noServingEndpoint', message: `${name} has no serving endpoint` };
  if (ads.length === 0)
    return { refusal: 'nodeNotSelected', message: 'no nodeSelectors of an L2Advertisement match it' };
  return refusalOfNode(node, judged) ?? localRefusal(node, subject) ?? interfaceRefusal(node, judged);
}

function refusalOfNode(node: Node, { sources }: Judged): Refused | undefined {
  const label = node.labels[LABEL_EXCLUDE_NODE];
  if (label !== undefined && label !== 'false' && !sources.ignoreExcludeLabel)
    return {
      refusal: 'excludedByLabel',
      message: `it has the label ${LABEL_EXCLUDE_NODE} (see --ignore-exclude-lb)`,
    };
  if (node.deleting) return { refusal: 'deleting', message: 'its Node is being deleted' };
  if (node.networkUnavailable)
    return { refusal: 'networkUnavailable', message: 'its condition NetworkUnavailable is True' };
  if (node.ready === 'False') return { refusal: 'notReady', message: 'its condition Ready is False' };
  return undefined;
}

function localRefusal(node: Node, { service, endpoints }: Subject): Refused | undefined {
  if (service.externalTrafficPolicy !== 'Local') return undefined;
  if (endpoints.some((endpoint) => endpoint.node === node.name)) return undefined;
  const message = `${keyOf(service)} has externalTrafficPolicy Local and no serving endpoint there`;
  return { refusal: 'noLocalEndpoint', message };
}

/** Every family of the Service's addresses needs an interface that can announce it. */
function interfaceRefusal(node: Node, { subject, ads, sources }: Judged): Refused | undefined {
  const facts = sources.facts(node.name);
  if (facts === undefined) return undefined;
  const allowed = listed(ads);
  const usable = facts.interfaces.filter(({ name }) => allowed === undefined || allowed.includes(name));
  const missing = subject.addresses.find(
    (address) => !usable.some(({ arp, ndp }) => (familyOf(address) === 'IPv4' ? arp : ndp)),
  );
  if (missing === undefined) return undefined;
  const which =
    allowed === undefined ? 'it has no interface' : `none of its interfaces ${allowed.join(', ')}`;
  return { refusal: 'noInterface', message: `${which} that can announce ${missing}` };
}

/** Interfaces that advertisements name; `undefined` when one of them names none. */
function listed(ads: readonly Advertisement[]): readonly string[] | undefined {
  if (ads.some(({ interfaces }) => interfaces.length === 0)) return undefined;
  return [...new Set(ads.flatMap(({ interfaces }) => interfaces))].toSorted();
}

function interfacesFor(
  members: readonly Subject[],
  labels: Readonly<Record<string, string>>,
): readonly string[] | undefined {
  const ads = members.flatMap((member) =>
    member.ads.filter((ad) => selectedByAny(asSelectors(ad.nodeSelectors), labels)),
  );
  return listed(ads);
}
