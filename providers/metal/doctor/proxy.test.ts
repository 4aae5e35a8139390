import { describe, expect, it } from 'vitest';
import { strictArpCheck } from './proxy.ts';

const yaml = (...lines: readonly string[]): string => `${lines.join('\n')}\n`;

describe('kube-proxy', () => {
  it.each([
    ['ipvs with strictARP false', yaml('ipvs:', '  strictARP: false', 'mode: ipvs')],
    ['ipvs and nothing said', yaml('mode: "ipvs"')],
    ['ipvs with an empty section', yaml('ipvs: {}', 'mode: ipvs')],
    [
      'a strictARP of another section',
      yaml('ipvs:', '  scheduler: rr', 'other:', '  strictARP: true', 'mode: ipvs'),
    ],
    ['JSON', JSON.stringify({ mode: 'ipvs', ipvs: { strictARP: false } })],
  ])('answers ARP for every Service: %s', (_what, text) => {
    expect(strictArpCheck(text)).toMatchObject({ outcome: 'failed', check: 'strict-arp' });
  });

  it.each([
    ['ipvs with strictARP', yaml('ipvs:', '  scheduler: ""', '', '  strictARP: true', 'mode: ipvs')],
    ['ipvs with strictARP on one line', yaml('mode: ipvs', 'ipvs: {strictARP: true}')],
    ['ipvs with strictARP and carriage returns', 'mode: ipvs\r\nipvs:\r\n  strictARP: true\r\n'],
    ['iptables', yaml('ipvs:', '  strictARP: false', 'mode: iptables')],
    ['nftables', yaml('mode: nftables')],
    ['no mode', yaml('mode: ""')],
    ['JSON', JSON.stringify({ mode: 'ipvs', ipvs: { strictARP: true } })],
  ])('leaves ARP to the speakers: %s', (_what, text) => {
    expect(strictArpCheck(text)).toMatchObject({ outcome: 'ok' });
  });
});
