import { describe, expect, it } from 'vitest';
import { aPool, aPort } from '../../test/builders.ts';
import { settledWorld, startWorld, World } from '../../test/world.ts';
import { Conflict, Denied, NotReady, Transient } from '../model/errors.ts';
import { ANNOTATION_PAUSED, FINALIZER } from '../model/names.ts';
import { createMemoryProvider, MemoryCloud, type MemoryProviderOptions } from '../provider/memory.ts';
import type { Provider } from '../provider/spi.ts';
import { PATIENCE } from './mending.ts';

const KEY = 'default/web';
const details = { message: 'no', remedy: 'Wait' };
const down = new Transient('CloudDown', details);
const stale = new Conflict('ConflictObserved', details);

/** A memory provider of which a test replaces parts. */
function altered(
  change: (provider: Provider) => Partial<Provider>,
  options: MemoryProviderOptions = {},
): (cloud: MemoryCloud) => readonly Provider[] {
  return (cloud) => {
    const provider = createMemoryProvider(cloud, options) as Provider;
    return [{ ...provider, ...change(provider) }];
  };
}

/** Two providers, `one` and `two`, each over a cloud of its own. */
function twoProviders(): { one: MemoryCloud; two: MemoryCloud; providers: () => readonly Provider[] } {
  const clouds = { one: new MemoryCloud(), two: new MemoryCloud() };
  const providers = (): readonly Provider[] =>
    (['one', 'two'] as const).map((name) => createMemoryProvider(clouds[name], { name }) as Provider);
  return { ...clouds, providers };
}

describe('a pass that changes nothing', () => {
  it('writes nothing, calls nothing and tells nothing', async () => {
    const world = await settledWorld();
    world.controller.enqueue('memory', [KEY], 'look again');
    await world.settle();
    expect(world.written).toEqual([]);
    expect(world.calls).toEqual([]);
    expect(world.reasons()).toEqual([]);
    expect(await world.metric('service_controller_loadbalancer_sync_total', { outcome: 'success' })).toBe(2);
  });

  it.each([false, true])(
    'does not follow from the echo of our own writes (watch faster: %s)',
    async (faster) => {
      const world = new World({ services: [] });
      world.cluster.watchIsFaster = faster;
      await world.start();
      world.cluster.create();
      await world.settle();
      expect(world.condition()).toBe('True Provisioned');
      expect(await world.metric('service_controller_loadbalancer_sync_total')).toBe(1);
    },
  );

  it('is all that a restart costs: one read of everything', async () => {
    const services = Array.from({ length: 10 }, (_, index) => ({ name: `web-${index}` }));
    const world = await settledWorld({ services, memory: { pools: [aPool('192.0.2.0/28')] } });
    await world.restart();
    expect(world.calls).toEqual(['describe *']);
    expect(world.written).toEqual([]);
    expect(world.reasons()).toEqual([]);
    expect(await world.metric('service_controller_loadbalancer_sync_total', { outcome: 'success' })).toBe(10);
  });
});

describe('what others do to our traces', () => {
  it('the finalizer is put back when somebody takes it away', async () => {
    const world = await settledWorld();
    world.cluster.edit(KEY, { finalizers: [] });
    await world.settle();
    expect(world.service().finalizers).toEqual([FINALIZER]);
    expect(world.written).toEqual(['addFinalizer default/web']);
    expect(world.cloud.writes).toBe(0);
  });

  it('is put right at once a few times, then ever more slowly, because two controllers would go on for ever', async () => {
    const world = await settledWorld();
    let standing = 0;
    // Another controller: it answers each of our writes at once with its own.
    const answer = async (): Promise<void> => {
      world.cluster.edit(KEY, { ingress: [{ ip: '203.0.113.9', ipMode: 'VIP' }] });
      await world.settle();
      if (world.addresses() === '203.0.113.9') standing += 1;
    };
    for (let i = 0; i < 50; i++) await answer();
    const written = world.written.length;
    expect(written).toBe(PATIENCE);
    expect(standing).toBe(50 - PATIENCE);
    expect(world.reasons().filter((reason) => reason === 'StatusContested')).toHaveLength(1);
    await world.advance(1_000);
    expect(world.written).toHaveLength(written + 1);
    expect(world.addresses()).not.toBe('203.0.113.9');
    world.cluster.edit(KEY, { sessionAffinity: 'ClientIP' });
    await world.settle();
    expect(world.cloud.loadBalancers.size).toBe(1);
    expect(world.condition()).toBe('True Provisioned');
  });

  it('the finalizer is there before anything is made, also when something is there already', async () => {
    const world = await settledWorld();
    world.crash();
    world.cluster.edit(KEY, { finalizers: [] });
    await world.start();
    expect(world.service().finalizers).toEqual([FINALIZER]);
  });

  it('the condition is put back', async () => {
    const world = await settledWorld();
    world.cluster.edit(KEY, { conditions: [] });
    await world.settle();
    expect(world.condition()).toBe('True Provisioned');
    expect(world.written).toEqual(['patchStatus default/web']);
  });
});

