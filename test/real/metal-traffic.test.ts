/** Traffic of a client through an announced address to a pod: real control plane, real kube-proxy, real frames. */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LabBerth } from '../harness/metal-berth.ts';
import type { ConnectionFound } from '../harness/metal-connection.ts';
import { type Answer, describeWithMetalLab, type MetalLab, startMetalLab } from '../harness/metal-lab.ts';

const CONNECTION_PROGRAM = fileURLToPath(new URL('../harness/metal-connection.ts', import.meta.url));
const MODES = ['nftables', 'iptables'] as const;
const CASES = [
  { policy: 'Cluster', family: 'IPv4' },
  { policy: 'Cluster', family: 'IPv6' },
  { policy: 'Local', family: 'IPv4' },
  { policy: 'Local', family: 'IPv6' },
] as const;
/** How long kube-proxy may take to write its rules. */
const RULES_MS = 15_000;

await describeWithMetalLab('traffic through an announced address', { kubeProxy: true }, () => {
  describe.each(MODES)('kube-proxy in mode %s', (mode) => {
    let lab: MetalLab;
    let berth: LabBerth;

    beforeAll(async () => {
      lab = await startMetalLab({ kubeProxy: mode });
      berth = await LabBerth.start(lab);
    });
    afterAll(async () => {
      await berth?.stop();
      await lab?.stop();
    });

    it.each(CASES)('curl and a datagram reach a pod: policy $policy, $family', async ({ policy, family }) => {
      const name = `${policy}-${family}`.toLowerCase();
      await lab.createService({ name, policy, families: [family] });
      const [address = ''] = await berth.addressesOf(name);
      const holder = await berth.holderOf(address);
      await eventually(() => lab.curl(address));
      const answers: Answer[] = [];
      for (let i = 0; i < 20; i++) answers.push(await lab.curl(address));
      answers.push(await lab.udp(address));
      const nodes = new Set(answers.map(({ pod }) => pod.replace(/-0$/, '')));
      const client = family === 'IPv4' ? lab.net.client.ipv4 : lab.net.client.ipv6;
      // Local: pods of the holder alone, and they see who asks. Cluster: pods of every node, who see a node.
      // (All of 21 at one of three pods by chance: once in 3^20 runs.)
      expect({
        holderAlone: nodes.size === 1 && nodes.has(holder),
        clientSeen: answers.every((answer) => answer.client === client),
      }).toEqual({ holderAlone: policy === 'Local', clientSeen: policy === 'Local' });
    });

    it('both addresses of a dual-stack Service lead to a pod, by way of one node', async () => {
      const families = ['IPv4', 'IPv6'] as const;
      await lab.createService({ name: 'dual', families });
      const addresses = await berth.addressesOf('dual', 2);
      const holders = await Promise.all(addresses.map((address) => berth.holderOf(address)));
      expect(new Set(holders).size).toBe(1);
      for (const address of addresses) {
        const answer = await eventually(() => lab.curl(address));
        expect(answer.pod).toMatch(/^node-\d-0$/);
      }
    });

    it('B84 policy Local: traffic goes to the one node that has a pod, wherever that is', async () => {
      for (const { name: node } of lab.net.nodes) {
        const name = `only-${node}`;
        await lab.createService({ name, policy: 'Local', pods: [node] });
        const [address = ''] = await berth.addressesOf(name);
        expect(await berth.holderOf(address)).toBe(node);
        expect((await eventually(() => lab.curl(address))).pod).toBe(`${node}-0`);
      }
    });

    /** One connection from the client that is kept busy for so long, while something happens. */
    async function connectionDuring(
      address: string,
      lastMs: number,
      happens: () => Promise<void>,
    ): Promise<ConnectionFound> {
      const command = [process.execPath, CONNECTION_PROGRAM, address, '80', String(lastMs)];
      const limitMs = lastMs + 10_000;
      const [said] = await Promise.all([lab.atClient(command, { limitMs }), sleep(500).then(happens)]);
      return JSON.parse(said) as ConnectionFound;
    }

    it('a rolling update of the speakers cuts no connection; a killed one does', async () => {
      await lab.createService({ name: 'rolling' });
      const [address = ''] = await berth.addressesOf('rolling');
      const holder = await berth.holderOf(address);
      await eventually(() => lab.curl(address));
      const updated = await connectionDuring(address, 13_000, async () => {
        for (const { name } of lab.net.nodes) {
          const before = berth.speaker(name);
          berth.startSpeaker(name);
          await sleep(3_000);
          await before.stop();
        }
        await lab.forgetNeighbours();
      });
      expect(updated.cut).toBe(false);
      // The pause is the client's own, which asks anew who has the address at the end.
      expect(updated.longestMs).toBeLessThan(1_000);
      expect(updated.answers).toBeGreaterThan(200);
      expect(await berth.holderOf(address)).toBe(holder);
      const killed = await connectionDuring(address, 3_000, () => berth.speaker(holder).kill());
      expect(killed.cut || killed.longestMs > 1_000).toBe(true);
      berth.startSpeaker(holder);
    });

    it('traffic goes on through another node after the holder was taken off the network', async () => {
      await lab.createService({ name: 'moves' });
      const [address = ''] = await berth.addressesOf('moves');
      const holder = await berth.holderOf(address);
      await eventually(() => lab.curl(address));
      await lab.cut(holder);
      try {
        // The pod of the lost node is still in the slices: nobody here takes it out. So some attempts are lost.
        const answer = await eventually(() => lab.curl(address));
        expect(answer.pod).not.toBe(`${holder}-0`);
        expect(await berth.holdersOf(address)).not.toContain(holder);
      } finally {
        await lab.join(holder);
      }
    });
  });
});

/** The first success of repeated attempts. @throws the last failure when there was none in time. */
async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + RULES_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(100);
    }
  }
}
