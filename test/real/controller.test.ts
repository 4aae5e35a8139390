/** The controller on a real API server: what it asks of it, what that accepts, and what happens when it goes away. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { FINALIZER } from '../../src/model/names.ts';
import { MemoryCloud } from '../../src/provider/memory.ts';
import { AuditLog, counted, type AuditedRequest } from '../fixtures/audit.ts';
import { addressesOf, conditionOf, eventually, Person, type ApiObject } from '../fixtures/kube-objects.ts';
import { startLocal, type LocalController, type Server } from '../fixtures/run-controller.ts';
import { type ControlPlane, describeWithControlPlane, startControlPlane } from '../harness/controlplane.ts';

const BERTH = 'system:serviceaccount:berth-system:berth';
const election = {
  namespace: 'kube-system',
  identity: 'test',
  leaseDurationMs: 4_000,
  renewDeadlineMs: 3_000,
  retryPeriodMs: 300,
};

await describeWithControlPlane('the controller on a real API server', () => {
  let audit: AuditLog;
  let plane: ControlPlane;
  let person: Person;
  let berth: Server;
  let cloud: MemoryCloud;
  let controller: LocalController;

  beforeAll(async () => {
    audit = new AuditLog();
    plane = await startControlPlane({ apiServerArgs: audit.apiServerArgs });
    const ca = readFileSync(plane.caFile, 'utf8');
    person = new Person({ url: plane.url, token: plane.token(), ca });
    berth = { url: plane.url, token: plane.token(BERTH), ca };
    await person.createNode('node-1');
    await person.createNode('node-2', '192.0.2.12');
  });
  afterAll(async () => {
    person?.close();
    await plane?.stop();
    audit?.close();
  });

  beforeEach(async () => {
    cloud = new MemoryCloud();
    await start();
  });
  afterEach(async () => {
    for (const { name, finalizers } of await person.services()) {
      if (name === 'kubernetes') continue;
      await person.deleteService(name);
      if (finalizers.length > 0)
        await eventually(async () => assert.equal(await person.service(name), undefined));
    }
    await controller?.stop();
  });

  async function start(): Promise<void> {
    controller = startLocal({ server: berth, provider: { cloud, pool: ['192.0.2.128/25'] }, election });
    await controller.acting;
  }

  /** Waits until these Services, and no others, are served, each by a load balancer of its own. */
  async function served(...names: readonly string[]): Promise<void> {
    await eventually(async () => {
      const services = (await person.services()).filter(({ type }) => type === 'LoadBalancer');
      const seen = services.map((service) => [
        service.name,
        service.uid,
        conditionOf(service),
        addressesOf(service),
      ]);
      const made = [...cloud.loadBalancers].map(([key, { uid, frontend }]) => [
        key.replace('default/', ''),
        uid,
        'True Provisioned',
        frontend.addresses.join(' '),
      ]);
      assert.deepEqual(seen.toSorted(), made.toSorted());
      assert.deepEqual(seen.map(([name]) => name).toSorted(), [...names].toSorted());
    }, 20_000);
    assert.deepEqual(cloud.violations, []);
  }

  /** What the controller asked for since `mark`, apart from its Lease and the watches that stand. */
  function since(mark: number): readonly AuditedRequest[] {
    return audit
      .requestsOf(BERTH)
      .slice(mark)
      .filter(({ resource, verb }) => resource !== 'leases' && verb !== 'watch');
  }

  const mark = (): number => audit.requestsOf(BERTH).length;

  it('B2 a Service costs exactly two patches and two events; deletion one patch and two events', async () => {
    const before = mark();
    await person.createService('web');
    await served('web');
    await eventually(() => expect(counted(since(before))['create events']).toBe(2));
    expect(counted(since(before))).toEqual({
      'create events': 2,
      'patch services': 1,
      'patch services/status': 1,
    });
    expect(await person.eventReasons('web')).toEqual(['EnsuringLoadBalancer', 'EnsuredLoadBalancer']);
    const later = mark();
    await person.deleteService('web');
    await served();
    await eventually(() =>
      expect(counted(since(later))).toEqual({ 'create events': 2, 'patch services': 1 }),
    );
  });

  it('B29 a node that joins costs no API write and one step for each load balancer', async () => {
    await person.createService('one');
    await person.createService('two');
    await served('one', 'two');
    for (const name of ['one', 'two'])
      await eventually(async () => expect(await person.eventReasons(name)).toContain('EnsuredLoadBalancer'));
    const before = mark();
    const calls = cloud.calls.length;
    await person.createNode('joins', '192.0.2.13');
    await eventually(() => {
      for (const { targets } of cloud.loadBalancers.values()) expect(targets).toHaveLength(3);
    });
    await person.deleteNode('joins');
    await eventually(() => {
      for (const { targets } of cloud.loadBalancers.values()) expect(targets).toHaveLength(2);
    });
    expect(since(before)).toEqual([]);
    const made = cloud.calls.slice(calls).map(({ operation }) => operation);
    expect(new Set(made)).toEqual(new Set(['setTargets']));
  });

  it('B5 and B17: the status of a Service that becomes NodePort is emptied, and its address is free', async () => {
    await person.createService('first');
    await served('first');
    const address = addressesOf(await person.service('first'));
    await person.createService('wants', { loadBalancerIP: address });
    await eventually(async () =>
      expect(conditionOf(await person.service('wants'))).toBe('False AddressInUse'),
    );
    await person.patchService('first', { spec: { type: 'NodePort' } });
    await served('wants');
    expect(addressesOf(await person.service('wants'))).toBe(address);
    const first = await person.service('first');
    expect([first?.ingress, first?.conditions, first?.finalizers]).toEqual([[], [], []]);
  });

  it('node ports are allocated by the API server where allocation was turned off', async () => {
    await person.createService('bare', { allocateLoadBalancerNodePorts: false });
    await served('bare');
    const [port] = (await person.service('bare'))?.ports ?? [];
    expect(port?.nodePort).toBeGreaterThanOrEqual(30_000);
    expect(cloud.loadBalancers.get('default/bare')?.listeners['80/TCP']?.nodePort).toBe(port?.nodePort);
    await eventually(async () => expect(await person.eventReasons('bare')).toContain('NodePortsAllocated'));
  });

  it.each([
    ['TCP and UDP on one port', { ports: both() }, 2],
    ['SCTP', { ports: [{ port: 9, protocol: 'SCTP' }] }, 1],
    ['100 ports', { ports: many(100) }, 100],
    ['300 ports', { ports: many(300) }, 300],
    ['IPv6', { ipFamilies: ['IPv6'] }, 1],
    [
      'ClientIP affinity and policy Local',
      { sessionAffinity: 'ClientIP', externalTrafficPolicy: 'Local' },
      1,
    ],
  ])(
    'the API server takes the status of a Service with %s',
    async (_what, spec: ApiObject, listeners: number) => {
      await controller.stop();
      const pool = ['192.0.2.128/25', '2001:db8::/112'];
      controller = startLocal({ server: berth, provider: { cloud, pool }, election });
      await controller.acting;
      const name = `s${'x'.repeat(62)}`;
      await person.createService(name, spec);
      await served(name);
      expect(Object.keys(cloud.loadBalancers.get(`default/${name}`)?.listeners ?? {})).toHaveLength(
        listeners,
      );
      expect((await person.service(name))?.ingress[0]?.ports).toHaveLength(listeners);
    },
  );

  it('what is wrong with a Service is in its condition and its event, and the API server takes both', async () => {
    const long = Array.from({ length: 90 }, (_, index) => `192.0.2.${index}`).join(',');
    await person.createService('wrong');
    await served('wrong');
    await person.patchService('wrong', {
      metadata: { annotations: { 'berth.dev/load-balancer-ips': long } },
    });
    await eventually(async () =>
      expect(conditionOf(await person.service('wrong'))).toBe('False InvalidLoadBalancerIP'),
    );
    await eventually(async () =>
      expect(await person.eventReasons('wrong')).toContain('InvalidLoadBalancerIP'),
    );
    expect(addressesOf(await person.service('wrong'))).not.toBe('');
  });

  it('others write to the Service all the time: nothing of theirs is lost, and it is served', async () => {
    cloud.latencyMs = 20;
    await person.createService('contested');
    for (let round = 0; round < 30; round++) {
      await person.patchService('contested', {
        metadata: {
          labels: { [`round-${round}`]: 'kept' },
          annotations: { 'example.com/note': String(round) },
        },
      });
      await sleep(10);
    }
    await served('contested');
    const service = await person.service('contested');
    expect(Object.keys(service?.labels ?? {})).toHaveLength(30);
    expect(service?.annotations['example.com/note']).toBe('29');
    expect(service?.finalizers).toEqual([FINALIZER]);
  });

  it('B12 a Service that is re-created behind our back gets a load balancer of its own', async () => {
    await person.createService('again');
    await served('again');
    const before = (await person.service('again'))?.uid;
    // While it runs, the controller puts its finalizer back.
    await controller.stop();
    await person.patchService('again', { metadata: { finalizers: null } });
    await person.deleteService('again');
    await person.createService('again');
    await start();
    await served('again');
    expect((await person.service('again'))?.uid).not.toBe(before);
  });

  it('the finalizer is put back when somebody takes it away', async () => {
    await person.createService('web');
    await served('web');
    await person.patchService('web', { metadata: { finalizers: null } });
    await eventually(async () => expect((await person.service('web'))?.finalizers).toEqual([FINALIZER]));
  });

  it('the API server is killed and started again in the middle of a burst: everything is served once', async () => {
    cloud.latencyMs = 30;
    const names = Array.from({ length: 15 }, (_, index) => `burst-${index}`);
    for (const name of names) await person.createService(name);
    await eventually(() => expect(cloud.loadBalancers.size).toBeGreaterThan(2));
    await plane.killApiServer();
    const made = cloud.loadBalancers.size;
    // Nothing new is begun without the API server: the finalizer comes first.
    await sleep(500);
    expect(cloud.loadBalancers.size).toBeLessThanOrEqual(made + 8);
    await plane.startApiServer();
    // The Lease may have run out meanwhile; then this process ends, and its next start goes on.
    const lost = await Promise.race([controller.ended.then(() => true), sleep(300).then(() => false)]);
    if (lost) await start();
    await served(...names);
    expect(cloud.counts.get('createLoadBalancer')).toBe(names.length);
  });

  it('the API server forgets its history (410): what vanished meanwhile is cleared away', async () => {
    await person.createService('stays');
    await person.createService('goes');
    await served('stays', 'goes');
    await plane.api().compact?.();
    await person.deleteService('goes');
    await person.createService('comes');
    if (await Promise.race([controller.ended.then(() => true), sleep(300).then(() => false)])) await start();
    await served('stays', 'comes');
    expect([...cloud.loadBalancers.keys()].toSorted()).toEqual(['default/comes', 'default/stays']);
  });
});

function both(): readonly ApiObject[] {
  return [
    { name: 'tcp', port: 53, protocol: 'TCP' },
    { name: 'udp', port: 53, protocol: 'UDP' },
  ];
}

function many(count: number): readonly ApiObject[] {
  return Array.from({ length: count }, (_, index) => ({ name: `p${index}`, port: 1_000 + index }));
}
