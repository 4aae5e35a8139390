import { familyOf, ipFromNumber, rangeText, type IpAddress, type IpFamily } from '../model/address.ts';
import { isAvoided, poolAccepts, poolHas, type AddressPool } from '../model/pool.ts';
import { REASONS, type ReasonCode } from '../model/reasons.ts';
import type { ServiceKey } from '../model/service.ts';
import type { AddressRequest } from './addresses.ts';
import { AddressLedger, type Held } from './ledger.ts';
import { compareText } from './step.ts';

/** A request with what it holds already (from its status), in order. */
export interface Claim extends AddressRequest {
  readonly current: readonly IpAddress[];
}

/** What a claim gets. With a `problem` the addresses are what it keeps meanwhile, perhaps none. */
export interface Assignment {
  readonly addresses: readonly IpAddress[];
  readonly problem?: { readonly code: ReasonCode; readonly message: string; readonly remedy: string };
}

/**
 * Assigns addresses: pure, and the same answer for the same input in any order.
 *
 * Claims are served by creationTimestamp, then UID, then key. What a claim holds it keeps, also when the pools were
 * edited meanwhile, unless the user asked for something else, the address is of a family that the Service no longer
 * has, or it may no longer be shared. Otherwise: the address that was asked for; else one of the pool that was asked
 * for; else of the pools that are for this Service, by priority and name; else of the other pools, by name. Inside a
 * pool an address that Services with the same sharing key have, else the lowest free one. Two families come from one
 * pool. `held` lists the addresses of everybody, also of those who do not claim now.
 */
export function assign(
  claims: readonly Claim[],
  pools: readonly AddressPool[],
  held: Held,
): ReadonlyMap<ServiceKey, Assignment> {
  const ledger = new AddressLedger(held);
  const sorted = pools.toSorted((a, b) => compareText(a.name, b.name));
  const answers = new Map<ServiceKey, Assignment>();
  for (const claim of claims.toSorted(compareClaims)) {
    const answer = serve(claim, { pools: sorted, ledger });
    for (const ip of claim.current) if (!answer.addresses.includes(ip)) ledger.release(ip, claim.key);
    for (const ip of answer.addresses) ledger.take(ip, claim);
    answers.set(claim.key, answer);
  }
  return answers;
}

/** What decides who is served first. */
export type Age = Pick<AddressRequest, 'key' | 'uid' | 'createdAtMs'>;

/** Whether one of the pools has the address. */
export function inPools(ip: IpAddress, pools: readonly AddressPool[]): boolean {
  return pools.some((pool) => poolHas(pool, ip));
}

/** The order in which claims are served: the older Service first. */
export function compareClaims(a: Age, b: Age): number {
  return a.createdAtMs - b.createdAtMs || compareText(a.uid, b.uid) || compareText(a.key, b.key);
}

interface Surroundings {
  readonly pools: readonly AddressPool[];
  readonly ledger: AddressLedger;
}

function serve(claim: Claim, around: Surroundings): Assignment {
  const { pools, ledger } = around;
  const usable = claim.current.filter((ip) => ledger.fits(ip, claim));
  const kept = claim.families.flatMap((family) => usable.find((ip) => familyOf(ip) === family) ?? []);
  if (claim.requested.some((ip) => !kept.includes(ip))) return move(claim, kept, around);
  const asked = pools.find(({ name }) => name === claim.pool);
  if (
    claim.pool !== undefined &&
    (kept.length === 0 || !kept.every((ip) => asked !== undefined && poolHas(asked, ip)))
  ) {
    return moveToPool(claim, kept, around);
  }
  if (kept.length === claim.families.length) return { addresses: inOrder(kept, claim.families) };
  if (kept.length > 0) return complete(claim, kept, around);
  return fresh(claim, [], around);
}

/** The user asked for addresses that the Service does not have: all of them, or it keeps what it has. */
function move(claim: Claim, kept: readonly IpAddress[], around: Surroundings): Assignment {
  const { pools, ledger } = around;
  const accepting = pools.filter((pool) => poolAccepts(pool, claim));
  const named = claim.pool === undefined ? accepting : accepting.filter(({ name }) => name === claim.pool);
  // What it has already it keeps, also when the pools were edited meanwhile.
  for (const ip of claim.requested.filter((asked) => !kept.includes(asked))) {
    if (!inPools(ip, named)) {
      const where =
        claim.pool === undefined
          ? poolsText(named)
          : `the pool ${claim.pool} does not have it for this Service`;
      return failed('AddressOutsidePool', `${ip} was asked for, but ${where}`, kept);
    }
    if (ledger.quarantined(ip)) {
      return failed(
        'AddressConflict',
        `${ip} was asked for, but somebody else on the network answers for it`,
        kept,
      );
    }
    if (!ledger.fits(ip, claim)) {
      return failed(
        'AddressInUse',
        `${ip} was asked for, but the Service ${ledger.strangers(ip, claim)} has it`,
        kept,
      );
    }
  }
  const others = kept.filter((ip) => !claim.requested.some((asked) => familyOf(asked) === familyOf(ip)));
  const addresses = [...claim.requested, ...others];
  if (addresses.length === claim.families.length) return { addresses: inOrder(addresses, claim.families) };
  return complete(claim, addresses, around);
}

