import { describe, expect, it } from 'vitest';
import type { DoctorCheck } from '@berth/core';
import type { Mac, WireInterface } from '../wire/types.ts';
import { nodeChecks } from './node.ts';

const address = { ip: '192.0.2.1', prefixLength: 24 } as WireInterface['addresses'][0];

function link(name: string, more: Partial<WireInterface> = {}): WireInterface {
  const usable = more.unusable === undefined;
  return {
    index: 1,
    name,
    mac: '02:00:00:00:00:01' as Mac,
    arp: usable,
    ndp: usable,
    addresses: [],
    ...more,
  };
}

/** The checks of a node; files by path, `net.ipv4.conf` by `IF/SETTING`. */
function checks(
  interfaces: readonly WireInterface[],
  files: Readonly<Record<string, string>> = {},
): readonly DoctorCheck[] {
  const conf = '/proc/sys/net/ipv4/conf/';
  const all: Readonly<Record<string, string>> = {
    '/proc/self/status': 'CapEff:\t0000000000002000\n',
    ...files,
  };
  const file = (path: string): string | undefined =>
    all[path.startsWith(conf) ? path.slice(conf.length) : path];
  return nodeChecks('node-1', { interfaces: () => interfaces, file });
}

function outcome(found: readonly DoctorCheck[], check: string): string | undefined {
  return found.find((one) => one.check === check)?.outcome;
}

const eth0 = link('eth0', { addresses: [address] });

describe('the interfaces of a node', () => {
  it.each([
    ['used', eth0, 'ok', 'used for ARP and NDP'],
    ['without IPv6', link('eth0', { ndp: false }), 'ok', 'no IPv6 link-local'],
    ['a slave', link('eth0', { unusable: 'slave' }), 'skipped', 'bridge or bond'],
    ['unplugged and without address', link('eth0', { unusable: 'noCarrier' }), 'skipped', 'no carrier'],
    ['unplugged', link('eth0', { unusable: 'noCarrier', addresses: [address] }), 'warning', 'no carrier'],
    [
      'an excluded one',
      link('cni0', { unusable: 'excluded', addresses: [address] }),
      'skipped',
      '--exclude-interface',
    ],
  ])('%s', (...[, one, expected, words]) => {
    const found = checks([one]).find(({ check }) => check === 'interface');
    expect(found).toMatchObject({ subject: `node-1/${one.name}`, outcome: expected });
    expect(found?.message).toContain(words);
  });

  it('are not enough when none can be used', () => {
    expect(outcome(checks([link('lo', { unusable: 'loopback' })]), 'interfaces')).toBe('failed');
    expect(outcome(checks([eth0]), 'interfaces')).toBeUndefined();
  });

  it('that cannot be listed leave the rest to be looked at', () => {
    const found = nodeChecks('node-1', {
      interfaces: () => {
        throw new Error('netlink');
      },
      file: () => 'CapEff:\t0000000000000000\n',
    });
    expect(found.map(({ check, outcome: came }) => [check, came])).toEqual([
      ['interfaces', 'skipped'],
      ['cap-net-raw', 'failed'],
    ]);
  });
});

describe('the kernel of a node', () => {
  it.each([
    ['0000000000002000', 'ok'],
    ['000001ffffffffff', 'ok'],
    ['0000000000001000', 'failed'],
    ['0000000000000000', 'failed'],
  ])('CAP_NET_RAW in %s: %s', (set, expected) => {
    expect(outcome(checks([eth0], { '/proc/self/status': `CapEff:\t${set}\n` }), 'cap-net-raw')).toBe(
      expected,
    );
  });

  it.each([
    ['strict with one way in', [eth0], { 'all/rp_filter': '1\n' }, 'ok'],
    ['strict with two ways in', [eth0, link('eth1')], { 'all/rp_filter': '1\n' }, 'warning'],
    ['strict on one of two', [eth0, link('eth1')], { 'eth1/rp_filter': '1\n' }, 'warning'],
    [
      'loose by the larger of the two',
      [eth0, link('eth1')],
      { 'all/rp_filter': '1', 'eth0/rp_filter': '2', 'eth1/rp_filter': '2' },
      'ok',
    ],
    ['off', [eth0, link('eth1')], {}, 'ok'],
  ])('rp_filter: %s', (...[, interfaces, files, expected]) => {
    expect(outcome(checks(interfaces, files as Record<string, string>), 'rp-filter')).toBe(expected);
  });

  const ipvs = link('kube-ipvs0', { unusable: 'excluded' });
  it.each([
    ['no IPVS', [eth0], {}, 'ok'],
    ['IPVS, and nothing set', [eth0, ipvs], {}, 'failed'],
    ['IPVS, and only half set', [eth0, ipvs], { 'all/arp_ignore': '1' }, 'failed'],
    ['IPVS with both', [eth0, ipvs], { 'all/arp_ignore': '1', 'all/arp_announce': '2' }, 'ok'],
  ])('arp_ignore and arp_announce: %s', (...[, interfaces, files, expected]) => {
    expect(outcome(checks(interfaces, files as Record<string, string>), 'arp-sysctl')).toBe(expected);
  });

  const udp = '  sl  local_address rem_address\n  12: 0100007F:1F0B 00000000:0000 07\n';
  const other = '  sl  local_address rem_address\n  12: 0100007F:1F0C 00000000:1F0B 07\n';
  const unix = 'Num RefCount\n0000: 00000002 0 0 0002 01 1234 @berth-speaker/ab/7947\n';
  it.each([
    ['free', {}, 'ok'],
    ['another port in use', { '/proc/net/udp': other }, 'ok'],
    ['the speaker has it', { '/proc/net/udp': udp, '/proc/net/unix': unix }, 'ok'],
    ['the speaker has it on IPv6', { '/proc/net/udp6': udp, '/proc/net/unix': unix }, 'ok'],
    ['a stranger has it', { '/proc/net/udp': udp }, 'failed'],
    ['the speaker has another', { '/proc/net/unix': unix }, 'skipped'],
  ])('the port of the heartbeats: %s', (_what, files, expected) => {
    expect(outcome(checks([eth0], files as Record<string, string>), 'heartbeat-port')).toBe(expected);
  });
});
