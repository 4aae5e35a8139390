import { describe, expect, it } from 'vitest';
import { aLoadBalancer, createTestHost, ManualClock } from '../../test/builders.ts';
import { Conflict, Throttled } from '../model/errors.ts';
import type { Step } from '../plan/step.ts';
import { guard } from './guard.ts';
import { createMemoryProvider, MemoryCloud } from './memory.ts';
import { emptyObserved } from './observed.ts';
import type { IngressResult, Provider } from './spi.ts';

const { signal } = new AbortController();
const wanted = aLoadBalancer({ settings: { idleTimeoutSeconds: 60 } });
const request = { scope: 'loadBalancer', key: wanted.key, desired: wanted } as const;
const observed = emptyObserved();

function guarded(overrides: Partial<Provider> = {}, strict = false) {
  const host = createTestHost(new ManualClock());
  const raw: Provider = { ...createMemoryProvider(new MemoryCloud()), ...overrides };
  const { clock, metrics } = host;
  return { host, provider: guard(raw, { clock, metrics, timeoutMs: 1_000, strict }) };
}

function aStep(overrides: Partial<Step> = {}): Step {
  return {
    scope: wanted.key,
    verb: 'create',
    resource: 'listener',
    key: '80/TCP',
    stage: 0,
    because: 'x',
    ...overrides,
  };
}

/** A call that never ends and does not listen to its signal. */
const stuck = (): Promise<never> => new Promise(() => {});

describe('guard', () => {
  it('passes everything through as it is', async () => {
    const { provider } = guarded();
    expect(provider).toMatchObject({ contract: 1, name: 'memory', classes: ['berth.dev/memory'] });
    expect('pools' in provider).toBe(false);
    const [first] = provider.plan(request, observed);
    const change = await provider.apply(first!, observed, signal);
    expect(change.loadBalancer?.(undefined)).toMatchObject({ uid: wanted.uid });
    expect((await provider.observe(signal)).loadBalancers.size).toBe(1);
    expect(provider.ingress(wanted, undefined).kind).toBe('pending');
  });

  it('asks for pools each time where the provider has some', () => {
    let size = 0;
    const { provider } = guarded({
      pools: () => Array.from({ length: size++ }, () => ({ name: 'x', ranges: [], autoAssign: true })),
    });
    expect([provider.pools?.().length, provider.pools?.().length]).toEqual([0, 1]);
  });

  it.each(['observe', 'apply'] as const)(
    'ends %s that takes too long, also when the provider does not listen',
    async (member) => {
      const { provider, host } = guarded({ [member]: stuck });
      const call =
        member === 'observe' ? provider.observe(signal) : provider.apply(aStep(), observed, signal);
      // oxlint-disable-next-line vitest/valid-expect -- awaited below, once time has passed
      const outcome = expect(call).rejects.toMatchObject({
        kind: 'Transient',
        code: 'ProviderTimeout',
        message: expect.stringContaining('took longer than 1000 ms'),
      });
      await host.clock.advance(1_000);
      await outcome;
    },
  );

  it('tells the provider that it is out of time, and leaves no timer behind', async () => {
    let heard: AbortSignal | undefined;
    const { provider, host } = guarded({
      observe: (inner) => {
        heard = inner;
        return stuck();
      },
    });
    // oxlint-disable-next-line vitest/valid-expect -- awaited below, once time has passed
    const outcome = expect(provider.observe(signal)).rejects.toThrow('took longer');
    await host.clock.advance(999);
    expect(heard?.aborted).toBe(false);
    await host.clock.advance(1);
    expect(heard?.reason).toMatchObject({ code: 'ProviderTimeout' });
    await outcome;
    expect(host.clock.pending).toBe(0);
  });

  it('leaves no timer behind after a call that went well', async () => {
    const { provider, host } = guarded();
    await provider.observe(signal);
    expect(host.clock.pending).toBe(0);
  });

  it('ends a call that the caller aborts, before and during', async () => {
    const { provider, host } = guarded({ observe: stuck });
    const caller = new AbortController();
    const call = provider.observe(caller.signal);
    caller.abort(new Error('the Lease is lost'));
    await expect(call).rejects.toThrow('the Lease is lost');
    await expect(provider.observe(caller.signal)).rejects.toThrow('the Lease is lost');
    expect(
      host.metric('berth_cloud_calls_total', {
        provider: 'memory',
        operation: 'observe',
        outcome: 'aborted',
      }),
    ).toBe(2);
  });

  it('counts calls by operation and outcome, and the time that they took', async () => {
    const cloud = new MemoryCloud();
    const host = createTestHost(new ManualClock());
    const slow: Provider = {
      ...createMemoryProvider(cloud),
      observe: async () => {
        await host.clock.advance(250);
        return observed;
      },
      apply: () => Promise.reject(new Throttled('Throttled', { message: 'slow down', remedy: 'wait' })),
    };
    const provider = guard(slow, host);
    await provider.observe(signal);
    await provider.observe(signal);
    await expect(provider.apply(aStep(), observed, signal)).rejects.toThrow('slow down');
    const calls = (operation: string, outcome: string): number =>
      host.metric('berth_cloud_calls_total', { provider: 'memory', operation, outcome });
    expect([
      calls('observe', 'ok'),
      calls('create listener', 'Throttled'),
      calls('create listener', 'ok'),
    ]).toEqual([2, 1, 0]);
    expect(host.metric('berth_cloud_call_seconds_total', { provider: 'memory', operation: 'observe' })).toBe(
      0.5,
    );
  });

  it('classifies whatever a provider throws, and leaves what is classified as it is', async () => {
    const conflict = new Conflict('ConflictObserved', { message: 'gone', remedy: 'look again' });
    const thrown = (error: unknown): Provider =>
      guarded({ apply: async () => raise(error), plan: () => raise(error), ingress: () => raise(error) })
        .provider;
    for (const value of ['text', undefined, new TypeError('x'), { status: 503 }]) {
      const expected = { kind: 'Transient', code: 'SyncLoadBalancerFailed', cause: value };
      await expect(thrown(value).apply(aStep(), observed, signal)).rejects.toMatchObject(expected);
      expect(() => thrown(value).plan(request, observed)).toThrow(expect.objectContaining(expected));
      expect(() => thrown(value).ingress(wanted, undefined)).toThrow(expect.objectContaining(expected));
    }
    await expect(thrown(conflict).apply(aStep(), observed, signal)).rejects.toBe(conflict);
  });
});