describe('pausing', () => {
  it('freezes a service: whatever changes, nothing is planned, done or written until the annotation goes', async () => {
    const world = await settledWorld();
    const paused = { [ANNOTATION_PAUSED]: 'true' };
    world.cluster.edit(KEY, { annotations: paused, ports: [aPort({ port: 81 })] });
    world.cluster.addNode({ name: 'node-9' });
    await world.advance(1_000);
    world.cluster.edit(KEY, { type: 'ClusterIP' });
    await world.settle();
    world.cluster.delete(KEY);
    await world.settle();
    expect(world.written).toEqual([]);
    expect(world.calls).toEqual([]);
    expect(world.reasons()).toEqual([]);
    expect(await world.metricReasons(KEY)).toEqual(['Paused']);
    expect(world.controller.inspect.explain(KEY)).toMatchObject({ lifecycle: 'paused', reason: 'Paused' });
    world.cluster.edit(KEY, { annotations: {} });
    await world.settle();
    expect(world.cluster.service(KEY)).toBeUndefined();
    expect(world.cloud.loadBalancers.size).toBe(0);
  });

  it('goes on with what changed meanwhile when the annotation goes', async () => {
    const world = await settledWorld();
    world.cluster.edit(KEY, { annotations: { [ANNOTATION_PAUSED]: 'true' }, ports: [aPort({ port: 81 })] });
    await world.settle();
    world.cluster.edit(KEY, { annotations: { [ANNOTATION_PAUSED]: 'false' } });
    await world.settle();
    expect(Object.keys(world.cloud.loadBalancers.get(KEY)?.listeners ?? {})).toEqual(['81/TCP']);
  });

  it('reserves no address for a frozen service that has none', async () => {
    const world = await startWorld({
      memory: { pools: [aPool('192.0.2.1/32')] },
      services: [
        { name: 'frozen', annotations: { [ANNOTATION_PAUSED]: 'true' } },
        { name: 'young', createdAtMs: Date.UTC(2031, 0, 1) },
      ],
    });
    expect(world.addresses('default/young')).toBe('192.0.2.1');
    expect(world.addresses('default/frozen')).toBe('');
  });
});

