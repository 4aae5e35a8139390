import type { IpFamily } from './address.ts';
import type { Protocol } from './service.ts';

/**
 * What a provider can do, as data. The core reads it and reacts as `CAPABILITIES` documents; a provider never has to
 * check for what it declared that it cannot do.
 */
export interface Capabilities {
  readonly loadBalancerIP: 'honoured' | 'ignored';
  readonly protocols: readonly Protocol[];
  readonly mixedProtocols: boolean;
  readonly sourceRanges: boolean;
  readonly targets: 'nodePort' | 'podIP' | 'none';
  readonly families: readonly IpFamily[];
  readonly sessionAffinity: boolean;
  readonly sharing: boolean;
  readonly healthCheck: boolean;
}

/** How one capability is to be understood. */
export interface CapabilityDoc {
  readonly meaning: string;
  readonly default: string;
  readonly reaction: string;
}

/** Meaning, default and the core's reaction for each capability. A test holds this table against the code. */
export const CAPABILITIES: Readonly<Record<keyof Capabilities, CapabilityDoc>> = {
  loadBalancerIP: {
    meaning: 'whether the provider can give a load balancer the address that the user asks for',
    default: 'ignored',
    reaction: 'ignored: the request is dropped with the event LoadBalancerIPIgnored, and nothing fails',
  },
  protocols: {
    meaning: 'transport protocols that a port may have',
    default: 'TCP',
    reaction:
      'a port with another protocol is left out with a per-port error; without any port left: ProtocolUnsupported',
  },
  mixedProtocols: {
    meaning: 'whether one load balancer can serve ports of several protocols',
    default: 'false',
    reaction:
      'false: ports whose protocol differs from the first are left out with the per-port error MixedProtocolNotSupported',
  },
  sourceRanges: {
    meaning: 'whether clients can be limited to CIDRs',
    default: 'false',
    reaction:
      'false: a Service with source ranges is refused (SourceRangesUnsupported) rather than opened to everybody',
  },
  targets: {
    meaning: 'what traffic is forwarded to: node ports, pods, or nothing (the nodes take it themselves)',
    default: 'nodePort',
    reaction:
      'nodePort: the core makes sure that every port has a node port, and passes the eligible nodes as targets',
  },
  families: {
    meaning: 'IP families that a load balancer can have addresses of',
    default: 'IPv4',
    reaction:
      'PreferDualStack drops a family that is not served; otherwise the Service is refused (FamilyUnsupported)',
  },
  sessionAffinity: {
    meaning: 'whether sessionAffinity: ClientIP can be kept by the load balancer',
    default: 'false',
    reaction: 'false: affinity is dropped with the event SessionAffinityIgnored, and nothing fails',
  },
  sharing: {
    meaning: 'whether several Services may share one address under a sharing key',
    default: 'false',
    reaction: 'false: an address belongs to one Service; a second request for it is AddressInUse',
  },
  healthCheck: {
    meaning: 'whether targets are probed, so that nodes without serving endpoints get no traffic',
    default: 'false',
    reaction: 'true: with externalTrafficPolicy Local the probe is HTTP /healthz on the healthCheckNodePort',
  },
};

/** The defaults that `CAPABILITIES` documents: what a provider gets that declares nothing. */
export const DEFAULT_CAPABILITIES: Capabilities = {
  loadBalancerIP: 'ignored',
  protocols: ['TCP'],
  mixedProtocols: false,
  sourceRanges: false,
  targets: 'nodePort',
  families: ['IPv4'],
  sessionAffinity: false,
  sharing: false,
  healthCheck: false,
};
