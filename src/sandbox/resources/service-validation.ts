/** What makes a Service invalid. The API server's rules, as far as Berth, the demo or a kubectl user meets them. */
import type { LoadBalancerIngress, ServiceObject, ServicePort } from '../machinery/objects.ts';
import type { FieldErrors } from '../machinery/status.ts';
import {
  isDnsLabel,
  isSubdomain,
  qualifiedNameProblem,
  validateLabelValue,
} from '../machinery/validate-meta.ts';
import { familyOf, isCidr } from './allocation.ts';
import { isExternallyAccessible, isHeadless, needsHealthCheckPort } from './service-kinds.ts';

const BAD_PORT = 'must be between 1 and 65535, inclusive';
const BAD_IP = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
const BAD_CIDR = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';
const BAD_LABEL =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const LOAD_BALANCER_ONLY = "may only be used when `type` is 'LoadBalancer'";
/** Unspecified, loopback, link-local and link-local multicast addresses, which no external IP may be. */
const SPECIAL_ADDRESS = /^(0\.0\.0\.0$|127\.|169\.254\.|224\.0\.0\.|::1?$|fe[89ab]|ff02:)/i;
const MAX_AFFINITY_SECONDS = 86_400;

/** Checks a Service's spec. */
export function validateService(service: ServiceObject, errors: FieldErrors): void {
  const { spec } = service;
  errors.oneOf('spec.type', spec.type, ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort']);
  if (!spec.ports?.length && !isHeadless(service) && spec.type !== 'ExternalName')
    errors.required('spec.ports');
  validateType(service, errors);
  validatePorts(service, errors);
  for (const [key, value] of Object.entries(spec.selector ?? {})) {
    const problem = qualifiedNameProblem(key);
    if (problem !== undefined) errors.invalid('spec.selector', key, problem);
    validateLabelValue('spec.selector', value, errors);
  }
  validateAffinity(service, errors);
  validateLoadBalancerFields(service, errors);
  validateTrafficPolicies(service, errors);
  for (const [index, address] of (spec.externalIPs ?? []).entries()) {
    const field = `spec.externalIPs[${index}]`;
    if (familyOf(address) === undefined) errors.invalid(field, address, BAD_IP);
    else if (SPECIAL_ADDRESS.test(address)) {
      errors.invalid(field, address, 'may not be unspecified, loopback, link-local or multicast');
    }
  }
}

function validateType(service: ServiceObject, errors: FieldErrors): void {
  const { spec } = service;
  if (spec.type === 'ExternalName') {
    if (spec.clusterIPs?.length)
      errors.forbidden('spec.clusterIPs', 'may not be set for ExternalName services');
    const name = (spec.externalName ?? '').replace(/\.$/, '');
    if (name === '') errors.required('spec.externalName');
    else if (!isSubdomain(name)) errors.invalid('spec.externalName', name, 'must be a DNS name');
  } else if (spec.type !== 'ClusterIP' && isHeadless(service)) {
    errors.invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${spec.type} services`);
  }
}

function validatePorts({ spec }: ServiceObject, errors: FieldErrors): void {
  const ports = spec.ports ?? [];
  const seen = { names: new Set<string>(), ports: new Set<string>(), nodePorts: new Set<string>() };
  for (const [index, port] of ports.entries()) {
    const path = `spec.ports[${index}]`;
    validatePort(port, path, errors);
    if (port.name === undefined && ports.length > 1) errors.required(`${path}.name`);
    if (port.name !== undefined && repeated(seen.names, port.name))
      errors.duplicate(`${path}.name`, port.name);
    if (repeated(seen.ports, `${port.protocol}/${port.port}`)) {
      errors.duplicate(path, { port: port.port, protocol: port.protocol });
    }
    if (port.nodePort === undefined) continue;
    if (spec.type === 'ClusterIP')
      errors.forbidden(`${path}.nodePort`, "may not be used when `type` is 'ClusterIP'");
    if (repeated(seen.nodePorts, `${port.protocol}/${port.nodePort}`)) {
      errors.duplicate(`${path}.nodePort`, port.nodePort);
    }
  }
}

function repeated(seen: Set<string>, item: string): boolean {
  if (seen.has(item)) return true;
  seen.add(item);
  return false;
}

function validatePort(port: ServicePort, path: string, errors: FieldErrors): void {
  if (port.name !== undefined && !isDnsLabel(port.name)) errors.invalid(`${path}.name`, port.name, BAD_LABEL);
  if (!isPort(port.port)) errors.invalid(`${path}.port`, port.port, BAD_PORT);
  errors.oneOf(`${path}.protocol`, port.protocol, ['SCTP', 'TCP', 'UDP']);
  const { targetPort } = port;
  if (typeof targetPort === 'number' && !isPort(targetPort))
    errors.invalid(`${path}.targetPort`, targetPort, BAD_PORT);
  if (typeof targetPort === 'string' && !isPortName(targetPort)) {
    errors.invalid(
      `${path}.targetPort`,
      targetPort,
      'must contain at least one letter (a-z), and only a-z, 0-9 and -',
    );
  }
  const problem = port.appProtocol === undefined ? undefined : qualifiedNameProblem(port.appProtocol);
  if (problem !== undefined) errors.invalid(`${path}.appProtocol`, port.appProtocol, problem);
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535;
}

/** IANA service names: 15 characters, at least one letter, no two hyphens in a row (RFC 6335 section 5.1). */
function isPortName(name: string): boolean {
  return name.length <= 15 && isDnsLabel(name) && /[a-z]/.test(name) && !name.includes('--');
}

function validateAffinity({ spec }: ServiceObject, errors: FieldErrors): void {
  errors.oneOf('spec.sessionAffinity', spec.sessionAffinity ?? '', ['ClientIP', 'None']);
  if (spec.sessionAffinity !== 'ClientIP') return;
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 0;
  if (seconds >= 1 && seconds <= MAX_AFFINITY_SECONDS) return;
  const field = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  errors.invalid(field, seconds, `must be greater than 0 and less than or equal to ${MAX_AFFINITY_SECONDS}`);
}

/** The field's path starts with a capital: so it does in the API server's answer. */
const SOURCE_RANGES = 'spec.LoadBalancerSourceRanges';
const SOURCE_RANGES_ANNOTATION = 'service.beta.kubernetes.io/load-balancer-source-ranges';

function validateLoadBalancerFields({ spec, metadata }: ServiceObject, errors: FieldErrors): void {
  const isLoadBalancer = spec.type === 'LoadBalancer';
  const annotation = metadata.annotations?.[SOURCE_RANGES_ANNOTATION];
  if (spec.loadBalancerSourceRanges) {
    if (!isLoadBalancer) errors.forbidden(SOURCE_RANGES, LOAD_BALANCER_ONLY);
    for (const [index, range] of spec.loadBalancerSourceRanges.entries()) {
      if (!isCidr(range.trim())) errors.invalid(`${SOURCE_RANGES}[${index}]`, range.trim(), BAD_CIDR);
    }
  } else if (annotation !== undefined) {
    const field = `metadata.annotations[${SOURCE_RANGES_ANNOTATION}]`;
    if (!isLoadBalancer) errors.forbidden(field, LOAD_BALANCER_ONLY);
    const ranges = annotation.trim() === '' ? [] : annotation.split(',').map((range) => range.trim());
    for (const range of ranges) if (!isCidr(range)) errors.invalid(field, range, BAD_CIDR);
  }
  if (spec.allocateLoadBalancerNodePorts !== undefined && !isLoadBalancer) {
    errors.forbidden('spec.allocateLoadBalancerNodePorts', LOAD_BALANCER_ONLY);
  }
  if (spec.loadBalancerClass === undefined) return;
  const problem = qualifiedNameProblem(spec.loadBalancerClass);
  if (!isLoadBalancer) errors.forbidden('spec.loadBalancerClass', LOAD_BALANCER_ONLY);
  else if (problem !== undefined) errors.invalid('spec.loadBalancerClass', spec.loadBalancerClass, problem);
}

function validateTrafficPolicies(service: ServiceObject, errors: FieldErrors): void {
  const { spec } = service;
  const policy = spec.externalTrafficPolicy;
  if (isExternallyAccessible(service)) {
    errors.oneOf('spec.externalTrafficPolicy', policy ?? '', ['Cluster', 'Local']);
  } else if (policy !== undefined) {
    errors.invalid(
      'spec.externalTrafficPolicy',
      policy,
      'may only be set for externally-accessible services',
    );
  }
  if (spec.internalTrafficPolicy !== undefined) {
    errors.oneOf('spec.internalTrafficPolicy', spec.internalTrafficPolicy, ['Cluster', 'Local']);
  }
  if (spec.trafficDistribution !== undefined) {
    const known = ['PreferClose', 'PreferSameZone', 'PreferSameNode'];
    errors.oneOf('spec.trafficDistribution', spec.trafficDistribution, known);
  }
  if (spec.healthCheckNodePort !== undefined && !needsHealthCheckPort(service)) {
    const why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    errors.invalid('spec.healthCheckNodePort', spec.healthCheckNodePort, why);
  }
}

/** Checks what an update of a Service may not change. */
export function validateServiceUpdate(
  next: ServiceObject,
  previous: ServiceObject,
  errors: FieldErrors,
): void {
  const [before, after] = [previous.spec, next.spec];
  if (before.type === 'LoadBalancer' && after.type === 'LoadBalancer') {
    if (before.loadBalancerClass !== after.loadBalancerClass) {
      errors.invalid('spec.loadBalancerClass', after.loadBalancerClass, 'may not change once set');
    }
  }
  if (needsHealthCheckPort(previous) && needsHealthCheckPort(next)) {
    if (before.healthCheckNodePort !== after.healthCheckNodePort) {
      errors.forbidden('spec.healthCheckNodePort', 'field is immutable');
    }
  }
  if (before.type === 'ExternalName' || after.type === 'ExternalName') return;
  const [had, has] = [before.clusterIPs ?? [], after.clusterIPs ?? []];
  for (const [index, address] of had.entries()) {
    if (has.length > index && has[index] !== address) {
      errors.invalid(`spec.clusterIPs[${index}]`, has, 'may not change once set');
    }
  }
  if (had.length > 0 && has.length === 0) {
    errors.invalid('spec.clusterIPs[0]', has, 'primary clusterIP can not be unset');
  }
}

/** Checks `status.loadBalancer`. */
export function validateServiceStatus({ spec, status }: ServiceObject, errors: FieldErrors): void {
  const ingress = status.loadBalancer.ingress ?? [];
  if (spec.type !== 'LoadBalancer' && ingress.length > 0) {
    errors.forbidden('status.loadBalancer.ingress', "may only be used when `spec.type` is 'LoadBalancer'");
    return;
  }
  for (const [index, each] of ingress.entries()) {
    validateIngress(each, `status.loadBalancer.ingress[${index}]`, errors);
  }
}

function validateIngress(ingress: LoadBalancerIngress, path: string, errors: FieldErrors): void {
  const { ip, hostname, ipMode } = ingress;
  if (ip !== undefined && familyOf(ip) === undefined) errors.invalid(`${path}.ip`, ip, BAD_IP);
  if (ip !== undefined && ipMode === undefined)
    errors.required(`${path}.ipMode`, 'must be specified when `ip` is set');
  if (ipMode !== undefined && ip === undefined) {
    errors.forbidden(`${path}.ipMode`, 'may not be specified when `ip` is not set');
  } else if (ipMode !== undefined) errors.oneOf(`${path}.ipMode`, ipMode, ['Proxy', 'VIP']);
  if (hostname === undefined) return;
  if (!isSubdomain(hostname)) errors.invalid(`${path}.hostname`, hostname, 'must be a lowercase DNS name');
  if (familyOf(hostname) !== undefined) {
    errors.invalid(`${path}.hostname`, hostname, 'must be a DNS name, not an IP address');
  }
}
