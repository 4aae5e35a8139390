/** A stranger on the network has an address of the pool; interfaces that advertisements name: on the wire. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LabBerth } from '../harness/metal-berth.ts';
import { describeWithMetalLab, type MetalLab, startMetalLab } from '../harness/metal-lab.ts';

const SLOW = { timeout: 20_000 };

await describeWithMetalLab('an address that somebody else uses', {}, () => {
  let lab: MetalLab;
  let berth: LabBerth;

  beforeAll(async () => {
    lab = await startMetalLab();
    berth = await LabBerth.start(lab);
  });
  afterAll(async () => {
    await berth?.stop();
    await lab?.stop();
  });

  async function reasons(service: string): Promise<readonly string[]> {
    const { items } = await lab.send<{
      items: readonly { reason: string; involvedObject: { name: string } }[];
    }>('GET', '/api/v1/namespaces/lab/events');
    return items.filter(({ involvedObject }) => involvedObject.name === service).map(({ reason }) => reason);
  }

  it('is not announced: the Service gets another one, which is', async () => {
    await lab.createService({ name: 'first' });
    const [taken = ''] = await berth.addressesOf('first');
    await berth.holderOf(taken);
    await lab.deleteService('first');
    await expect.poll(() => berth.holdersOf(taken), SLOW).toEqual([]);
    // The lowest free address is the one that the next Service gets.
    await lab.atClient(['ip', 'address', 'add', `${taken}/32`, 'dev', 'eth0']);
    try {
      await lab.createService({ name: 'second' });
      await expect
        .poll(async () => (await lab.addressesOf('second')).filter((address) => address !== taken), SLOW)
        .toHaveLength(1);
      const [address = ''] = await lab.addressesOf('second');
      await berth.holderOf(address);
      await expect.poll(() => reasons('second'), SLOW).toContain('AddressConflict');
      expect(await berth.holdersOf(taken)).toEqual([]);
    } finally {
      await lab.atClient(['ip', 'address', 'del', `${taken}/32`, 'dev', 'eth0']);
    }
  });

  it('B90 an interface that no node has: nobody announces, and an event says so; with it somebody does again', async () => {
    const path = '/apis/metallb.io/v1beta1/namespaces/metallb-system/l2advertisements/lab';
    await lab.createService({ name: 'third' });
    const [address = ''] = await berth.addressesOf('third');
    await berth.holderOf(address);
    await lab.send('PATCH', path, { spec: { interfaces: ['eth7'] } });
    await expect.poll(() => berth.holdersOf(address), SLOW).toEqual([]);
    await expect.poll(() => reasons('third'), SLOW).toContain('announceFailed');
    await lab.send('PATCH', path, { spec: { interfaces: ['eth0'] } });
    await berth.holderOf(address);
    await expect
      .poll(async () => {
        const { items } = await lab.send<{
          items: readonly { status: { serviceName: string; interfaces: readonly { name: string }[] } }[];
        }>('GET', '/apis/metallb.io/v1beta1/servicel2statuses');
        return items
          .filter(({ status }) => status.serviceName === 'third')
          .map(({ status }) => status.interfaces);
      }, SLOW)
      .toEqual([[{ name: 'eth0' }]]);
  });
});
