import { describe, expect, it } from 'vitest';
import { aPool, aPort, aService, ip } from '../../test/builders.ts';
import { familyOf, ipToNumber, type IpFamily } from '../model/address.ts';
import { DEFAULT_CAPABILITIES } from '../model/capabilities.ts';
import type { AddressPool, Holder, PoolAllocation } from '../model/pool.ts';
import type { Service } from '../model/service.ts';
import { addressRequest } from './addresses.ts';
import { assign, type Assignment } from './assign.ts';
import { QUARANTINE, type Held } from './ledger.ts';

const able = {
  ...DEFAULT_CAPABILITIES,
  loadBalancerIP: 'honoured',
  sharing: true,
  families: ['IPv4', 'IPv6'],
} as const;
const KEY = 'metallb.io/allow-shared-ip';
const POOL = 'metallb.io/address-pool';

interface Before {
  readonly others?: readonly (readonly [Service, string])[];
  /** What the Service itself has. */
  readonly current?: readonly string[];
}

/** What the last of the Services gets, when the ones before it hold what is given. */
function got(
  service: Service,
  pools: readonly AddressPool[],
  { others = [], current = [] }: Before = {},
): Assignment {
  const held: Record<IpFamily, Map<bigint, readonly Holder[]>> = { IPv4: new Map(), IPv6: new Map() };
  const hold = (address: string, holder: Holder): void => {
    const map = held[familyOf(ip(address))];
    map.set(ipToNumber(ip(address)), [...(map.get(ipToNumber(ip(address))) ?? []), holder]);
  };
  for (const [other, address] of others) hold(address, addressRequest(other, able));
  const claim = { ...addressRequest(service, able), current: current.map(ip) };
  for (const address of current) hold(address, claim);
  return assign([claim], pools, held as Held).get(claim.key)!;
}

function named(name: string, ranges: string, extra: Partial<AddressPool> = {}): AddressPool {
  return { ...aPool(ranges), name, ...extra };
}

function pinned(allocation: Partial<PoolAllocation>): Partial<AddressPool> {
  return { allocation: { priority: 0, serviceSelectors: [], ...allocation } };
}

function sharer(name: string, overrides: Partial<Service> = {}, key = 'k'): Service {
  return aService({ name, annotations: { [KEY]: key }, ...overrides });
}

describe('pools for some Services', () => {
  it('B59 a request by pool name gives an address of that pool, also one that is not automatic; an unknown pool none', () => {
    const pools = [named('a', '192.0.2.0/30'), named('b', '192.0.2.8/30', { autoAssign: false })];
    const asking = (pool: string): Service => aService({ annotations: { [POOL]: pool } });
    expect(got(asking('b'), pools)).toEqual({ addresses: ['192.0.2.8'] });
    expect(got(asking('nowhere'), pools).problem).toMatchObject({ code: 'UnknownPool' });
    expect(got(asking('nowhere'), pools).problem?.message).toContain('nowhere');
  });

  it('B60 an address and a pool that contradict each other fail, naming both', () => {
    const service = aService({ loadBalancerIP: '192.0.2.1', annotations: { [POOL]: 'b' } });
    const { addresses, problem } = got(service, [named('a', '192.0.2.0/30'), named('b', '192.0.2.8/30')]);
    expect(addresses).toEqual([]);
    expect(problem?.code).toBe('AddressOutsidePool');
    expect(problem?.message).toMatch(/192\.0\.2\.1.*b/);
  });

  it('B61 changing the requested pool of a running Service moves it; a pool that is full leaves it where it is', () => {
    const service = aService({ annotations: { [POOL]: 'b' } });
    const pools = [named('a', '192.0.2.0/30'), named('b', '192.0.2.8')];
    expect(got(service, pools, { current: ['192.0.2.0'] })).toEqual({ addresses: ['192.0.2.8'] });
    const full = got(service, pools, {
      others: [[aService({ name: 'other' }), '192.0.2.8']],
      current: ['192.0.2.0'],
    });
    expect(full).toMatchObject({ addresses: ['192.0.2.0'], problem: { code: 'PoolExhausted' } });
  });

  it('B63 avoidBuggyIPs skips last octet 0 and 255, only for IPv4, also when asked for by name', () => {
    const pool = named('a', '192.0.2.255-192.0.3.1', { avoidBuggyIPs: true });
    expect(got(aService(), [pool]).addresses).toEqual(['192.0.3.1']);
    expect(got(aService({ loadBalancerIP: '192.0.3.0' }), [pool]).problem?.code).toBe('AddressOutsidePool');
    const six = named('a', '2001:db8::/126', { avoidBuggyIPs: true });
    expect(got(aService({ ipFamilies: ['IPv6'] }), [six]).addresses).toEqual(['2001:db8::']);
  });

  it('B64 a pool pinned by namespace or Service label serves only those, before the others, by priority, unprioritised last', () => {
    const pools = [
      named('a-open', '192.0.2.0/30'),
      named('b-last', '192.0.2.4/30', pinned({ namespaces: ['shop'] })),
      named(
        'c-second',
        '192.0.2.8/30',
        pinned({ priority: 20, serviceSelectors: [{ matchLabels: { tier: 'web' } }] }),
      ),
      named(
        'd-first',
        '192.0.2.12/30',
        pinned({
          priority: 10,
          namespaces: ['shop'],
          serviceSelectors: [{ matchExpressions: [{ key: 'tier', operator: 'Exists' }] }],
        }),
      ),
    ];
    expect(got(aService(), pools).addresses).toEqual(['192.0.2.0']);
    expect(got(aService({ namespace: 'shop' }), pools).addresses).toEqual(['192.0.2.4']);
    expect(got(aService({ labels: { tier: 'web' } }), pools).addresses).toEqual(['192.0.2.8']);
    expect(got(aService({ namespace: 'shop', labels: { tier: 'web' } }), pools).addresses).toEqual([
      '192.0.2.12',
    ]);
  });

  it('B64 falls through to the next pool when the one of highest priority is full', () => {
    const pools = [named('first', '192.0.2.12', pinned({ priority: 1 })), named('open', '192.0.2.0/30')];
    expect(
      got(aService(), pools, { others: [[aService({ name: 'other' }), '192.0.2.12']] }).addresses,
    ).toEqual(['192.0.2.0']);
  });

  it('a quarantined address is given to nobody, and whoever has it gets another', () => {
    const quarantined: Held = {
      IPv4: new Map([[ipToNumber(ip('192.0.2.0')), [QUARANTINE]]]),
      IPv6: new Map(),
    };
    const claim = { ...addressRequest(aService(), able), current: [ip('192.0.2.0')] };
    const pools = [named('a', '192.0.2.0/30')];
    expect(assign([claim], pools, quarantined).get(claim.key)?.addresses).toEqual(['192.0.2.1']);
    const asking = { ...claim, current: [], requested: [ip('192.0.2.0')] };
    expect(assign([asking], pools, quarantined).get(claim.key)?.problem?.code).toBe('AddressConflict');
  });
});

