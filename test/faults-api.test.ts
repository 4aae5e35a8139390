/**
 * An API server that misbehaves: the whole controller, with its own list-watch and client, against the sandbox's
 * faults. Whatever happens, everything converges, and no load balancer is doubled or lost.
 */
import assert from 'node:assert/strict';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MemoryCloud } from '../src/provider/memory.ts';
import { startSandbox, type Sandbox } from '../src/sandbox/index.ts';
import { startLocal, type LocalController, type LocalRun } from './fixtures/run-controller.ts';
import { addressesOf, conditionOf, eventually } from './fixtures/kube-objects.ts';
import { toService } from '../src/kube/index.ts';
import type { Service } from '../src/model/service.ts';

const election = {
  namespace: 'kube-system',
  identity: 'test',
  leaseDurationMs: 3_000,
  renewDeadlineMs: 2_000,
  retryPeriodMs: 200,
};

/** A test in a cluster of its own, so that many can wait side by side. */
function scenario(test: (cluster: Cluster) => Promise<void>): () => Promise<void> {
  return async () => {
    const cluster = await Cluster.start();
    try {
      await test(cluster);
    } finally {
      await cluster.stop();
    }
  };
}

/** A sandbox with two nodes, a cloud, and a controller when it is started. */
class Cluster {
  readonly sandbox: Sandbox;
  readonly cloud = new MemoryCloud();
  controller: LocalController | undefined;

  private constructor(sandbox: Sandbox) {
    this.sandbox = sandbox;
  }

  static async start(): Promise<Cluster> {
    const cluster = new Cluster(await startSandbox());
    cluster.addNode('node-1');
    cluster.addNode('node-2');
    return cluster;
  }

  async run(options: Partial<LocalRun> = {}): Promise<void> {
    this.begin(options);
    await this.controller?.acting;
    await eventually(() => {
      for (const resource of ['services', 'nodes'])
        assert.ok(
          this.sandbox.requests.count({ verb: 'watch', resource }) > 0,
          `${resource} are not watched`,
        );
    });
  }

  begin(options: Partial<LocalRun> = {}): void {
    const provider = { cloud: this.cloud, pool: ['192.0.2.0/24'] };
    this.controller = startLocal({ server: { url: this.sandbox.url }, provider, ...options });
  }

  addNode(name: string): void {
    const addresses = [{ type: 'InternalIP', address: '192.0.2.11' }];
    this.sandbox.objects.create('nodes', {
      metadata: { name },
      spec: { providerID: name },
      status: { addresses },
    });
    this.sandbox.objects.patch({ resource: 'nodes', name }, { status: { addresses } }, { status: true });
  }

  create(...names: readonly string[]): void {
    for (const name of names) {
      const spec = { type: 'LoadBalancer', selector: { app: name }, ports: [{ port: 80 }] };
      this.sandbox.objects.create('services', { metadata: { name }, spec });
    }
  }

  delete(name: string): void {
    this.sandbox.objects.delete({ resource: 'services', name });
  }

  service(name: string): Service | undefined {
    return toService(this.sandbox.objects.get({ resource: 'services', name }));
  }

  /** Everything there is, in few words: a line for each Service and one for each load balancer. */
  picture(): readonly string[] {
    const services = this.sandbox.objects
      .list('services')
      .map(({ metadata }) => this.service(metadata.name))
      .filter((service) => service?.type === 'LoadBalancer')
      .map((service) => `${service?.name} ${service?.uid} ${addressesOf(service)} ${conditionOf(service)}`);
    const balancers = [...this.cloud.loadBalancers].map(([key, { uid, frontend, targets }]) =>
      [key, uid, ...frontend.addresses, ...targets.map(({ node }) => node)].join(' '),
    );
    return [...services, ...balancers, ...this.cloud.violations];
  }

  /** The picture when these Services, and no others, are served as they ask. */
  wanted(names: readonly string[]): readonly string[] {
    const nodes = this.sandbox.objects.list('nodes').map(({ metadata }) => metadata.name);
    const uidOf = (name: string): string => this.service(name)?.uid ?? 'none';
    const addressOf = (name: string): string => addressesOf(this.service(name));
    return [
      ...names.map((name) => `${name} ${uidOf(name)} ${addressOf(name)} True Provisioned`),
      ...names.map((name) =>
        [`default/${name}`, uidOf(name), addressOf(name), ...nodes.toSorted()].join(' '),
      ),
    ];
  }

  /** Waits until these Services, and no others, are served as they ask, each with an address of its own. */
  async served(...names: readonly string[]): Promise<void> {
    await eventually(() => assert.deepEqual(this.picture().toSorted(), this.wanted(names).toSorted()));
    const addresses = new Set(names.map((name) => addressesOf(this.service(name))));
    assert.equal(addresses.size, names.length, 'two Services have one address');
  }

  async stop(): Promise<void> {
    this.sandbox.faults.clear();
    await this.controller?.stop();
    await this.sandbox.stop();
  }
}

const names = (count: number, prefix = 'web'): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

