import { describe, expect, it } from 'vitest';
import { createTestHost, ManualClock, type TestHost } from '../conformance/host.ts';
import { ApiError } from '../kube/index.ts';
import type { PoolUsage } from '../plan/pool-usage.ts';
import type { ObjectPatch } from '../provider/spi.ts';
import { PoolReport } from './pool-report.ts';
import type { ProviderRuntime } from './runtime.ts';

/** A report over one provider whose pool object always differs, and what was sent of it. */
class Scene {
  readonly clock = new ManualClock();
  readonly host: TestHost<ManualClock> = createTestHost(this.clock);
  readonly sent: string[] = [];
  readonly end = new AbortController();
  readonly report: PoolReport;
  usage: () => readonly PoolUsage[] = () => [];
  /** Thrown by the next writes. */
  failures: Error[] = [];

  constructor(paths: readonly string[] = ['/a']) {
    const runtime = {
      ready: true,
      book: { usage: () => [] },
      provider: { poolPatches: (): readonly ObjectPatch[] => paths.map((path) => ({ path, body: {} })) },
    } as unknown as ProviderRuntime;
    this.report = new PoolReport({
      runtimes: [runtime],
      clock: this.clock,
      log: this.host.log,
      metrics: { poolUsage: (usage) => (this.usage = usage) },
      patch: ({ path }) => {
        this.sent.push(path);
        const failure = this.failures.shift();
        return failure === undefined ? Promise.resolve() : Promise.reject(failure);
      },
    });
  }
}

const failure = (code: 'ApiUnavailable' | 'ApiNotFound'): ApiError =>
  new ApiError(code, { what: 'PATCH /a', message: 'of the test' });

describe('PoolReport', () => {
  it('writes nothing before it begins, and a second after that', async () => {
    const { report, clock, sent, end } = new Scene();
    report.poke();
    await clock.advance(60_000);
    expect(sent).toEqual([]);
    report.begin(end.signal);
    await clock.advance(999);
    expect(sent).toEqual([]);
    await clock.advance(1);
    expect(sent).toEqual(['/a']);
  });

  it('writes once for all that happens within a second', async () => {
    const { report, clock, sent, end } = new Scene();
    report.begin(end.signal);
    for (let i = 0; i < 100; i++) report.poke();
    await clock.advance(3_600_000);
    expect(sent).toEqual(['/a']);
    report.poke();
    await clock.advance(1_000);
    expect(sent).toEqual(['/a', '/a']);
  });

  it('tries again half a minute after a failure, and says so', async () => {
    const scene = new Scene();
    scene.failures = [failure('ApiUnavailable')];
    scene.report.begin(scene.end.signal);
    await scene.clock.advance(1_000);
    expect(scene.host.lines.map(({ level }) => level)).toEqual(['warn']);
    await scene.clock.advance(29_999);
    expect(scene.sent).toEqual(['/a']);
    await scene.clock.advance(1);
    expect(scene.sent).toEqual(['/a', '/a']);
    await scene.clock.advance(3_600_000);
    expect(scene.sent).toHaveLength(2);
  });

  it('does not ask again for an object that cannot be written, and goes on with the others', async () => {
    const scene = new Scene(['/a', '/b']);
    scene.failures = [failure('ApiNotFound')];
    scene.report.begin(scene.end.signal);
    await scene.clock.advance(1_000);
    scene.report.poke();
    await scene.clock.advance(60_000);
    expect(scene.sent).toEqual(['/a', '/b', '/b']);
  });

  it.each([
    ['closed', ({ report }: Scene) => report.close()],
    ['cut off from the right to act', ({ end }: Scene) => end.abort(new Error('over'))],
  ])('writes nothing any more once it is %s', async (_what, over) => {
    const scene = new Scene();
    scene.report.begin(scene.end.signal);
    over(scene);
    scene.report.poke();
    await scene.clock.advance(60_000);
    expect(scene.sent).toEqual([]);
  });
});
