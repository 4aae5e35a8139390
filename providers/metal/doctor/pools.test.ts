import { describe, expect, it } from 'vitest';
import { parseIp, type DoctorCheck, type IpAddress } from '@berth/core';
import { configSchema } from '../config.ts';
import { advertisementsOf, poolsOf } from '../objects.ts';
import { poolChecks } from './pools.ts';

const ALL = [{ name: 'all' }];

function checks(
  pools: readonly object[],
  { advertisements = ALL, used = [] }: { advertisements?: readonly object[]; used?: readonly string[] } = {},
): readonly DoctorCheck[] {
  const config = configSchema.parse({ pools, advertisements });
  const found = poolsOf({ config, objects: [], namespaces: new Map() });
  return poolChecks({
    pools: found.pools,
    advertisements: advertisementsOf(config, []).advertisements,
    problems: found.problems,
    used: used.map((ip, index) => ({ address: parseIp(ip) as IpAddress, key: `default/s${index}` })),
  });
}

/** What is said, without the words. */
function brief(found: readonly DoctorCheck[]): readonly string[] {
  return found.map(({ check, subject = '-', outcome }) => `${outcome} ${check} ${subject}`);
}

describe('pools', () => {
  it('that do not overlap, are advertised and have room are in order', () => {
    const pools = [
      { name: 'a', addresses: ['192.0.2.0/29', '2001:db8::/120'] },
      { name: 'b', addresses: ['192.0.2.8-192.0.2.9'] },
    ];
    expect(brief(checks(pools))).toEqual(['ok pools -']);
  });

  it('that overlap are named in one order, with what both have', () => {
    const a = { name: 'a', addresses: ['192.0.2.0/28'] };
    const b = { name: 'b', addresses: ['192.0.2.12-192.0.2.20'] };
    for (const pools of [
      [a, b],
      [b, a],
    ]) {
      const found = checks(pools);
      expect(brief(found)).toEqual(['failed overlap a,b']);
      expect(found[0]?.message).toContain('192.0.2.12-192.0.2.15');
    }
  });

  it('of different families do not overlap, whatever their numbers', () => {
    const pools = [
      { name: 'a', addresses: ['0.0.0.16-0.0.0.31'] },
      { name: 'b', addresses: ['::10-::1f'] },
    ];
    expect(brief(checks(pools))).toEqual(['ok pools -']);
  });

  it('that no advertisement is for are told of', () => {
    const pools = [
      { name: 'a', addresses: ['192.0.2.1'] },
      { name: 'b', addresses: ['192.0.2.2'] },
    ];
    expect(brief(checks(pools, { advertisements: [{ name: 'one', ipAddressPools: ['a'] }] }))).toEqual([
      'failed advertised b',
    ]);
  });

  it('that an advertisement names and that do not exist are told of', () => {
    const advertisements = [{ name: 'one', ipAddressPools: ['a', 'gone'] }];
    const found = checks([{ name: 'a', addresses: ['192.0.2.1'] }], { advertisements });
    expect(brief(found)).toEqual(['warning advertisement one']);
    expect(found[0]?.message).toContain('gone');
  });

  it('that cannot be understood are told of, with what is wrong', () => {
    const found = checks([{ name: 'a', addresses: ['192.0.2.300/24'] }]);
    expect(brief(found)).toEqual(['failed pools providers.metal.config.pools a', 'failed pools -']);
    expect(found[0]?.message).toContain('"192.0.2.300/24"');
  });

  it('of which every address is in use are told of; a shared address counts once', () => {
    const pools = [{ name: 'a', addresses: ['192.0.2.1-192.0.2.2'] }];
    expect(brief(checks(pools, { used: ['192.0.2.1', '192.0.2.1'] }))).toEqual(['ok pools -']);
    expect(brief(checks(pools, { used: ['192.0.2.1', '192.0.2.2'] }))).toEqual(['warning exhausted a']);
  });

  it('must be there', () => {
    expect(brief(checks([]))).toEqual(['failed pools -']);
  });
});
