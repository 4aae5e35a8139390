import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aPool, ip } from '../../test/builders.ts';
import { familyOf, ipFromNumber, ipToNumber, type IpAddress, type IpFamily } from '../model/address.ts';
import type { AddressPool } from '../model/pool.ts';
import type { Holder } from '../model/pool.ts';
import { assign, compareClaims, inPools, type Assignment, type Claim } from './assign.ts';
import type { Held } from './ledger.ts';

function aClaim(overrides: Partial<Claim> = {}): Claim {
  const key = overrides.key ?? 'default/web';
  return {
    key,
    uid: `uid-of-${key}`,
    createdAtMs: 1_000,
    families: ['IPv4'],
    allFamilies: false,
    requested: [],
    current: [],
    namespace: 'default',
    labels: {},
    ...overrides,
  };
}

function heldBy(entries: Readonly<Record<string, string>>): Held {
  const held: Record<IpFamily, Map<bigint, readonly Holder[]>> = { IPv4: new Map(), IPv6: new Map() };
  for (const [address, key] of Object.entries(entries))
    held[familyOf(ip(address))].set(ipToNumber(ip(address)), [{ key }]);
  return held;
}

/** The answer for one claim, with the pools and holders given. */
function answer(
  claim: Claim,
  pools: readonly AddressPool[],
  holders: Readonly<Record<string, string>> = {},
): Assignment {
  return assign([claim], pools, heldBy(holders)).get(claim.key)!;
}

const POOL = aPool('192.0.2.0/30', '2001:db8::/126');