describe('sharing an address', () => {
  const pools = [named('a', '192.0.2.0/29')];
  const https = { ports: [aPort({ port: 443 })] };

  it('B74 the same key with disjoint ports gives the same address; an overlapping port another one', () => {
    expect(got(sharer('b', https), pools, { others: [[sharer('a'), '192.0.2.3']] }).addresses).toEqual([
      '192.0.2.3',
    ]);
    expect(got(sharer('b'), pools, { others: [[sharer('a'), '192.0.2.3']] }).addresses).toEqual([
      '192.0.2.0',
    ]);
  });

  it('B74 an address that is asked for and has an overlapping port is refused, naming who has it', () => {
    const service = sharer('b', { loadBalancerIP: '192.0.2.3' });
    const { addresses, problem } = got(service, pools, { others: [[sharer('a'), '192.0.2.3']] });
    expect(addresses).toEqual([]);
    expect(problem).toMatchObject({ code: 'AddressInUse' });
    expect(problem?.message).toContain('default/a');
  });

  it('B75 the same port with another protocol may share', () => {
    const udp = sharer('b', { ports: [aPort({ protocol: 'UDP' })] });
    expect(got(udp, pools, { others: [[sharer('a'), '192.0.2.3']] }).addresses).toEqual(['192.0.2.3']);
  });

  it.each([
    ['another key', sharer('b', https, 'other')],
    ['no key', aService({ name: 'b', ...https })],
  ])('B76 %s does not share', (_what, service) => {
    expect(got(service, pools, { others: [[sharer('a'), '192.0.2.3']] }).addresses).toEqual(['192.0.2.0']);
  });

  it('B77 with policy Local the selectors must be equal; Cluster and Local do not mix', () => {
    const local = (name: string, selector: Record<string, string>): Service =>
      sharer(name, { ...https, externalTrafficPolicy: 'Local', selector });
    const first = sharer('a', { externalTrafficPolicy: 'Local', selector: { app: 'x' } });
    expect(got(local('b', { app: 'x' }), pools, { others: [[first, '192.0.2.3']] }).addresses).toEqual([
      '192.0.2.3',
    ]);
    expect(got(local('b', { app: 'y' }), pools, { others: [[first, '192.0.2.3']] }).addresses).toEqual([
      '192.0.2.0',
    ]);
    expect(got(sharer('b', https), pools, { others: [[first, '192.0.2.3']] }).addresses).toEqual([
      '192.0.2.0',
    ]);
  });

  it('B78 the sole user may change its key and keeps its address; one among several loses it', () => {
    expect(got(sharer('a', {}, 'new'), pools, { current: ['192.0.2.3'] }).addresses).toEqual(['192.0.2.3']);
    const among = got(sharer('a', {}, 'new'), pools, {
      others: [[sharer('b', https), '192.0.2.3']],
      current: ['192.0.2.3'],
    });
    expect(among.addresses).toEqual(['192.0.2.0']);
  });

  it('B79 a port change that makes a clash on a shared address moves the Service that changed', () => {
    const clash = got(sharer('b', https), pools, {
      others: [[sharer('a', https), '192.0.2.3']],
      current: ['192.0.2.3'],
    });
    expect(clash.addresses).toEqual(['192.0.2.0']);
  });
});
