import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { aLoadBalancer, aPort, aTarget, createTestHost, ip, ManualClock } from '../../test/builders.ts';
import { parseRange } from '../model/address.ts';
import type { AddressPool } from '../model/pool.ts';
import { Conflict } from '../model/errors.ts';
import type { LoadBalancer } from '../model/load-balancer.ts';
import { stagesOf, stepText, type Step } from '../plan/step.ts';
import type { ConformanceWorld } from '../conformance/subject.ts';
import { conformance } from '../conformance/vitest.ts';
import {
  createMemoryProvider,
  fileStore,
  MemoryCloud,
  memoryFactory,
  type CloudState,
  type MemoryProviderOptions,
} from './memory.ts';
import { ObservedState } from './observed.ts';
import type { Provider } from './spi.ts';

function world(options: MemoryProviderOptions): ConformanceWorld {
  const cloud = new MemoryCloud();
  return {
    provider: createMemoryProvider(cloud, options),
    restart: () => Promise.resolve(createMemoryProvider(cloud, options)),
    drift: async (key) => cloud.tamper(key, (now) => ({ ...now, listeners: {} })),
    settle: () => Promise.resolve(),
    violations: () => cloud.violations,
    dispose: () => Promise.resolve(),
  };
}

const pools: readonly AddressPool[] = [
  {
    name: 'default',
    ranges: ['192.0.2.128/28', '2001:db8::/120'].map((text) => parseRange(text)!),
    autoAssign: true,
  },
];

conformance({
  name: 'memory, choosing addresses itself',
  create: () => Promise.resolve(world({})),
  addresses: ['203.0.113.7', '2001:db8:1::7'],
  annotation: ['memory.berth.dev/idle-timeout-seconds', '7'],
});
conformance({ name: 'memory with pools', create: () => Promise.resolve(world({ pools })) });
conformance({
  name: 'memory that can do as little as possible',
  create: () =>
    Promise.resolve(
      world({
        hostnames: true,
        capabilities: {
          loadBalancerIP: 'ignored',
          protocols: ['TCP'],
          mixedProtocols: false,
          sourceRanges: false,
          families: ['IPv4'],
          sessionAffinity: false,
          healthCheck: false,
        },
      }),
    ),
});
conformance({
  name: 'memory that forwards to pods',
  create: () => Promise.resolve(world({ pools, capabilities: { targets: 'podIP' } })),
});

conformance({
  name: 'memory that lives in a file',
  async create() {
    const directory = await mkdtemp(join(tmpdir(), 'berth-memory-'));
    const clouds: MemoryCloud[] = [];
    const make = (): Provider => {
      const cloud = new MemoryCloud({ store: fileStore(join(directory, 'cloud.json')) });
      clouds.push(cloud);
      return createMemoryProvider(cloud, { pools });
    };
    return {
      provider: make(),
      restart: () => Promise.resolve(make()),
      settle: () => Promise.resolve(),
      violations: () => clouds.flatMap(({ violations }) => violations),
      dispose: () => rm(directory, { recursive: true }),
    };
  },
});

const { signal } = new AbortController();
const settings = { idleTimeoutSeconds: 60 };
const wanted = aLoadBalancer({ settings, ports: [aPort(), aPort({ port: 443 })] });

/** Plans once and carries it out; returns the steps. */
async function act(
  provider: Provider,
  goal: LoadBalancer | string,
  state = new ObservedState(),
): Promise<readonly Step[]> {
  const [key, desired] = typeof goal === 'string' ? [goal, undefined] : [goal.key, goal];
  const steps = provider.plan({ scope: 'loadBalancer', key, desired }, state.view);
  for (const stage of stagesOf(steps)) {
    for (const step of stage) state.merge(step, await provider.apply(step, state.view, signal));
  }
  return steps;
}

