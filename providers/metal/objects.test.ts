import { describe, expect, it } from 'vitest';
import { ManualClock } from '@berth/core/conformance';
import { rangeText } from '@berth/core';
import { configSchema } from './config.ts';
import { advertisementsOf, advertises, poolsOf, toObject, type KubeObject } from './objects.ts';
import { conflictOf, Quarantine, QUARANTINE_MS } from './quarantine.ts';

const config = configSchema.parse({});

function pool(name: string, spec: unknown, labels: Record<string, string> = {}): KubeObject {
  return toObject({ metadata: { name, namespace: 'metallb-system', labels }, spec });
}

function read(objects: readonly KubeObject[], namespaces: Record<string, Record<string, string>> = {}) {
  return poolsOf({ config, objects, namespaces: new Map(Object.entries(namespaces)) });
}

describe('pools', () => {
  it('reads ranges, CIDRs with host bits and both families, in the order given', () => {
    const { pools } = read([
      pool('a', { addresses: ['192.0.2.9/29', '192.0.2.20 - 192.0.2.22', '2001:db8::/126'] }),
    ]);
    expect(pools[0]?.pool.ranges.map(rangeText)).toEqual([
      '192.0.2.8-192.0.2.15',
      '192.0.2.20-192.0.2.22',
      '2001:db8::-2001:db8::3',
    ]);
    expect(pools[0]?.pool).toMatchObject({ autoAssign: true, avoidBuggyIPs: false });
    expect(pools[0]?.pool.allocation).toBeUndefined();
  });

  it.each([
    ['no addresses', {}, 'addresses'],
    ['an empty list', { addresses: [] }, 'addresses'],
    ['what is no range', { addresses: ['192.0.2.300'] }, '192.0.2.300'],
    ['a range from high to low', { addresses: ['192.0.2.9-192.0.2.1'] }, '192.0.2.9-192.0.2.1'],
    [
      'an unknown operator',
      {
        addresses: ['192.0.2.1'],
        serviceAllocation: { serviceSelectors: [{ matchExpressions: [{ key: 'a', operator: 'Near' }] }] },
      },
      'serviceAllocation',
    ],
  ])('leaves a pool with %s out, says why, and uses the others', (_what, spec, word) => {
    const { pools, problems } = read([pool('bad', spec), pool('good', { addresses: ['192.0.2.1/32'] })]);
    expect(pools.map((entry) => entry.pool.name)).toEqual(['good']);
    expect(problems).toHaveLength(1);
    expect(problems[0]?.object).toBe('IPAddressPool bad');
    expect(problems[0]?.message).toContain(word);
  });

  it('B64 turns namespaceSelectors into names, beside the namespaces that are named', () => {
    const serviceAllocation = {
      priority: 5,
      namespaces: ['named'],
      namespaceSelectors: [{ matchLabels: { team: 'shop' } }],
    };
    const { pools } = read([pool('a', { addresses: ['192.0.2.1'], serviceAllocation })], {
      named: {},
      cart: { team: 'shop' },
      other: { team: 'ops' },
    });
    expect(pools[0]?.pool.allocation).toMatchObject({ priority: 5, namespaces: ['named', 'cart'] });
  });

  it('takes the pool of the configuration file over one of the same name in the cluster', () => {
    const own = configSchema.parse({ pools: [{ name: 'a', addresses: ['198.51.100.1'] }] });
    const objects = [pool('a', { addresses: ['192.0.2.1'] })];
    const { pools } = poolsOf({ config: own, objects, namespaces: new Map() });
    expect(pools.map((entry) => entry.pool.ranges.map(rangeText))).toEqual([['198.51.100.1']]);
  });
});

describe('advertisements', () => {
  const lan = { pool: { name: 'lan', ranges: [], autoAssign: true }, labels: { zone: 'a' } };

  it.each([
    ['nothing', {}, true],
    ['its name', { ipAddressPools: ['lan'] }, true],
    ['another name', { ipAddressPools: ['wan'] }, false],
    ['its labels', { ipAddressPoolSelectors: [{ matchLabels: { zone: 'a' } }] }, true],
    ['other labels', { ipAddressPoolSelectors: [{ matchLabels: { zone: 'b' } }] }, false],
    [
      'another name but its labels',
      { ipAddressPools: ['wan'], ipAddressPoolSelectors: [{ matchLabels: { zone: 'a' } }] },
      true,
    ],
  ])('one that gives %s is for the pool: %s %s', (_what, spec, expected) => {
    const { advertisements } = advertisementsOf(config, [pool('ad', spec)]);
    expect(advertisements.map((ad) => advertises(ad, lan))).toEqual([expected]);
  });

  it('is left out with a reason when it cannot be read', () => {
    const { advertisements, problems } = advertisementsOf(config, [
      pool('ad', { preferredNodeSelectors: [{ weight: 101, preference: {} }] }),
    ]);
    expect(advertisements).toEqual([]);
    expect(problems[0]).toMatchObject({ object: 'L2Advertisement ad' });
  });
});

describe('quarantine', () => {
  it('holds an address for an hour, tells of it once, and says when it is over', async () => {
    const clock = new ManualClock();
    let released = 0;
    const quarantine = new Quarantine(clock, () => (released += 1));
    const conflict = conflictOf(
      toObject({
        metadata: {
          annotations: { 'berth.dev/conflict': '{"address":"192.0.2.1","mac":"02:00:00:00:00:01"}' },
        },
      }),
    );
    expect(conflict).toEqual({ address: '192.0.2.1', mac: '02:00:00:00:00:01' });
    expect(quarantine.take(conflict === undefined ? [] : [conflict])).toHaveLength(1);
    expect(quarantine.take(conflict === undefined ? [] : [conflict])).toHaveLength(0);
    expect(quarantine.addresses).toEqual(['192.0.2.1']);
    await clock.advance(QUARANTINE_MS - 1);
    expect([quarantine.addresses.length, released]).toEqual([1, 0]);
    await clock.advance(1);
    expect([quarantine.addresses.length, released]).toEqual([0, 1]);
  });

  it.each(['', 'no json', '{"address":5}', '{"address":"nowhere"}', 'null'])(
    'takes %j for no conflict',
    (text) => {
      expect(conflictOf({ annotations: { 'berth.dev/conflict': text } })).toBeUndefined();
    },
  );
});
