import { describe, expect, it } from 'vitest';
import { aPool, aPort, aService, ip } from '../../test/builders.ts';
import { settledWorld, startWorld, type World } from '../../test/world.ts';
import { DEFAULT_CAPABILITIES } from '../model/capabilities.ts';
import { FINALIZER } from '../model/names.ts';
import type { AddressPool } from '../model/pool.ts';
import type { Service } from '../model/service.ts';
import { AddressBook } from './address-book.ts';

const YOUNG = Date.UTC(2031, 0, 1);

function aBook(...pools: readonly AddressPool[]): AddressBook {
  return new AddressBook({ ...DEFAULT_CAPABILITIES, loadBalancerIP: 'honoured' }, () => pools);
}

/** A Service that holds addresses by its status. */
function holder(name: string, addresses: readonly string[], overrides: Partial<Service> = {}): Service {
  const ingress = addresses.map((address) => ({ ip: address, ipMode: 'VIP' as const }));
  return aService({ name, finalizers: [FINALIZER], ingress, ...overrides });
}

function given(book: AddressBook, service: Service): string {
  return book.assignment(service, []).addresses.join(' ');
}

describe('AddressBook', () => {
  it('gives a Service after a restart what its status says, before it gives anything to others', () => {
    const book = aBook(aPool('192.0.2.1-192.0.2.4'));
    const old = holder('old', ['192.0.2.1'], { createdAtMs: YOUNG });
    book.load([old]);
    expect(given(book, aService({ name: 'new' }))).toBe('192.0.2.2');
    expect(given(book, old)).toBe('192.0.2.1');
  });

  it('leaves an address that two statuses have to the older Service, whatever the order', () => {
    const older = holder('older', ['192.0.2.1']);
    const younger = holder('younger', ['192.0.2.1'], { createdAtMs: YOUNG });
    for (const services of [
      [older, younger],
      [younger, older],
    ]) {
      const book = aBook(aPool('192.0.2.1-192.0.2.4'));
      book.load(services);
      expect(given(book, younger)).toBe('192.0.2.2');
      expect(given(book, older)).toBe('192.0.2.1');
    }
  });

  it('keeps what a Service of ours holds outside the pools, and says so', () => {
    const book = aBook(aPool('192.0.2.1-192.0.2.4'));
    const service = holder('web', ['203.0.113.9']);
    book.load([service]);
    expect(given(book, service)).toBe('203.0.113.9');
    expect(book.outsidePools('default/web')).toEqual(['203.0.113.9']);
  });

  it('takes what somebody else wrote into a status for held only where a pool has it', () => {
    const pool = aPool('192.0.2.1-192.0.2.4');
    const foreign = { finalizers: [] };
    for (const [address, expected] of [
      ['203.0.113.9', '192.0.2.1'],
      ['192.0.2.3', '192.0.2.3'],
    ] as const) {
      const book = aBook(pool);
      const service = holder('web', [address], foreign);
      book.load([service]);
      expect(given(book, service)).toBe(expected);
    }
  });

  it('ignores what is no address in a status', () => {
    const book = aBook(aPool('192.0.2.1-192.0.2.4'));
    const service = aService({
      finalizers: [FINALIZER],
      ingress: [{ ip: 'nonsense' }, { hostname: 'lb.test' }],
    });
    book.load([service]);
    expect(given(book, service)).toBe('192.0.2.1');
  });

  it('gives a Service what its load balancer was found to have, when its status does not say it yet', () => {
    const book = aBook(aPool('192.0.2.1-192.0.2.4'));
    const half = aService({ name: 'half', uid: 'half', createdAtMs: YOUNG });
    book.load([half], [{ key: 'default/half', uid: 'half', addresses: [ip('192.0.2.1')] }]);
    expect(given(book, aService({ name: 'older' }))).toBe('192.0.2.2');
    expect(given(book, half)).toBe('192.0.2.1');
  });

  it('holds what a load balancer has beside its status, so that a move that was begun can be completed', () => {
    const book = aBook(aPool('192.0.2.1-192.0.2.4'));
    const moving = holder('moving', ['192.0.2.1'], { loadBalancerIP: '192.0.2.2', createdAtMs: YOUNG });
    book.load([moving], [{ key: 'default/moving', uid: moving.uid, addresses: [ip('192.0.2.2')] }]);
    expect(given(book, aService({ name: 'older' }))).toBe('192.0.2.3');
    expect(given(book, moving)).toBe('192.0.2.2');
    book.vacate('default/moving');
    expect(given(book, aService({ name: 'later' }))).toBe('192.0.2.1');
  });

  it('gives nobody what an orphan has, until that is released', () => {
    const book = aBook(aPool('192.0.2.1/32'));
    book.load([], [{ key: 'default/orphan', uid: 'gone', addresses: [ip('192.0.2.1')] }]);
    expect(book.assignment(aService(), []).problem?.code).toBe('PoolExhausted');
    expect(book.release('default/orphan')).toBe(true);
    expect(given(book, aService())).toBe('192.0.2.1');
  });

  it('leaves an address to the Service whose status has it, whatever a load balancer of another has', () => {
    const book = aBook(aPool('192.0.2.1-192.0.2.4'));
    const web = holder('web', ['192.0.2.1'], { createdAtMs: YOUNG });
    book.load([web], [{ key: 'default/orphan', uid: 'gone', addresses: [ip('192.0.2.1')] }]);
    expect(given(book, web)).toBe('192.0.2.1');
    expect(book.holds('default/orphan')).toBe(false);
  });

  it('serves all that wait in one go, so that the oldest wins whoever asks first', () => {
    const book = aBook(aPool('192.0.2.1/32'));
    const older = aService({ name: 'older' });
    const younger = aService({ name: 'younger', createdAtMs: YOUNG });
    const answer = book.assignment(younger, [older, younger]);
    expect(answer.addresses).toEqual([]);
    expect(answer.problem?.code).toBe('PoolExhausted');
    expect(given(book, older)).toBe('192.0.2.1');
  });

  it('holds an address that was moved away from until it is vacated', () => {
    const book = aBook(aPool('192.0.2.1-192.0.2.2'));
    const web = holder('web', ['192.0.2.1']);
    book.load([web]);
    expect(given(book, { ...web, loadBalancerIP: '192.0.2.2' })).toBe('192.0.2.2');
    const other = aService({ name: 'other' });
    expect(book.assignment(other, []).problem?.code).toBe('PoolExhausted');
    expect(book.vacate('default/web')).toBe(true);
    expect(given(book, other)).toBe('192.0.2.1');
    expect(book.vacate('default/web')).toBe(false);
  });

  it('lets a Service move back to what it has not vacated yet', () => {
    const book = aBook(aPool('192.0.2.1-192.0.2.2'));
    const web = holder('web', ['192.0.2.1']);
    book.load([web]);
    given(book, { ...web, loadBalancerIP: '192.0.2.2' });
    expect(given(book, { ...web, loadBalancerIP: '192.0.2.1' })).toBe('192.0.2.1');
    book.vacate('default/web');
    expect(given(book, aService({ name: 'other' }))).toBe('192.0.2.2');
    expect(book.assignment(aService({ name: 'third' }), []).problem?.code).toBe('PoolExhausted');
  });

  it('releases all that a Service held, also what it was moving away from', () => {
    const book = aBook(aPool('192.0.2.1-192.0.2.2'));
    const web = holder('web', ['192.0.2.1']);
    book.load([web]);
    given(book, { ...web, loadBalancerIP: '192.0.2.2' });
    expect(book.release('default/web')).toBe(true);
    expect(book.release('default/web')).toBe(false);
    expect(given(book, aService({ name: 'one' }))).toBe('192.0.2.1');
    expect(given(book, aService({ name: 'two' }))).toBe('192.0.2.2');
  });

  it('does not release what another Service of the same name holds', () => {
    const book = aBook(aPool('192.0.2.1/32'));
    given(book, aService({ uid: 'new' }));
    expect(book.release('default/web', 'old')).toBe(false);
    expect(book.holds('default/web')).toBe(true);
    expect(book.release('default/web', 'new')).toBe(true);
  });

  it('knows by UID who holds an address, also when a name changes hands', () => {
    const book = aBook(aPool('192.0.2.1-192.0.2.4'));
    const holds = (): readonly boolean[] => ['old', 'new'].map((uid) => book.holdsFor(uid));
    expect(holds()).toEqual([false, false]);
    given(book, aService({ uid: 'old' }));
    expect(holds()).toEqual([true, false]);
    given(book, aService({ uid: 'new' }));
    expect(holds()).toEqual([false, true]);
    book.release('default/web');
    expect(holds()).toEqual([false, false]);
  });

  it('does not hand what an earlier Service of the same name held to the new one by itself', () => {
    const book = aBook(aPool('192.0.2.1-192.0.2.4'));
    given(book, aService({ uid: 'old', loadBalancerIP: '192.0.2.4' }));
    expect(given(book, aService({ uid: 'new' }))).toBe('192.0.2.1');
  });
});

