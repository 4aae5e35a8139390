/** What a command does to a cluster without being its controller: sweeping, letting go, standing in for the leader. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { actAsLeader, leaderNow } from '../src/controller/as-leader.ts';
import { lookOnce, type Looked } from '../src/controller/run.ts';
import { deleteOrphans, sweepOnce } from '../src/controller/sweep-once.ts';
import { claimed, deleteEverything, deletionPlan, release } from '../src/controller/uninstall.ts';
import { unseen } from '../src/controller/unseen.ts';
import { KubeClient, listServices, type Connection } from '../src/kube/index.ts';
import { Denied, NotReady, Transient } from '../src/model/errors.ts';
import { ANNOTATION_APPLIED, FINALIZER } from '../src/model/names.ts';
import { keyOf } from '../src/model/service.ts';
import { systemClock } from '../src/provider/clock.ts';
import { MemoryCloud } from '../src/provider/memory.ts';
import type { Log } from '../src/provider/spi.ts';
import { startSandbox, type Sandbox } from '../src/sandbox/index.ts';
import { connectionTo, runOptions, startLocal } from './fixtures/run-controller.ts';

const log: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const election = { namespace: 'berth-system', identity: 'command_1' };
const ALWAYS = { signal: new AbortController().signal, holds: () => true };
const NOBODY = { name: 'berth-controller', namespace: 'berth-system' };

let sandbox: Sandbox;
let cloud: MemoryCloud;
let connection: Connection;
let client: KubeClient;
let over: AbortController;

beforeEach(async () => {
  sandbox = await startSandbox();
  sandbox.objects.create('namespaces', { metadata: { name: 'berth-system' } });
  cloud = new MemoryCloud();
  connection = connectionTo(sandbox);
  client = new KubeClient(connection);
  over = new AbortController();
});

afterEach(async () => {
  over.abort(new Error('the test is over'));
  connection.close();
  await sandbox.stop();
});

function aService(name: string): void {
  sandbox.objects.create('services', {
    metadata: { name },
    spec: { type: 'LoadBalancer', ports: [{ port: 80 }] },
  });
}

/** Has a controller serve the Services, and ends it. */
async function served(...names: readonly string[]): Promise<void> {
  for (const name of names) aService(name);
  const leader = startLocal({ server: sandbox, provider: { cloud } });
  const controller = await leader.acting;
  await vi.waitUntil(() => controller.idle && cloud.loadBalancers.size >= names.length, { interval: 5 });
  await leader.stop();
}

function look(): Promise<Looked> {
  const options = runOptions(
    { server: sandbox, provider: { cloud }, settings: { drift: 'observe' } },
    { signal: over.signal, onActing: () => {} },
  );
  return lookOnce(options);
}

/** Takes a Service away without its controller hearing of it. */
function lose(name: string): void {
  sandbox.objects.patch({ resource: 'services', name }, { metadata: { finalizers: null } });
  sandbox.objects.delete({ resource: 'services', name });
}

const deleting = async (during: () => void = () => {}) => {
  const looked = await look();
  setTimeout(during, 100);
  return await deleteOrphans({ looked, acting: ALWAYS, clock: systemClock, log, pauseMs: 300 });
};

describe('deleting orphans from outside', () => {
  it('deletes what two looks found to belong to nobody, and nothing else', async () => {
    await served('kept', 'old');
    lose('old');
    const { found, deleted, failed } = await deleting();
    expect(found.map(({ key }) => key)).toEqual(['default/old']);
    expect(deleted).toEqual(found);
    expect(failed).toEqual([]);
    expect([...cloud.loadBalancers.keys()]).toEqual(['default/kept']);
    expect(cloud.violations).toEqual([]);
  });

  it('looks once when there is nothing to delete', async () => {
    await served('kept');
    cloud.counts.clear();
    expect((await deleting()).found).toEqual([]);
    // One look at the start, one by the sweep; no pause and no third one.
    expect(cloud.counts.get('describe')).toBe(2);
  });

  it('spares what vanished between the two looks, and what another Service has under its key by then', async () => {
    await served('gone', 'other');
    lose('gone');
    lose('other');
    const { found, deleted } = await deleting(() => {
      cloud.tamper('default/gone', () => undefined);
      cloud.tamper('default/other', (now) => ({ ...now, uid: 'another' }));
    });
    expect({ found, deleted }).toEqual({ found: [], deleted: [] });
    expect([...cloud.loadBalancers.keys()]).toEqual(['default/other']);
  });

  it('waits where the provider says that something takes time, and tries again what may work the next time', async () => {
    await served('old');
    lose('old');
    cloud.failNext(
      'deleteLoadBalancer',
      new NotReady('InUse', { message: 'in use', remedy: '', retryAfterMs: 50 }),
    );
    cloud.failNext('deleteListener', new Transient('Hiccup', { message: 'hiccup', remedy: '' }));
    const { deleted } = await deleting();
    expect(deleted).toHaveLength(1);
    expect(cloud.loadBalancers.size).toBe(0);
  });

  it('says which could not be deleted and why, and goes on with the others', async () => {
    await served('one', 'two');
    lose('one');
    lose('two');
    cloud.failNext('deleteListener', new Denied('NoRights', { message: 'no rights', remedy: 'Grant them' }));
    const { deleted, failed } = await deleting();
    expect(deleted.map(({ key }) => key)).toEqual(['default/two']);
    expect(failed.map(({ orphan: { key }, message }) => [key, message])).toEqual([
      ['default/one', 'no rights. Grant them.'],
    ]);
  });

  it('begins no step once the Lease is not held any more', async () => {
    await served('old');
    lose('old');
    const writes = cloud.writes;
    const acting = { ...ALWAYS, holds: () => false };
    const { failed } = await deleteOrphans({
      looked: await look(),
      acting,
      clock: systemClock,
      log,
      pauseMs: 1,
    });
    expect(failed[0]?.message).toContain('the Lease is no longer held');
    expect(cloud.writes).toBe(writes);
  });
});

