import { describe, expect, it } from 'vitest';
import type { IpAddress } from '@berth/core';
import type { WireStats } from '../wire/types.ts';
import { metricsText, type SpeakerCounts } from './metrics.ts';

const counts: SpeakerCounts = {
  announced: [
    { labels: { service: 'default/web', protocol: 'layer2', node: 'n1', ip: '192.0.2.1' }, value: 1 },
  ],
  peers: [{ labels: { state: 'live' }, value: 2 }],
  isolated: false,
  takeovers: 3,
  conflicts: 0,
  duplicates: 0,
  connected: true,
};

const stats = {
  addresses: new Map([
    ['192.0.2.1' as IpAddress, { requestsReceived: 7, responsesSent: 6, gratuitousSent: 10 }],
  ]),
  rejected: { 'wrong-key': 4 },
  framesReceived: 9,
  framesMalformed: 0,
  framesDropped: 0,
  requestsDenied: 0,
  sendErrors: 0,
  heartbeatsSent: 0,
  heartbeatsReceived: 0,
  stalls: 0,
} as unknown as WireStats;

describe('the metrics of a speaker', () => {
  it.each([
    'metallb_speaker_announced{service="default/web",protocol="layer2",node="n1",ip="192.0.2.1"} 1',
    'metallb_layer2_requests_received{ip="192.0.2.1"} 7',
    'metallb_layer2_responses_sent{ip="192.0.2.1"} 6',
    'metallb_layer2_gratuitous_sent{ip="192.0.2.1"} 10',
    'metallb_k8s_client_config_loaded_bool 1',
    'metallb_k8s_client_config_stale_bool 0',
    'berth_speaker_peers{state="live"} 2',
    'berth_speaker_datagrams_rejected_total{reason="wrong-key"} 4',
  ])('have %s', (line) => {
    expect(metricsText(counts, stats).split('\n')).toContain(line);
  });

  it('have a type and a help for each name, and each name once', () => {
    const lines = metricsText(counts, stats).split('\n');
    const names = new Set(lines.filter((line) => /^[a-z]/.test(line)).map((line) => line.split(/[{ ]/)[0]));
    const typed = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ')[2]);
    const helped = lines.filter((line) => line.startsWith('# HELP')).map((line) => line.split(' ')[2]);
    expect([typed.toSorted(), helped.toSorted()]).toEqual([[...names].toSorted(), [...names].toSorted()]);
  });

  it('say that the API server is out of reach, and do without the wire before it is open', () => {
    const text = metricsText({ ...counts, connected: false }, undefined);
    expect(text).toContain('metallb_k8s_client_config_stale_bool 1\n');
    expect(text).not.toContain('metallb_layer2_');
  });
});