describe('addresses in a cluster', () => {
  const pool = aPool('192.0.2.1-192.0.2.2');
  const nodes = ['node-1'];

  async function full(): Promise<World> {
    return await settledWorld({
      nodes,
      memory: { pools: [pool] },
      services: [{ name: 'one' }, { name: 'two' }, { name: 'waits', createdAtMs: YOUNG }],
    });
  }

  it('B50 a Service without an address is tried again when any address becomes free', async () => {
    const world = await full();
    expect(world.condition('default/waits')).toBe('False PoolExhausted');
    world.cluster.delete('default/two');
    await world.settle();
    expect(world.addresses('default/waits')).toBe('192.0.2.2');
    expect(world.clock.monotonic()).toBe(0);
  });

  it('B50 a Service without an address is tried again when the pools change', async () => {
    const pools = [pool];
    const world = await settledWorld({
      nodes,
      memory: { pools: () => pools },
      services: [{ name: 'one' }, { name: 'two' }, { name: 'waits', createdAtMs: YOUNG }],
    });
    expect(world.condition('default/waits')).toBe('False PoolExhausted');
    pools.push({ ...aPool('192.0.2.7/32'), name: 'more' });
    await world.settle();
    expect(world.condition('default/waits')).toBe('False PoolExhausted');
    world.controller.enqueue('memory', undefined, 'the pools have changed');
    await world.settle();
    expect(world.addresses('default/waits')).toBe('192.0.2.7');
    expect([world.addresses('default/one'), world.addresses('default/two')]).toEqual([
      '192.0.2.1',
      '192.0.2.2',
    ]);
  });

  it('a Service whose address is in no pool any more keeps it, with a warning', async () => {
    const pools = [pool];
    const world = await settledWorld({ nodes, memory: { pools: () => pools } });
    pools.splice(0, 1, aPool('192.0.2.7/32'));
    world.controller.enqueue('memory', undefined, 'the pools have changed');
    await world.settle();
    expect(world.addresses()).toBe('192.0.2.1');
    expect(world.condition()).toBe('True Provisioned');
    expect(world.reasons()).toEqual(['AddressOutsidePool']);
    expect(world.written).toEqual([]);
  });

  it('an address that one Service leaves goes to the one that waits only when nothing uses it any more', async () => {
    const world = await settledWorld({
      nodes,
      memory: { pools: [pool] },
      services: [{ name: 'one' }, { name: 'waits', loadBalancerIP: '192.0.2.1', createdAtMs: YOUNG }],
    });
    expect(world.condition('default/waits')).toBe('False AddressInUse');
    world.cloud.latencyMs = 1_000;
    world.cluster.edit('default/one', { loadBalancerIP: '192.0.2.2' });
    await world.settle();
    // The step is under way: somebody who asks now is not given what the load balancer still has.
    world.controller.enqueue('memory', ['default/waits'], 'look again');
    await world.settle();
    expect(world.condition('default/waits')).toBe('False AddressInUse');
    for (let second = 0; second < 5; second++) await world.advance(1_000);
    expect(world.addresses('default/one')).toBe('192.0.2.2');
    expect(world.addresses('default/waits')).toBe('192.0.2.1');
    expect(world.reasons('default/waits')).not.toContain('SyncLoadBalancerFailed');
  });

  it('an address that is left is not given away before the status says so, because of what a crash would make of it', async () => {
    const world = await settledWorld({
      nodes,
      memory: { pools: [pool] },
      services: [{ name: 'one' }, { name: 'waits', loadBalancerIP: '192.0.2.1', createdAtMs: YOUNG }],
    });
    const stopped = Promise.withResolvers<void>();
    world.cluster.beforeWrite = (write, key) =>
      write === 'patchStatus' && key === 'default/one' ? stopped.promise : Promise.resolve();
    world.cluster.edit('default/one', { loadBalancerIP: '192.0.2.2' });
    await world.settle();
    world.controller.enqueue('memory', ['default/waits'], 'look again');
    await world.settle();
    expect(world.addresses('default/one')).toBe('192.0.2.1');
    expect(world.addresses('default/waits')).toBe('');
    stopped.resolve();
    await world.settle();
    expect(world.addresses('default/one')).toBe('192.0.2.2');
    expect(world.addresses('default/waits')).toBe('192.0.2.1');
  });

  it('the address of a deleted Service is not given away before the Service is gone', async () => {
    const world = await full();
    const stopped = Promise.withResolvers<void>();
    world.cluster.beforeWrite = (write) =>
      write === 'removeFinalizer' ? stopped.promise : Promise.resolve();
    world.cluster.delete('default/one');
    await world.settle();
    world.controller.enqueue('memory', ['default/waits'], 'look again');
    await world.settle();
    expect(world.cloud.loadBalancers.has('default/one')).toBe(false);
    expect(world.addresses('default/waits')).toBe('');
    stopped.resolve();
    await world.settle();
    expect(world.addresses('default/waits')).toBe('192.0.2.1');
  });

  it('a Service that is wrong in another way costs no other one its address', async () => {
    const world = await startWorld({
      nodes,
      memory: { pools: [aPool('192.0.2.1/32')] },
      services: [
        { name: 'wrong', loadBalancerSourceRanges: ['nonsense'] },
        { name: 'young', createdAtMs: YOUNG },
      ],
    });
    expect(world.condition('default/wrong')).toBe('False InvalidSourceRange');
    expect(world.addresses('default/young')).toBe('192.0.2.1');
  });

  it.each([
    ['is deleted', (world: World) => world.cluster.delete('default/web')],
    ['becomes ClusterIP', (world: World) => world.cluster.edit('default/web', { type: 'ClusterIP' })],
  ])('what a Service had whose finalizer could not be set is free when it %s', async (_what, end) => {
    const world = await settledWorld({ nodes, memory: { pools: [aPool('192.0.2.1/32')] }, services: [] });
    world.cluster.beforeWrite = (write, key) =>
      key === 'default/web' ? Promise.reject(new Error(`no ${write}`)) : Promise.resolve();
    world.cluster.create();
    await world.settle();
    world.cluster.create({ name: 'waits', createdAtMs: YOUNG });
    await world.settle();
    expect(world.condition('default/waits')).toBe('False PoolExhausted');
    end(world);
    await world.settle();
    expect(world.addresses('default/waits')).toBe('192.0.2.1');
  });

  it('without pools, too, a Service that wants what another has gets it when that is deleted', async () => {
    const world = await settledWorld({
      nodes,
      services: [
        { name: 'one', loadBalancerIP: '203.0.113.9' },
        { name: 'two', loadBalancerIP: '203.0.113.9', createdAtMs: YOUNG },
      ],
    });
    expect(world.condition('default/two')).toBe('False AddressInUse');
    world.cluster.delete('default/one');
    await world.settle();
    expect(world.addresses('default/two')).toBe('203.0.113.9');
  });

  it('is parsed: an IPv6 address in another form is the same address', () => {
    const book = new AddressBook(
      { ...DEFAULT_CAPABILITIES, loadBalancerIP: 'honoured', families: ['IPv6'] },
      () => [aPool('2001:db8::/124')],
    );
    const service = holder('web', ['2001:DB8:0::1'], { ipFamilies: ['IPv6'], ports: [aPort()] });
    book.load([service]);
    expect(book.assignment({ ...service, loadBalancerIP: '2001:db8::1' }, []).addresses).toEqual([
      ip('2001:db8::1'),
    ]);
  });
});
