import { describe, expect, it } from 'vitest';
import { aPool, ip } from '../../test/builders.ts';
import { familyOf, ipToNumber, type IpFamily } from '../model/address.ts';
import type { AddressPool, Holder } from '../model/pool.ts';
import { QUARANTINE, type Held } from './ledger.ts';
import { available, ENDLESS, poolUsage } from './pool-usage.ts';

const NOBODY: Held = { IPv4: new Map(), IPv6: new Map() };

function named(name: string, ranges: readonly string[], extra: Partial<AddressPool> = {}): AddressPool {
  return { ...aPool(...ranges), name, ...extra };
}

/** `192.0.2.1` to the Services that hold it. */
function held(holders: Readonly<Record<string, readonly string[]>>): Held {
  const found: Record<IpFamily, Map<bigint, readonly Holder[]>> = { IPv4: new Map(), IPv6: new Map() };
  for (const [address, keys] of Object.entries(holders))
    found[familyOf(ip(address))].set(
      ipToNumber(ip(address)),
      keys.map((key) => ({ key })),
    );
  return found;
}

describe('B73 how full a pool is', () => {
  it.each([
    ['a CIDR', ['192.0.2.0/24'], {}, 256n, 0n],
    ['a range', ['192.0.2.9-192.0.2.11'], {}, 3n, 0n],
    ['both families', ['192.0.2.0/30', '2001:db8::/126', '2001:db8:1::1'], {}, 4n, 5n],
    ['a CIDR without .0 and .255', ['10.0.0.0/22'], { avoidBuggyIPs: true }, 1024n - 8n, 0n],
    ['a range across .255 and .0', ['10.0.0.250-10.0.1.5'], { avoidBuggyIPs: true }, 10n, 0n],
    ['a range with neither', ['10.0.0.1-10.0.0.254'], { avoidBuggyIPs: true }, 254n, 0n],
    ['the very first addresses', ['0.0.0.0/31'], { avoidBuggyIPs: true }, 1n, 0n],
    ['IPv6, where .0 confuses nobody', ['2001:db8::/120'], { avoidBuggyIPs: true }, 0n, 256n],
    ['a large IPv6 CIDR', ['2001:db8::/67'], {}, 0n, 2n ** 61n],
    ['one of 2^62 addresses', ['2001:db8::/66'], {}, 0n, ENDLESS],
    ['many large ones', ['::/67', '1::/67', '2::/67', '3::/67', '4::/67'], {}, 0n, ENDLESS],
  ] as const)('%s is counted', (...[, ranges, extra, IPv4, IPv6]) => {
    const [usage] = poolUsage([named('a', ranges, extra)], NOBODY);
    expect(usage).toEqual({
      pool: 'a',
      IPv4: { total: IPv4, inUse: 0 },
      IPv6: { total: IPv6, inUse: 0 },
      services: 0,
    });
  });

  it('a shared address counts once, its Services each; a dual-stack Service once', () => {
    const pools = [named('a', ['192.0.2.0/29', '2001:db8::/126'])];
    const [usage] = poolUsage(
      pools,
      held({ '192.0.2.1': ['x/a', 'x/b'], '192.0.2.2': ['x/c'], '2001:db8::1': ['x/c'] }),
    );
    expect(usage).toMatchObject({ IPv4: { inUse: 2 }, IPv6: { inUse: 1 }, services: 3 });
    expect([available(usage!.IPv4), available(usage!.IPv6)]).toEqual([6n, 3n]);
  });

  it('an address of no pool counts to none, one that two pools have to the first', () => {
    const pools = [named('a', ['192.0.2.0/30']), named('b', ['192.0.2.0/29'])];
    const found = poolUsage(pools, held({ '192.0.2.1': ['x/a'], '203.0.113.1': ['x/b'] }));
    expect(found.map(({ pool, IPv4 }) => [pool, IPv4.inUse])).toEqual([
      ['a', 1],
      ['b', 0],
    ]);
  });

  it('an address that nobody gets for now is no Service’s', () => {
    const [usage] = poolUsage([named('a', ['192.0.2.0/30'])], held({ '192.0.2.1': [QUARANTINE.key] }));
    expect(usage).toMatchObject({ IPv4: { inUse: 0 }, services: 0 });
  });

  it('what never runs out stays endless', () => {
    expect(available({ total: ENDLESS, inUse: 7 })).toBe(ENDLESS);
  });
});
