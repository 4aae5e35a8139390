/** Checks of the speakers: whether every node has one, and whether they hear each other. Pure but for `askSpeakers`. */
import type { DoctorCheck, DoctorHost } from '@berth/core';
import type { L2Status } from '../speaker/l2-status.ts';
import type { SpeakerReport } from '../speaker/report.ts';
import type { NodeReport } from './node.ts';

/** More than this is no delay of an answer, in milliseconds. */
const SKEW_MS = 5_000;

/** What one speaker said. */
export interface SpeakerAnswer {
  readonly report: Pick<SpeakerReport, 'node' | 'isolated' | 'connected' | 'ready' | 'peers'>;
  /** Absent: it is of a version that does not answer this. */
  readonly doctor?: NodeReport;
  /** When its answer came, by the clock of this machine, in milliseconds since the epoch. */
  readonly atMs: number;
}

/** What is known of the speakers. */
export interface SpeakerScene {
  /** Nodes that are Ready. */
  readonly nodes: readonly string[];
  readonly answers: readonly SpeakerAnswer[];
  /** Why none answered, where none did. */
  readonly why: string;
  /** Nodes with a running pod of the DaemonSet; `undefined` when there is no such pod or none may be read. */
  readonly pods: ReadonlySet<string> | undefined;
}

/** Asks the speakers that say where they are reached. */
export async function askSpeakers(
  host: Pick<DoctorHost, 'ask' | 'now' | 'signal'>,
  statuses: readonly L2Status[],
): Promise<Pick<SpeakerScene, 'answers' | 'why'>> {
  const places = new Map<string, Set<string>>();
  for (const { node, claim } of statuses)
    if (claim?.endpoint !== undefined) places.set(node, (places.get(node) ?? new Set()).add(claim.endpoint));
  if (places.size === 0) return { answers: [], why: 'no speaker says where it is reached' };
  const asked = [...places].flatMap(([node, endpoints]) =>
    [...endpoints].map((endpoint) => askOne(host, node, endpoint)),
  );
  const settled = await Promise.allSettled(asked);
  host.signal.throwIfAborted();
  const answers = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const once = new Map(answers.map((answer) => [answer.report.node, answer]));
  return { answers: [...once.values()], why: 'none was reached from here' };
}

async function askOne(
  { ask, now }: Pick<DoctorHost, 'ask' | 'now'>,
  node: string,
  endpoint: string,
): Promise<SpeakerAnswer> {
  const report = (await ask(endpoint, 'announcements')) as Partial<SpeakerReport>;
  // A loopback address is another machine's, too.
  if (report.node !== node || !Array.isArray(report.peers))
    throw new Error(`there is no speaker of ${node} at ${endpoint}`);
  const doctor = (await ask(endpoint, 'doctor').catch(() => undefined)) as NodeReport | undefined;
  const known = doctor?.node === node && Array.isArray(doctor.checks) ? { doctor } : {};
  return { report: report as SpeakerReport, ...known, atMs: now() };
}

/** Everything about the speakers, and what each said of its own node. */
export function speakerChecks(scene: SpeakerScene): readonly DoctorCheck[] {
  return [
    ...coverage(scene),
    ...deafness(scene),
    ...scene.answers.flatMap((answer) => [
      ...states(answer),
      ...clocks(answer),
      ...(answer.doctor?.checks ?? []),
    ]),
  ];
}

/** Whether each Ready node has a speaker that is heard, or at least its pod. */
function coverage({ nodes, answers, why, pods }: SpeakerScene): readonly DoctorCheck[] {
  const check = 'speaker';
  if (answers.length === 0 && pods === undefined) {
    const message = `whether the nodes have speakers is not known: ${why}, and no pod of theirs is seen`;
    const remedy = 'Run berth doctor on a node with an announced address';
    return [{ check, outcome: 'skipped', message, remedy }];
  }
  const heard = new Set(
    answers.flatMap(({ report }) => [
      report.node,
      ...report.peers.filter(({ state }) => state === 'live').map(({ node }) => node),
    ]),
  );
  return nodes.map((node): DoctorCheck => {
    if (heard.has(node)) return { check, subject: node, outcome: 'ok', message: 'its speaker is heard' };
    if (answers.length === 0 && pods?.has(node) === true)
      return { check, subject: node, outcome: 'ok', message: 'its pod runs; what it hears was not asked' };
    const remedy =
      pods?.has(node) === true
        ? 'Its pod runs: see its log, and that UDP port 7947 passes between the nodes'
        : 'Start a speaker there: see the DaemonSet berth-speaker, its nodeSelector and its tolerations';
    const message = 'the node is Ready and no speaker is heard from it: it takes no address over';
    return { check, subject: node, outcome: 'failed', message, remedy };
  });
}

/** Speakers that are there and are not heard by another one: each may count the other as gone. */
function deafness({ answers }: SpeakerScene): readonly DoctorCheck[] {
  const live = new Set(
    answers.flatMap(({ report }) => [
      report.node,
      ...report.peers.filter(({ state }) => state === 'live').map(({ node }) => node),
    ]),
  );
  return answers.flatMap(({ report }) =>
    report.peers
      .filter(({ node, state }) => state === 'gone' && live.has(node))
      .map(({ node }) => ({
        check: 'peers',
        subject: `${report.node},${node}`,
        outcome: 'failed',
        message: `${report.node} does not hear ${node}, which others hear or which answers itself`,
        remedy: 'Let UDP port 7947 pass between the InternalIPs of the two nodes, both ways',
      })),
  );
}

function states({ report }: SpeakerAnswer): readonly DoctorCheck[] {
  const check = 'speaker-state';
  const subject = report.node;
  if (report.isolated) {
    const message =
      'it hears half or fewer of the speakers that it knows, so it may be the one that is cut off';
    const remedy = 'See the network of the node, and that UDP port 7947 passes between the nodes';
    return [{ check, subject, outcome: 'failed', message, remedy }];
  }
  if (!report.connected) {
    const message = 'it has no connection to the API server; what it announces stays as it is';
    return [
      { check, subject, outcome: 'warning', message, remedy: 'See its log for the error of the API server' },
    ];
  }
  if (!report.ready)
    return [
      { check, subject, outcome: 'warning', message: 'it does not take part yet', remedy: 'See its log' },
    ];
  return [{ check, subject, outcome: 'ok', message: 'it takes part' }];
}

function clocks({ report, doctor, atMs }: SpeakerAnswer): readonly DoctorCheck[] {
  const now = Date.parse(doctor?.now ?? '');
  if (Number.isNaN(now)) return [];
  const check = 'node-clock';
  const off = now - atMs;
  if (Math.abs(off) <= SKEW_MS)
    return [
      { check, subject: report.node, outcome: 'ok', message: 'it agrees with this machine on the time' },
    ];
  const seconds = Math.round(Math.abs(off) / 1_000);
  return [
    {
      check,
      subject: report.node,
      outcome: 'warning',
      message: `its clock is ${seconds} s ${off > 0 ? 'ahead of' : 'behind'} this machine's`,
      remedy: 'Let both be set by NTP; the election is by monotonic clocks and is not harmed',
    },
  ];
}
