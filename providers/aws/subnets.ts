import type { RouteTable, Subnet } from '@aws-sdk/client-ec2';
import { compareText, Denied, InvalidSpec } from '@berth/core';

/** Free addresses that a subnet must have to be chosen (ELB user guide, "Subnets for your load balancer"). */
const FREE_ADDRESSES = 8;

/** Tags that say what a subnet is for (EKS and kops set them). */
const ROLE = {
  'internet-facing': 'kubernetes.io/role/elb',
  internal: 'kubernetes.io/role/internal-elb',
} as const;

/** Begins the tag that says which clusters use a subnet. */
const CLUSTER_TAG = 'kubernetes.io/cluster/';

/** A zone of a region: `eu-west-1a`; local and Wavelength zones have more in their names. */
const ZONE = /^[a-z]+(-[a-z]+)+-\d[a-z]$/;

/** What subnets are looked for. */
export interface SubnetWish {
  readonly scheme: string;
  readonly dualstack: boolean;
  /** The cluster's name, as tags have it. */
  readonly clusterName: string;
}

/**
 * Chooses one subnet for each zone: those with the role tag of the scheme; where none has it, those that the route
 * tables make public or private. Pure.
 *
 * @throws Denied `SubnetsNotFound` with the reason for each candidate.
 */
export function discoverSubnets(
  subnets: readonly Subnet[],
  routeTables: readonly RouteTable[],
  wish: SubnetWish,
): readonly Subnet[] {
  const scheme = wish.scheme === 'internal' ? 'internal' : 'internet-facing';
  const tagged = subnets.filter((subnet) => hasRole(subnet, ROLE[scheme]));
  const reasons = new Map<string, string>();
  const candidates = (tagged.length > 0 ? tagged : subnets).filter((subnet) => {
    const isPublic = tagged.length > 0 ? undefined : reachesInternet(subnet, routeTables);
    const why = reasonAgainst(subnet, { ...wish, isPublic });
    if (why !== undefined) reasons.set(subnet.SubnetId ?? '', why);
    return why === undefined;
  });
  const best = candidates.toSorted(
    (a, b) =>
      Number(hasTag(b, `${CLUSTER_TAG}${wish.clusterName}`)) -
        Number(hasTag(a, `${CLUSTER_TAG}${wish.clusterName}`)) ||
      compareText(a.SubnetId ?? '', b.SubnetId ?? ''),
  );
  const byZone = new Map<string, Subnet>();
  for (const subnet of best) {
    const zone = subnet.AvailabilityZone ?? '';
    if (!byZone.has(zone)) byZone.set(zone, subnet);
  }
  if (byZone.size === 0) throw notFound(subnets, reasons, { role: ROLE[scheme], tagged: tagged.length > 0 });
  return [...byZone.values()].toSorted((a, b) => compareText(a.SubnetId ?? '', b.SubnetId ?? ''));
}

/**
 * The subnets that an annotation names by id or Name tag, in its order.
 *
 * @throws InvalidSpec `SubnetNotFound`, or `SubnetsInOneZone`.
 */
export function namedSubnets(subnets: readonly Subnet[], names: readonly string[]): readonly Subnet[] {
  const found = names.map((name) => {
    const subnet = subnets.find((one) => one.SubnetId === name || tagOf(one, 'Name') === name);
    if (subnet !== undefined) return subnet;
    throw new InvalidSpec('SubnetNotFound', {
      message: `annotation subnets names ${name}, and the VPC has no subnet of this id or Name tag`,
      remedy: `Name one of ${subnets.map(({ SubnetId }) => SubnetId).join(', ')}`,
    });
  });
  const zones = found.map(({ AvailabilityZone }) => AvailabilityZone);
  const twice = zones.find((zone, index) => zones.indexOf(zone) !== index);
  if (twice !== undefined) {
    throw new InvalidSpec('SubnetsInOneZone', {
      message: `annotation subnets names several subnets in ${twice}, and a load balancer has one for each zone`,
      remedy: 'Name one subnet for each zone',
    });
  }
  return found;
}

function reasonAgainst(
  subnet: Subnet,
  wish: SubnetWish & { readonly isPublic: boolean | undefined },
): string | undefined {
  const others = (subnet.Tags ?? []).filter(({ Key = '' }) => Key.startsWith(CLUSTER_TAG));
  if (others.length > 0 && !hasTag(subnet, `${CLUSTER_TAG}${wish.clusterName}`)) {
    return `it is tagged for another cluster (${others[0]?.Key ?? ''})`;
  }
  if (!ZONE.test(subnet.AvailabilityZone ?? ''))
    return `${subnet.AvailabilityZone} is no Availability Zone of the region`;
  if (subnet.OutpostArn !== undefined && subnet.OutpostArn !== '') return 'it is on an Outpost';
  if (wish.isPublic === false && wish.scheme !== 'internal')
    return 'its route table has no route to an internet gateway';
  if (wish.isPublic === true && wish.scheme === 'internal')
    return 'it is public: its route table has a route to an internet gateway';
  if (wish.dualstack && ipv6Blocks(subnet).length === 0) return 'it has no IPv6 block';
  const free = subnet.AvailableIpAddressCount ?? FREE_ADDRESSES;
  return free < FREE_ADDRESSES ? `it has ${free} free addresses, ${FREE_ADDRESSES} are needed` : undefined;
}

/** The IPv6 blocks of a subnet. */
export function ipv6Blocks({ Ipv6CidrBlockAssociationSet = [] }: Subnet): readonly string[] {
  return Ipv6CidrBlockAssociationSet.flatMap(({ Ipv6CidrBlock, Ipv6CidrBlockState }) =>
    Ipv6CidrBlock === undefined || Ipv6CidrBlockState?.State === 'disassociated' ? [] : [Ipv6CidrBlock],
  );
}

/** By its own route table, else by the VPC's main one. */
function reachesInternet({ SubnetId }: Subnet, tables: readonly RouteTable[]): boolean {
  const own = tables.find(({ Associations = [] }) => Associations.some((one) => one.SubnetId === SubnetId));
  const main = tables.find(({ Associations = [] }) => Associations.some((one) => one.Main === true));
  return ((own ?? main)?.Routes ?? []).some(({ GatewayId = '' }) => GatewayId.startsWith('igw-'));
}

function hasRole(subnet: Subnet, role: string): boolean {
  const value = tagOf(subnet, role);
  return value === '' || value === '1';
}

function hasTag(subnet: Subnet, key: string): boolean {
  return tagOf(subnet, key) !== undefined;
}

function tagOf({ Tags = [] }: Subnet, key: string): string | undefined {
  const found = Tags.find(({ Key }) => Key === key);
  return found === undefined ? undefined : (found.Value ?? '');
}

function notFound(
  subnets: readonly Subnet[],
  reasons: ReadonlyMap<string, string>,
  { role, tagged }: { readonly role: string; readonly tagged: boolean },
): Denied {
  const lines = subnets.map(
    ({ SubnetId = '' }) => `${SubnetId}: ${reasons.get(SubnetId) ?? `it has not the tag ${role}`}`,
  );
  const found = subnets.length === 0 ? 'the VPC has no subnets' : lines.join('; ');
  return new Denied('SubnetsNotFound', {
    message: `no subnet can be used${tagged ? '' : ` (none is tagged ${role})`}. ${found}`,
    remedy: `Tag one subnet for each zone with ${role}=1, or name subnets in the annotation subnets`,
  });
}
