import { ETHERNET, IFF, type Link, type LinkAddress } from '../codec/netlink.ts';
import type { Mac, UnusableReason, WireInterface } from '../types.ts';
import type { IpAddress } from '@berth/core';

/**
 * Names of interfaces that are never used, as regular expressions: those of MetalLB's `excludel2.yaml`, and the tunnels
 * and container links of other network plugins. Names alone decide on veth pairs, because the network card of a node in
 * a container (kind) is one too.
 */
export const DEFAULT_EXCLUDE: readonly string[] = [
  '^docker.*',
  '^cbr.*',
  '^dummy.*',
  '^virbr.*',
  '^lxcbr.*',
  '^veth.*',
  '^lo$',
  '^cali.*',
  '^tunl.*',
  '^flannel.*',
  '^kube-ipvs.*',
  '^cni.*',
  '^nodelocaldns.*',
  '^lxc.*',
  '^cilium.*',
  '^vxlan.*',
  '^wg.*',
  '^azv.*',
  '^podman.*',
];

/** Kinds of links whose other end is not an Ethernet segment of ours. */
const TUNNELS: ReadonlySet<string> = new Set([
  'vxlan',
  'geneve',
  'gretap',
  'ip6gretap',
  'erspan',
  'ip6erspan',
  'l2tpeth',
  'bareudp',
  'wireguard',
  'tun',
  'ipip',
  'sit',
  'gre',
  'ip6gre',
  'ip6tnl',
  'vti',
  'vti6',
  'xfrm',
  'dummy',
  'ifb',
  'nlmon',
  'vrf',
]);

const NO_MAC = '00:00:00:00:00:00';

/**
 * Judges every interface. Never slaves (the bridge or bond above them is used), loopback, tunnels, excluded names,
 * or links without ARP; in the order of the kernel's numbers.
 */
export function judgeInterfaces(
  links: readonly Link[],
  addresses: readonly LinkAddress[],
  exclude: readonly RegExp[],
): readonly WireInterface[] {
  return links
    .toSorted((a, b) => a.index - b.index)
    .map((link) => {
      const own = addresses.filter(({ index }) => index === link.index);
      const unusable = unusableReason(link, exclude);
      const usable = unusable === undefined;
      return {
        index: link.index,
        name: link.name,
        mac: (link.mac ?? NO_MAC) as Mac,
        ...(unusable === undefined ? {} : { unusable }),
        arp: usable,
        ndp: usable && own.some(({ ip }) => isLinkLocal(ip)),
        addresses: own.map(({ ip, prefixLength }) => ({ ip: ip as IpAddress, prefixLength })),
      };
    });
}

/** Whether this is an IPv6 link-local address (RFC 4291 §2.5.6: fe80::/10, in canonical text). */
export function isLinkLocal(ip: string): boolean {
  return /^fe[89ab][0-9a-f]:/.test(ip);
}

/** How a list differs from the one before. */
export function compareInterfaces(
  before: readonly WireInterface[],
  after: readonly WireInterface[],
): {
  readonly lost: string[];
  readonly found: string[];
  readonly changed: string[];
  readonly differs: boolean;
} {
  const usable = (list: readonly WireInterface[]): Map<string, WireInterface> =>
    new Map(list.filter(({ unusable }) => unusable === undefined).map((item) => [item.name, item]));
  const [old, now] = [usable(before), usable(after)];
  const changed = [...now.values()].filter((item) => {
    const was = old.get(item.name);
    return was !== undefined && (was.index !== item.index || was.mac !== item.mac || was.ndp !== item.ndp);
  });
  return {
    lost: [...old.keys()].filter((name) => !now.has(name)),
    found: [...now.keys()].filter((name) => !old.has(name)),
    changed: changed.map(({ name }) => name),
    differs: JSON.stringify(before) !== JSON.stringify(after),
  };
}

function unusableReason(link: Link, exclude: readonly RegExp[]): UnusableReason | undefined {
  const has = (flag: number): boolean => (link.flags & flag) !== 0;
  if (has(IFF.loopback)) return 'loopback';
  if (exclude.some((pattern) => pattern.test(link.name))) return 'excluded';
  if (link.kind !== undefined && TUNNELS.has(link.kind)) return 'tunnel';
  if (has(IFF.pointToPoint)) return 'pointToPoint';
  if (link.hardware !== ETHERNET) return 'notEthernet';
  if (link.master !== undefined || has(IFF.slave)) return 'slave';
  if (has(IFF.noArp) || !has(IFF.broadcast)) return 'noArp';
  if (link.mac === undefined || link.mac === NO_MAC) return 'noMac';
  if (!has(IFF.up)) return 'down';
  return has(IFF.running) ? undefined : 'noCarrier';
}
