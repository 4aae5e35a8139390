import { describe, expect, it } from 'vitest';
import { aPort } from '../../test/builders.ts';
import { startWorld, type WorldOptions, type World } from '../../test/world.ts';
import { Conflict, NotReady, Transient } from '../model/errors.ts';
import { SHARED, type Step } from '../plan/step.ts';
import { createMemoryProvider, type MemoryCloud } from '../provider/memory.ts';
import type { Observed, PlanRequest, Provider } from '../provider/spi.ts';

const details = { message: 'no', remedy: 'Wait' };

/** A group that all load balancers share, as a cloud has it. */
class Group {
  exists = false;
  readonly calls: string[] = [];
  readonly faults: Error[] = [];

  carryOut(step: Step): void {
    this.calls.push(`${step.verb} ${step.resource}`);
    const fault = this.faults.shift();
    if (fault !== undefined) throw fault;
    if (this.exists === (step.verb === 'create')) throw new Error(`${step.verb} twice`);
    this.exists = step.verb === 'create';
  }
}

/** A memory provider whose load balancers need the group. */
function withGroup(cloud: MemoryCloud, group: Group): Provider {
  const provider = createMemoryProvider(cloud) as Provider;
  const step = { scope: SHARED, resource: 'group', key: 'all', stage: 0, because: 'it is shared' } as const;
  return {
    ...provider,
    observe: async (signal, keys) => ({ ...(await provider.observe(signal, keys)), shared: group.exists }),
    plan(request: PlanRequest, observed: Observed): readonly Step[] {
      if (request.scope !== 'shared') return provider.plan(request, observed);
      const wanted = request.desired !== undefined;
      return observed.shared === wanted ? [] : [{ ...step, verb: wanted ? 'create' : 'delete' }];
    },
    async apply(one, observed, signal) {
      if (one.scope !== SHARED) return await provider.apply(one, observed, signal);
      group.carryOut(one);
      return { shared: () => one.verb === 'create' };
    },
  };
}

async function worldWith(group: Group, options: WorldOptions = {}): Promise<World> {
  return await startWorld({ ...options, providers: (cloud) => [withGroup(cloud, group)] });
}

describe('what all load balancers share', () => {
  it('is made once before the first load balancer that needs it, whatever number of them comes at once', async () => {
    const group = new Group();
    const services = Array.from({ length: 8 }, (_, index) => ({ name: `web-${index}` }));
    const world = await worldWith(group, { services, settings: { concurrentSyncs: 8 } });
    expect(group.calls).toEqual(['create group']);
    expect(world.cloud.loadBalancers.size).toBe(8);
  });

  it('is part of the plan: made before the load balancers, and removed after the last', async () => {
    const group = new Group();
    const world = await worldWith(group, { services: [] });
    const planned = (): readonly string[] =>
      world.controller.inspect.plan().flatMap(({ key, steps }) => steps.map(({ verb }) => `${verb} ${key}`));
    expect(planned()).toEqual([]);
    world.cluster.create({ name: 'web' });
    expect(planned()[0]).toBe('create shared:memory');
    expect(new Set(planned().slice(1))).toEqual(new Set(['create default/web']));
    await world.settle();
    expect(planned()).toEqual([]);
    expect(group.exists).toBe(true);
    world.cluster.delete('default/web');
    await world.settle();
    expect(group.exists).toBe(false);
    expect(planned()).toEqual([]);
  });

  it('goes with the last service, and not before', async () => {
    const group = new Group();
    const world = await worldWith(group, { services: [{ name: 'one' }, { name: 'two' }] });
    world.cluster.delete('default/one');
    await world.settle();
    expect(group.calls).toEqual(['create group']);
    world.cluster.delete('default/two');
    await world.settle();
    expect(group.calls).toEqual(['create group', 'delete group']);
    expect(world.cloud.loadBalancers.size).toBe(0);
  });

  it('goes with the last service also when the watch tells of its end late', async () => {
    const group = new Group();
    const world = await worldWith(group, { services: [{}] });
    world.cluster.delete('default/web');
    world.cluster.holdWatch();
    await world.settle();
    expect(world.cluster.service('default/web')).toBeUndefined();
    expect(group.exists).toBe(true);
    world.cluster.releaseWatch();
    await world.settle();
    expect(group.exists).toBe(false);
  });

  it('is not made for a service that cannot be served', async () => {
    const group = new Group();
    await worldWith(group, { services: [{ ports: [] }] });
    expect(group.calls).toEqual([]);
  });

  it('goes after a restart when the predecessor was killed just before', async () => {
    const group = new Group();
    const world = await worldWith(group, { services: [{}] });
    // Tried once for the pass, and once for the event.
    group.faults.push(new Transient('CloudDown', details), new Transient('CloudDown', details));
    world.cluster.delete('default/web');
    await world.settle();
    expect(world.cluster.service('default/web')).toBeUndefined();
    expect(group.exists).toBe(true);
    await world.restart();
    expect(group.exists).toBe(false);
  });

  it('goes after a restart between the last load balancer and the finalizer', async () => {
    const group = new Group();
    const world = await worldWith(group, { services: [{}] });
    world.crash();
    world.cluster.edit('default/web', { deleting: true });
    world.cloud.tamper('default/web', () => undefined);
    await world.start();
    expect(world.cluster.service('default/web')).toBeUndefined();
    expect(group.exists).toBe(false);
  });

  it('is tried again when it cannot be removed', async () => {
    const group = new Group();
    const world = await worldWith(group, { services: [{}] });
    group.faults.push(new Transient('CloudDown', details));
    world.cluster.delete('default/web');
    await world.settle();
    await world.advance(1_000);
    expect(group.exists).toBe(false);
  });

  it('is tried again when the provider says so, not earlier', async () => {
    const group = new Group();
    const world = await worldWith(group, { services: [{}] });
    const busy = (): NotReady => new NotReady('StillInUse', { ...details, retryAfterMs: 7_000 });
    group.faults.push(busy(), busy());
    world.cluster.delete('default/web');
    await world.settle();
    await world.advance(6_900);
    expect(group.exists).toBe(true);
    await world.advance(200);
    expect(group.exists).toBe(false);
  });

  it('waits for a load balancer that is left, without any call', async () => {
    const group = new Group();
    const world = await worldWith(group, { services: [{}] });
    const orphan = world.cloud.loadBalancers.get('default/web')!;
    world.crash();
    await world.cloud.createLoadBalancer(
      { key: 'default/orphan', uid: 'nobody' },
      { ...orphan.frontend, addresses: [] },
      new AbortController().signal,
    );
    world.cluster.delete('default/web');
    await world.start();
    world.reset();
    await world.advance(60_000);
    expect(group.exists).toBe(true);
    expect(world.calls).toEqual([]);
    world.controller.runtimes[0]!.state.set('default/orphan', undefined);
    await world.advance(10_000);
    expect(group.exists).toBe(false);
  });

  it('is observed again after a Conflict, and the work is done once more', async () => {
    const group = new Group();
    const world = await worldWith(group, { services: [] });
    // Somebody else made it meanwhile: what is known is not true any more.
    group.exists = true;
    group.faults.push(new Conflict('ConflictObserved', details));
    world.cluster.create();
    await world.settle();
    expect(world.condition()).toBe('True Provisioned');
    expect(group.calls).toEqual(['create group']);
  });

  it.each([
    ['enforce', true],
    ['observe', false],
  ] as const)('is put back by the sweep when somebody removed it by hand: %s', async (drift, expected) => {
    const group = new Group();
    const world = await worldWith(group, { services: [{}], settings: { drift } });
    group.exists = false;
    await world.advance(660_000);
    expect(group.exists).toBe(expected);
  });

  it('keeps a failing service alone from being served', async () => {
    const group = new Group();
    group.faults.push(new Transient('CloudDown', details));
    const world = await worldWith(group, { services: [{}] });
    expect(world.condition()).toBe('Unknown CloudDown');
    expect(world.cloud.loadBalancers.size).toBe(0);
    await world.advance(500);
    expect(world.condition()).toBe('True Provisioned');
  });

  it('is left alone while nothing of it differs', async () => {
    const group = new Group();
    const world = await worldWith(group, { services: [{}] });
    world.cluster.edit('default/web', { ports: [aPort({ port: 81 })] });
    await world.settle();
    await world.advance(3_600_000);
    expect(group.calls).toEqual(['create group']);
  });
});