describe('what a provider does wrong or slowly', () => {
  it('one that never answers about one service delays no other, and is given up in time', async () => {
    const hanging = altered(({ apply }) => ({
      apply: (step, observed, signal) =>
        step.scope === 'default/stuck' ? new Promise(() => undefined) : apply(step, observed, signal),
    }));
    const world = await settledWorld({ services: [], providers: hanging, callTimeoutMs: 60_000 });
    world.cluster.create({ name: 'stuck' });
    for (let index = 0; index < 10; index++) world.cluster.create({ name: `web-${index}` });
    await world.settle();
    for (let index = 0; index < 10; index++)
      expect(world.condition(`default/web-${index}`)).toBe('True Provisioned');
    expect(world.condition('default/stuck')).toBe('');
    await world.advance(60_000);
    expect(world.condition('default/stuck')).toBe('Unknown ProviderTimeout');
    expect(world.service('default/stuck').finalizers).toEqual([FINALIZER]);
    expect(world.cluster.told.at(-1)).toMatchObject({
      key: 'default/stuck',
      type: 'Warning',
      reason: 'ProviderTimeout',
      message: expect.stringMatching(/60000 ms\. Berth tries again/),
    });
  });

  it('after a call whose outcome is not known, the key is observed before it is planned again', async () => {
    const world = await settledWorld({ services: [] });
    world.cloud.failNext('createLoadBalancer', down, 'after');
    world.cluster.create();
    await world.settle();
    world.reset();
    await world.advance(500);
    expect(world.calls.slice(0, 1)).toEqual(['describe default/web']);
    expect(world.cloud.counts.get('createLoadBalancer')).toBeUndefined();
    expect(world.condition()).toBe('True Provisioned');
    expect(world.cloud.violations).toEqual([]);
  });

  it('stays in doubt while the key cannot be observed', async () => {
    const world = await settledWorld({ services: [] });
    world.cloud.failNext('createLoadBalancer', down, 'after');
    world.cluster.create();
    await world.settle();
    world.cloud.failNext('describe', down);
    await world.advance(500);
    expect(world.condition()).toBe('Unknown CloudDown');
    await world.advance(1_000);
    expect(world.condition()).toBe('True Provisioned');
    expect(world.cloud.violations).toEqual([]);
  });

  it('what succeeded of a stage that failed in part is not done again', async () => {
    const ports = [80, 81, 82].map((port) => aPort({ port, nodePort: 30_000 + port }));
    const world = await settledWorld({ services: [] });
    world.cloud.failNext('createListener', new Denied('QuotaReached', details));
    world.cluster.create({ ports });
    await world.settle();
    expect(world.condition()).toBe('False QuotaReached');
    expect(world.cloud.counts.get('createListener')).toBe(3);
    expect(Object.keys(world.cloud.loadBalancers.get(KEY)?.listeners ?? {})).toHaveLength(2);
    world.reset();
    await world.advance(500);
    expect(world.cloud.counts.get('createListener')).toBe(1);
    expect(world.cloud.counts.get('createLoadBalancer')).toBeUndefined();
    expect(world.cloud.counts.get('setTargets')).toBeUndefined();
    expect(world.condition()).toBe('True Provisioned');
  });

  it('the worst of several errors of a stage is told', async () => {
    const world = await settledWorld({ services: [] });
    world.cloud.failNext('createListener', new NotReady('StillComing', { ...details, retryAfterMs: 9_000 }));
    world.cloud.failNext('setTargets', new Denied('QuotaReached', details));
    world.cluster.create();
    await world.settle();
    expect(world.condition()).toBe('False QuotaReached');
  });

  it('after a stage that failed no other one is begun', async () => {
    const world = await settledWorld({ services: [] });
    world.cloud.failNext('createLoadBalancer', new Denied('QuotaReached', details));
    world.cluster.create();
    await world.settle();
    expect(world.cloud.counts.get('createListener')).toBeUndefined();
    expect(world.cloud.counts.get('setTargets')).toBeUndefined();
  });

  it('a Conflict makes the key be observed and the work be done once more, at once', async () => {
    const world = await settledWorld();
    world.cloud.tamper(KEY, () => undefined);
    world.reset();
    world.cluster.edit(KEY, { ports: [aPort({ nodePort: 30_099 })] });
    await world.settle();
    expect(world.calls[0]).toBe('updateListener default/web');
    expect(world.calls[1]).toBe('describe default/web');
    expect(world.cloud.loadBalancers.get(KEY)?.listeners['80/TCP']?.nodePort).toBe(30_099);
    expect(world.condition()).toBe('True Provisioned');
    expect(world.clock.monotonic()).toBe(0);
    expect(await world.metric('workqueue_retries_total')).toBe(0);
  });

  it('a Conflict that comes again waits for the back-off', async () => {
    const world = await settledWorld({ services: [] });
    world.cloud.failNext('createListener', stale);
    world.cloud.failNext('createListener', stale);
    world.cluster.create();
    await world.settle();
    expect(world.cloud.counts.get('createListener')).toBe(2);
    expect(await world.metric('workqueue_retries_total')).toBe(1);
    await world.advance(500);
    expect(world.condition()).toBe('True Provisioned');
  });

  it('one whose plan comes again after it was carried out does not converge', async () => {
    let applied = 0;
    const world = await startWorld({
      services: [{}],
      providers: altered(() => ({
        apply: () => {
          applied += 1;
          return Promise.resolve({});
        },
      })),
    });
    expect(world.condition()).toBe('Unknown DoesNotConverge');
    // Its three steps, once each: the same plan is not carried out twice.
    expect(applied).toBe(3);
    expect(world.cluster.told.at(-1)?.message).toMatch(/report it with the output of `berth plan`\.$/);
  });

  it('one that goes back and forth does not converge either', async () => {
    let applied = 0;
    const step = { scope: KEY, verb: 'update', resource: 'thing', stage: 0, because: 'it flips' } as const;
    const world = await startWorld({
      services: [{}],
      providers: altered(() => ({
        plan: ({ scope }) =>
          scope === 'shared' ? [] : [{ ...step, key: applied % 2 === 0 ? 'heads' : 'tails' }],
        apply: () => {
          applied += 1;
          return Promise.resolve({});
        },
      })),
    });
    expect(world.condition()).toBe('Unknown DoesNotConverge');
    expect(applied).toBeLessThanOrEqual(10);
  });

  it('one that needs several plans one after another converges', async () => {
    let applied = 0;
    const step = {
      scope: KEY,
      verb: 'create',
      resource: 'thing',
      stage: 0,
      because: 'one after another',
    } as const;
    const world = await startWorld({
      services: [{}],
      providers: altered(() => ({
        plan: ({ scope }) =>
          scope === 'shared' || applied === 5 ? [] : [{ ...step, key: `part-${applied}` }],
        apply: () => {
          applied += 1;
          return Promise.resolve({ loadBalancer: () => ({ uid: 'uid-of-web' }) });
        },
        ingress: () => ({ kind: 'ready', ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] }),
      })),
    });
    expect(world.condition()).toBe('True Provisioned');
    expect(applied).toBe(5);
  });

  it('one that breaks the contract is told apart from a wrong Service', async () => {
    const world = await startWorld({
      services: [{}],
      providers: altered(() => ({
        ingress: () => ({ kind: 'ready', ingress: [{ ip: 'nonsense', ipMode: 'VIP' }] }),
      })),
    });
    expect(world.condition()).toBe('False ProviderDefect');
    expect(world.addresses()).toBe('');
  });

  it('a status that takes time is looked at again when the provider says', async () => {
    let ready = false;
    const world = await startWorld({
      services: [{}],
      providers: altered(({ ingress }) => ({
        ingress: (wanted, have) =>
          ready
            ? ingress(wanted, have)
            : { kind: 'pending', code: 'Warming', message: 'soon', retryAfterMs: 7_000 },
      })),
    });
    expect(world.condition()).toBe('Unknown Warming');
    expect(world.reasons()).toEqual(['EnsuringLoadBalancer']);
    world.reset();
    ready = true;
    await world.advance(6_999);
    expect(world.condition()).toBe('Unknown Warming');
    await world.advance(1);
    expect(world.condition()).toBe('True Provisioned');
    expect(world.calls).toEqual([]);
  });
});