describe('assign', () => {
  it('gives the lowest free address of the first pool by name that has one', () => {
    const pools = [
      { ...aPool('192.0.2.8/30'), name: 'b' },
      { ...aPool('192.0.2.4', '192.0.2.0/31'), name: 'a' },
    ];
    expect(answer(aClaim(), pools).addresses).toEqual(['192.0.2.4']);
    expect(answer(aClaim(), pools, { '192.0.2.4': 'other/one' }).addresses).toEqual(['192.0.2.0']);
    const full = { '192.0.2.4': 'o/1', '192.0.2.0': 'o/2', '192.0.2.1': 'o/3' };
    expect(answer(aClaim(), pools, full).addresses).toEqual(['192.0.2.8']);
  });

  it('B56 gives the address that was asked for when it is in a pool and free, also from a pool that is not automatic', () => {
    const manual = { ...POOL, autoAssign: false };
    expect(answer(aClaim({ requested: [ip('192.0.2.2')] }), [manual])).toEqual({ addresses: ['192.0.2.2'] });
    expect(answer(aClaim(), [manual]).problem?.code).toBe('NoPool');
  });

  it('refuses an address that another Service has, naming it and the remedy, and keeps what the Service has', () => {
    const claim = aClaim({ requested: [ip('192.0.2.2')], current: [ip('192.0.2.1')] });
    const { addresses, problem } = answer(claim, [POOL], {
      '192.0.2.1': claim.key,
      '192.0.2.2': 'other/one',
    });
    expect(addresses).toEqual(['192.0.2.1']);
    expect(problem).toMatchObject({ code: 'AddressInUse', message: expect.stringContaining('other/one') });
    expect(problem?.remedy).toContain('Ask for another address');
  });

  it('refuses an address that is in no pool, naming the pools', () => {
    const { addresses, problem } = answer(aClaim({ requested: [ip('198.51.100.1')] }), [POOL]);
    expect(addresses).toEqual([]);
    expect(problem).toMatchObject({
      code: 'AddressOutsidePool',
      message: expect.stringContaining('192.0.2.0-192.0.2.3'),
    });
  });

  it('B61 moves a Service to the address that is asked for anew, and the old one is free at once', () => {
    const moving = aClaim({ requested: [ip('192.0.2.3')], current: [ip('192.0.2.0')], createdAtMs: 1 });
    const waiting = aClaim({ key: 'default/waiting', createdAtMs: 2 });
    const answers = assign([waiting, moving], [POOL], heldBy({ '192.0.2.0': moving.key }));
    expect(answers.get(moving.key)?.addresses).toEqual(['192.0.2.3']);
    expect(answers.get(waiting.key)?.addresses).toEqual(['192.0.2.0']);
  });

  it('B71 B72 keeps an address whose pool was shrunk or removed', () => {
    const claim = aClaim({ current: [ip('198.51.100.1')] });
    for (const pools of [[POOL], []]) {
      expect(answer(claim, pools, { '198.51.100.1': claim.key })).toEqual({ addresses: ['198.51.100.1'] });
    }
  });

  it('an address that is kept outside the pools does not stand in the way of one that is asked for', () => {
    const claim = aClaim({
      families: ['IPv4', 'IPv6'],
      requested: [ip('198.51.100.1'), ip('2001:db8::2')],
      current: [ip('198.51.100.1')],
    });
    expect(answer(claim, [POOL], { '198.51.100.1': claim.key }).addresses).toEqual([
      '198.51.100.1',
      '2001:db8::2',
    ]);
  });

  it('does not keep an address of a family that the Service no longer has', () => {
    const claim = aClaim({ families: ['IPv6'], current: [ip('192.0.2.0')] });
    expect(answer(claim, [POOL], { '192.0.2.0': claim.key }).addresses).toEqual(['2001:db8::']);
  });

  it('does not keep an address that another Service holds', () => {
    const claim = aClaim({ current: [ip('192.0.2.0')] });
    expect(answer(claim, [POOL], { '192.0.2.0': 'other/one' }).addresses).toEqual(['192.0.2.1']);
  });

  it('B65 says PoolExhausted when every address is in use, and NoPool when no pool has the family', () => {
    const pool = aPool('192.0.2.0');
    expect(answer(aClaim(), [pool], { '192.0.2.0': 'other/one' }).problem?.code).toBe('PoolExhausted');
    expect(answer(aClaim({ families: ['IPv6'] }), [pool]).problem?.code).toBe('NoPool');
    expect(answer(aClaim(), []).problem?.code).toBe('NoPool');
  });

  describe('B66 two families', () => {
    const families: readonly IpFamily[] = ['IPv6', 'IPv4'];
    const four = { ...aPool('192.0.2.0/30'), name: 'a-four' };

    it('come from one pool, the primary first', () => {
      expect(answer(aClaim({ families }), [four, POOL]).addresses).toEqual(['2001:db8::', '192.0.2.0']);
    });

    it('when both are required: both or nothing', () => {
      const claim = aClaim({ families, allFamilies: true });
      expect(answer(claim, [four, POOL]).addresses).toHaveLength(2);
      expect(answer(claim, [four])).toMatchObject({ addresses: [], problem: { code: 'NoPool' } });
    });

    it('when both are only preferred: one is enough, and the other follows when it can', () => {
      const claim = aClaim({ families });
      expect(answer(claim, [four])).toEqual({ addresses: ['192.0.2.0'] });
      const later = { ...claim, current: [ip('192.0.2.0')] };
      const holders = { '192.0.2.0': claim.key };
      expect(answer(later, [four], holders)).toEqual({ addresses: ['192.0.2.0'] });
      expect(answer(later, [POOL], holders).addresses).toEqual(['2001:db8::', '192.0.2.0']);
    });
  });
});

/** Addresses of a small world, so that claims meet: 192.0.2.0-15 and 2001:db8::0-15; pools cover a part of it. */
const FIRST: Readonly<Record<IpFamily, bigint>> = {
  IPv4: ipToNumber(ip('192.0.2.0')),
  IPv6: ipToNumber(ip('2001:db8::')),
};
const anAddress = fc
  .tuple(fc.constantFrom<IpFamily>('IPv4', 'IPv6'), fc.integer({ min: 0, max: 15 }))
  .map(([family, offset]) => ipFromNumber(FIRST[family] + BigInt(offset), family));
