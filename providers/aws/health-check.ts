import { note, type LoadBalancerPort, type Note } from '@berth/core';
import { targetTypeOf, type Context, type Desired } from './desired.ts';
import type { PortPlan } from './ports.ts';
import type { HealthCheckSpec } from './state.ts';

/** kube-proxy's own health endpoint: good while the node takes traffic (KEP-3836). */
export const KUBE_PROXY_PORT = 10_256;

/** What holds where no annotation says otherwise: a TCP connection to the target's own port. */
const TCP_DEFAULTS = { protocol: 'TCP', interval: 10, timeout: 10, healthy: 3, unhealthy: 3 } as const;

/** A node that lost its last endpoint, or is about to go, must leave quickly. */
const NODE_DEFAULTS = { protocol: 'HTTP', interval: 10, timeout: 6, healthy: 2, unhealthy: 2 } as const;

/** Answers of an HTTP probe that are good when nothing else is said. */
const GOOD_CODES = '200-399';

interface Surroundings {
  readonly context: Context;
  readonly plans: readonly PortPlan[];
}

/**
 * How the targets of a port are probed: what the Service's traffic policy needs, overridden by annotations one by one.
 * Policy Local with nodes as targets asks the healthCheckNodePort, which says whether the node has endpoints.
 */
export function healthCheckOf(plan: PortPlan, desired: Desired, surroundings: Surroundings): HealthCheckSpec {
  const { settings } = desired;
  const base = defaultsOf(plan, desired, surroundings);
  const protocol = settings.healthCheckProtocol?.toUpperCase() ?? base.protocol;
  const http = protocol !== 'TCP';
  return {
    protocol,
    port: portOf(desired, base.port, surroundings.context),
    interval: settings.healthCheckInterval ?? base.interval,
    timeout: settings.healthCheckTimeout ?? base.timeout,
    healthy: settings.healthCheckHealthyThreshold ?? base.healthy,
    unhealthy: settings.healthCheckUnhealthyThreshold ?? base.unhealthy,
    ...(http ? { path: settings.healthCheckPath ?? base.path ?? '/' } : {}),
    ...(http ? { codes: settings.healthCheckSuccessCodes ?? GOOD_CODES } : {}),
  };
}

/** A warning for UDP ports whose targets nothing can probe. */
export function healthCheckNotes(desired: Desired, surroundings: Surroundings): readonly Note[] {
  return surroundings.plans.flatMap((plan) => {
    const { port } = healthCheckOf(plan, desired, surroundings);
    if (plan.protocol !== 'UDP' || port !== 'traffic-port') return [];
    const message =
      `port ${plan.port}/UDP has no port beside it that a health check could reach, so all its targets count as ` +
      'unhealthy and get traffic all the same. Set externalTrafficPolicy: Local, healthcheck-port, or ' +
      'clusterPolicyHealthCheck: kube-proxy';
    return [
      { ...note('Ensuring', `spec.ports ${plan.port}/UDP`, ''), code: 'HealthCheckImpossible', message },
    ];
  });
}

function defaultsOf(
  plan: PortPlan,
  desired: Desired,
  { context, plans }: Surroundings,
): Omit<HealthCheckSpec, 'codes'> {
  const nodes = targetTypeOf(desired.settings, context) === 'instance';
  const { healthCheck, externalTrafficPolicy } = desired;
  if (nodes && healthCheck.kind === 'http') {
    return { ...NODE_DEFAULTS, port: String(healthCheck.port), path: healthCheck.path };
  }
  const drains =
    context.config.clusterPolicyHealthCheck === 'kube-proxy' && externalTrafficPolicy === 'Cluster';
  if (nodes && drains) return { ...NODE_DEFAULTS, port: String(KUBE_PROXY_PORT), path: '/healthz' };
  return { ...TCP_DEFAULTS, port: trafficPort(plan, plans, nodes) };
}

/** A UDP port cannot be probed; its neighbour with TCP tells at least whether the node lives. */
function trafficPort({ protocol }: PortPlan, plans: readonly PortPlan[], nodes: boolean): string {
  if (protocol !== 'UDP') return 'traffic-port';
  const tcp = plans.find((other) => other.protocol !== 'UDP');
  if (tcp === undefined) return 'traffic-port';
  return nodes ? String(tcp.source.nodePort) : podPort(tcp.source, 'traffic-port');
}

function portOf({ settings, ports }: Desired, otherwise: string, context: Context): string {
  const asked = settings.healthCheckPort;
  if (asked === undefined) return otherwise;
  const named = ports.find(({ name }) => name === asked);
  if (named === undefined) return asked;
  const nodes = targetTypeOf(settings, context) === 'instance';
  return nodes ? String(named.nodePort) : podPort(named, 'traffic-port');
}

function podPort({ targetPort }: LoadBalancerPort, otherwise: string): string {
  return typeof targetPort === 'number' ? String(targetPort) : otherwise;
}