describe('sweeping once', () => {
  it('finds drift only where the condition says that all was well', async () => {
    await served('web');
    aService('fresh');
    cloud.tamper('default/web', (now) => ({ ...now, listeners: {} }));
    const { reports } = await sweepOnce(await look(), over.signal);
    expect(reports.map(({ drifted }) => drifted.map(({ key }) => key))).toEqual([['default/web']]);
    expect(cloud.loadBalancers.get('default/web')?.listeners).toEqual({});
  });

  it('says nothing about a provider that sees nothing although Services show that something was made', async () => {
    await served('web');
    cloud.tamper('default/web', () => undefined);
    const looked = await look();
    expect(unseen(looked)).toEqual([{ provider: 'memory', services: 1 }]);
    expect((await sweepOnce(looked, over.signal)).reports[0]?.drifted).toEqual([]);
  });
});

describe('letting go of a Service', () => {
  const services = async () => claimed(await listServices({ client, signal: over.signal }));

  it('is for those that carry our finalizer, our condition or our annotation, sorted', async () => {
    await served('b', 'a');
    sandbox.objects.patch({ resource: 'services', name: 'b' }, { metadata: { finalizers: null } });
    aService('untouched');
    aService('c');
    const annotations = { [ANNOTATION_APPLIED]: '{}', 'example.com/other': 'stays' };
    sandbox.objects.patch({ resource: 'services', name: 'c' }, { metadata: { annotations } });
    const found = await services();
    expect(found.map(keyOf)).toEqual(['default/a', 'default/b', 'default/c']);
    for (const service of found) await release(service, { client, signal: over.signal, emptied: false });
    expect(await services()).toEqual([]);
    const { metadata } = sandbox.objects.get({ resource: 'services', name: 'c' }) ?? {};
    expect(metadata?.annotations).toEqual({ 'example.com/other': 'stays' });
  });

  it('copes with somebody who edits the Service at the same moment', async () => {
    await served('web');
    const [stale] = await services();
    sandbox.objects.patch({ resource: 'services', name: 'web' }, { metadata: { labels: { edited: 'yes' } } });
    if (stale === undefined) throw new Error('there is no Service');
    await release(stale, { client, signal: over.signal, emptied: false });
    const { metadata } = sandbox.objects.get({ resource: 'services', name: 'web' }) ?? {};
    expect(metadata?.finalizers).toBeUndefined();
    expect(metadata?.labels).toEqual({ edited: 'yes' });
    expect(await services()).toEqual([]);
  });

  it('counts one that is gone as done', async () => {
    await served('web');
    const [service] = await services();
    lose('web');
    if (service === undefined) throw new Error('there is no Service');
    await expect(release(service, { client, signal: over.signal, emptied: true })).resolves.toBeUndefined();
  });

  it('deletes every load balancer of ours as it was planned, also those that belong to nobody', async () => {
    await served('web', 'old');
    lose('old');
    const looked = await look();
    const plan = deletionPlan(looked);
    expect(plan.map(({ key, steps }) => [key, steps.length])).toEqual([
      ['default/old', 2],
      ['default/web', 2],
    ]);
    cloud.calls.length = 0;
    const told: string[] = [];
    const failures = await deleteEverything(looked, {
      acting: ALWAYS,
      clock: systemClock,
      log,
      onDeleting: (key) => void told.push(key),
    });
    expect(failures).toEqual([]);
    expect(told).toEqual(['default/old', 'default/web']);
    expect(cloud.loadBalancers.size).toBe(0);
    const done = cloud.calls.map(({ operation, key }) => `${operation} ${key}`);
    expect(done).toEqual(
      plan.flatMap(({ key, steps }) =>
        steps.map(({ resource }) => `delete${resource === 'listener' ? 'Listener' : 'LoadBalancer'} ${key}`),
      ),
    );
  });

  it('names those whose load balancer could not be deleted', async () => {
    await served('one', 'two');
    cloud.failNext('deleteListener', new Denied('NoRights', { message: 'no rights', remedy: 'Grant them' }));
    const failures = await deleteEverything(await look(), { acting: ALWAYS, clock: systemClock, log });
    expect(failures).toEqual([{ key: 'default/one', message: 'no rights. Grant them.' }]);
    expect([...cloud.loadBalancers.keys()]).toEqual(['default/one']);
  });
});

