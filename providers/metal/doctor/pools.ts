/** Checks of pools and advertisements. Pure. */
import {
  available,
  familyOf,
  ipToNumber,
  poolUsage,
  rangeText,
  type DoctorCheck,
  type IpAddress,
  type IpFamily,
  type IpRange,
  type ServiceKey,
} from '@berth/core';
import { advertises, type Advertisement, type MetalPool, type ObjectProblem } from '../objects.ts';

const FAMILIES: readonly IpFamily[] = ['IPv4', 'IPv6'];

/** What the checks are made from. */
export interface PoolScene {
  readonly pools: readonly MetalPool[];
  readonly advertisements: readonly Advertisement[];
  /** Objects that cannot be used. */
  readonly problems: readonly ObjectProblem[];
  /** Addresses in the status of Services. */
  readonly used: readonly { readonly address: IpAddress; readonly key: ServiceKey }[];
}

/** Everything about pools and advertisements. */
export function poolChecks(scene: PoolScene): readonly DoctorCheck[] {
  const found = [
    ...malformed(scene),
    ...overlaps(scene),
    ...unadvertised(scene),
    ...missing(scene),
    ...exhausted(scene),
  ];
  if (scene.pools.length === 0) {
    const message = 'there is no pool, so no Service can get an address';
    const remedy = 'Create an IPAddressPool, or write pools into providers.metal.config';
    return [...found, { check: 'pools', outcome: 'failed', message, remedy }];
  }
  if (found.length > 0) return found;
  const message = 'no pool overlaps another, each is advertised, and none is full';
  return [{ check: 'pools', outcome: 'ok', message }];
}

function malformed({ problems }: PoolScene): readonly DoctorCheck[] {
  return problems.map(({ object, message }) => ({
    check: 'pools',
    subject: object,
    outcome: 'failed',
    message: `it is left out: ${message}`,
    remedy: 'Correct the field; the other objects work meanwhile',
  }));
}

/** The core gives no address twice; whose advertisement is for an address of two pools is what nobody can tell. */
function overlaps({ pools }: PoolScene): readonly DoctorCheck[] {
  return pools.flatMap((a, index) =>
    pools.slice(index + 1).flatMap((b): readonly DoctorCheck[] => {
      const both = a.pool.ranges.flatMap((one) => b.pool.ranges.flatMap((other) => common(one, other) ?? []));
      if (both.length === 0) return [];
      const [first, second] = [a.pool.name, b.pool.name].toSorted();
      return [
        {
          check: 'overlap',
          subject: `${first},${second}`,
          outcome: 'failed',
          message: `the pools ${first} and ${second} both have ${both.map(rangeText).join(', ')}`,
          remedy: 'Take the addresses out of one of them; those in use stay with their Services',
        },
      ];
    }),
  );
}

function common(a: IpRange, b: IpRange): IpRange | undefined {
  if (a.family !== b.family) return undefined;
  const first = a.first > b.first ? a.first : b.first;
  const last = a.last < b.last ? a.last : b.last;
  return first > last ? undefined : { family: a.family, first, last };
}

function unadvertised({ pools, advertisements }: PoolScene): readonly DoctorCheck[] {
  return pools
    .filter((pool) => !advertisements.some((advertisement) => advertises(advertisement, pool)))
    .map(({ pool }) => ({
      check: 'advertised',
      subject: pool.name,
      outcome: 'failed',
      message: 'no L2Advertisement is for this pool, so nobody answers for its addresses',
      remedy: `Create an L2Advertisement that names ${pool.name}, or one without ipAddressPools, which is for all`,
    }));
}

function missing({ pools, advertisements }: PoolScene): readonly DoctorCheck[] {
  const known = new Set(pools.map(({ pool }) => pool.name));
  return advertisements.flatMap(({ name, ipAddressPools }) =>
    ipAddressPools
      .filter((pool) => !known.has(pool))
      .map((pool) => ({
        check: 'advertisement',
        subject: name,
        outcome: 'warning',
        message: `it names the pool ${pool}, which does not exist or cannot be used`,
        remedy: 'Correct ipAddressPools, or create the pool',
      })),
  );
}

function exhausted({ pools, used }: PoolScene): readonly DoctorCheck[] {
  const held = {
    IPv4: new Map<bigint, { key: ServiceKey }[]>(),
    IPv6: new Map<bigint, { key: ServiceKey }[]>(),
  };
  for (const { address, key } of used) {
    const family = held[familyOf(address)];
    const value = ipToNumber(address);
    family.set(value, [...(family.get(value) ?? []), { key }]);
  }
  const all = pools.map(({ pool }) => pool);
  return poolUsage(all, held).flatMap((usage) =>
    FAMILIES.filter((family) => usage[family].total > 0n && available(usage[family]) <= 0n).map((family) => ({
      check: 'exhausted',
      subject: usage.pool,
      outcome: 'warning',
      message: `all of its ${usage[family].total} ${family} addresses are in use`,
      remedy: 'Add addresses to a pool, or delete a Service that does not need its address',
    })),
  );
}
