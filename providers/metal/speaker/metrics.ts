/** `/metrics` of a speaker in the Prometheus text format: the incumbent's names where they mean the same, and ours. */
import type { AddressStats, WireStats } from '../wire/types.ts';

/** One series. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What a speaker counts by itself. */
export interface SpeakerCounts {
  readonly announced: readonly Sample[];
  readonly peers: readonly Sample[];
  readonly isolated: boolean;
  readonly takeovers: number;
  readonly conflicts: number;
  readonly duplicates: number;
  readonly connected: boolean;
}

/** The text of both. */
export function metricsText(counts: SpeakerCounts, stats: WireStats | undefined): string {
  const own: readonly Family[] = [
    [
      'metallb_speaker_announced',
      'gauge',
      'Addresses that this node answers for, by Service.',
      counts.announced,
    ],
    [
      'metallb_k8s_client_config_loaded_bool',
      'gauge',
      'Whether the objects of the cluster were read.',
      one(1),
    ],
    [
      'metallb_k8s_client_config_stale_bool',
      'gauge',
      'Whether the API server is out of reach.',
      one(Number(!counts.connected)),
    ],
    ['berth_speaker_peers', 'gauge', 'Other speakers, by state.', counts.peers],
    [
      'berth_speaker_isolated',
      'gauge',
      'Whether half or fewer of the members are heard.',
      one(Number(counts.isolated)),
    ],
    [
      'berth_speaker_takeovers_total',
      'counter',
      'Addresses that this node began to answer for.',
      one(counts.takeovers),
    ],
    ['berth_speaker_conflicts_total', 'counter', 'Strangers found by probes.', one(counts.conflicts)],
    [
      'berth_speaker_duplicates_total',
      'counter',
      'Times that somebody else acted as the holder of an announced address.',
      one(counts.duplicates),
    ],
  ];
  return [...own, ...(stats === undefined ? [] : wireFamilies(stats))].map(familyText).join('');
}

type Family = readonly [name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]];

function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }];
}

function wireFamilies(stats: WireStats): readonly Family[] {
  const rejected = Object.entries(stats.rejected).map(([reason, value]) => ({ labels: { reason }, value }));
  return [
    ...BY_ADDRESS.map(([name, field, help]): Family => {
      const samples = [...stats.addresses].map(([ip, of]) => ({ labels: { ip }, value: of[field] }));
      return [name, 'counter', help, samples];
    }),
    ...COUNTERS.map(([name, field, help]): Family => [name, 'counter', help, one(stats[field])]),
    ['berth_speaker_datagrams_rejected_total', 'counter', 'Datagrams thrown away, by reason.', rejected],
  ];
}

type Row<Field> = readonly [name: string, field: Field, help: string];

const BY_ADDRESS: readonly Row<keyof AddressStats>[] = [
  ['metallb_layer2_requests_received', 'requestsReceived', 'Requests for announced addresses.'],
  ['metallb_layer2_responses_sent', 'responsesSent', 'Answers to them.'],
  ['metallb_layer2_gratuitous_sent', 'gratuitousSent', 'Unasked announcements.'],
];

const COUNTERS: readonly Row<Exclude<keyof WireStats, 'addresses' | 'rejected'>>[] = [
  ['berth_speaker_frames_received_total', 'framesReceived', 'Frames that passed the kernel filter.'],
  ['berth_speaker_frames_malformed_total', 'framesMalformed', 'Of these, malformed ones.'],
  ['berth_speaker_frames_dropped_total', 'framesDropped', 'Frames that the kernel dropped.'],
  ['berth_speaker_requests_denied_total', 'requestsDenied', 'Requests for other addresses.'],
  ['berth_speaker_send_errors_total', 'sendErrors', 'Frames that could not be sent.'],
  ['berth_speaker_heartbeats_sent_total', 'heartbeatsSent', 'Heartbeats sent.'],
  ['berth_speaker_heartbeats_received_total', 'heartbeatsReceived', 'Heartbeats received.'],
  ['berth_speaker_stalls_total', 'stalls', 'Times that this process stood still.'],
];

function familyText([name, type, help, samples]: Family): string {
  const lines = samples.map(({ labels, value }) => {
    const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escaped(text)}"`);
    return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines, ''].join('\n');
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
