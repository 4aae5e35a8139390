import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Clock } from '@berth/core';
import { HealthChecks, type CheckSpec } from './health.ts';
import { probe } from './probe.ts';
import * as kit from './testkit.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

function aCheck(overrides: Partial<CheckSpec> = {}): CheckSpec {
  return {
    kind: 'tcp',
    host: '127.0.0.1',
    port: 1,
    intervalMs: 1_000,
    timeoutMs: 500,
    healthyThreshold: 2,
    unhealthyThreshold: 3,
    ...overrides,
  };
}

/** A clock whose timers fire when the test says so, and probes that answer what the test says. */
function scene(options: { readonly maxPerSecond?: number } = {}) {
  const timers: { delayMs: number; callback: () => void }[] = [];
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    after(delayMs, callback) {
      const timer = { delayMs, callback };
      timers.push(timer);
      return () => {
        const at = timers.indexOf(timer);
        if (at >= 0) timers.splice(at, 1);
      };
    },
  };
  const probed: CheckSpec[] = [];
  let good = true;
  const checks = new HealthChecks({
    clock,
    random: () => 0.5,
    probe: async (spec) => {
      probed.push(spec);
      return good;
    },
    ...options,
  });
  const answer = async (...answers: boolean[]): Promise<void> => {
    for (const next of answers) {
      good = next;
      timers.shift()?.callback();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { checks, timers, probed, answer };
}

describe('health checks', () => {
  it('take a target for healthy until the first answer, which is believed at once', async () => {
    const { checks, answer } = scene();
    let turns = 0;
    const watch = checks.watch(aCheck(), () => turns++);
    expect(watch.healthy).toBe(true);
    await answer(false);
    expect([watch.healthy, turns]).toEqual([false, 1]);
  });

  it('turn after the threshold of answers in a row, and not before', async () => {
    const { checks, answer } = scene();
    const watch = checks.watch(aCheck(), () => {});
    await answer(true, false, false, true, false, false);
    expect(watch.healthy).toBe(true);
    await answer(false);
    expect(watch.healthy).toBe(false);
    await answer(true, false, true);
    expect(watch.healthy).toBe(false);
    await answer(true);
    expect(watch.healthy).toBe(true);
  });

  it('probe once for all who watch the same target in the same way', async () => {
    const { checks, answer, probed } = scene();
    const turned: string[] = [];
    const first = checks.watch(aCheck(), () => turned.push('first'));
    checks.watch(aCheck(), () => turned.push('second'));
    checks.watch(aCheck({ port: 2 }), () => turned.push('other'));
    expect(checks.size).toBe(2);
    await answer(false);
    expect(probed.length).toBe(1);
    expect(turned).toEqual(['first', 'second']);
    first.close();
    expect(checks.size).toBe(2);
  });

  it('end with their last watch, and a second close does no harm', () => {
    const { checks, timers } = scene();
    const watch = checks.watch(aCheck(), () => {});
    watch.close();
    expect([checks.size, timers.length]).toEqual([0, 0]);
    const other = checks.watch(aCheck(), () => {});
    watch.close();
    expect(checks.size).toBe(1);
    other.close();
  });

  it('come at the interval with jitter, and less often when there are too many', async () => {
    const { checks, timers, answer } = scene({ maxPerSecond: 10 });
    checks.watch(aCheck(), () => {});
    await answer(true);
    expect(timers[0]?.delayMs).toBe(1_000);
    for (let port = 10; port < 59; port++) checks.watch(aCheck({ port }), () => {});
    await answer(true);
    expect(timers.at(-1)?.delayMs).toBe(5_000);
  });
});

describe('a TCP probe', () => {
  it('is good when the port accepts, bad when it refuses or does not answer in time', async () => {
    const server = await kit.echo();
    cleanups.push(() => server.close());
    const silent = await kit.silentPort();
    cleanups.push(() => silent.close());
    const { signal } = new AbortController();
    expect(await probe(aCheck({ port: server.port }), signal)).toBe(true);
    expect(await probe(aCheck({ port: (await kit.closedPort()).port }), signal)).toBe(false);
    expect(await probe(aCheck({ port: silent.port, timeoutMs: 50 }), signal)).toBe(false);
    expect(await probe(aCheck({ port: server.port }), AbortSignal.abort())).toBe(false);
  });

  it('sends the LOCAL header to a target that expects the PROXY protocol', async () => {
    const got = Promise.withResolvers<string>();
    const server = await kit.serve((socket) =>
      socket.on('data', (data) => got.resolve(data.toString('hex'))),
    );
    cleanups.push(() => server.close());
    const spec = aCheck({ port: server.port, proxyProtocol: true });
    expect(await probe(spec, new AbortController().signal)).toBe(true);
    expect(await got.promise).toBe('0d0a0d0a000d0a515549540a20000000');
  });
});

describe('an HTTP probe', () => {
  it.each([
    [200, true],
    [302, true],
    [404, false],
    [503, false],
  ])('with the answer %i is good: %s', async (status, good) => {
    let path = '';
    const server = createServer((request, response) => {
      path = request.url ?? '';
      response.writeHead(status).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const spec = aCheck({ kind: 'http', port, path: '/healthz' });
    expect(await probe(spec, new AbortController().signal)).toBe(good);
    expect(path).toBe('/healthz');
  });

  it('is bad when nobody listens, or no answer comes in time', async () => {
    const { signal } = new AbortController();
    const closed = await kit.closedPort();
    expect(await probe(aCheck({ kind: 'http', port: closed.port }), signal)).toBe(false);
    const mute = await kit.serve(() => {});
    cleanups.push(() => mute.close());
    expect(await probe(aCheck({ kind: 'http', port: mute.port, timeoutMs: 50 }), signal)).toBe(false);
  });
});