const somePools = fc
  .array(
    fc.tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 3 }), fc.boolean(), fc.boolean()),
    { maxLength: 3 },
  )
  .map((specs) =>
    specs.map(([first, length, six, autoAssign], index): AddressPool => {
      const range = (family: IpFamily): AddressPool['ranges'][number] => {
        const start = FIRST[family] + BigInt(first);
        return { family, first: start, last: start + BigInt(length) };
      };
      return {
        name: `pool-${index}`,
        ranges: six ? [range('IPv4'), range('IPv6')] : [range('IPv4')],
        autoAssign,
      };
    }),
  );
const oneForEachFamily = (
  addresses: readonly IpAddress[],
  families: readonly IpFamily[],
): readonly IpAddress[] =>
  families.flatMap((family) => addresses.find((address) => familyOf(address) === family) ?? []);

interface World {
  readonly claims: readonly Claim[];
  readonly pools: readonly AddressPool[];
  readonly held: Held;
  /** Held by somebody who does not claim. */
  readonly strangers: readonly IpAddress[];
}

const aWorld: fc.Arbitrary<World> = fc
  .record({
    pools: somePools,
    strangers: fc.uniqueArray(anAddress, { maxLength: 4 }),
    wishes: fc.array(
      fc.record({
        createdAtMs: fc.integer({ min: 0, max: 2 }),
        families: fc.constantFrom<readonly IpFamily[]>(
          ['IPv4'],
          ['IPv6'],
          ['IPv4', 'IPv6'],
          ['IPv6', 'IPv4'],
        ),
        allFamilies: fc.boolean(),
        requested: fc.array(anAddress, { maxLength: 2 }),
        current: fc.array(anAddress, { maxLength: 2 }),
      }),
      { maxLength: 8 },
    ),
  })
  .map(({ pools, strangers, wishes }) => {
    const holders: Record<string, string> = Object.fromEntries(
      strangers.map((address) => [address, 'stranger/one']),
    );
    const claims = wishes.map(({ requested, current, families, ...wish }, index) => {
      const key = `default/s${index}`;
      for (const address of current) holders[address] ??= key;
      return aClaim({
        ...wish,
        key,
        families,
        requested: oneForEachFamily(requested, families),
        current: [...new Set(current)].filter((address) => holders[address] === key),
      });
    });
    return { claims, pools, held: heldBy(holders), strangers };
  });

const ownerOf = (held: Held, address: IpAddress): string | undefined =>
  held[familyOf(address)].get(ipToNumber(address))?.[0]?.key;

