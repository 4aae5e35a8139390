import type { IpRange } from './address.ts';

/** A set of addresses that the core assigns from. */
export interface AddressPool {
  readonly name: string;
  /** Walked in this order; inside a range the lowest free address is taken. */
  readonly ranges: readonly IpRange[];
  /** `false`: used only for an address that is asked for by name. */
  readonly autoAssign: boolean;
}