describe('what load balancers need of it', () => {
  const port = ({ ports }: { readonly ports: readonly { readonly port: number }[] }): readonly string[] =>
    ports.map((one) => `port ${one.port}`);

  /** Notes what every plan of the shared resources is asked for. */
  function asked(cloud: MemoryCloud, requests: string[]): Provider {
    const provider = createMemoryProvider(cloud) as Provider;
    return {
      ...provider,
      needs: port,
      plan(request, observed) {
        if (request.scope === 'shared') {
          const { needs, complete } = request.desired ?? {};
          requests.push(`${needs?.join(', ')}${complete === false ? ' and perhaps more' : ''}`);
        }
        return provider.plan(request, observed);
      },
    };
  }

  it('is known before it is planned, and less when a Service goes', async () => {
    const requests: string[] = [];
    const world = await startWorld({ services: [], providers: (cloud) => [asked(cloud, requests)] });
    world.cluster.create({ name: 'one' });
    await world.settle();
    expect(requests.at(-1)).toBe('port 80');
    world.cluster.create({ name: 'two', ports: [aPort({ port: 81 })] });
    await world.settle();
    expect(requests.at(-1)).toBe('port 80, port 81');
    world.cluster.delete('default/two');
    await world.settle();
    expect(requests.at(-1)).toBe('port 80');
  });

  it('is incomplete after a start until every Service was asked', async () => {
    const requests: string[] = [];
    const services = [{ name: 'one' }, { name: 'two', ports: [aPort({ port: 81 })] }];
    const world = await startWorld({ services, providers: (cloud) => [asked(cloud, requests)] });
    world.crash();
    requests.length = 0;
    world.cluster.edit('default/one', { loadBalancerSourceRanges: ['nonsense'] });
    world.cluster.edit('default/two', { ports: [aPort({ port: 82 })] });
    await world.start();
    // One is wrong and cannot be asked: what it needs is not known.
    expect(requests.at(-1)).toBe('port 82 and perhaps more');
    world.cluster.edit('default/one', { loadBalancerSourceRanges: [] });
    await world.settle();
    world.cluster.edit('default/two', { ports: [aPort({ port: 83 })] });
    await world.settle();
    expect(requests.at(-1)).toBe('port 80, port 83');
  });

  it('is forgotten of a Service that is gone without a clean-up', async () => {
    const requests: string[] = [];
    const world = await startWorld({ services: [], providers: (cloud) => [asked(cloud, requests)] });
    world.cluster.beforeWrite = () => Promise.reject(new Error('not now'));
    world.cluster.create({ name: 'brief', ports: [aPort({ port: 99 })] });
    await world.settle();
    world.cluster.beforeWrite = () => Promise.resolve();
    world.cluster.delete('default/brief');
    await world.settle();
    world.cluster.create();
    await world.settle();
    expect(requests.at(-1)).toBe('port 80');
  });
});