describe('the memory provider', () => {
  it('makes the load balancer first, then listeners and targets; and takes it down the other way round', async () => {
    const cloud = new MemoryCloud();
    const provider = createMemoryProvider(cloud);
    const state = new ObservedState();
    const text = (steps: readonly Step[]): readonly string[] =>
      steps.map((step) => `${step.stage} ${stepText(step).split(':')[0]}`);
    expect(text(await act(provider, wanted, state))).toEqual([
      '0 create loadBalancer default/web',
      '1 create listener 443/TCP',
      '1 create listener 80/TCP',
      '1 create targets all',
    ]);
    expect(text(await act(provider, wanted.key, state))).toEqual([
      '0 delete listener 443/TCP',
      '0 delete listener 80/TCP',
      '0 delete targets all',
      '1 delete loadBalancer default/web',
    ]);
    expect(cloud.loadBalancers.size).toBe(0);
  });

  it('shares its cloud: a second one finds what the first one made, and has nothing to do', async () => {
    const cloud = new MemoryCloud();
    await act(createMemoryProvider(cloud), wanted);
    const second = createMemoryProvider(cloud);
    const state = new ObservedState(await second.observe(signal));
    expect(await act(second, wanted, state)).toEqual([]);
  });

  it('makes nothing twice when two of them act at once, but the cloud tells', async () => {
    const clock = new ManualClock();
    const cloud = new MemoryCloud({ clock, latencyMs: 10 });
    const both = [createMemoryProvider(cloud), createMemoryProvider(cloud)].map((provider) =>
      act(provider, wanted),
    );
    const outcomes = Promise.allSettled(both);
    await clock.advance(1_000);
    const statuses = (await outcomes).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(cloud.violations).toEqual(['load balancer default/web was created twice']);
  });

  it('changes the load balancer when one of its settings changes', async () => {
    const state = new ObservedState();
    const provider = createMemoryProvider(new MemoryCloud());
    await act(provider, wanted, state);
    const steps = await act(provider, { ...wanted, settings: { idleTimeoutSeconds: 61 } }, state);
    expect(steps).toMatchObject([
      { verb: 'update', resource: 'loadBalancer', after: { idleTimeoutSeconds: 61 } },
    ]);
  });

  it('takes latency and pools from its configuration', async () => {
    const host = createTestHost(new ManualClock());
    const parsed = await memoryFactory.configSchema.parseAsync({
      latencyMs: 50,
      pools: [{ name: 'a', addresses: ['192.0.2.0/24'] }],
    });
    const provider = memoryFactory(parsed, host);
    expect(provider.pools?.()).toMatchObject([{ name: 'a', autoAssign: true, ranges: [{ family: 'IPv4' }] }]);
    let answered = false;
    const read = provider.observe(signal).then(() => (answered = true));
    await host.clock.advance(49);
    expect(answered).toBe(false);
    await host.clock.advance(1);
    expect(await read).toBe(true);
  });
});

describe('the memory provider in a file', () => {
  it('leaves its effects behind when its process is killed, and the next one goes on from there', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'berth-memory-'));
    const file = join(directory, 'cloud.json');
    const script = join(directory, 'main.ts');
    const module = (path: string): string =>
      JSON.stringify(pathToFileURL(join(import.meta.dirname, path)).href);
    await writeFile(
      script,
      `import { createTestHost, Driver } from ${module('../conformance/index.ts')};
       import { memoryFactory } from ${module('memory.ts')};
       const config = await memoryFactory.configSchema.parseAsync(JSON.parse(process.argv[2]));
       const provider = memoryFactory(config, createTestHost());
       const driver = new Driver({ provider, dispose: async () => {} }, { name: 'x', create: null });
       await driver.observe();
       await driver.converge(driver.want(driver.service()));`,
    );
    const run = (config: object): string | number | null => {
      const { signal: killed, status } = spawnSync(process.execPath, [
        '--conditions=source',
        script,
        JSON.stringify(config),
      ]);
      return killed ?? status;
    };
    const made = async (): Promise<string> => {
      const { loadBalancers, violations } = JSON.parse(await readFile(file, 'utf8')) as CloudState;
      const { listeners, targets } = loadBalancers[0]![1];
      return `${Object.keys(listeners).length} listeners, ${targets.length} targets, ${violations.length} violations`;
    };
    expect(run({ file, killAfterEffects: 1 })).toBe('SIGKILL');
    expect(await made()).toBe('0 listeners, 0 targets, 0 violations');
    expect(run({ file, killAfterEffects: 1 })).toBe('SIGKILL');
    expect(run({ file })).toBe(0);
    expect(await made()).toBe('1 listeners, 3 targets, 0 violations');
    expect(run({ file, killAfterEffects: 1 })).toBe(0);
    await rm(directory, { recursive: true });
  });
});

