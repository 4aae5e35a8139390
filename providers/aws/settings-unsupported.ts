import { INCUMBENT, OURS, unsupported, unsupportedFamily } from './setting-kinds.ts';

/** Both names of an annotation that is not carried out. */
function both(name: string): [string, string] {
  return [`${OURS}${name}`, `${INCUMBENT}${name}`];
}

const CLASSIC = 'it is one of Classic Load Balancers; a Network Load Balancer';

/** Annotations of the incumbents that are not carried out; each gets an event that says so and what to do instead. */
export const notCarriedOut = {
  minimumCapacity: unsupported(
    both('minimum-load-balancer-capacity'),
    'reserve capacity with `aws elbv2 modify-capacity-reservation`; Berth leaves reservations alone',
  ),
  multiCluster: unsupported(
    both('multi-cluster-target-group'),
    'a target group belongs to one cluster; give each cluster a Service and share by DNS',
  ),
  quicPorts: unsupported(both('quic-enabled-ports'), 'QUIC listeners are not offered; the port stays UDP'),
  actions: unsupportedFamily(
    'service.beta.kubernetes.io/actions.*',
    'weighted forwarding is not offered; traffic goes to the target group of the port',
  ),
  disableGroup: unsupported(
    both('disable-nlb-sg'),
    'a load balancer made without a security group can never get one, so Berth always attaches one',
  ),
  extraGroups: unsupported(both('extra-security-groups'), `${CLASSIC} takes security-groups instead`),
  emitInterval: unsupported(
    both('access-log-emit-interval'),
    `${CLASSIC} writes its logs every five minutes`,
  ),
  draining: unsupported(
    both('connection-draining-enabled'),
    `${CLASSIC} takes target-group-attributes: deregistration_delay.timeout_seconds=…`,
  ),
  drainingTimeout: unsupported(
    both('connection-draining-timeout'),
    `${CLASSIC} takes target-group-attributes: deregistration_delay.timeout_seconds=…`,
  ),
  idleTimeout: unsupported(
    both('connection-idle-timeout'),
    `${CLASSIC} takes listener-attributes.TCP-PORT: tcp.idle_timeout.seconds=…`,
  ),
};