describe('a Lease that is lost', () => {
  it('lets no further step begin, also before the signal has had its turn', async () => {
    const world = await settledWorld({ services: [] });
    world.cluster.afterWrite = (write) => {
      if (write === 'addFinalizer') world.holds = false;
    };
    world.cluster.create();
    await world.settle();
    expect(world.cloud.writes).toBe(0);
    expect(world.written).toEqual(['addFinalizer default/web']);
    expect(world.reasons()).toEqual(['EnsuringLoadBalancer']);
    // As its successor it goes on.
    world.cluster.afterWrite = () => {};
    world.holds = true;
    await world.restart();
    expect(world.condition()).toBe('True Provisioned');
  });

  it('lets a step of several calls make no further one', async () => {
    const made: string[] = [];
    const between = Promise.withResolvers<void>();
    const world = await settledWorld({
      services: [],
      providers: altered(() => ({
        async apply(_step, _observed, signal) {
          made.push('first call');
          await between.promise;
          signal.throwIfAborted();
          made.push('second call');
          return {};
        },
      })),
    });
    world.cluster.create();
    await world.settle();
    expect(made).toEqual(['first call']);
    // Frozen for longer than the Lease lasts; no timer has had its turn when the answer is taken in.
    world.holds = false;
    between.resolve();
    await world.settle();
    expect(made).toEqual(['first call']);
    expect(world.written).toEqual(['addFinalizer default/web']);
  });

  it('lets no finalizer be taken off by what was last known', async () => {
    const world = await settledWorld();
    world.holds = false;
    world.controller.runtimes[0]?.state.set(KEY, undefined);
    world.cluster.delete(KEY);
    await world.settle();
    expect(world.service().finalizers).toEqual([FINALIZER]);
    expect(world.written).toEqual([]);
  });
});

