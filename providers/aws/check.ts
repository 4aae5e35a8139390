import { familyOf, InvalidSpec, parseCidr, type Note } from '@berth/core';
import { targetTypeOf, type Context, type Desired } from './desired.ts';
import { healthCheckNotes, healthCheckOf } from './health-check.ts';
import { planPorts, type PortPlans } from './ports.ts';
import { RULES_QUOTA } from './rules.ts';
import { PRESERVE_CLIENT_IP, targetGroupAttributes } from './target-group-attributes.ts';
import { targetNotes } from './targets.ts';
import { ipAddressTypeOf, schemeOf, wantedOf } from './wanted.ts';

/** Quota of listeners for each Network Load Balancer (ELB quotas, default). */
export const LISTENERS_QUOTA = 50;

/**
 * Looks at what no single annotation shows: whether the settings fit each other and the Service. What is left out has
 * a note, which becomes an event.
 *
 * @throws InvalidSpec naming the annotations that do not fit and what to do.
 */
export function check(desired: Desired, context: Context): readonly Note[] {
  const plans = planPorts(desired);
  checkPorts(desired, plans);
  checkAddresses(desired, context);
  checkFamilies(desired);
  checkHealth(desired, plans, context);
  checkAttributes(desired, plans);
  // Throws for source ranges that the load balancer's families do not allow.
  const { group } = wantedOf(desired, undefined, context);
  return [
    ...refusedNotes(plans),
    ...rangeNotes(desired, group?.rules.length ?? 0),
    ...healthCheckNotes(desired, { context, plans: plans.plans }),
    ...(targetTypeOf(desired.settings, context) === 'instance' ? targetNotes(desired) : []),
    ...zoneNotes(desired),
  ];
}

function checkPorts({ settings, ports, targets }: Desired, { plans }: PortPlans): void {
  if (plans.length > LISTENERS_QUOTA) {
    throw new InvalidSpec('TooManyPorts', {
      message: `the Service has ${plans.length} ports, and a Network Load Balancer takes ${LISTENERS_QUOTA} listeners`,
      remedy: 'Spread the ports over several Services',
    });
  }
  const unknown = settings.proxyProtocolPorts.find((one) => !ports.some(({ port }) => String(port) === one));
  if (unknown !== undefined) {
    throw new InvalidSpec('InvalidAnnotation', {
      message: `proxy-protocol-per-target-group names port ${unknown}, which the Service has not`,
      remedy: 'Correct the annotation, or add the port',
    });
  }
  const zero = plans.find(({ source }) => targets.length > 0 && source.nodePort === 0);
  if (zero !== undefined) {
    throw new InvalidSpec('NodePortMissing', {
      message: `port ${zero.port}/${zero.source.protocol} has no node port, and the targets are instances`,
      remedy: 'Set spec.allocateLoadBalancerNodePorts to true, or use nlb-target-type: ip',
    });
  }
}

/** Fixed addresses: which kind goes with which scheme, one for each subnet, and one source of them. */
function checkAddresses(desired: Desired, context: Context): void {
  const { eipAllocations, privateIpv4Addresses, ipv6Addresses, subnets } = desired.settings;
  const scheme = schemeOf(desired, undefined, context);
  if (eipAllocations.length > 0 && scheme === 'internal') {
    throw misfit(
      'eip-allocations',
      'Elastic IPs are for internet-facing load balancers',
      'Set scheme: internet-facing',
    );
  }
  if (privateIpv4Addresses.length > 0 && scheme === 'internet-facing') {
    throw misfit(
      'private-ipv4-addresses',
      'fixed private addresses are for internal load balancers',
      'Set scheme: internal',
    );
  }
  if (ipv6Addresses.length > 0 && ipAddressTypeOf(desired) !== 'dualstack') {
    throw misfit('ipv6-addresses', 'the load balancer has no IPv6', 'Set ip-address-type: dualstack');
  }
  const fixed = {
    'eip-allocations': eipAllocations,
    'private-ipv4-addresses': privateIpv4Addresses,
    'ipv6-addresses': ipv6Addresses,
  };
  for (const [name, list] of Object.entries(fixed)) {
    if (list.length > 0 && subnets.length > 0 && list.length !== subnets.length) {
      throw misfit(
        name,
        `it has ${list.length} entries for ${subnets.length} subnets`,
        'Give one entry for each subnet, in the same order',
      );
    }
    if (list.length > 0 && desired.addresses.length > 0) {
      throw misfit(
        name,
        'the Service also asks for an address by spec.loadBalancerIP or load-balancer-ips',
        'Keep one of the two',
      );
    }
  }
}

