/** Names and addresses of the metal lab: three nodes, a client and pods on one bridge. */

/** A node of the lab: its namespace, and the one that its pods live in. */
export interface LabNode {
  /** Name of the Node object: `node-1`. */
  readonly name: string;
  readonly namespace: string;
  readonly podNamespace: string;
  /** The port of the bridge that leads to it. */
  readonly port: string;
  /** MAC address of its `eth0`. */
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** Addresses of its pods, `pods[0]` and on; each has both families. */
  readonly pods: readonly { readonly ipv4: string; readonly ipv6: string }[];
  readonly podCidrs: readonly [string, string];
}

/** The lab's addresses and names. Two labs on one machine share none of them. */
export interface LabNet {
  readonly slot: number;
  readonly nodes: readonly LabNode[];
  readonly client: {
    readonly namespace: string;
    readonly mac: string;
    readonly ipv4: string;
    readonly ipv6: string;
    readonly linkLocal: string;
  };
  /** Namespace with the bridge. */
  readonly fabric: string;
  /** Where the control plane listens: the root namespace's address on the bridge. */
  readonly host: { readonly link: string; readonly port: string; readonly ipv4: string };
  /** Addresses to give to Services, on the link of nodes and client. */
  readonly pools: readonly [string, string];
  /** The `index`th address (from 0) of the IPv4 and of the IPv6 pool. */
  readonly pooled: (index: number, family?: 'IPv4' | 'IPv6') => string;
}

const PODS_PER_NODE = 2;
const NODES = 3;
/** Blocks of 1,024 addresses in 198.18.0.0/15, the range for benchmarks (RFC 2544), of which a lab takes one. */
export const SLOTS = 128;

/** What lies in a slot. */
export function labNet(slot: number): LabNet {
  const v4 = `198.${18 + (slot >> 6)}`;
  const third = (slot & 63) * 4;
  const v6 = `fdbe:be:be:${(slot + 1).toString(16)}`;
  const hex = slot.toString(16).padStart(2, '0');
  const prefix = `berth-lab-${slot}`;
  const clientMac = `02:be:${hex}:00:00:64`;
  return {
    slot,
    nodes: Array.from({ length: NODES }, (_, index) =>
      labNode(index + 1, { v4, third, v6, hex, prefix, slot }),
    ),
    client: {
      namespace: `${prefix}-client`,
      mac: clientMac,
      ipv4: `${v4}.${third}.100`,
      ipv6: `${v6}::100`,
      linkLocal: `fe80::be:${hex}ff:fe00:64`,
    },
    fabric: `${prefix}-fabric`,
    host: { link: `berth-lab-${slot}`, port: 'host', ipv4: `${v4}.${third}.1` },
    pools: [`${v4}.${third + 1}.0/24`, `${v6}:1::/112`],
    pooled: (index, family = 'IPv4') =>
      family === 'IPv4'
        ? `${v4}.${third + 1 + (index >> 8)}.${index & 255}`
        : `${v6}:1::${index === 0 ? '' : index.toString(16)}`,
  };
}

function labNode(
  index: number,
  {
    v4,
    third,
    v6,
    hex,
    prefix,
    slot,
  }: { v4: string; third: number; v6: string; hex: string; prefix: string; slot: number },
): LabNode {
  return {
    name: `node-${index}`,
    namespace: `${prefix}-node-${index}`,
    podNamespace: `${prefix}-pods-${index}`,
    port: `node-${index}`,
    mac: `02:be:${hex}:00:00:0${index}`,
    ipv4: `${v4}.${third}.${10 + index}`,
    ipv6: `${v6}::${10 + index}`,
    pods: Array.from({ length: PODS_PER_NODE }, (_, pod) => ({
      ipv4: `10.${slot}.${index}.${10 + pod}`,
      ipv6: `fdbe:1:${slot.toString(16)}:${index}::${10 + pod}`,
    })),
    podCidrs: [`10.${slot}.${index}.0/24`, `fdbe:1:${slot.toString(16)}:${index}::/64`],
  };
}
