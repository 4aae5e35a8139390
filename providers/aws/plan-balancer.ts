import type { Step } from '@berth/core';
import { PIECE } from './names.ts';
import type { Comparison } from './plan.ts';
import type { AwsObserved, BalancerState } from './state.ts';
import { changedAttributes, pick, sameSet, STAGE, step } from './steps.ts';
import type { BalancerSpec } from './wanted.ts';

/** The load balancer itself: made, changed where AWS can change it, replaced where it cannot. */
export function planBalancer(comparison: Comparison): readonly Step[] {
  const { desired, wanted, have } = comparison;
  const { key: scope } = desired;
  const present = have?.balancer;
  const { attributes, ...spec } = wanted.balancer;
  const where = { scope, resource: 'loadBalancer', key: desired.name, stage: STAGE.balancer };
  const after = { ...spec, tags: wanted.tags(PIECE.balancer) };
  if (present === undefined) {
    const because = `Service ${scope} has no load balancer`;
    return [step({ ...where, after, because }), ...attributeSteps(comparison, {}, attributes)];
  }
  const impossible = replacementReason(present, wanted.balancer, comparison.observed);
  if (impossible !== undefined) {
    const before = { arn: present.arn, scheme: present.scheme, zones: present.zones };
    return [
      step({ ...where, verb: 'replace', before, after, because: impossible }),
      ...attributeSteps(comparison, {}, attributes),
    ];
  }
  const changes = differences(present, comparison);
  const names = Object.keys(changes);
  const update = step({
    ...where,
    verb: 'update',
    before: Object.fromEntries(names.map((name) => [name, currently(present, name)])),
    after: changes,
    because: `${names.join(', ')} of the load balancer differ`,
  });
  return [
    ...(names.length > 0 ? [update] : []),
    ...attributeSteps(comparison, present.attributes, attributes),
  ];
}

/** Whether the load balancer is replaced: then its listeners go with it, and its tags are those of the new one. */
export function isReplaced({ wanted, have, observed }: Comparison): boolean {
  const present = have?.balancer;
  return present !== undefined && replacementReason(present, wanted.balancer, observed) !== undefined;
}

/** Why AWS can only give what is wanted to a new load balancer; `undefined` when it need not. */
function replacementReason(
  present: BalancerState,
  wanted: BalancerSpec,
  observed: AwsObserved,
): string | undefined {
  if (present.scheme !== wanted.scheme) {
    return `it is ${present.scheme}, ${wanted.scheme} is wanted, and the scheme of a load balancer cannot change`;
  }
  const held = present.zones.flatMap(({ addresses }) => addresses);
  const allocations = present.zones.flatMap(({ allocation }) => allocation ?? []);
  const missing =
    wanted.addresses.find((ip) => !held.includes(ip)) ??
    wanted.privateIpv4.find((ip) => !held.includes(ip)) ??
    wanted.ipv6.find((ip) => !held.includes(ip)) ??
    wanted.allocations.find((id) => !allocations.includes(id));
  if (missing === undefined || addsZonesOnly(present, wanted, observed)) return undefined;
  return `it has not the address ${missing}, and the addresses of a zone cannot change`;
}

/** Whether the zones that exist keep what they have, and the missing addresses belong to further subnets. */
function addsZonesOnly(present: BalancerState, wanted: BalancerSpec, observed: AwsObserved): boolean {
  const subnets = subnetIds(wanted.subnets, observed);
  if (subnets === undefined || wanted.addresses.length > 0) return false;
  return present.zones.every((zone) => {
    const index = subnets.indexOf(zone.subnet);
    if (index < 0) return true;
    const [allocation, ip] = [wanted.allocations[index], wanted.privateIpv4[index]];
    return (
      (allocation === undefined || allocation === zone.allocation) &&
      (ip === undefined || zone.addresses.includes(ip))
    );
  });
}

/** What can be changed in place, by the name of the specification. */
function differences(present: BalancerState, { wanted, have, observed }: Comparison): Partial<BalancerSpec> {
  const { balancer } = wanted;
  const subnets = subnetIds(balancer.subnets, observed);
  const groups = groupIds(balancer.groups, have?.group?.id, observed);
  const zones = present.zones.map(({ subnet }) => subnet);
  const { sourceNat, privateLinkRules } = balancer;
  return {
    ...(present.ipAddressType === balancer.ipAddressType ? {} : { ipAddressType: balancer.ipAddressType }),
    // Names that nobody has looked up yet may mean something else than what is there; carrying it out looks.
    ...(balancer.subnets.length === 0 || (subnets !== undefined && sameSet(subnets, zones))
      ? {}
      : {
          subnets: balancer.subnets,
          allocations: balancer.allocations,
          privateIpv4: balancer.privateIpv4,
          ipv6: balancer.ipv6,
        }),
    ...(sourceNat === '' || sourceNat === (present.sourceNat || 'off')
      ? {}
      : { sourceNat, sourceNatPrefixes: balancer.sourceNatPrefixes }),
    ...(groups !== undefined && sameSet(groups, present.groups) ? {} : { groups: balancer.groups }),
    ...(privateLinkRules === '' || privateLinkRules === (present.privateLinkRules || 'on')
      ? {}
      : { privateLinkRules }),
  };
}

function currently(present: BalancerState, name: string): BalancerState[keyof BalancerState] | null {
  if (name === 'subnets') return present.zones.map(({ subnet }) => subnet);
  return name in present ? present[name as keyof BalancerState] : null;
}

/** Subnets by id; `undefined` when none are asked for, or a name has not been looked up yet. */
export function subnetIds(
  subnets: readonly string[],
  { environment }: AwsObserved,
): readonly string[] | undefined {
  if (subnets.length === 0) return undefined;
  const ids = subnets.map((one) => (one.startsWith('subnet-') ? one : environment.subnetNames[one]));
  return ids.every((id) => id !== undefined) ? ids : undefined;
}

/** Security groups by id; `undefined` when one is not known yet. */
export function groupIds(
  groups: readonly string[],
  frontend: string | undefined,
  { shared, environment }: AwsObserved,
): readonly string[] | undefined {
  const ids = groups.map((one) => {
    if (one === 'frontend') return frontend;
    if (one === 'backend') return shared.backend?.id;
    return one.startsWith('sg-') ? one : environment.groupNames[one];
  });
  return ids.every((id) => id !== undefined) ? ids : undefined;
}

function attributeSteps(
  { desired }: Comparison,
  have: Readonly<Record<string, string>> | undefined,
  wanted: Readonly<Record<string, string>>,
): readonly Step[] {
  const changed = changedAttributes(have, wanted);
  if (have === undefined || Object.keys(changed).length === 0) return [];
  return [
    step({
      scope: desired.key,
      resource: 'loadBalancerAttributes',
      key: desired.name,
      stage: STAGE.listeners,
      verb: 'update',
      before: pick(have, changed),
      after: changed,
      because: `attributes of the load balancer differ: ${Object.keys(changed).join(', ')}`,
    }),
  ];
}