function checkFamilies(desired: Desired): void {
  const { ipv6SourceNat, sourceNatPrefixes } = desired.settings;
  if (ipv6SourceNat === 'on' && ipAddressTypeOf(desired) !== 'dualstack') {
    throw misfit(
      'enable-prefix-for-ipv6-source-nat',
      'the load balancer has no IPv6',
      'Set ip-address-type: dualstack',
    );
  }
  if (sourceNatPrefixes.length > 0 && ipv6SourceNat !== 'on') {
    throw misfit(
      'source-nat-ipv6-prefixes',
      'source NAT by prefix is off',
      'Set enable-prefix-for-ipv6-source-nat: on',
    );
  }
  const bad = sourceNatPrefixes.find(
    (prefix) => prefix !== 'auto_assigned' && parseCidr(prefix) === undefined,
  );
  if (bad !== undefined)
    throw misfit('source-nat-ipv6-prefixes', `${bad} is no IPv6 prefix`, 'Write it as ADDRESS/80');
}

function checkHealth(desired: Desired, { plans }: PortPlans, context: Context): void {
  for (const plan of plans) {
    const { interval, timeout, port } = healthCheckOf(plan, desired, { context, plans });
    if (timeout > interval) {
      throw misfit(
        'healthcheck-timeout',
        `a probe may take ${timeout} s and the next one begins after ${interval} s`,
        'Make healthcheck-interval at least as long as healthcheck-timeout',
      );
    }
    const valid =
      port === 'traffic-port' || (/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535);
    if (!valid)
      throw misfit(
        'healthcheck-port',
        `the Service has no port named ${port}`,
        'Give a port number, the name of a port, or traffic-port',
      );
  }
}

function checkAttributes(desired: Desired, { plans }: PortPlans): void {
  for (const plan of plans) {
    const udp = plan.protocol === 'UDP' || plan.protocol === 'TCP_UDP';
    if (udp && targetGroupAttributes(plan, desired)[PRESERVE_CLIENT_IP] === 'false') {
      throw misfit(
        'target-group-attributes',
        `${PRESERVE_CLIENT_IP}=false, and UDP on port ${plan.port} always preserves the client's address`,
        'Set the attribute for the TCP ports alone, with target-group-attributes.PORT',
      );
    }
  }
  const suffixes = plans.flatMap(({ port, protocol, source }) => [
    `${protocol}-${port}`,
    `${source.protocol}-${port}`,
  ]);
  const unknown = Object.keys(desired.settings.listenerAttributes).find(
    (suffix) => !suffixes.includes(suffix),
  );
  if (unknown !== undefined) {
    throw misfit(
      `listener-attributes.${unknown}`,
      'the Service has no listener of this name',
      `Write one of ${[...new Set(suffixes)].join(', ')}`,
    );
  }
  const byPort = Object.keys(desired.settings.targetGroupAttributesByPort).find(
    (suffix) => !plans.some(({ port }) => String(port) === suffix),
  );
  if (byPort !== undefined) {
    throw misfit(
      `target-group-attributes.${byPort}`,
      'the Service has no port of this number',
      `Write one of ${plans.map(({ port }) => port).join(', ')}`,
    );
  }
}

function refusedNotes({ refused }: PortPlans): readonly Note[] {
  return refused.map(({ port, code, message }) => ({
    code,
    severity: 'Warning',
    subject: `spec.ports ${port.port}/${port.protocol}`,
    message: `${message}. Give TCP and UDP the same node port, or use two Services.`,
  }));
}

/** Source ranges do nothing with groups of the user's own, and too many rules do not fit into a group. */
function rangeNotes({ sourceRanges, settings }: Desired, rules: number): readonly Note[] {
  const own = settings.securityGroups.length > 0;
  const notes: Note[] = [];
  if (own && (sourceRanges.length > 0 || settings.prefixLists.length > 0)) {
    const message =
      'security-groups replaces the managed group, so source ranges and prefix lists have no effect. Put them into your groups.';
    notes.push({ code: 'SourceRangesIgnored', severity: 'Warning', subject: 'source ranges', message });
  }
  if (!own && rules > RULES_QUOTA) {
    const message = `${rules} inbound rules are needed, and the quota of a security group is ${RULES_QUOTA} by default. Use a prefix list, fewer ranges or ports, or raise the quota.`;
    notes.push({ code: 'RulesQuota', severity: 'Warning', subject: 'security group', message });
  }
  return notes;
}

/** One address lies in one zone, so the load balancer has no other. */
function zoneNotes({ addresses, settings }: Desired): readonly Note[] {
  const fixed = [settings.eipAllocations, settings.privateIpv4Addresses].find((list) => list.length === 1);
  const [first] = addresses;
  if (first === undefined && fixed === undefined) return [];
  const what =
    first === undefined ? (fixed ?? []).join() : `${familyOf(first)} address ${addresses.join(', ')}`;
  const message = `${what} lies in one zone, so the load balancer is in this zone only and does not outlive it. For several zones give one address for each by eip-allocations or private-ipv4-addresses.`;
  return [{ code: 'SingleZone', severity: 'Warning', subject: 'addresses', message }];
}

function misfit(name: string, why: string, remedy: string): InvalidSpec {
  return new InvalidSpec('InvalidAnnotation', { message: `annotation ${name}: ${why}`, remedy });
}