describe('what an API server is asked', () => {
  it.concurrent(
    'is exactly two patches and two events for a Service, and nothing for one that needs nothing',
    scenario(async (cluster) => {
      await cluster.run();
      cluster.sandbox.requests.reset();
      cluster.create('web');
      await cluster.served('web');
      await eventually(() => expect(cluster.sandbox.requests.count({ resource: 'events' })).toBe(2));
      expect(cluster.sandbox.requests.summary()).toEqual({
        'create events': 2,
        'patch services': 1,
        'patch services/status': 1,
      });
      cluster.sandbox.requests.reset();
      const calls = cluster.cloud.calls.length;
      cluster.sandbox.objects.patch(
        { resource: 'services', name: 'web' },
        { metadata: { labels: { any: 'thing' } } },
      );
      cluster.addNode('node-3');
      await cluster.served('web');
      expect(cluster.sandbox.requests.summary()).toEqual({});
      expect(cluster.cloud.calls.slice(calls).map(({ operation }) => operation)).toEqual(['setTargets']);
    }),
  );

  it.concurrent(
    'is two lists and two watches for a start with everything existing',
    scenario(async (cluster) => {
      await cluster.run();
      cluster.create(...names(20));
      await cluster.served(...names(20));
      await cluster.controller?.stop();
      cluster.sandbox.requests.reset();
      const calls = cluster.cloud.calls.length;
      await cluster.run();
      await cluster.served(...names(20));
      expect(cluster.sandbox.requests.summary()).toEqual({
        'get namespaces': 1,
        'list nodes': 1,
        'list services': 1,
        'watch nodes': 1,
        'watch services': 1,
      });
      expect(cluster.cloud.calls.slice(calls)).toEqual([{ operation: 'describe' }]);
    }),
  );
});

describe('stopping', () => {
  it.concurrent.each([
    ['with', election],
    ['without', undefined],
  ])('finishes what is under way and writes its events, %s an election', (_what, elected) =>
    scenario(async (cluster) => {
      await cluster.run(elected === undefined ? {} : { election: elected });
      cluster.cloud.latencyMs = 150;
      cluster.create('web');
      await eventually(() => expect(cluster.service('web')?.finalizers).toHaveLength(1));
      expect(await cluster.controller?.stop()).toBe('stopped');
      await cluster.served('web');
      expect(cluster.sandbox.requests.count({ verb: 'create', resource: 'events' })).toBe(2);
    })(),
  );

  it.concurrent(
    'does not wait for a provider that cannot be observed',
    scenario(async (cluster) => {
      const alter = (): object => ({ observe: () => new Promise(() => {}) });
      cluster.begin({ election, provider: { cloud: cluster.cloud, alter } });
      const held = (): unknown =>
        cluster.sandbox.objects.get({
          resource: 'leases',
          namespace: 'kube-system',
          name: 'berth-controller',
        })?.['spec'];
      await eventually(() => expect(held()).toMatchObject({ holderIdentity: 'test' }));
      const started = performance.now();
      expect(await cluster.controller?.stop()).toBe('stopped');
      expect(performance.now() - started).toBeLessThan(4_000);
      expect(held()).not.toMatchObject({ holderIdentity: 'test' });
    }),
  );
});