describe('acting in the place of the leader', () => {
  const options = () => ({ client, election, log, signal: over.signal });
  const holder = () =>
    (
      sandbox.objects.get({ resource: 'leases', ...NOBODY })?.['spec'] as
        | { holderIdentity?: string }
        | undefined
    )?.holderIdentity;

  function aLease(spec: object): void {
    sandbox.objects.create('leases', { metadata: NOBODY, spec: { leaseTransitions: 0, ...spec } });
  }

  it('holds the Lease while it works, and gives it back', async () => {
    const during = await actAsLeader(options(), async ({ holds }) => [holder(), holds()]);
    expect(during).toEqual(['command_1', true]);
    expect(holder()).toBe('');
  });

  it('gives it back when the work fails, and throws what it threw', async () => {
    await expect(actAsLeader(options(), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(holder()).toBe('');
  });

  it('refuses at once while somebody holds it, naming who', async () => {
    const renewTime = new Date().toISOString().replace('Z', '000Z');
    const pod = 'berth-7d4b9c6f58-x2x9k';
    aLease({ holderIdentity: `${pod}_${crypto.randomUUID()}`, leaseDurationSeconds: 15, renewTime });
    expect(await leaderNow(options())).toBe(pod);
    const work = vi.fn();
    const begun = performance.now();
    await expect(actAsLeader(options(), work)).rejects.toMatchObject({
      code: 'LeaderIsRunning',
      message:
        `the Lease berth-system/berth-controller is held by ${pod}, so a controller is at work. ` +
        'Stop it first (kubectl --namespace berth-system scale deployment berth --replicas=0), then run this again.',
    });
    expect(performance.now() - begun).toBeLessThan(1_000);
    expect(work).not.toHaveBeenCalled();
  });

  it('waits out a Lease whose holder is gone, and says whose it is', async () => {
    const renewTime = '2020-01-01T00:00:00.000000Z';
    aLease({ holderIdentity: 'dead', leaseDurationSeconds: 1, renewTime });
    expect(await leaderNow(options())).toBeUndefined();
    const waited: string[] = [];
    const begun = performance.now();
    await actAsLeader({ ...options(), onWait: (name) => waited.push(name) }, () => Promise.resolve());
    expect(waited).toEqual(['dead']);
    expect(performance.now() - begun).toBeGreaterThan(900);
    expect(holder()).toBe('');
  });

  it('refuses when another process takes the Lease while it waits', async () => {
    aLease({ holderIdentity: 'dead', leaseDurationSeconds: 2, renewTime: '2020-01-01T00:00:00.000000Z' });
    const spec = { holderIdentity: 'alive', renewTime: '2020-01-01T00:00:09.000000Z' };
    setTimeout(() => sandbox.objects.patch({ resource: 'leases', ...NOBODY }, { spec }), 300);
    const work = vi.fn();
    await expect(actAsLeader(options(), work)).rejects.toThrow(/held by alive/);
    expect(work).not.toHaveBeenCalled();
  });

  it('works without a Lease where its namespace does not exist', async () => {
    const nowhere = { ...options(), election: { ...election, namespace: 'nowhere' } };
    expect(await actAsLeader(nowhere, ({ holds }) => Promise.resolve(holds()))).toBe(true);
  });

  it('keeps a controller waiting until it is done', async () => {
    let acting = false;
    await actAsLeader(options(), async () => {
      const leader = startLocal({
        server: sandbox,
        provider: { cloud },
        election: { ...election, identity: 'b' },
      });
      void leader.acting.then(
        () => (acting = true),
        () => {},
      );
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(acting).toBe(false);
      await leader.stop();
    });
  });

  it('carries nobody’s finalizer away by itself', async () => {
    await served('web');
    await actAsLeader(options(), () => Promise.resolve());
    expect(sandbox.objects.get({ resource: 'services', name: 'web' })?.metadata.finalizers).toEqual([
      FINALIZER,
    ]);
  });
});