describe('MemoryCloud', () => {
  it('counts and lists its calls; reads are no writes', async () => {
    const cloud = new MemoryCloud();
    const provider = createMemoryProvider(cloud);
    await provider.observe(signal);
    expect(cloud.writes).toBe(0);
    await act(provider, wanted);
    expect(Object.fromEntries(cloud.counts)).toMatchObject({
      createLoadBalancer: 1,
      createListener: 2,
      setTargets: 1,
    });
    expect(cloud.writes).toBe(4);
    expect(cloud.calls[0]).toEqual({ operation: 'describe' });
    expect(cloud.calls.at(-1)).toEqual({ operation: 'setTargets', key: wanted.key });
  });

  it.each(['before', 'after'] as const)(
    'lets the next call of an operation fail once, %s its effect',
    async (moment) => {
      const cloud = new MemoryCloud();
      const provider = createMemoryProvider(cloud);
      const error = new Conflict('ConflictObserved', { message: 'on request', remedy: 'none' });
      cloud.failNext('createLoadBalancer', error, moment);
      await expect(act(provider, wanted)).rejects.toBe(error);
      expect(cloud.loadBalancers.has(wanted.key)).toBe(moment === 'after');
      await act(provider, wanted);
      expect(Object.keys(cloud.loadBalancers.get(wanted.key)!.listeners)).toHaveLength(2);
      expect(cloud.violations).toEqual([]);
    },
  );

  it('stops the world after an effect, when told to', async () => {
    const cloud = new MemoryCloud();
    const seen: string[] = [];
    cloud.onEffect = ({ operation }) => {
      seen.push(operation);
      if (operation === 'createListener') throw new Error('killed');
    };
    await expect(act(createMemoryProvider(cloud), wanted)).rejects.toThrow('killed');
    expect(seen).toEqual(['createLoadBalancer', 'createListener']);
    expect(Object.keys(cloud.loadBalancers.get(wanted.key)!.listeners)).toEqual(['443/TCP']);
  });

  it('has no effect after an abort while a call was under way', async () => {
    const clock = new ManualClock();
    const cloud = new MemoryCloud({ clock, latencyMs: 10 });
    const caller = new AbortController();
    const call = cloud.setTargets(wanted.key, [], caller.signal);
    caller.abort(new Error('the Lease is lost'));
    await expect(call).rejects.toThrow('the Lease is lost');
    expect(clock.pending).toBe(0);
  });

  it('gives each load balancer an address of its own, and gives none away that is in use', async () => {
    const cloud = new MemoryCloud();
    const provider = createMemoryProvider(cloud);
    const named = (name: string, address?: string): LoadBalancer =>
      aLoadBalancer({ settings, name, addresses: address === undefined ? [] : [ip(address)] });
    await act(provider, named('one', '198.18.0.1'));
    await act(provider, named('two'));
    await expect(act(provider, named('three', '198.18.0.2'))).rejects.toMatchObject({
      code: 'AddressInUse',
      message: expect.stringContaining('default/two'),
    });
    const addresses = [...cloud.loadBalancers.values()].map(({ frontend }) => frontend.addresses);
    expect(addresses).toEqual([['198.18.0.1'], ['198.18.0.2']]);
  });

  it('notes what a correct caller never does', async () => {
    const cloud = new MemoryCloud();
    await act(createMemoryProvider(cloud), wanted);
    const { frontend, uid } = cloud.loadBalancers.get(wanted.key)!;
    const listener = { protocol: 'TCP', port: 80, nodePort: 1 } as const;
    const { key } = wanted;
    await expect(cloud.createLoadBalancer({ key, uid }, frontend, signal)).rejects.toThrow('created twice');
    await expect(cloud.createListener(key, '80/TCP', { listener, signal })).rejects.toThrow('created twice');
    await expect(cloud.deleteLoadBalancer(key, signal)).rejects.toThrow('before its listeners and targets');
    expect(cloud.violations).toHaveLength(3);
  });

  it('says Conflict about what is not there, and nothing about deleting it', async () => {
    const cloud = new MemoryCloud();
    const call = { listener: { protocol: 'TCP', port: 80, nodePort: 1 }, signal } as const;
    const conflict = expect.objectContaining({ kind: 'Conflict' });
    await expect(cloud.createListener('a/b', '80/TCP', call)).rejects.toEqual(conflict);
    await expect(cloud.updateListener('a/b', '80/TCP', call)).rejects.toEqual(conflict);
    await expect(cloud.setTargets('a/b', [aTarget()], signal)).rejects.toEqual(conflict);
    await cloud.deleteListener('a/b', '80/TCP', signal);
    await cloud.deleteLoadBalancer('a/b', signal);
    expect(cloud.violations).toEqual([]);
  });

  it('is changed by hand without a call', async () => {
    const cloud = new MemoryCloud({ recordCalls: false });
    await act(createMemoryProvider(cloud), wanted);
    const { writes } = cloud;
    cloud.tamper(wanted.key, () => undefined);
    expect([cloud.loadBalancers.size, cloud.writes - writes, cloud.calls.length]).toEqual([0, 0, 0]);
  });
});