describe('an API server that misbehaves', () => {
  it.concurrent(
    'is killed in the middle of a burst and comes back: all are served',
    scenario(async (cluster) => {
      await cluster.run();
      cluster.create(...names(20));
      await eventually(() => expect(cluster.cloud.loadBalancers.size).toBeGreaterThan(3));
      await cluster.sandbox.crash();
      cluster.create('late');
      cluster.delete('web-0');
      await cluster.sandbox.recover();
      await cluster.served(...names(20).slice(1), 'late');
    }),
  );

  it.concurrent.each(['now', 'midLine', 'midLineOfNextEvent'] as const)(
    'cuts the watches (%s): nothing is missed',
    (how) =>
      scenario(async (cluster) => {
        await cluster.run();
        cluster.create('before', 'gone');
        await cluster.served('before', 'gone');
        cluster.sandbox.faults.cutWatches(how);
        cluster.create('after');
        cluster.delete('gone');
        cluster.addNode('node-3');
        await expect(cluster.served('before', 'after')).resolves.toBeUndefined();
      })(),
  );

  it.concurrent(
    'forgets its history (410): what vanished meanwhile is cleared away, what came is served',
    scenario(async (cluster) => {
      await cluster.run();
      cluster.create('stays', 'gone', 'again');
      await cluster.served('stays', 'gone', 'again');
      const blocked = cluster.sandbox.faults.add({ verb: 'watch', status: 503, times: Infinity });
      cluster.sandbox.faults.closeWatches();
      await eventually(() => expect(blocked.hits).toBeGreaterThan(0));
      cluster.delete('gone');
      // Deleted and created again while nobody looked; somebody took the finalizer off.
      cluster.sandbox.objects.patch(
        { resource: 'services', name: 'again' },
        { metadata: { finalizers: null } },
      );
      cluster.delete('again');
      cluster.create('again', 'new');
      cluster.addNode('node-3');
      cluster.sandbox.faults.forgetHistory();
      blocked.remove();
      await cluster.served('stays', 'again', 'new');
    }),
  );

  it.concurrent.each([
    ['answers with 409', { status: 409 }],
    ['answers with 500', { status: 500 }],
    ['answers with 503 and Retry-After', { status: 503, retryAfterSeconds: 1 }],
    ['breaks the connection before it does anything', { cut: 'before' as const }],
    ['does what it was asked and breaks the connection', { cut: 'after' as const }],
  ])('%s to patches: every Service is served once', (_what, fault) =>
    scenario(async (cluster) => {
      await cluster.run();
      cluster.sandbox.faults.add({ verb: 'patch', resource: 'services', times: 4, ...fault });
      cluster.create(...names(5));
      await cluster.served(...names(5));
      expect(cluster.cloud.counts.get('createLoadBalancer')).toBe(5);
    })(),
  );

  it.concurrent(
    'asks for patience (429 with Retry-After): it is obeyed',
    scenario(async (cluster) => {
      await cluster.run();
      const fault = {
        verb: 'patch',
        resource: 'services',
        name: 'web',
        status: 429,
        retryAfterSeconds: 1,
      } as const;
      cluster.sandbox.faults.add(fault);
      const started = performance.now();
      cluster.create('web', 'other');
      await eventually(() => expect(conditionOf(cluster.service('other'))).toBe('True Provisioned'));
      expect(conditionOf(cluster.service('web'))).toBe('');
      await cluster.served('web', 'other');
      expect(performance.now() - started).toBeGreaterThan(950);
      expect(
        cluster.sandbox.requests.count({ verb: 'patch', resource: 'services', subresource: '', name: 'web' }),
      ).toBe(2);
    }),
  );

  it.concurrent(
    'lists slowly: nothing is planned before everything is known',
    scenario(async (cluster) => {
      cluster.create('web');
      cluster.sandbox.faults.add({ verb: 'list', resource: 'nodes', delayMs: 600 });
      cluster.begin();
      await eventually(() =>
        expect(cluster.sandbox.requests.count({ verb: 'watch', resource: 'services' })).toBe(1),
      );
      expect(cluster.cloud.calls).toEqual([]);
      await cluster.served('web');
      expect(cluster.cloud.counts.get('setTargets')).toBe(1);
    }),
  );

  it.concurrent.each([1, 3])(
    'B37 cannot list nodes: every Service waits and is served when it can (%d workers)',
    (workers) =>
      scenario(async (cluster) => {
        cluster.create(...names(4));
        const fault = cluster.sandbox.faults.add({ verb: 'list', resource: 'nodes', status: 403, times: 2 });
        await cluster.run({ settings: { concurrentSyncs: workers } });
        expect(fault.hits).toBe(2);
        await cluster.served(...names(4));
        expect(cluster.cloud.counts.get('setTargets')).toBe(4);
      })(),
  );

  it.concurrent(
    'takes no events: nobody waits for them',
    scenario(async (cluster) => {
      const fault = cluster.sandbox.faults.add({ resource: 'events', status: 403, times: Infinity });
      await cluster.run();
      cluster.create('web');
      await cluster.served('web');
      await eventually(() => expect(fault.hits).toBe(2));
    }),
  );

  it.concurrent(
    'is unreachable for a while: what changed in the cloud meanwhile is not lost',
    scenario(async (cluster) => {
      await cluster.run({ election });
      cluster.create('web');
      await cluster.served('web');
      await cluster.sandbox.crash();
      cluster.cloud.tamper('default/web', (now) => ({ ...now, targets: [] }));
      const controller = await cluster.controller?.acting;
      // A key that is still at work is left to its own pass, so the next sweep may be the one that finds it.
      await eventually(async () => {
        await controller?.sweep(new AbortController().signal);
        expect(cluster.cloud.loadBalancers.get('default/web')?.targets).toHaveLength(2);
      });
      await cluster.sandbox.recover();
      cluster.create('other');
      await cluster.served('web', 'other');
    }),
  );
});

describe('a wall clock that jumps', () => {
  afterEach(() => void vi.useRealTimers());

  it.each([
    ['a day ahead', 86_400_000],
    ['a day back', -86_400_000],
  ])('%s changes nothing: the leader leads, and everything is served', (_what, jumpMs) =>
    scenario(async (cluster) => {
      await cluster.run({ election });
      cluster.create('before');
      await cluster.served('before');
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + jumpMs });
      cluster.create('after');
      cluster.delete('before');
      await cluster.served('after');
      const renewals = (): number => cluster.sandbox.requests.count({ verb: 'patch', resource: 'leases' });
      const before = renewals();
      await eventually(() => expect(renewals()).toBeGreaterThan(before + 1));
      let ended: string | undefined;
      void cluster.controller?.ended.then((how) => (ended = how));
      const controller = await cluster.controller?.acting;
      await controller?.sweep(new AbortController().signal);
      expect(ended).toBeUndefined();
      expect(controller?.lastSweep).toMatchObject([{ drifted: [], orphans: [] }]);
    })(),
  );
});