describe('assign, for any claims, pools and holders', () => {
  it('never gives one address to two, nor one that somebody else holds and keeps', () => {
    fc.assert(
      fc.property(aWorld, ({ claims, pools, held }) => {
        const answers = assign(claims, pools, held);
        const given = [...answers.values()].flatMap(({ addresses }) => addresses);
        expect(new Set(given).size).toBe(given.length);
        for (const address of given) expect(ownerOf(held, address)).not.toBe('stranger/one');
      }),
    );
  });

  it('gives nothing from outside the pools but what the Service held before', () => {
    fc.assert(
      fc.property(aWorld, ({ claims, pools, held }) => {
        for (const [key, { addresses }] of assign(claims, pools, held)) {
          const current = claims.find((claim) => claim.key === key)!.current;
          for (const address of addresses)
            expect(inPools(address, pools) || current.includes(address)).toBe(true);
        }
      }),
    );
  });

  it('gives each claim at most one address of each family that it has, the primary first', () => {
    fc.assert(
      fc.property(aWorld, ({ claims, pools, held }) => {
        for (const [key, { addresses, problem }] of assign(claims, pools, held)) {
          const { families, allFamilies } = claims.find((claim) => claim.key === key)!;
          const had = addresses.map(familyOf);
          expect(had).toEqual(families.filter((family) => had.includes(family)));
          const enough = allFamilies ? families.length : 1;
          expect(problem !== undefined || had.length >= enough).toBe(true);
        }
      }),
    );
  });

  it('answers the same whatever the order of claims and pools', () => {
    fc.assert(
      fc.property(
        aWorld.chain((world) =>
          fc.record({
            world: fc.constant(world),
            claims: fc.shuffledSubarray([...world.claims], { minLength: world.claims.length }),
            pools: fc.shuffledSubarray([...world.pools], { minLength: world.pools.length }),
          }),
        ),
        ({ world, claims, pools }) => {
          const first = assign(world.claims, world.pools, world.held);
          const second = assign(claims, pools, world.held);
          expect(Object.fromEntries(second)).toEqual(Object.fromEntries(first));
        },
      ),
    );
  });

  it('leaves a Service what it holds when it asks for nothing else, whatever the pools and the others do', () => {
    fc.assert(
      fc.property(aWorld, ({ claims, pools, held }) => {
        const answers = assign(claims, pools, held);
        for (const claim of claims.filter(({ requested }) => requested.length === 0)) {
          const own = claim.current.filter((address) => ownerOf(held, address) === claim.key);
          const kept = oneForEachFamily(own, claim.families);
          expect(answers.get(claim.key)?.addresses).toEqual(expect.arrayContaining([...kept]));
        }
      }),
    );
  });

  it('is settled: asked again with its own answers, it changes nothing', () => {
    fc.assert(
      fc.property(aWorld, ({ claims, pools, held, strangers }) => {
        const answers = assign(claims, pools, held);
        const again = claims.map((claim) => ({
          ...claim,
          current: answers.get(claim.key)!.addresses,
          requested: [],
        }));
        const own = again.flatMap(({ key, current }) => current.map((one) => [one, key] as const));
        const others = strangers.map((one) => [one, 'stranger/one'] as const);
        const next = heldBy(Object.fromEntries([...own, ...others]));
        for (const [key, { addresses }] of assign(again, pools, next)) {
          expect(addresses).toEqual(expect.arrayContaining([...answers.get(key)!.addresses]));
        }
      }),
    );
  });

  it('of two that ask for one free address the older gets it, then the one with the lower UID', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(
          fc.record({
            createdAtMs: fc.integer({ min: 0, max: 1 }),
            uid: fc.string({ minLength: 1, maxLength: 3 }),
          }),
          {
            minLength: 2,
            maxLength: 6,
            selector: ({ uid }) => uid,
          },
        ),
        (ages) => {
          const claims = ages.map((age, index) =>
            aClaim({ ...age, key: `default/s${index}`, requested: [ip('192.0.2.1')] }),
          );
          const answers = assign(claims, [POOL], heldBy({}));
          const [winner, ...losers] = claims.toSorted(compareClaims);
          expect(answers.get(winner!.key)).toEqual({ addresses: ['192.0.2.1'] });
          for (const { key } of losers)
            expect(answers.get(key)).toMatchObject({ addresses: [], problem: { code: 'AddressInUse' } });
        },
      ),
    );
  });

  it('says PoolExhausted only when no automatic pool has a free address of the family left', () => {
    fc.assert(
      fc.property(aWorld, ({ claims, pools, held }) => {
        const single = claims.map((claim) => ({
          ...claim,
          families: claim.families.slice(0, 1),
          requested: [],
        }));
        const answers = assign(single, pools, held);
        const taken = new Set([...answers.values()].flatMap(({ addresses }) => addresses));
        for (const claim of single) {
          if (answers.get(claim.key)?.problem?.code !== 'PoolExhausted') continue;
          const automatic = pools.filter(({ autoAssign }) => autoAssign);
          for (const range of automatic.flatMap(({ ranges }) => ranges)) {
            if (range.family !== claim.families[0]) continue;
            for (let value = range.first; value <= range.last; value++) {
              const address = ipFromNumber(value, range.family);
              expect(taken.has(address) || ownerOf(held, address) !== undefined).toBe(true);
            }
          }
        }
      }),
    );
  });
});
