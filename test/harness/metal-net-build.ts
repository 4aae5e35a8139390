/** The network of the metal lab, in network namespaces. Needs root. */
import { startGuard } from './guard.ts';
import { type LabNet, type LabNode, labNet, SLOTS } from './metal-net.ts';
import { batch, runIn, sysctl } from './netns.ts';
import { run } from './run.ts';

/**
 * Builds the network in a free slot. A guard process removes everything when this process ends in whatever way, and
 * with it the directory: it kills the processes whose ids are in files `*.pid` there.
 */
export async function buildNet(
  dir: string,
): Promise<{ readonly net: LabNet; readonly remove: () => Promise<void> }> {
  const first = Math.floor(Math.random() * SLOTS);
  for (let i = 0; i < SLOTS; i++) {
    const net = labNet((first + i) % SLOTS);
    // Making the link is what takes the slot: only one of two labs can.
    const { link, port } = net.host;
    const taken = await run('ip', ['link', 'add', link, 'type', 'veth', 'peer', 'name', `${link}p`]).then(
      () => false,
      () => true,
    );
    if (taken) continue;
    const guard = startGuard({ dir, namespaces: namespacesOf(net), link });
    try {
      await populate(net, port);
    } catch (error) {
      await guard.remove();
      throw error;
    }
    return { net, remove: guard.remove };
  }
  throw new Error(
    'every slot for a lab is taken. Remove what is left of earlier ones: ip -all netns delete.',
  );
}

function namespacesOf({ nodes, client, fabric }: LabNet): readonly string[] {
  return [
    ...nodes.flatMap(({ namespace, podNamespace }) => [podNamespace, namespace]),
    client.namespace,
    fabric,
  ];
}

async function populate(net: LabNet, hostPort: string): Promise<void> {
  for (const name of namespacesOf(net)) await run('ip', ['netns', 'add', name]);
  await batch(net.fabric, [
    'link set lo up',
    // No spanning tree: a port forwards as soon as it is joined. No snooping: without a querier it would only guess who
    // wants which solicited-node group.
    'link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0',
    'link set br0 up',
  ]);
  // Frames on the bridge are a switch's business, not that of this machine's packet filter (br_netfilter).
  await sysctl(
    net.fabric,
    {
      'net.bridge.bridge-nf-call-iptables': 0,
      'net.bridge.bridge-nf-call-ip6tables': 0,
      'net.bridge.bridge-nf-call-arptables': 0,
    },
    true,
  );
  const { link, ipv4 } = net.host;
  await run('ip', ['link', 'set', `${link}p`, 'netns', net.fabric, 'name', hostPort]);
  await batch(net.fabric, [`link set ${hostPort} master br0`, `link set ${hostPort} up`]);
  await batch(undefined, [`addr add ${ipv4}/22 dev ${link}`, `link set ${link} up`]);
  await Promise.all([...net.nodes.map((node) => addNode(net, node)), addClient(net)]);
  // The bridge and the links have settled when every node reaches the host.
  await Promise.all(
    net.nodes.map(({ namespace }) => runIn(namespace, ['arping', '-f', '-w5', '-I', 'eth0', ipv4])),
  );
}

async function addClient({ client, fabric }: LabNet): Promise<void> {
  await quiet(client.namespace);
  await plug(fabric, { namespace: client.namespace, port: 'client', mac: client.mac });
  await batch(client.namespace, [
    `addr add ${client.ipv4}/22 dev eth0`,
    `addr add ${client.ipv6}/64 dev eth0 nodad`,
  ]);
}

async function addNode(net: LabNet, node: LabNode): Promise<void> {
  const { namespace, podNamespace, podCidrs } = node;
  await Promise.all([quiet(namespace), quiet(podNamespace)]);
  await sysctl(namespace, NODE_SYSCTLS);
  await plug(net.fabric, { namespace, port: node.port, mac: node.mac });
  await batch(namespace, [
    `addr add ${node.ipv4}/22 dev eth0`,
    `addr add ${node.ipv6}/64 dev eth0 nodad`,
    // A name as container networks give it, so that the speaker has something to leave alone.
    `link add vethpods type veth peer name eth0 netns ${podNamespace}`,
    `addr add ${gateway(podCidrs[0])} dev vethpods`,
    `addr add ${gateway(podCidrs[1])} dev vethpods nodad`,
    'link set vethpods up',
    ...net.nodes
      .filter(({ name }) => name !== node.name)
      .flatMap((other) => [
        `route add ${other.podCidrs[0]} via ${other.ipv4}`,
        `route add ${other.podCidrs[1]} via ${other.ipv6}`,
      ]),
  ]);
  await batch(podNamespace, [
    ...node.pods.flatMap(({ ipv4, ipv6 }) => [
      `addr add ${ipv4}/24 dev eth0`,
      `addr add ${ipv6}/64 dev eth0 nodad`,
    ]),
    'link set lo up',
    'link set eth0 up',
    `route add default via ${gateway(podCidrs[0]).split('/')[0]}`,
    `route add default via ${gateway(podCidrs[1]).split('/')[0]}`,
  ]);
}

/** What a node that forwards for Services is set to. */
const NODE_SYSCTLS: Readonly<Record<string, number>> = {
  // Traffic for an address is sent on to pods, on this node and on others.
  'net.ipv4.ip_forward': 1,
  'net.ipv6.conf.all.forwarding': 1,
  // Nothing here is asymmetric, but a strict setting of the machine's would come down to new namespaces.
  'net.ipv4.conf.all.rp_filter': 0,
  'net.ipv4.conf.default.rp_filter': 0,
  // What kube-proxy's strictARP sets: the kernel answers only for addresses of the interface that is asked. The
  // Services' addresses are on no interface, so that every answer for one is the speaker's.
  'net.ipv4.conf.all.arp_ignore': 1,
  'net.ipv4.conf.all.arp_announce': 2,
  // A request that leaves by the interface it came from (client to address, node to a pod elsewhere) would make the
  // kernel tell the client a shorter way, past the address.
  'net.ipv4.conf.all.send_redirects': 0,
  'net.ipv4.conf.default.send_redirects': 0,
};

/** No autoconfiguration and no duplicate detection: addresses can be used at once. */
async function quiet(namespace: string): Promise<void> {
  await sysctl(namespace, {
    'net.ipv6.conf.all.disable_ipv6': 0,
    'net.ipv6.conf.default.disable_ipv6': 0,
    'net.ipv6.conf.default.accept_ra': 0,
    'net.ipv6.conf.default.accept_dad': 0,
    'net.ipv6.conf.default.dad_transmits': 0,
    // Link-local addresses follow from the MAC, so that the lab knows them.
    'net.ipv6.conf.default.addr_gen_mode': 0,
  });
}

/** Joins a namespace's new `eth0` to the bridge. */
async function plug(
  fabric: string,
  { namespace, port, mac }: { namespace: string; port: string; mac: string },
): Promise<void> {
  await batch(fabric, [
    `link add ${port} type veth peer name eth0 address ${mac} netns ${namespace}`,
    `link set ${port} master br0`,
    `link set ${port} up`,
  ]);
  await batch(namespace, ['link set lo up', 'link set eth0 up']);
}

/** The first address of a network, with its length: the node's side of its pods' link. */
function gateway(cidr: string): string {
  const [network = '', length = ''] = cidr.split('/');
  return `${network.includes(':') ? `${network}1` : network.replace(/0$/, '1')}/${length}`;
}
