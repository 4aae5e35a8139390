import { BlockList, isIPv6 } from 'node:net';

/** Who may connect. */
export class SourceRanges {
  readonly #list: BlockList | undefined;

  /**
   * Allows the CIDRs; none means everybody.
   *
   * @throws TypeError when an entry is not a CIDR.
   */
  constructor(cidrs: readonly string[]) {
    const everybody = (family: string): boolean => cidrs.includes(family);
    if (cidrs.length === 0 || (everybody('0.0.0.0/0') && everybody('::/0'))) return;
    const list = new BlockList();
    for (const cidr of cidrs) {
      const [address = '', prefix] = cidr.split('/');
      if (prefix === undefined) throw new TypeError(`${cidr} is not a CIDR; write ADDRESS/PREFIX`);
      list.addSubnet(address, Number(prefix), isIPv6(address) ? 'ipv6' : 'ipv4');
    }
    this.#list = list;
  }

  /** Whether everybody may connect, so that nobody's address need be looked up. */
  get open(): boolean {
    return this.#list === undefined;
  }

  /** Whether this client may connect. One whose address is unknown, because it has gone already, may not. */
  allows(address: string | undefined): boolean {
    if (this.#list === undefined) return true;
    if (address === undefined) return false;
    return this.#list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
  }
}
