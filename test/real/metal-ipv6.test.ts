/** Nodes whose Node objects have IPv6 addresses alone. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LabBerth } from '../harness/metal-berth.ts';
import { describeWithMetalLab, type MetalLab, startMetalLab } from '../harness/metal-lab.ts';

await describeWithMetalLab('IPv6-only nodes', {}, () => {
  let lab: MetalLab;
  let berth: LabBerth;

  beforeAll(async () => {
    lab = await startMetalLab({ ipv6Only: true });
    berth = await LabBerth.start(lab);
  });
  afterAll(async () => {
    await berth?.stop();
    await lab?.stop();
  });

  it('hear each other over IPv6, so that one announces and another takes over when it dies', async () => {
    await lab.createService({ name: 'six', families: ['IPv6'] });
    const [address = ''] = await berth.addressesOf('six');
    expect(address).toContain(':');
    const holder = await berth.holderOf(address);
    // Those that hear nobody would be isolated, and claim nothing without the API server's word.
    await lab.plane.killApiServer();
    try {
      await berth.speaker(holder).kill();
      const next = await berth.holderOf(address);
      expect(next).not.toBe(holder);
      await sleep(1_000);
      expect(await berth.holdersOf(address)).toEqual([next]);
    } finally {
      await lab.plane.startApiServer();
    }
  });
});
