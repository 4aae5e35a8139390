import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, type TestContext } from 'vitest';
import { type ScriptedCall, ScriptedServer } from '../../test/harness/scripted-server.ts';
import { KubeClient } from './client.ts';
import { connectPlain } from './connection.ts';
import { type ElectionEnd, type ElectionOptions, type Leadership, runLeaderElection } from './lease.ts';
import { type Clock, systemClock } from './timing.ts';

interface RawLease {
  metadata: { name: string; resourceVersion: string; annotations: Record<string, string | null> };
  spec: Record<string, unknown>;
}

/** One Lease on a scripted server: reads, guarded writes, and a watch. */
class LeaseServer {
  readonly http: ScriptedServer;
  lease: RawLease | undefined;
  /** Every state that was written, with when. */
  readonly written: { spec: Record<string, unknown>; atMs: number }[] = [];
  /** Takes a call over before it is handled; `true` if it did. */
  intercept: (call: ScriptedCall) => boolean = () => false;
  #version = 100;
  readonly #watchers: Set<ScriptedCall> = new Set();

  constructor(http: ScriptedServer) {
    this.http = http;
    http.handle = (call) => {
      if (!this.intercept(call)) this.serve(call);
    };
  }

  serve(call: ScriptedCall): void {
    if (call.isWatch) {
      this.#watchers.add(call.events());
      call.response.on('close', () => this.#watchers.delete(call));
    } else if (call.method === 'GET' && call.path.endsWith('/leases')) {
      const items = this.lease === undefined ? [] : [this.lease];
      call.json({ metadata: { resourceVersion: String(this.#version) }, items });
    } else if (call.method === 'GET') {
      if (this.lease) call.json(this.lease);
      else call.status(404, 'NotFound');
    } else {
      const refused = this.write(call);
      if (refused) call.status(...refused);
      else call.json(this.lease);
    }
  }

  /** Carries out a write without answering it. */
  write(call: ScriptedCall): [number, string] | undefined {
    const body = call.body as RawLease;
    if (call.method === 'POST' && this.lease) return [409, 'AlreadyExists'];
    if (call.method === 'PATCH' && !this.lease) return [404, 'NotFound'];
    if (call.method === 'PATCH' && body.metadata.resourceVersion !== this.lease?.metadata.resourceVersion) {
      return [409, 'Conflict'];
    }
    this.set({ ...this.lease?.spec, ...body.spec }, body.metadata.annotations);
    return undefined;
  }

  set(spec: Record<string, unknown>, annotations: Record<string, string | null> = {}): void {
    const type = this.lease ? 'MODIFIED' : 'ADDED';
    const merged = { ...this.lease?.metadata.annotations, ...annotations };
    const kept = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null));
    const resourceVersion = String(++this.#version);
    this.lease = { metadata: { name: 'berth', resourceVersion, annotations: kept }, spec };
    this.written.push({ spec, atMs: performance.now() });
    for (const watcher of this.#watchers) watcher.events({ type, object: this.lease });
  }

  delete(): void {
    const object = {
      ...this.lease,
      metadata: { ...this.lease!.metadata, resourceVersion: String(++this.#version) },
    };
    this.lease = undefined;
    for (const watcher of this.#watchers) watcher.events({ type: 'DELETED', object });
  }

  get holder(): unknown {
    return this.lease?.spec['holderIdentity'];
  }
}

interface Candidate {
  readonly stop: AbortController;
  readonly end: Promise<ElectionEnd>;
  readonly elected: Promise<Leadership>;
  readonly troubles: unknown[];
  readonly holders: string[];
}

/** What one test plays on. The tests mostly wait, so they run side by side, each on a stage of its own. */
interface Stage {
  readonly http: ScriptedServer;
  readonly server: LeaseServer;
  /** A candidate whose work lasts until it is told to stop or has lost. */
  readonly candidate: (identity: string, options?: Partial<ElectionOptions>) => Candidate;
  /** Makes somebody else the holder, or renews for them. */
  readonly heldBySomebody: (spec?: Record<string, unknown>) => void;
  /** Stops this, too, when the test is over. */
  readonly running: { stop: AbortController; end: Promise<unknown> }[];
}

/** With tests side by side only the test's own context knows when it is over. */
async function aStage({ onTestFinished }: Pick<TestContext, 'onTestFinished'>): Promise<Stage> {
  const http = await ScriptedServer.start();
  const server = new LeaseServer(http);
  const client = new KubeClient(connectPlain(http.url));
  const running: Stage['running'] = [];
  onTestFinished(async () => {
    for (const { stop } of running) stop.abort(new Error('the test is over'));
    await Promise.allSettled(running.map(({ end }) => end));
    client.close();
    await http.close();
  });
  const candidate = (identity: string, options: Partial<ElectionOptions> = {}): Candidate => {
    const started = aCandidate(client, identity, options);
    running.push(started);
    return started;
  };
  const heldBySomebody = (spec: Record<string, unknown> = {}): void =>
    server.set({
      holderIdentity: 'somebody',
      leaseDurationSeconds: 1,
      acquireTime: '2020-01-01T00:00:00.000000Z',
      renewTime: '2020-01-01T00:00:00.000000Z',
      leaseTransitions: 3,
      ...spec,
    });
  return { http, server, candidate, heldBySomebody, running };
}

function aCandidate(client: KubeClient, identity: string, options: Partial<ElectionOptions>): Candidate {
  const stop = new AbortController();
  const elected = Promise.withResolvers<Leadership>();
  const troubles: unknown[] = [];
  const holders: string[] = [];
  const end = runLeaderElection({
    client,
    namespace: 'berth-system',
    name: 'berth',
    identity,
    leaseDurationMs: 1000,
    renewDeadlineMs: 600,
    retryPeriodMs: 100,
    signal: stop.signal,
    onElected: async (leadership) => {
      elected.resolve(leadership);
      const over = AbortSignal.any([stop.signal, leadership.signal]);
      if (!over.aborted) await new Promise((resolve) => over.addEventListener('abort', resolve));
    },
    onTrouble: (error) => troubles.push(error),
    onStandby: (holder) => holders.push(holder),
    ...options,
  });
  end.catch(() => {});
  return { stop, end, elected: elected.promise, troubles, holders };
}

const isWrite = (call: ScriptedCall): boolean => call.method !== 'GET';

describe.concurrent('a candidate', () => {
  it('creates a Lease that is not there, leads, and renews it', async (context) => {
    const { server, candidate } = await aStage(context);
    const { elected } = candidate('me', { annotations: { 'berth.dev/endpoint': 'x' } });
    const leadership = await elected;
    expect(leadership.holds()).toBe(true);
    await delay(350);
    const acquired = server.written[0]?.spec;
    expect(acquired).toMatchObject({ holderIdentity: 'me', leaseDurationSeconds: 1, leaseTransitions: 0 });
    expect(acquired?.['acquireTime']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(server.written.length).toBeGreaterThanOrEqual(3);
    for (const { spec } of server.written) expect(spec['acquireTime']).toBe(acquired?.['acquireTime']);
    expect(server.written[2]?.spec['renewTime']).not.toBe(acquired?.['renewTime']);
    expect(server.lease?.metadata.annotations).toEqual({ 'berth.dev/endpoint': 'x' });
  });

  it('takes a Lease that was released, at once, and counts the transition', async (context) => {
    const { server, candidate, heldBySomebody } = await aStage(context);
    heldBySomebody({ holderIdentity: '' });
    await candidate('me').elected;
    expect(server.lease?.spec).toMatchObject({ holderIdentity: 'me', leaseTransitions: 4 });
  });

  it('waits for the expiry of a silent holder, counted from when it saw the Lease, and then takes over', async (context) => {
    const { server, candidate, heldBySomebody } = await aStage(context);
    heldBySomebody();
    const started = performance.now();
    const { elected, holders } = candidate('me');
    await elected;
    const waited = performance.now() - started;
    expect(waited).toBeGreaterThanOrEqual(1000);
    expect(waited).toBeLessThan(2_000);
    expect(holders).toEqual(['somebody']);
    expect(server.lease?.spec).toMatchObject({ holderIdentity: 'me', leaseTransitions: 4 });
  });

  it('leaves a holder alone that renews, watches instead of polling, and takes over when it stops', async (context) => {
    const { http, candidate, heldBySomebody } = await aStage(context);
    heldBySomebody();
    const { elected } = candidate('me');
    let last = 0;
    for (let i = 0; i < 8; i++) {
      await delay(200);
      heldBySomebody({ renewTime: `renewal ${i}` });
      last = performance.now();
    }
    expect(http.calls.map((call) => (call.isWatch ? 'WATCH' : call.method))).toEqual(['GET', 'GET', 'WATCH']);
    expect(http.calls.at(-1)?.query.get('fieldSelector')).toBe('metadata.name=berth');
    await elected;
    expect(performance.now() - last).toBeGreaterThanOrEqual(995);
  });

  it('does not take a Lease over whose renewals it could not see', async (context) => {
    const { server, candidate, heldBySomebody } = await aStage(context);
    heldBySomebody();
    let silent = true;
    // The watch is half-open: it brings nothing.
    server.intercept = (call) => {
      if (call.isWatch && silent) call.events();
      return call.isWatch && silent;
    };
    const { elected } = candidate('me');
    await delay(800);
    heldBySomebody({ renewTime: 'unseen' });
    await delay(400);
    expect(server.holder).toBe('somebody');
    silent = false;
    await elected;
  });

  it('is not misled by time stamps, nor by its own clock jumping', async (context) => {
    const { server, candidate } = await aStage(context);
    let offset = 0;
    const clock: Clock = { ...systemClock, wallMs: () => Date.now() + offset };
    const { elected } = candidate('me', { clock });
    const leadership = await elected;
    const other = candidate('other', { clock: { ...systemClock, wallMs: () => Date.now() - offset } });
    for (const jump of [86_400_000, -86_400_000, 10 * 365 * 86_400_000]) {
      offset = jump;
      await delay(300);
    }
    await delay(600);
    expect(leadership.holds()).toBe(true);
    expect(server.holder).toBe('me');
    expect(new Set(server.written.map(({ spec }) => spec['holderIdentity']))).toEqual(new Set(['me']));
    expect(other.holders).toEqual(['me']);
  });

  it('knows its own write again when the answer to that got lost', async (context) => {
    const { server, candidate } = await aStage(context);
    server.intercept = (call) => {
      if (!isWrite(call)) return false;
      server.intercept = () => false;
      server.write(call);
      call.cut();
      return true;
    };
    const started = performance.now();
    const { elected, troubles } = candidate('me');
    await elected;
    expect(performance.now() - started).toBeLessThan(900);
    expect(troubles).toMatchObject([{ code: 'ApiUnreachable' }]);
  });

  it('does not take another start under its own identity for itself', async (context) => {
    const { candidate, heldBySomebody } = await aStage(context);
    heldBySomebody({ holderIdentity: 'me' });
    const started = performance.now();
    await candidate('me').elected;
    expect(performance.now() - started).toBeGreaterThanOrEqual(1000);
  });

  it('tries again while it is forbidden, and gives up at once where there is no namespace', async (context) => {
    const { server, candidate } = await aStage(context);
    let refusals = 2;
    server.intercept = (call) => {
      if (refusals-- <= 0) return false;
      call.status(403, 'Forbidden');
      return true;
    };
    const patient = candidate('me');
    await patient.elected;
    expect(patient.troubles).toMatchObject([{ code: 'ApiForbidden' }, { code: 'ApiForbidden' }]);

    server.intercept = (call) => {
      call.status(404, 'NotFound');
      return true;
    };
    const lost = candidate('lost');
    await expect(lost.end).rejects.toMatchObject({ code: 'LeaseNamespaceMissing', kind: 'Denied' });
    await expect(lost.end).rejects.toThrow('kubectl create namespace berth-system');
  });

  it('can be stopped while it waits', async (context) => {
    const { http, candidate, heldBySomebody } = await aStage(context);
    heldBySomebody();
    const { stop, end } = candidate('me');
    await delay(50);
    stop.abort(new Error('enough'));
    expect(await end).toBe('stopped');
    expect(http.calls.filter(isWrite)).toEqual([]);
  });

  it('gives back what it may have got when it is stopped during the attempt', async (context) => {
    const { server, candidate } = await aStage(context);
    const attempted = Promise.withResolvers<void>();
    server.intercept = (call) => {
      if (!isWrite(call)) return false;
      server.intercept = () => false;
      server.write(call);
      attempted.resolve();
      return true;
    };
    const { stop, end } = candidate('me');
    await attempted.promise;
    expect(server.holder).toBe('me');
    stop.abort(new Error('enough'));
    expect(await end).toBe('stopped');
    expect(server.holder).toBe('');
  });
});

describe.concurrent('a leader', () => {
  it('releases the Lease when it is stopped, and its successor leads at once', async (context) => {
    const { server, candidate } = await aStage(context);
    const first = candidate('first', { annotations: { 'berth.dev/endpoint': 'x' } });
    const leadership = await first.elected;
    leadership.annotate({ 'example.com/nodes': 'hash' });
    const second = candidate('second');
    await delay(150);
    const stopped = performance.now();
    first.stop.abort(new Error('SIGTERM'));
    expect(await first.end).toBe('stopped');
    const successor = await second.elected;
    expect(performance.now() - stopped).toBeLessThan(900);
    const released = server.written.find(({ spec }) => spec['holderIdentity'] === '');
    expect(released?.spec).toMatchObject({ leaseDurationSeconds: 1, leaseTransitions: 0 });
    expect(successor.annotations).toEqual({ 'example.com/nodes': 'hash' });
    expect(server.lease?.spec['leaseTransitions']).toBe(1);
    expect(leadership.holds()).toBe(true);
  });

  it('keeps the Lease until its work has settled', async (context) => {
    const { server, candidate } = await aStage(context);
    const steps: string[] = [];
    const { stop, end } = candidate('me', {
      onElected: async () => {
        await delay(100);
        stop.abort(new Error('SIGTERM'));
        await delay(400);
        steps.push(`done, Lease held by "${String(server.holder)}"`);
      },
    });
    expect(await end).toBe('stopped');
    expect(steps).toEqual(['done, Lease held by "me"']);
    expect(server.holder).toBe('');
    expect(server.written.length).toBeGreaterThanOrEqual(5);
  });

  it('sends annotations with the next renewal, and only with that', async (context) => {
    const { http, server, candidate } = await aStage(context);
    const leadership = await candidate('me').elected;
    const patches = (): Record<string, unknown>[] =>
      http.calls
        .filter((call) => call.method === 'PATCH')
        .map((call) => (call.body as RawLease).metadata.annotations);
    leadership.annotate({ a: '1', b: '2' });
    leadership.annotate({ b: null, c: '3' });
    await delay(350);
    expect(patches()[0]).toEqual({ a: '1', b: null, c: '3' });
    expect(patches()[1]).toEqual({});
    expect(server.lease?.metadata.annotations).toEqual({ a: '1', c: '3' });
  });

  it.for<[string, (call: ScriptedCall) => void]>([
    ['refuses', (call): void => call.status(500, 'InternalError')],
    ['breaks off', (call): void => call.cut()],
    ['does not answer', (): void => {}],
  ])('loses the Lease at the renew deadline when the server %s', async ([, misbehave], context) => {
    const { http, server, candidate } = await aStage(context);
    const { elected, end, troubles } = candidate('me');
    const leadership = await elected;
    await delay(150);
    const lastGood = server.written.at(-1)!.atMs;
    server.intercept = (call) => {
      misbehave(call);
      return true;
    };
    const lostAt = await new Promise<number>((resolve) => {
      leadership.signal.addEventListener('abort', () => resolve(performance.now()));
    });
    expect(lostAt - lastGood).toBeGreaterThan(500);
    expect(lostAt - lastGood).toBeLessThan(1_100);
    expect(leadership.holds()).toBe(false);
    expect(leadership.signal.reason).toMatchObject({ code: 'LeaseLost' });
    expect(await end).toBe('lost');
    expect(troubles.length).toBeGreaterThan(0);
    const { length } = http.calls;
    await delay(250);
    expect(http.calls).toHaveLength(length);
  });

  it('loses the Lease at once when somebody else has it', async (context) => {
    const { server, candidate, heldBySomebody } = await aStage(context);
    const { elected, end } = candidate('me');
    const leadership = await elected;
    const taken = performance.now();
    heldBySomebody();
    expect(await end).toBe('lost');
    expect(performance.now() - taken).toBeLessThan(900);
    expect(String(leadership.signal.reason)).toContain('somebody');
    expect(server.holder).toBe('somebody');
  });

  it('does not hold it any more after a stall, even before the signal had its turn', async (context) => {
    const { candidate } = await aStage(context);
    let stall = 0;
    const clock: Clock = { ...systemClock, monotonicMs: () => performance.now() + stall };
    const leadership = await candidate('me', { clock }).elected;
    expect(leadership.holds()).toBe(true);
    stall = 600;
    expect(leadership.signal.aborted).toBe(false);
    expect(leadership.holds()).toBe(false);
  });

  it.for<[string, (stage: Stage) => void]>([
    ['somebody annotates the Lease', ({ server }): void => server.set(server.lease!.spec, { note: 'hello' })],
    ['somebody deletes the Lease', ({ server }): void => server.delete()],
    [
      'the answer to a renewal gets lost',
      ({ server }): void => {
        server.intercept = (call) => {
          if (!isWrite(call)) return false;
          server.intercept = () => false;
          server.write(call);
          call.cut();
          return true;
        };
      },
    ],
  ])('goes on when %s', async ([, disturb], context) => {
    const stage = await aStage(context);
    const { candidate, server } = stage;
    const { elected, end, stop } = candidate('me', { annotations: { 'berth.dev/endpoint': 'x' } });
    const leadership = await elected;
    await delay(120);
    disturb(stage);
    await delay(900);
    expect(leadership.holds()).toBe(true);
    expect(server.holder).toBe('me');
    expect(server.lease?.metadata.annotations['berth.dev/endpoint']).toBe('x');
    stop.abort(new Error('enough'));
    expect(await end).toBe('stopped');
  });

  it('releases the Lease when its work fails, and throws what that threw', async (context) => {
    const { server, candidate } = await aStage(context);
    const { end } = candidate('me', { onElected: () => Promise.reject(new Error('bug')) });
    await expect(end).rejects.toThrow('bug');
    expect(server.holder).toBe('');
  });

  it('releases the Lease when its work is finished', async (context) => {
    const { server, candidate } = await aStage(context);
    const { end } = candidate('me', { onElected: () => Promise.resolve() });
    expect(await end).toBe('finished');
    expect(server.holder).toBe('');
  });
});

describe.concurrent('several candidates', () => {
  it('never lead at the same time, whoever is stopped or cut off, and somebody always leads in the end', async (context) => {
    const { http, server, running } = await aStage(context);
    const leaders = new Set<string>();
    const terms: string[] = [];
    const cutOff = new Set<string>();
    const contest = async (identity: string, stop: AbortController): Promise<void> => {
      // Each has a client of its own, so that the server can tell them apart.
      const own = new KubeClient(connectPlain(http.url, { headers: { 'X-Identity': identity } }));
      while (!stop.signal.aborted) {
        await runLeaderElection({
          client: own,
          namespace: 'berth-system',
          name: 'berth',
          identity,
          leaseDurationMs: 1000,
          renewDeadlineMs: 500,
          retryPeriodMs: 50,
          signal: stop.signal,
          onElected: async (leadership) => {
            leaders.add(identity);
            terms.push(identity);
            expect([...leaders]).toEqual([identity]);
            while (leadership.holds() && !stop.signal.aborted) await delay(5);
            leaders.delete(identity);
          },
        });
      }
      own.close();
    };
    server.intercept = (call) => cutOff.has(String(call.headers['x-identity']));
    const stops = ['a', 'b', 'c'].map((identity) => {
      const stop = new AbortController();
      const end = contest(identity, stop);
      running.push({ stop, end });
      return { identity, stop, end };
    });
    const someLeader = async (): Promise<string> => {
      while (leaders.size === 0) await delay(5);
      return [...leaders][0]!;
    };
    const first = await someLeader();
    cutOff.add(first);
    while (leaders.has(first)) await delay(5);
    const second = await someLeader();
    expect(second).not.toBe(first);
    cutOff.clear();
    stops.find(({ identity }) => identity === second)!.stop.abort(new Error('stopped'));
    await stops.find(({ identity }) => identity === second)!.end;
    const third = await someLeader();
    expect(third).not.toBe(second);
    expect(terms).toEqual([first, second, third]);
    for (const { stop, end } of stops) {
      stop.abort(new Error('the test is over'));
      await end;
    }
  });
});