describe('guard refuses a provider that breaks the contract, naming it:', () => {
  it.each<[string, readonly Step[] | undefined, RegExp]>([
    ['a plan that is no list', undefined, /no list of steps/],
    [
      'a step of another scope',
      [aStep({ scope: 'other/web' })],
      /plan of default\/web has a step of other\/web: listener 80\/TCP/,
    ],
    ['two steps for one resource', [aStep({ verb: 'delete' }), aStep()], /two steps for listener 80\/TCP/],
    [
      'stages out of order',
      [aStep({ stage: 1 }), aStep({ key: '81/TCP' })],
      /not in the order of compareSteps at listener 81\/TCP/,
    ],
    ['verbs out of order', [aStep(), aStep({ key: '81/TCP', verb: 'delete' })], /not in the order/],
  ])('%s', (_what, steps, message) => {
    const { provider } = guarded({ plan: () => steps as readonly Step[] });
    const attempt = (): unknown => provider.plan(request, observed);
    expect(attempt).toThrow(expect.objectContaining({ kind: 'Denied', code: 'ProviderDefect' }));
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(/^provider memory: .*report it/);
  });

  it('and accepts a plan that keeps it', () => {
    const steps = [aStep({ verb: 'delete' }), aStep({ key: '81/TCP' }), aStep({ stage: 1, key: '82/TCP' })];
    expect(guarded({ plan: () => steps }).provider.plan(request, observed)).toBe(steps);
  });

  it.each<[string, IngressResult, RegExp | undefined]>([
    ['an address with its mode', ready({ ip: '192.0.2.1', ipMode: 'Proxy' }), undefined],
    ['a host name', ready({ hostname: 'lb.example.com' }), undefined],
    ['both', ready({ hostname: 'lb.example.com', ip: '192.0.2.1', ipMode: 'VIP' }), undefined],
    ['neither', ready({}), /neither ip nor hostname/],
    ['an empty host name', ready({ hostname: '' }), /neither ip nor hostname/],
    ['an address without its mode', ready({ ip: '192.0.2.1' }), /ip and ipMode not together/],
    ['a mode without an address', ready({ hostname: 'x', ipMode: 'VIP' }), /ip and ipMode not together/],
    ['an address that is none', ready({ ip: '192.0.2', ipMode: 'VIP' }), /has the ip 192\.0\.2/],
    ['ports', ready({ hostname: 'x', ports: [] } as object), /ports, which the core adds/],
    ['a wait', { kind: 'pending', code: 'Ensuring', message: 'x', retryAfterMs: 1 }, undefined],
    [
      'a wait without end',
      { kind: 'pending', code: 'Ensuring', message: 'x', retryAfterMs: 0 },
      /positive retryAfterMs/,
    ],
    ['a wait without a reason', { kind: 'pending', code: '', message: 'x', retryAfterMs: 1 }, /without code/],
  ])('an ingress of %s', (_what, result, message) => {
    const { provider } = guarded({ ingress: () => result });
    const said = attempted(() => provider.ingress(wanted, undefined));
    expect(said).toMatch(message ?? /^it went well$/);
  });

  it.each([
    ['observe', { observe: async () => ({}) as never }, /no map/],
    ['observe', { observe: async () => undefined as never }, /no map/],
    ['apply', { apply: async () => undefined as never }, /no change/],
  ] as const)('nothing from %s', async (member, overrides, message) => {
    const { provider } = guarded(overrides);
    const call = member === 'observe' ? provider.observe(signal) : provider.apply(aStep(), observed, signal);
    await expect(call).rejects.toThrow(message);
  });

  it('a planner that alters what it is given, when strict', () => {
    const plan: Provider['plan'] = ({ desired }) => {
      (desired as unknown as { ports: unknown[] }).ports.length = 0;
      return [];
    };
    const altered = (): string =>
      attempted(() =>
        guarded({ plan }, true).provider.plan({ ...request, desired: aLoadBalancer() }, observed),
      );
    expect(altered()).toMatch(/Cannot assign to read only property|Cannot delete property/);
    const { provider } = guarded({ plan });
    expect(provider.plan({ ...request, desired: aLoadBalancer() }, observed)).toEqual([]);
  });
});

function ready(entry: Extract<IngressResult, { kind: 'ready' }>['ingress'][number]): IngressResult {
  return { kind: 'ready', ingress: [entry] };
}

function attempted(work: () => unknown): string {
  try {
    work();
    return 'it went well';
  } catch (error) {
    return String(error);
  }
}

function raise(error: unknown): never {
  throw error;
}
