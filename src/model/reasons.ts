/** Why something is as it is: one stable code for the Event, the condition, the metric's label and `berth explain`. */
export interface Reason {
  /** What the code says, in one line. */
  readonly meaning: string;
  /** What the reader can do. Empty where nothing needs doing. */
  readonly remedy: string;
}

/**
 * The reason codes of the core. Providers add their own beside these (for example `PortDenied` of `local`); a code
 * keeps its meaning for ever, because alerts are written against it.
 */
export const REASONS = {
  Provisioned: { meaning: 'the load balancer is as the Service asks', remedy: '' },
  Ensuring: { meaning: 'the load balancer is being made or changed', remedy: '' },
  Paused: {
    meaning: 'the Service is frozen by the annotation berth.dev/paused',
    remedy: 'Remove the annotation berth.dev/paused to let Berth act again',
  },
  NotServed: {
    meaning: 'no configured provider serves this Service',
    remedy: 'Set spec.loadBalancerClass to a class that Berth serves, or start Berth with --default-provider',
  },
  UnknownAnnotation: {
    meaning: 'an annotation under our prefix is not one that the provider knows',
    remedy: 'Correct or remove the annotation',
  },
  InvalidAnnotation: {
    meaning: 'the value of an annotation is not of the form that it must have',
    remedy: 'Correct the value of the annotation',
  },
  AnnotationUnsupported: {
    meaning: 'an annotation is known and not carried out',
    remedy: 'Remove the annotation, or do as the message says',
  },
  AnnotationIgnored: {
    meaning: 'an annotation looks as if it were meant for the provider, which does not know it',
    remedy: 'Correct or remove the annotation',
  },
  DeletionUnconfirmed: {
    meaning:
      'nothing was found to delete; what was just made may not be visible yet, so it is looked for again',
    remedy: 'Berth looks again by itself',
  },
  InvalidSourceRange: {
    meaning: 'an entry of the source ranges is not a CIDR',
    remedy: 'Write each entry as ADDRESS/PREFIX, for example 10.0.0.0/8',
  },
  InvalidLoadBalancerIP: {
    meaning: 'a requested address is not an IP, is of the wrong family, or asks for two of one family',
    remedy: 'Ask for at most one valid address for each of the IP families of the Service',
  },
  AddressRequestConflict: {
    meaning: 'spec.loadBalancerIP and the annotation both ask for an address',
    remedy: 'Keep one of the two',
  },
  AddressInUse: {
    meaning: 'the requested address belongs to another Service',
    remedy: 'Ask for another address, or remove the request to get a free one',
  },
  AddressOutsidePool: {
    meaning: 'an address is in none of the pools',
    remedy: 'Add the address to a pool, or ask for one that is in a pool',
  },
  UnknownPool: {
    meaning: 'the pool that is asked for does not exist, or is not for this Service',
    remedy: 'Name a pool that exists and is for this Service, or remove the annotation',
  },
  AddressConflict: {
    meaning: 'somebody else on the network answers for the address',
    remedy:
      'Take the address out of the pool, or find the device that uses it; Berth tries it again after an hour',
  },
  NoClusterIP: {
    meaning: 'the Service has no ClusterIP, so nodes cannot forward traffic for it',
    remedy: 'Give the Service a ClusterIP (leave spec.clusterIP empty when creating it)',
  },
  SharingIgnored: {
    meaning: 'the provider gives each Service an address of its own; everything else works',
    remedy: 'Remove the annotation, or use a provider that shares addresses',
  },
  PoolExhausted: {
    meaning: 'every address of the pools is in use',
    remedy: 'Add addresses to a pool, or delete a Service that does not need its address',
  },
  NoPool: {
    meaning: 'no pool has addresses of a family that the Service needs',
    remedy: 'Configure a pool with addresses of that family',
  },
  FamilyUnsupported: {
    meaning: 'the provider cannot serve an IP family that the Service needs',
    remedy: 'Change spec.ipFamilies or spec.ipFamilyPolicy, or use another provider',
  },
  NoPorts: { meaning: 'the Service has no ports', remedy: 'Add at least one entry to spec.ports' },
  NodePortMissing: {
    meaning: 'a port has no node port, and the provider forwards to node ports',
    remedy:
      'Set spec.allocateLoadBalancerNodePorts to true (and in the manifest that your GitOps tool applies)',
  },
  ProtocolUnsupported: {
    meaning: 'the provider cannot serve the protocol of a port',
    remedy: 'Remove the port or use a provider that serves its protocol',
  },
  MixedProtocolNotSupported: {
    meaning: 'the provider cannot serve several protocols in one load balancer',
    remedy: 'Use one Service for each protocol, or another provider',
  },
  SourceRangesUnsupported: {
    meaning: 'the provider cannot limit who connects, so nothing is opened',
    remedy: 'Remove the source ranges and limit clients elsewhere, or use another provider',
  },
  SessionAffinityIgnored: {
    meaning: 'the provider does not offer ClientIP affinity; everything else works',
    remedy: 'Set spec.sessionAffinity to None, or use another provider',
  },
  LoadBalancerIPIgnored: {
    meaning: 'the provider chooses addresses itself; the requested one is ignored',
    remedy: 'Remove the request, or use a provider that honours it',
  },
  UnAvailableLoadBalancer: {
    meaning: 'there is no node that the load balancer could forward to',
    remedy: 'Add a node, or remove the exclude label or the autoscaler taint from one',
  },
  TargetWithoutAddress: {
    meaning: 'a node is left out because it has no InternalIP',
    remedy: 'Check the Node object; its kubelet or cloud provider fills in status.addresses',
  },
  SyncLoadBalancerFailed: {
    meaning: 'something failed that may work the next time',
    remedy: 'Berth tries again by itself; if it lasts, the log has the cause',
  },
  DoesNotConverge: {
    meaning: 'after its steps were carried out the provider still plans the same steps',
    remedy: 'This is a defect of the provider; report it with the output of `berth plan`',
  },
  ProviderDefect: {
    meaning: 'the provider broke the contract: a plan, change or status of a wrong form',
    remedy: 'This is a defect of the provider; report it, or use another version of it',
  },
  ConflictObserved: {
    meaning: 'what was observed is no longer true; it is observed again',
    remedy: 'Berth looks again by itself',
  },
  ProviderTimeout: {
    meaning: 'a call of the provider took longer than it may',
    remedy: 'Berth tries again by itself; check that the other side is reachable',
  },
  StatusContested: {
    meaning:
      'somebody else keeps changing what Berth writes into this Service; it is put right ever more slowly',
    remedy:
      'Let one controller serve it: set spec.loadBalancerClass, or start Berth with --default-provider=none',
  },
  DriftDetected: {
    meaning: 'somebody changed by hand what Berth had made',
    remedy: 'Under --drift=enforce it is planned back; under observe it is only reported',
  },
} as const satisfies Readonly<Record<string, Reason>>;

/** A reason code of the core. */
export type ReasonCode = keyof typeof REASONS;

/** Something that the core left out or did differently, with the reason; shown in events and by `berth explain`. */
export interface Note {
  readonly code: string;
  readonly severity: 'Normal' | 'Warning';
  /** The field, annotation or object that it is about. */
  readonly subject: string;
  readonly message: string;
}

/** A note with the registered remedy at the end of its message. */
export function note(code: ReasonCode, subject: string, message: string): Note {
  const { remedy } = REASONS[code];
  return { code, severity: 'Warning', subject, message: remedy === '' ? message : `${message}. ${remedy}.` };
}
