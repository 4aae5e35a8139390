import { InvalidSpec, portText, type LoadBalancerPort } from '@berth/core';
import type { Desired } from './desired.ts';

/** One listener that is wanted, with the Service port (or the pair of TCP and UDP) that it serves. */
export interface PortPlan {
  readonly port: number;
  /** `TCP`, `UDP`, `TCP_UDP` or `TLS`. */
  readonly protocol: string;
  /** The Service port; of a pair the TCP one. */
  readonly source: LoadBalancerPort;
}

/** A Service port that cannot be served, and why. */
export interface RefusedPort {
  readonly port: LoadBalancerPort;
  readonly code: 'PortConflict';
  readonly message: string;
}

/** Which listeners a Service's ports become. */
export interface PortPlans {
  readonly plans: readonly PortPlan[];
  readonly refused: readonly RefusedPort[];
}

/**
 * Turns ports into listeners. A number can have one listener only, so TCP and UDP of one number become TCP_UDP, which
 * needs the same target port for both: the API server allocates it so. Where that is not possible, TCP is served.
 *
 * @throws InvalidSpec `TlsPortUnknown` when ssl-ports names a port that the Service has not.
 */
export function planPorts(desired: Desired): PortPlans {
  const tls = tlsPorts(desired);
  const byNumber = Map.groupBy(desired.ports, ({ port }) => port);
  const plans: PortPlan[] = [];
  const refused: RefusedPort[] = [];
  for (const [number, ports] of [...byNumber].toSorted(([a], [b]) => a - b)) {
    const tcp = ports.find(({ protocol }) => protocol === 'TCP');
    const udp = ports.find(({ protocol }) => protocol === 'UDP');
    const source = tcp ?? udp;
    if (source === undefined) continue;
    const secure = tcp !== undefined && tls.has(tcp);
    const why = tcp === undefined || udp === undefined ? undefined : conflictOf(tcp, udp, secure);
    const paired = tcp !== undefined && udp !== undefined && why === undefined;
    plans.push({ port: number, protocol: paired ? 'TCP_UDP' : secure ? 'TLS' : source.protocol, source });
    if (why !== undefined && udp !== undefined)
      refused.push({ port: udp, code: 'PortConflict', message: why });
  }
  return { plans, refused };
}

/** Whether the Service's ports are named in an annotation's list, by number or name. */
export function isNamed({ port, name }: LoadBalancerPort, list: readonly string[]): boolean {
  return list.includes(String(port)) || (name !== undefined && list.includes(name));
}

function conflictOf(tcp: LoadBalancerPort, udp: LoadBalancerPort, secure: boolean): string | undefined {
  if (secure) return `port ${portText(udp)} is left out: a listener with TLS cannot take UDP as well`;
  if (tcp.nodePort === udp.nodePort && tcp.targetPort === udp.targetPort) return undefined;
  if (tcp.nodePort !== udp.nodePort) {
    return (
      `port ${portText(udp)} is left out: it has node port ${udp.nodePort}, TCP has ${tcp.nodePort}, ` +
      'and one listener has one target port'
    );
  }
  return tcp.nodePort === 0
    ? `port ${portText(udp)} is left out: its target port differs from that of TCP, and one listener has one target port`
    : undefined;
}

function tlsPorts({ ports, settings }: Desired): ReadonlySet<LoadBalancerPort> {
  const { sslCert, sslPorts } = settings;
  const tcp = ports.filter(({ protocol }) => protocol === 'TCP');
  const named = sslPorts.filter((one) => one !== '*');
  const unknown = named.find((one) => !tcp.some((port) => isNamed(port, [one])));
  if (unknown !== undefined) {
    throw new InvalidSpec('TlsPortUnknown', {
      message: `ssl-ports names ${unknown}, and the Service has no TCP port of that number or name`,
      remedy: 'Correct the annotation, or add the port',
    });
  }
  if (sslCert.length === 0) {
    if (sslPorts.length === 0) return new Set();
    throw new InvalidSpec('CertificateMissing', {
      message: `ssl-ports asks for TLS on ${sslPorts.join(', ')}, and there is no certificate`,
      remedy: 'Name a certificate in ssl-cert, or remove ssl-ports',
    });
  }
  return new Set(named.length === 0 ? tcp : tcp.filter((port) => isNamed(port, named)));
}
