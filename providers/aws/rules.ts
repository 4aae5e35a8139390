import { compareText, familyOf, InvalidSpec, type Cidr } from '@berth/core';
import type { Desired } from './desired.ts';
import { ruleText, type Rule } from './state.ts';
import type { ListenerSpec } from './wanted.ts';

/** Everybody, where nobody is named. */
const EVERYBODY = { IPv4: '0.0.0.0/0', IPv6: '::/0' } as const;

/** ICMP messages that path MTU discovery needs (RFC 1191: type 3 code 4; RFC 8201: type 2). */
const MTU = {
  IPv4: { protocol: 'icmp', from: 3, to: 4 },
  IPv6: { protocol: 'icmpv6', from: 2, to: 0 },
} as const;

/** Quota of inbound rules for each IP family of a security group (VPC quotas, default). */
export const RULES_QUOTA = 60;

/**
 * The rules of a load balancer's own security group: each listener for each source. A prefix list alone replaces the
 * open default.
 *
 * @throws InvalidSpec `InvalidSourceRange` for an IPv6 range on a load balancer without IPv6.
 */
export function frontendRules(
  desired: Desired,
  listeners: readonly ListenerSpec[],
  dualstack: boolean,
): readonly Rule[] {
  const sources = sourcesOf(desired, dualstack);
  const rules = listeners.flatMap(({ port, protocol }) =>
    transportsOf(protocol).flatMap((transport) =>
      sources.map((source) => ({ protocol: transport, from: port, to: port, source })),
    ),
  );
  const mtu =
    desired.settings.pathMtuDiscovery === 'on'
      ? sources
          .filter((source) => !source.startsWith('pl-'))
          .map((source) => ({ ...MTU[familyOf(source as Cidr)], source }))
      : [];
  return [...rules, ...mtu].toSorted((a, b) => compareText(ruleText(a), ruleText(b)));
}

/** IP protocols of a listener's or target group's protocol. */
export function transportsOf(protocol: string): readonly ('tcp' | 'udp')[] {
  if (protocol === 'TCP_UDP') return ['tcp', 'udp'];
  return protocol === 'UDP' ? ['udp'] : ['tcp'];
}

/** Rules of the first list that the second has not. */
export function missingRules(of: readonly Rule[], from: readonly Rule[]): readonly Rule[] {
  const present = new Set(from.map(ruleText));
  return of.filter((rule) => !present.has(ruleText(rule)));
}

function sourcesOf({ sourceRanges, settings }: Desired, dualstack: boolean): readonly string[] {
  const foreign = sourceRanges.find((range) => familyOf(range) === 'IPv6');
  if (foreign !== undefined && !dualstack) {
    throw new InvalidSpec('InvalidSourceRange', {
      message: `the source range ${foreign} is IPv6, and the load balancer has no IPv6 addresses`,
      remedy: 'Remove the range, or ask for IPv6 by spec.ipFamilies or by ip-address-type: dualstack',
    });
  }
  const open = dualstack ? [EVERYBODY.IPv4, EVERYBODY.IPv6] : [EVERYBODY.IPv4];
  const ranges = sourceRanges.length > 0 || settings.prefixLists.length > 0 ? sourceRanges : open;
  return [...ranges, ...settings.prefixLists];
}
