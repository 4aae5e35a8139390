/** Builders for unit tests: values that work, of which a test overrides only what it is about. */
import { parseCidr, parseIp, parseRange, type Cidr, type IpAddress } from '../src/model/address.ts';
import type { LoadBalancer } from '../src/model/load-balancer.ts';
import type { Node } from '../src/model/node.ts';
import type { AddressPool } from '../src/model/pool.ts';
import { keyOf, type Service } from '../src/model/service.ts';
import { portText } from '../src/model/service.ts';
import { portWith, serviceWith, targetWith } from '../src/conformance/index.ts';

export { createTestHost, ManualClock } from '../src/conformance/index.ts';

/** A Service of type LoadBalancer with one TCP port. Its UID follows from its name. */
export const aService: typeof serviceWith = serviceWith;
/** A port of a Service: 80/TCP on node port 30080. */
export const aPort: typeof portWith = portWith;
/** A node as a target. */
export const aTarget: typeof targetWith = targetWith;

/** A Service with these addresses in its status. */
export function aServiceAt(
  name: string,
  addresses: readonly string[],
  overrides: Partial<Service> = {},
): Service {
  return aService({ name, ingress: addresses.map((address) => ({ ip: address })), ...overrides });
}

/** A Node that is ready and eligible, with one InternalIP. */
export function aNode(overrides: Partial<Node> = {}): Node {
  const name = overrides.name ?? 'node-1';
  return {
    name,
    uid: `uid-of-${name}`,
    resourceVersion: '1',
    labels: {},
    taints: [],
    deleting: false,
    providerID: `test:///${name}`,
    addresses: [{ type: 'InternalIP', address: ip('192.0.2.11') }],
    ready: 'True',
    networkUnavailable: false,
    ...overrides,
  };
}

/** A desired load balancer with one TCP port and one target, as the core makes it of `aService()`. */
export function aLoadBalancer(overrides: Partial<LoadBalancer> = {}): LoadBalancer {
  const namespace = overrides.namespace ?? 'default';
  const name = overrides.name ?? 'web';
  return {
    key: keyOf({ namespace, name }),
    namespace,
    name,
    uid: `uid-of-${name}`,
    loadBalancerClass: '',
    families: ['IPv4'],
    addresses: [],
    ports: [portWith()],
    sourceRanges: [],
    externalTrafficPolicy: 'Cluster',
    healthCheck: { kind: 'default' },
    clientIPAffinitySeconds: 0,
    targets: [targetWith()],
    endpoints: [],
    settings: {},
    ...overrides,
  };
}

/** A pool of the given ranges that is used without being asked for. */
export function aPool(...ranges: readonly string[]): AddressPool {
  return { name: 'default', ranges: ranges.map(range), autoAssign: true };
}

/** An address; throws when it is none. */
export function ip(text: string): IpAddress {
  return parseIp(text) ?? invalid(text);
}

/** A CIDR; throws when it is none. */
export function cidr(text: string): Cidr {
  return parseCidr(text) ?? invalid(text);
}

/** A range of a pool; throws when it is none. */
export function range(text: string): AddressPool['ranges'][number] {
  return parseRange(text) ?? invalid(text);
}

/** `80/TCP 443/TCP`: the ports of a Service or load balancer in one line, for comparing. */
export function portsText({ ports }: Pick<Service | LoadBalancer, 'ports'>): string {
  return ports.map(portText).join(' ');
}

function invalid(text: string): never {
  throw new Error(`the test has an invalid value: ${text}`);
}
