import type { RouteTable, Subnet } from '@aws-sdk/client-ec2';
import { describe, expect, it } from 'vitest';
import { discoverSubnets, namedSubnets } from './subnets.ts';

const INTERNAL = { scheme: 'internal', dualstack: false, clusterName: 'test' };
const PUBLIC = { ...INTERNAL, scheme: 'internet-facing' };

/** A subnet with enough free addresses, tagged with these keys. */
function subnet(id: string, zone: string, tags: Readonly<Record<string, string>> = {}): Subnet {
  return {
    SubnetId: id,
    AvailabilityZone: `eu-west-1${zone}`,
    AvailableIpAddressCount: 100,
    Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
  };
}

const INTERNAL_ROLE = { 'kubernetes.io/role/internal-elb': '1' };
const ids = (found: readonly Subnet[]) => found.map(({ SubnetId }) => SubnetId);
const toInternet = (SubnetId: string): RouteTable => ({
  Associations: [{ SubnetId }],
  Routes: [{ GatewayId: 'igw-1' }],
});

describe('discoverSubnets', () => {
  it('takes one with the role tag in each zone; the cluster’s own first, then the lowest id', () => {
    const all = [
      subnet('subnet-b', 'a', INTERNAL_ROLE),
      subnet('subnet-a', 'a', INTERNAL_ROLE),
      subnet('subnet-d', 'b', { ...INTERNAL_ROLE, 'kubernetes.io/cluster/test': 'shared' }),
      subnet('subnet-c', 'b', INTERNAL_ROLE),
      subnet('subnet-e', 'c'),
    ];
    expect(ids(discoverSubnets(all, [], INTERNAL))).toEqual(['subnet-a', 'subnet-d']);
  });

  it('without any role tag goes by the routes: public ones face the internet, the others do not', () => {
    const all = [subnet('subnet-a', 'a'), subnet('subnet-b', 'b')];
    const tables = [
      toInternet('subnet-a'),
      { Associations: [{ Main: true }], Routes: [{ NatGatewayId: 'nat-1' }] },
    ];
    expect(ids(discoverSubnets(all, tables, PUBLIC))).toEqual(['subnet-a']);
    expect(ids(discoverSubnets(all, tables, INTERNAL))).toEqual(['subnet-b']);
  });

  it.each([
    [
      'another cluster',
      { Tags: [{ Key: 'kubernetes.io/cluster/other', Value: 'owned' }] },
      /tagged for another cluster/,
    ],
    ['too few addresses', { AvailableIpAddressCount: 7 }, /it has 7 free addresses, 8 are needed/],
    ['a local zone', { AvailabilityZone: 'us-west-2-lax-1a' }, /us-west-2-lax-1a is no Availability Zone/],
    ['an Outpost', { OutpostArn: 'arn:aws:outposts:1' }, /on an Outpost/],
  ])('says about each candidate why not: %s', (_what, change, reason) => {
    const all = [{ ...subnet('subnet-a', 'a'), ...change }];
    expect(() => discoverSubnets(all, [], INTERNAL)).toThrow(reason);
    expect(() => discoverSubnets(all, [], INTERNAL)).toThrow(/subnet-a: .*Tag one subnet for each zone/);
    expect(ids(discoverSubnets([subnet('subnet-a', 'a')], [], INTERNAL))).toEqual(['subnet-a']);
  });

  it('for dual stack takes only subnets with an IPv6 block', () => {
    const with6 = {
      ...subnet('subnet-b', 'a'),
      Ipv6CidrBlockAssociationSet: [{ Ipv6CidrBlock: '2001:db8::/64' }],
    };
    const found = discoverSubnets([subnet('subnet-a', 'a'), with6], [], { ...INTERNAL, dualstack: true });
    expect(ids(found)).toEqual(['subnet-b']);
  });
});

describe('namedSubnets', () => {
  const all = [subnet('subnet-a', 'a', { Name: 'first' }), subnet('subnet-b', 'b'), subnet('subnet-c', 'b')];

  it('finds them by id or Name tag and keeps the order', () => {
    expect(ids(namedSubnets(all, ['subnet-b', 'first']))).toEqual(['subnet-b', 'subnet-a']);
  });

  it('refuses one that is not there, and two in one zone', () => {
    expect(() => namedSubnets(all, ['nowhere'])).toThrow(
      /names nowhere.*Name one of subnet-a, subnet-b, subnet-c/,
    );
    expect(() => namedSubnets(all, ['subnet-b', 'subnet-c'])).toThrow(/several subnets in eu-west-1b/);
  });
});
