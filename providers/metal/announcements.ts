/**
 * Who answers for which address, as `berth status` and `berth explain` show it: the claims that the speakers wrote into
 * their ServiceL2Status objects, the verdicts on the nodes that follow from the cluster's objects, and, where a speaker
 * is reached, what it hears of the others.
 */
import {
  keyOf,
  type Announcement,
  type Announcements,
  type AnnouncementsHost,
  type AnnouncingNode,
} from '@berth/core';
import type { MetalConfig } from './config.ts';
import { ClusterWatch } from './speaker/cluster.ts';
import type { L2Status } from './speaker/l2-status.ts';
import { placeOf, type AnnouncementReport, type SpeakerReport } from './speaker/report.ts';
import type { GroupView } from './speaker/view.ts';

/** One that answers says what all hear; a second and third for the case that the first is cut off. */
const ASKED = 3;
const OBJECTS = 'the ServiceL2Status objects';

/** Finds out who answers for the addresses of the given Services. @throws BerthError when the cluster cannot be read. */
export async function announcements(config: MetalConfig, host: AnnouncementsHost): Promise<Announcements> {
  const { api, services, log } = host;
  const classes: string[] = [];
  const cluster = new ClusterWatch(api, { config, classes, ignoreExcludeLabel: false, log }, () => undefined);
  await cluster.synced();
  // Whatever class it has: that the provider serves it is known.
  for (const service of cluster.services)
    if (services.includes(keyOf(service))) classes.push(service.loadBalancerClass ?? '');
  const asked = await askSpeakers(host, cluster.statuses);
  const known = fromObjects(
    cluster.view(() => undefined),
    cluster.statuses,
  );
  const reports = 'report' in asked ? asked.report.announcements : [];
  return {
    told: 'report' in asked ? `the speaker of ${asked.report.node}` : `${OBJECTS}: ${asked.why}`,
    announcements: known
      .map((announcement) => withReport(announcement, reports))
      .filter((announcement) => announcement.services.some((key) => services.includes(key))),
  };
}

type Asked = { readonly report: SpeakerReport } | { readonly why: string };

/** What a speaker says; of several the one that hears the most others. */
async function askSpeakers(host: AnnouncementsHost, statuses: readonly L2Status[]): Promise<Asked> {
  const places = new Map<string, string>();
  for (const { node, claim } of statuses) if (claim?.endpoint !== undefined) places.set(claim.endpoint, node);
  if (places.size === 0) return { why: 'no speaker says where it is reached' };
  const answers = await Promise.allSettled(
    [...places].slice(0, ASKED).map(async ([endpoint, node]) => {
      const report = (await host.ask(endpoint, 'announcements')) as Partial<SpeakerReport>;
      // A loopback address is another machine's, too.
      if (report.node !== node || !Array.isArray(report.announcements))
        throw new Error(`there is no speaker of ${node} at ${endpoint}`);
      return report as SpeakerReport;
    }),
  );
  host.signal.throwIfAborted();
  const reports = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const [best] = reports.toSorted((a, b) => b.members - a.members);
  if (best !== undefined) return { report: best };
  const failed = answers.find((answer) => answer.status === 'rejected');
  return { why: `no speaker was reached from here (${messageOf(failed?.reason)})` };
}

/** Everything that the cluster's objects say. */
export function fromObjects(
  view: ReadonlyMap<string, GroupView>,
  statuses: readonly L2Status[],
): readonly Announcement[] {
  return [...view.values()].map(({ group, services, verdicts, interfacesOn }): Announcement => {
    const keys = services.map(keyOf);
    const written = statuses
      .filter(({ service, conflict }) => conflict === undefined && keys.includes(service))
      .toSorted((a, b) => (b.claim?.epoch ?? 0) - (a.claim?.epoch ?? 0) || (a.node < b.node ? -1 : 1))[0];
    const holder = written?.node;
    const nodes = [...verdicts].map(([node, verdict]): AnnouncingNode => {
      const [reason, message] = placeOf(verdict, { node, holder });
      return { node, holder: node === holder, reason, message };
    });
    const since = written?.claim?.since ?? written?.created;
    return {
      addresses: group.addresses,
      services: keys,
      holder,
      since: since === '' ? undefined : since,
      because: holder === undefined ? whyNobody(nodes) : (written?.claim?.because ?? ''),
      interfaces: holder === undefined ? undefined : interfacesOn(holder),
      nodes,
    };
  });
}

/** The same with what a speaker hears: who lives, and which interfaces the others have. */
function withReport(announcement: Announcement, reports: readonly AnnouncementReport[]): Announcement {
  const found = reports.find(({ addresses }) => addresses.join() === announcement.addresses.join());
  if (found === undefined) return announcement;
  const nodes = found.nodes.map(({ node, holder, reason, message }) => ({ node, holder, reason, message }));
  const { holder, since, because, interfaces } = found;
  if (holder === undefined)
    return { ...announcement, holder, since: undefined, because: whyNobody(nodes), interfaces, nodes };
  // The holder wrote down itself why it has the address; others only know that it has.
  const same = holder === announcement.holder;
  return {
    ...announcement,
    holder,
    since: since ?? (same ? announcement.since : undefined),
    because: same && announcement.because !== '' ? announcement.because : because,
    interfaces,
    nodes,
  };
}

/** One sentence for people: what all nodes have in common, or how many fail for what. */
function whyNobody(nodes: readonly AnnouncingNode[]): string {
  if (nodes.length === 0) return 'there is no node';
  const open = nodes.filter(({ reason }) => reason === 'candidate').map(({ node }) => node);
  if (open.length > 0)
    return `no speaker has taken it yet; ${open.join(', ')} may: look at the speaker there`;
  const messages = Map.groupBy(nodes, ({ message }) => message);
  return [...messages]
    .toSorted(([, a], [, b]) => b.length - a.length)
    .map(([message, those]) =>
      those.length === nodes.length ? message : `${those.map(({ node }) => node).join(', ')}: ${message}`,
    )
    .join('; ');
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause, message } = error;
  return cause instanceof Error && cause.message !== '' ? cause.message : message;
}
