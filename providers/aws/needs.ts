import { compareText } from '@berth/core';
import { targetTypeOf, type Context, type Desired } from './desired.ts';
import { planPorts } from './ports.ts';
import { transportsOf } from './rules.ts';
import type { Rule } from './state.ts';
import { usesBackend, wantedOf } from './wanted.ts';

/** The shared group is needed at all. */
export const BACKEND = 'backend';

/**
 * What a load balancer needs of the nodes, as sorted texts: `tcp 30000-32767` for its node ports, a port of its own
 * for a health check or pods outside of that range. Many load balancers have the same needs, which is why the number
 * of rules does not grow with them.
 */
export function needsOf(desired: Desired, context: Context): readonly string[] {
  if (!usesBackend(desired, context)) return [];
  const { targetGroups } = wantedOf(desired, undefined, context);
  const nodes = targetTypeOf(desired.settings, context) === 'instance';
  const served = planPorts(desired).plans.length > 0;
  const needs = Object.values(targetGroups).flatMap(({ protocol, port, targets, healthCheck }) => {
    const ports = nodes ? [port] : targets.map((target) => target.port);
    const traffic = transportsOf(protocol).flatMap((transport) =>
      ports.map((one) => need(transport, one, context)),
    );
    const probed = healthCheck.port === 'traffic-port' ? ports : [Number(healthCheck.port)];
    return [...traffic, ...probed.map((one) => need('tcp', one, context))];
  });
  return [...new Set([...(served ? [BACKEND] : []), ...needs])].toSorted(compareText);
}

/**
 * The rules that meet all needs: the node port range as it is, and for each protocol at most one more range, from the
 * lowest to the highest port outside of it.
 */
export function rulesFor(needs: readonly string[], source: string, { config }: Context): readonly Rule[] {
  const { from, to } = config.nodePortRange;
  const parsed = needs.flatMap((text) => {
    const match = /^(tcp|udp) (\d+)-(\d+)$/.exec(text);
    return match === null ? [] : [{ protocol: match[1] ?? '', from: Number(match[2]), to: Number(match[3]) }];
  });
  return ['tcp', 'udp'].flatMap((protocol) => {
    const mine = parsed.filter((rule) => rule.protocol === protocol);
    const ranged = mine.some((rule) => rule.from === from && rule.to === to);
    const others = mine.filter((rule) => rule.from < from || rule.to > to);
    const least = Math.min(...others.map((rule) => rule.from));
    const most = Math.max(...others.map((rule) => rule.to));
    return [
      ...(ranged ? [{ protocol, from, to, source }] : []),
      ...(others.length > 0 ? [{ protocol, from: least, to: most, source }] : []),
    ];
  });
}

function need(transport: string, port: number, { config }: Context): string {
  const { from, to } = config.nodePortRange;
  return port >= from && port <= to ? `${transport} ${from}-${to}` : `${transport} ${port}-${port}`;
}
