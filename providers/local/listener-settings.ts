import type { CheckSpec } from './proxy/health.ts';
import type { ListenerSettings } from './proxy/spec.ts';
import type { Frontend, ListenerWish, TargetAddress } from './state.ts';

/** Everything that decides how one listener behaves. */
export interface ListenerView {
  /** `443/TCP`. */
  readonly name: string;
  readonly wish: ListenerWish;
  readonly frontend: Frontend;
  readonly targets: readonly TargetAddress[];
  /** Node port of a TCP port of the same load balancer, by which the nodes of a UDP port can be probed. */
  readonly tcpNodePort: number | undefined;
}

/** What the proxy needs to know of a listener. Pure. */
export function listenerSettings(view: ListenerView): ListenerSettings {
  const { frontend, targets, wish } = view;
  const { settings } = frontend;
  const udp = view.name.endsWith('/UDP');
  const probe = probeOf(view);
  return {
    targets: targets.map(({ address }) => ({
      host: address,
      port: wish.nodePort,
      ...(probe === undefined ? {} : { check: { ...probe, host: address } }),
    })),
    sourceRanges: frontend.sourceRanges,
    affinityMs: frontend.clientIPAffinitySeconds * 1_000,
    traffic: {
      connectTimeoutMs: settings.connectTimeoutSeconds * 1_000,
      idleTimeoutMs: (udp ? settings.udpIdleTimeoutSeconds : settings.idleTimeoutSeconds) * 1_000,
      drainMs: settings.drainSeconds * 1_000,
      proxyProtocol: settings.proxyProtocol === 'v2',
      maxConnections: settings.maxConnections,
    },
  };
}

/**
 * How the nodes are probed. What Kubernetes says comes first (policy Local: HTTP on the healthCheckNodePort, the same
 * check for all ports). A UDP node port cannot be probed; its neighbour with TCP tells at least whether the node lives.
 */
function probeOf({ name, wish, frontend, tcpNodePort }: ListenerView): Omit<CheckSpec, 'host'> | undefined {
  const { healthCheck, settings } = frontend;
  const common = {
    intervalMs: settings.healthCheckIntervalSeconds * 1_000,
    timeoutMs: settings.healthCheckTimeoutSeconds * 1_000,
    healthyThreshold: settings.healthCheckHealthyThreshold,
    unhealthyThreshold: settings.healthCheckUnhealthyThreshold,
  };
  if (healthCheck.kind === 'http') {
    return { kind: 'http', port: healthCheck.port, path: healthCheck.path, ...common };
  }
  const nodePort = name.endsWith('/UDP') ? tcpNodePort : wish.nodePort;
  const port = settings.healthCheckPort === 0 ? nodePort : settings.healthCheckPort;
  if (settings.healthCheckProtocol === 'none' || port === undefined) return undefined;
  if (settings.healthCheckProtocol === 'http') {
    return { kind: 'http', port, path: settings.healthCheckPath, ...common };
  }
  // The backend behind a node port expects the header; something on a port of its own does not.
  const proxyProtocol = settings.proxyProtocol === 'v2' && settings.healthCheckPort === 0;
  return { kind: 'tcp', port, ...common, ...(proxyProtocol ? { proxyProtocol } : {}) };
}
