import type { IpAddress } from './address.ts';
import type { Protocol, ServiceKey } from './service.ts';

/** A port of a backend. `name` is that of the Service's port; empty for the only one. */
export interface EndpointPort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
}

/** One backend of a Service, as EndpointSlices (discovery.k8s.io/v1) tell of it. */
export interface Endpoint {
  readonly address: IpAddress;
  /** The node it is on; empty when unknown. */
  readonly node: string;
  /** Takes new connections. */
  readonly ready: boolean;
  /** Answers, perhaps while terminating. */
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly ports: readonly EndpointPort[];
}

/** What Berth keeps of an EndpointSlice. */
export interface EndpointSlice {
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion: string;
  /** The Service that it belongs to (label `kubernetes.io/service-name`). */
  readonly service: ServiceKey;
  readonly endpoints: readonly Endpoint[];
}