describe('a cloud whose reads are behind', () => {
  const SETTLE_MS = 30_000;
  const behind = altered(() => ({ settleMs: SETTLE_MS }));

  it('is asked once more before a deletion that finds nothing is believed', async () => {
    const world = await settledWorld({ providers: behind });
    world.crash();
    // The next start does not see what its predecessor made.
    const made = world.cloud.loadBalancers.get(KEY)!;
    world.cloud.tamper(KEY, () => undefined);
    world.cluster.edit(KEY, { deleting: true });
    await world.start();
    expect(world.condition()).toBe('Unknown DeletionUnconfirmed');
    const { signal } = new AbortController();
    await world.cloud.createLoadBalancer({ key: KEY, uid: made.uid }, made.frontend, signal);
    await world.advance(SETTLE_MS - 1);
    expect(world.service().finalizers).toEqual([FINALIZER]);
    await world.advance(1);
    expect(world.cloud.loadBalancers.size).toBe(0);
    expect(world.cluster.service(KEY)).toBeUndefined();
  });

  it('is believed when it still shows nothing then, with one read', async () => {
    const world = await settledWorld({
      services: [{ deleting: true, finalizers: [FINALIZER] }],
      providers: behind,
    });
    world.reset();
    await world.advance(SETTLE_MS);
    expect(world.calls).toEqual(['describe default/web']);
    expect(world.cluster.service(KEY)).toBeUndefined();
  });

  it('is not waited for when this process removed the load balancer itself', async () => {
    const world = await settledWorld({ providers: behind });
    world.cluster.delete(KEY);
    await world.settle();
    expect(world.cluster.service(KEY)).toBeUndefined();
    expect(world.calls.filter((call) => call.startsWith('describe'))).toEqual([]);
  });
});

describe('whose load balancer it is', () => {
  it('a service that moves to another of our providers loses what the first one made', async () => {
    const { one, two, providers } = twoProviders();
    const world = await settledWorld({ services: [{ loadBalancerClass: 'berth.dev/one' }], providers });
    expect([one.loadBalancers.size, two.loadBalancers.size]).toEqual([1, 0]);
    // Classes are immutable, but not while the type is another one.
    world.crash();
    world.cluster.edit(KEY, { type: 'ClusterIP' });
    world.cluster.edit(KEY, { type: 'LoadBalancer', loadBalancerClass: 'berth.dev/two' });
    await world.start();
    expect([one.loadBalancers.size, two.loadBalancers.size]).toEqual([0, 1]);
    expect(world.condition()).toBe('True Provisioned');
    expect(world.service().finalizers).toEqual([FINALIZER]);
  });

  it('a service of a class that nobody serves any more keeps what it has', async () => {
    const { one, two, providers } = twoProviders();
    const world = await settledWorld({ services: [{ loadBalancerClass: 'berth.dev/one' }], providers });
    world.crash();
    world.cluster.edit(KEY, { loadBalancerClass: 'example.com/other' });
    await world.start();
    expect([one.loadBalancers.size, two.loadBalancers.size]).toEqual([1, 0]);
    expect(world.written).toEqual([]);
    expect(world.controller.inspect.explain(KEY)).toMatchObject({ reason: 'NotServed' });
  });

  it('a deleted service is cleared away by whichever provider has something of it', async () => {
    const { one, two, providers } = twoProviders();
    const world = await settledWorld({ services: [{ loadBalancerClass: 'berth.dev/one' }], providers });
    world.crash();
    world.cluster.edit(KEY, { loadBalancerClass: 'example.com/other', deleting: true });
    await world.start();
    expect([one.loadBalancers.size, two.loadBalancers.size]).toEqual([0, 0]);
    expect(world.cluster.service(KEY)).toBeUndefined();
  });
});
