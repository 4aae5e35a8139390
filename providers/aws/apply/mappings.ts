import type { Subnet } from '@aws-sdk/client-ec2';
import type { SubnetMapping } from '@aws-sdk/client-elastic-load-balancing-v2';
import { familyOf, InvalidSpec, parseCidr, rangeHas, rangeOfCidr, type IpAddress } from '@berth/core';
import { discoverSubnets, ipv6Blocks, namedSubnets } from '../subnets.ts';
import type { BalancerSpec } from '../wanted.ts';
import type { Job } from './job.ts';

/**
 * Subnets and fixed addresses of a load balancer. Addresses that the Service asks for by itself choose the subnet:
 * a private one the subnet that it lies in; an Elastic IP the first that there is.
 *
 * @throws Denied `SubnetsNotFound`; InvalidSpec `SubnetNotFound`, `AddressOutsideSubnets`, `EipNotFound`,
 * `InvalidAnnotation` when lists have different lengths.
 */
export async function mappingsFor(job: Job, spec: BalancerSpec): Promise<SubnetMapping[]> {
  try {
    return await mappings(job, spec);
  } catch (error) {
    // Whoever does what the message says must not wait for the next sweep.
    job.surroundings.forgetSubnets();
    throw error;
  }
}

async function mappings(job: Job, spec: BalancerSpec): Promise<SubnetMapping[]> {
  if (spec.addresses.length > 0) return [await askedMapping(job, spec)];
  const subnets = await subnetsFor(job, spec);
  for (const [name, list] of Object.entries({
    'eip-allocations': spec.allocations,
    'private-ipv4-addresses': spec.privateIpv4,
    'ipv6-addresses': spec.ipv6,
    'source-nat-ipv6-prefixes': spec.sourceNatPrefixes,
  })) {
    if (list.length > 0 && list.length !== subnets.length) throw wrongCount(name, list.length, subnets);
  }
  checkInside(spec.privateIpv4, subnets, 'private-ipv4-addresses');
  checkInside(spec.ipv6, subnets, 'ipv6-addresses');
  return subnets.map((subnet, index) => ({
    SubnetId: subnet.SubnetId,
    ...optional('AllocationId', spec.allocations[index]),
    ...optional('PrivateIPv4Address', spec.privateIpv4[index]),
    ...optional('IPv6Address', spec.ipv6[index]),
    ...optional('SourceNatIpv6Prefix', spec.sourceNatPrefixes[index]),
  }));
}

async function subnetsFor(job: Job, spec: BalancerSpec): Promise<readonly Subnet[]> {
  const { surroundings, how } = job;
  const all = await surroundings.subnets(how.signal);
  if (spec.subnets.length > 0) {
    const named = namedSubnets(all, spec.subnets);
    surroundings.nameSubnets(
      Object.fromEntries(spec.subnets.map((name, index) => [name, named[index]?.SubnetId ?? ''])),
    );
    return named;
  }
  return discoverSubnets(all, await surroundings.routeTables(how.signal), {
    scheme: spec.scheme,
    dualstack: spec.ipAddressType === 'dualstack',
    clusterName: surroundings.clusterName,
  });
}

/** One subnet for the addresses that the Service asks for: they must all be possible there. */
async function askedMapping(job: Job, spec: BalancerSpec): Promise<SubnetMapping> {
  const ipv4 = spec.addresses.find((ip) => familyOf(ip) === 'IPv4');
  const ipv6 = spec.addresses.find((ip) => familyOf(ip) === 'IPv6');
  const elastic = ipv4 !== undefined && spec.scheme === 'internet-facing';
  const all =
    spec.subnets.length > 0 || elastic
      ? await subnetsFor(job, spec)
      : await job.surroundings.subnets(job.how.signal);
  const inside = elastic ? spec.addresses.filter((ip) => ip !== ipv4) : spec.addresses;
  const subnet = all.find((one) => inside.every((ip) => lies(ip, one)));
  if (subnet === undefined) throw outside(inside, all);
  return {
    SubnetId: subnet.SubnetId,
    ...(elastic ? { AllocationId: await allocationOf(job, ipv4) } : optional('PrivateIPv4Address', ipv4)),
    ...optional('IPv6Address', ipv6),
  };
}

async function allocationOf(job: Job, ip: IpAddress): Promise<string> {
  const [found] = await job.surroundings.addresses([ip], job.how.signal);
  if (found?.AllocationId !== undefined) return found.AllocationId;
  throw new InvalidSpec('EipNotFound', {
    message: `${ip} is no Elastic IP of this account in this region`,
    remedy: 'Ask for an Elastic IP of the region, or set scheme: internal for a private address',
  });
}

function checkInside(addresses: readonly string[], subnets: readonly Subnet[], name: string): void {
  for (const [index, ip] of addresses.entries()) {
    const subnet = subnets[index];
    if (subnet !== undefined && !lies(ip as IpAddress, subnet)) throw outside([ip], [subnet], name);
  }
}

function lies(ip: IpAddress, subnet: Subnet): boolean {
  return [subnet.CidrBlock, ...ipv6Blocks(subnet)].some((block) => {
    const cidr = parseCidr(block ?? '');
    return cidr !== undefined && rangeHas(rangeOfCidr(cidr), ip);
  });
}

function outside(addresses: readonly string[], subnets: readonly Subnet[], name?: string): InvalidSpec {
  const blocks = subnets.map((one) => [one.CidrBlock, ...ipv6Blocks(one)].join(' and ')).join(', ');
  return new InvalidSpec('AddressOutsideSubnets', {
    message: `${name === undefined ? '' : `annotation ${name}: `}${addresses.join(' and ')} lies in no subnet that can be used (${blocks})`,
    remedy: 'Ask for an address of one of the subnets; for an Elastic IP set scheme: internet-facing',
  });
}

function wrongCount(name: string, count: number, subnets: readonly Subnet[]): InvalidSpec {
  const ids = subnets.map(({ SubnetId }) => SubnetId).join(', ');
  return new InvalidSpec('InvalidAnnotation', {
    message: `annotation ${name} has ${count} entries for ${subnets.length} subnets (${ids})`,
    remedy:
      'Give one entry for each subnet, and name the subnets in the annotation subnets to fix their order',
  });
}

function optional<K extends string>(key: K, value: string | undefined): Partial<Record<K, string>> {
  return value === undefined ? {} : ({ [key]: value } as Record<K, string>);
}