/** The user asked for a pool that does not have what the Service has: addresses of that pool, or what it has. */
function moveToPool(claim: Claim, kept: readonly IpAddress[], around: Surroundings): Assignment {
  const pool = around.pools.find(({ name }) => name === claim.pool);
  if (pool === undefined || !poolAccepts(pool, claim)) {
    const why = pool === undefined ? 'there is none of this name' : 'it is not for this Service';
    return failed('UnknownPool', `the pool ${claim.pool} was asked for, but ${why}`, kept);
  }
  return fresh(claim, kept, around);
}

/** Some families have their address: adds the others, from a pool that has what is there already, when it can. */
function complete(claim: Claim, kept: readonly IpAddress[], { pools, ledger }: Surroundings): Assignment {
  const missing = claim.families.filter((family) => !kept.some((ip) => familyOf(ip) === family));
  for (const pool of pools.filter((candidate) => kept.every((ip) => poolHas(candidate, ip)))) {
    const added = missing.map((family) => pick(claim, { pool, family, ledger }));
    if (added.every((ip) => ip !== undefined))
      return { addresses: inOrder([...kept, ...added], claim.families) };
  }
  if (!claim.allFamilies) return { addresses: inOrder(kept, claim.families) };
  return failed(
    'PoolExhausted',
    `no pool that has ${kept.join(', ')} has a free ${missing.join(' and ')} address`,
    kept,
  );
}

/** New addresses for all families, else (where one is enough) for one; `kept` when there are none. */
function fresh(claim: Claim, kept: readonly IpAddress[], { pools, ledger }: Surroundings): Assignment {
  const usable = candidates(claim, pools);
  const wishes = claim.allFamilies
    ? [claim.families]
    : [claim.families, ...claim.families.map((family) => [family])];
  for (const families of wishes) {
    for (const pool of usable) {
      const addresses = families.map((family) => pick(claim, { pool, family, ledger }));
      if (addresses.every((ip) => ip !== undefined)) return { addresses };
    }
  }
  const has = (pool: AddressPool, family: IpFamily): boolean =>
    pool.ranges.some((range) => range.family === family);
  const serving = usable.filter((pool) =>
    claim.allFamilies
      ? claim.families.every((family) => has(pool, family))
      : claim.families.some((family) => has(pool, family)),
  );
  const families = claim.families.join(' and ');
  return serving.length === 0
    ? failed('NoPool', `no pool has ${families} addresses to assign`, kept)
    : failed('PoolExhausted', `every ${families} address of ${poolNames(serving)} is in use`, kept);
}

/** The pools that a Service may get an address from without asking for the address, in the order they are tried. */
function candidates(claim: Claim, pools: readonly AddressPool[]): readonly AddressPool[] {
  const accepting = pools.filter((pool) => poolAccepts(pool, claim));
  if (claim.pool !== undefined) return accepting.filter(({ name }) => name === claim.pool);
  const automatic = accepting.filter(({ autoAssign }) => autoAssign);
  const rank = ({ allocation }: AddressPool): number => allocation?.priority || Number.MAX_SAFE_INTEGER;
  return [
    ...automatic.filter(({ allocation }) => allocation !== undefined).toSorted((a, b) => rank(a) - rank(b)),
    ...automatic.filter(({ allocation }) => allocation === undefined),
  ];
}

interface Place {
  readonly pool: AddressPool;
  readonly family: IpFamily;
  readonly ledger: AddressLedger;
}

/** An address that is shared under the claim's key already, else the lowest free one. */
function pick(claim: Claim, { pool, family, ledger }: Place): IpAddress | undefined {
  const shared = claim.sharing === undefined ? undefined : ledger.shared(claim, pool, family);
  if (shared !== undefined) return shared;
  for (const range of pool.ranges) {
    if (range.family !== family) continue;
    for (let value = range.first; value <= range.last; value++) {
      if (ledger.isFree(family, value) && !isAvoided(pool, family, value)) return ipFromNumber(value, family);
    }
  }
  return undefined;
}

function inOrder(addresses: readonly IpAddress[], families: readonly IpFamily[]): readonly IpAddress[] {
  return addresses.toSorted((a, b) => families.indexOf(familyOf(a)) - families.indexOf(familyOf(b)));
}

function failed(code: ReasonCode, message: string, addresses: readonly IpAddress[]): Assignment {
  return { addresses, problem: { code, message, remedy: REASONS[code].remedy } };
}

function poolNames(pools: readonly AddressPool[]): string {
  return pools.map(({ name }) => `pool ${name}`).join(', ');
}

function poolsText(pools: readonly AddressPool[]): string {
  const named = pools.map(({ name, ranges }) => `pool ${name} (${ranges.map(rangeText).join(', ')})`);
  return named.length === 0 ? 'there is no pool' : `it is not in ${named.join(' or ')}`;
}
