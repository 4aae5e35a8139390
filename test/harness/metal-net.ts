/** Network namespaces of the metal lab: three nodes, a client and pods on one bridge. Needs root. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { access } from 'node:fs/promises';

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
const SLOTS = 128;

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

/** Why this machine cannot have the lab, with the remedy; `undefined` when it can. */
export async function whyNoLab(): Promise<string | undefined> {
  if (process.platform !== 'linux') return `needs Linux, this is ${process.platform}. Run it on Linux.`;
  if (process.getuid?.() !== 0)
    return 'needs root for network namespaces and raw sockets. Run the tests as root.';
  for (const [program, pkg] of PROGRAMS) {
    if (!(await onPath(program)))
      return `needs the program ${program}, which is not on the PATH. Install the package ${pkg}.`;
  }
  try {
    await run('unshare', ['--net', 'true']);
    return undefined;
  } catch {
    return 'needs CAP_SYS_ADMIN for network namespaces, which this container lacks. Run it privileged.';
  }
}

const PROGRAMS = [
  ['ip', 'iproute2'],
  ['nft', 'nftables'],
  ['iptables', 'iptables'],
  ['ip6tables', 'iptables'],
  ['conntrack', 'conntrack'],
  ['curl', 'curl'],
  ['arping', 'iputils-arping'],
  ['ndisc6', 'ndisc6'],
  ['tcpdump', 'tcpdump'],
] as const;

async function onPath(program: string): Promise<boolean> {
  for (const dir of ['/usr/sbin', '/sbin', ...(process.env['PATH'] ?? '').split(':')]) {
    const found = await access(`${dir}/${program}`).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}

/** What a program wrote. @throws Error with its complaint when it fails, or when it takes longer than `limitMs` (20 s). */
export async function run(
  program: string,
  args: readonly string[],
  { input, limitMs = 20_000 }: { input?: string; limitMs?: number } = {},
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const child = execFile(
    program,
    args,
    { timeout: limitMs, maxBuffer: 64 * 2 ** 20 },
    (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      reject(new Error(`${program} ${args.join(' ')}: ${stderr.trim() || stdout.trim() || error.message}`));
    },
  );
  if (input !== undefined) {
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  }
  return await promise;
}

/** Runs a program inside of a namespace. @throws as `run`. */
export function runIn(
  namespace: string,
  command: readonly string[],
  options: { input?: string; limitMs?: number } = {},
): Promise<string> {
  return run('ip', ['netns', 'exec', namespace, ...command], options);
}

/** Starts a program inside of a namespace, or in this one; `ip netns exec` becomes it, so that the pid is its own. */
export function spawnIn(
  namespace: string | undefined,
  command: readonly string[],
  stdio: Parameters<typeof spawn>[2]['stdio'],
): ChildProcess {
  const [program = '', ...args] =
    namespace === undefined ? command : ['ip', 'netns', 'exec', namespace, ...command];
  return spawn(program, args, { stdio });
}

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
    const guard = startNetGuard(net, dir);
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

/** Kills the lab's processes, deletes its namespaces (which ends what runs in them), the host's link and its directory. */
const CLEAN_UP = `
for file in "$3"/*.pid; do [ -f "$file" ] && kill -9 "$(cat "$file")" 2>/dev/null; done
for ns in $2; do
  [ -e "/run/netns/$ns" ] || continue
  ip netns pids "$ns" 2>/dev/null | xargs -r kill -9 2>/dev/null
  ip netns del "$ns"
done
ip link del "$1" 2>/dev/null
rm -rf "$3" || { sleep 1; rm -rf "$3"; }`;

function startNetGuard(net: LabNet, dir: string): { remove: () => Promise<void> } {
  const names = namespacesOf(net).join(' ');
  const script = `while read -r line; do [ "$line" = done ] && exit 0; done\n${CLEAN_UP}`;
  const guard = spawn('sh', ['-c', script, 'berth-lab-guard', net.host.link, names, dir], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.unref();
  guard.stdin.on('error', () => undefined);
  (guard.stdin as unknown as { unref?: () => void }).unref?.();
  let removed: Promise<void> | undefined;
  const remove = async (): Promise<void> => {
    await run('sh', ['-c', CLEAN_UP, 'berth-lab', net.host.link, names, dir]);
    guard.stdin.end('done\n');
  };
  return { remove: () => (removed ??= remove()) };
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

/** Runs commands of ip(8), of which the first failure ends the batch. */
export async function batch(namespace: string | undefined, lines: readonly string[]): Promise<void> {
  const where = namespace === undefined ? [] : ['-n', namespace];
  await run('ip', [...where, '-batch', '-'], { input: `${lines.join('\n')}\n` });
}

async function sysctl(
  namespace: string,
  values: Readonly<Record<string, number>>,
  mayLack = false,
): Promise<void> {
  const lines = Object.entries(values).map(
    ([key, value]) =>
      `echo ${value} > /proc/sys/${key.replaceAll('.', '/')}${mayLack ? ' 2>/dev/null || true' : ''}`,
  );
  await runIn(namespace, ['sh', '-ec', lines.join('\n')]);
}

/** The first address of a network, with its length: the node's side of its pods' link. */
function gateway(cidr: string): string {
  const [network = '', length = ''] = cidr.split('/');
  return `${network.includes(':') ? `${network}1` : network.replace(/0$/, '1')}/${length}`;
}
