import type { IpAddress } from './address.ts';

/** One entry of `status.addresses` that is an IP. */
export interface NodeAddress {
  readonly type: 'InternalIP' | 'ExternalIP';
  readonly address: IpAddress;
}

/** One entry of `spec.taints`. */
export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}

/** What Berth keeps of a Node. */
export interface Node {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Taint[];
  /** Whether `deletionTimestamp` is set. */
  readonly deleting: boolean;
  /** Empty until the cloud-provider fills it in. */
  readonly providerID: string;
  readonly addresses: readonly NodeAddress[];
  /** Status of the `Ready` condition; `Unknown` when absent. */
  readonly ready: 'True' | 'False' | 'Unknown';
  /** Whether the condition `NetworkUnavailable` is `True`. */
  readonly networkUnavailable: boolean;
}
