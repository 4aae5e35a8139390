import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { KubeRequest, Requester } from './client.ts';
import { ApiError } from './errors.ts';
import {
  type DroppedEvent,
  type EventRecord,
  EventRecorder,
  type EventTarget,
  type RecorderTuning,
} from './events.ts';

const MINUTE = 60_000;

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly body: Record<string, unknown>;
  readonly at: number;
}

let sent: Sent[];
let dropped: DroppedEvent[];
let answer: (request: KubeRequest) => Promise<unknown>;
/** Requests that are under way, and the most there were at a time. */
const load = { now: 0, most: 0 };

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) });
  sent = [];
  dropped = [];
  Object.assign(load, { now: 0, most: 0 });
  answer = () => Promise.resolve({});
});

afterEach(() => {
  vi.useRealTimers();
});

const client: Requester = {
  request: async (request) => {
    request.signal.throwIfAborted();
    const { method = 'GET', path } = request;
    sent.push({ method, path, body: request.body as Record<string, unknown>, at: performance.now() });
    load.now += 1;
    load.most = Math.max(load.most, load.now);
    try {
      return await answer(request);
    } finally {
      load.now -= 1;
    }
  },
};

function aRecorder(tuning: Partial<RecorderTuning> = {}): EventRecorder {
  return new EventRecorder({
    client,
    instance: 'pod-1',
    onDrop: (drop) => dropped.push(drop),
    tuning: { delayMs: 0, ...tuning },
  });
}

function aService(name = 'web'): EventTarget {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    namespace: 'shop',
    name,
    uid: `uid-${name}`,
    resourceVersion: '42',
  };
}

function aWarning(message = 'no address is free'): EventRecord {
  return { type: 'Warning', reason: 'PoolExhausted', message };
}

/** Lets what is queued be sent. */
const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

describe('a first event', () => {
  it('is one POST with everything that kubectl shows', async () => {
    const recorder = aRecorder();
    recorder.event(aService(), aWarning());
    await settle();
    expect(sent).toHaveLength(1);
    expect(sent[0]).toMatchObject({ method: 'POST', path: '/api/v1/namespaces/shop/events' });
    const { metadata, ...rest } = sent[0]!.body as { metadata: { name: string; namespace: string } };
    expect(metadata.namespace).toBe('shop');
    expect(metadata.name).toMatch(/^web\.[0-9a-f]{15}$/);
    expect(rest).toEqual({
      apiVersion: 'v1',
      kind: 'Event',
      involvedObject: aService(),
      type: 'Warning',
      reason: 'PoolExhausted',
      message: 'no address is free',
      source: { component: 'berth-controller', host: 'pod-1' },
      reportingComponent: 'berth-controller',
      reportingInstance: 'pod-1',
      count: 1,
      firstTimestamp: '2026-01-01T00:00:00Z',
      lastTimestamp: '2026-01-01T00:00:00Z',
    });
  });

  it('waits a moment, so that the work that it tells of goes first, and is sent when the recorder closes', async () => {
    const recorder = aRecorder({ delayMs: 25 });
    recorder.event(aService(), aWarning());
    await vi.advanceTimersByTimeAsync(24);
    expect(sent).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent).toHaveLength(1);
    recorder.event(aService('other'), aWarning());
    const closed = recorder.close();
    await vi.advanceTimersByTimeAsync(25);
    await closed;
    expect(sent).toHaveLength(2);
  });

  it('of something without a namespace goes to `default`', async () => {
    const { namespace: _, ...node } = { ...aService('n-1'), kind: 'Node' };
    aRecorder().event(node, aWarning());
    await settle();
    expect(sent[0]?.path).toBe('/api/v1/namespaces/default/events');
  });

  it('has at most 1,024 characters', async () => {
    aRecorder().event(aService(), aWarning('x'.repeat(5000)));
    await settle();
    expect(sent[0]?.body['message']).toHaveLength(1024);
  });

  it('counts as written when the server has it already, because its first answer got lost', async () => {
    answer = () => Promise.reject(new ApiError('ApiAlreadyExists', { what: 'POST', message: 'there' }));
    const recorder = aRecorder();
    recorder.event(aService(), aWarning());
    await settle();
    expect(dropped).toEqual([]);
  });
});

describe('the same event again', () => {
  it('is counted, and the count is patched once a minute at most', async () => {
    const recorder = aRecorder();
    for (let second = 0; second < 150; second++) {
      recorder.event(aService(), aWarning());
      await vi.advanceTimersByTimeAsync(1000);
    }
    expect(
      sent.map(({ method, body, at }) => [method, body['count'], Math.round((at - sent[0]!.at) / 1000)]),
    ).toEqual([
      ['POST', 1, 0],
      ['PATCH', 60, 60],
      ['PATCH', 120, 120],
    ]);
    const name = (sent[0]!.body['metadata'] as { name: string }).name;
    expect(sent[1]?.path).toBe(`/api/v1/namespaces/shop/events/${name}`);
    expect(sent[1]?.body).toEqual({ count: 60, lastTimestamp: '2026-01-01T00:00:59Z' });
  });

  it('is sent by itself when its minute is over, without a further occurrence', async () => {
    const recorder = aRecorder();
    recorder.event(aService(), aWarning());
    await settle();
    recorder.event(aService(), aWarning());
    await vi.advanceTimersByTimeAsync(MINUTE - 1);
    expect(sent).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(sent.map(({ method, body }) => [method, body['count']])).toEqual([
      ['POST', 1],
      ['PATCH', 2],
    ]);
    await vi.advanceTimersByTimeAsync(10 * MINUTE);
    expect(sent).toHaveLength(2);
  });

  it('is another event after ten quiet minutes', async () => {
    const recorder = aRecorder();
    recorder.event(aService(), aWarning());
    await vi.advanceTimersByTimeAsync(10 * MINUTE);
    recorder.event(aService(), aWarning());
    await settle();
    expect(sent.map(({ method }) => method)).toEqual(['POST', 'POST']);
  });

  it('is posted anew when the server has forgotten the first one', async () => {
    const recorder = aRecorder();
    recorder.event(aService(), aWarning());
    await vi.advanceTimersByTimeAsync(MINUTE);
    answer = ({ method }) =>
      method === 'PATCH'
        ? Promise.reject(new ApiError('ApiNotFound', { what: 'PATCH', message: 'gone' }))
        : Promise.resolve({});
    recorder.event(aService(), aWarning());
    await settle();
    expect(sent.map(({ method, body }) => [method, body['count']])).toEqual([
      ['POST', 1],
      ['PATCH', 2],
      ['POST', 2],
    ]);
  });

  it.each<[string, EventTarget, EventRecord]>([
    ['object', aService('other'), aWarning()],
    ['uid', { ...aService(), uid: 're-created' }, aWarning()],
    ['type', aService(), { ...aWarning(), type: 'Normal' }],
    ['reason', aService(), { ...aWarning(), reason: 'NoPool' }],
    ['message', aService(), aWarning('another one')],
  ])('is another event if it has another %s', async (_, target, record) => {
    const recorder = aRecorder();
    recorder.event(aService(), aWarning());
    recorder.event(target, record);
    await settle();
    expect(sent.map(({ method }) => method)).toEqual(['POST', 'POST']);
  });

  it('only counts while the first one is on its way', async () => {
    const first = Promise.withResolvers<unknown>();
    answer = () => first.promise;
    const recorder = aRecorder();
    for (let i = 0; i < 5; i++) recorder.event(aService(), aWarning());
    await settle();
    expect(sent).toHaveLength(1);
    first.resolve({});
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(sent.map(({ method, body }) => [method, body['count']]).at(-1)).toEqual(['PATCH', 5]);
  });
});

describe('limits', () => {
  it('give one object 25 requests, then one every five minutes, and leave other objects alone', async () => {
    const recorder = aRecorder();
    for (let i = 0; i < 30; i++) recorder.event(aService(), aWarning(`message ${i}`));
    recorder.event(aService('other'), aWarning());
    await settle();
    expect(sent).toHaveLength(26);
    expect(dropped.map(({ why }) => why)).toEqual(Array.from({ length: 5 }, () => 'rate'));
    await vi.advanceTimersByTimeAsync(5 * MINUTE);
    recorder.event(aService(), aWarning('later'));
    recorder.event(aService(), aWarning('too early'));
    await settle();
    expect(sent).toHaveLength(27);
    expect(sent[26]?.body['message']).toBe('later');
  });

  it('keep a count that may not be sent yet, until it may', async () => {
    const recorder = aRecorder({ burst: 1, refillMs: 3 * MINUTE });
    recorder.event(aService(), aWarning());
    await settle();
    recorder.event(aService(), aWarning());
    await vi.advanceTimersByTimeAsync(2 * MINUTE + MINUTE / 2);
    expect(sent).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(MINUTE);
    expect(sent.map(({ method, body }) => [method, body['count']])).toEqual([
      ['POST', 1],
      ['PATCH', 2],
    ]);
    expect(dropped).toEqual([]);
  });

  it('send a crowd of events a few at a time', async () => {
    const waiting: (() => void)[] = [];
    answer = () => new Promise((resolve) => waiting.push(() => resolve({})));
    const recorder = aRecorder();
    for (let i = 0; i < 100; i++) recorder.event(aService(`web-${i}`), aWarning());
    while (sent.length < 100 || load.now > 0) {
      await settle();
      waiting.shift()?.();
    }
    expect(load.most).toBe(4);
    expect(new Set(sent.map(({ body }) => (body['metadata'] as { name: string }).name)).size).toBe(100);
  });

  it('drop what overflows the queue and say so', async () => {
    answer = () => new Promise(() => {});
    const recorder = aRecorder({ maxQueued: 10, concurrency: 1 });
    for (let i = 0; i < 15; i++) recorder.event(aService(`web-${i}`), aWarning());
    expect(dropped.length).toBeGreaterThanOrEqual(4);
    expect(new Set(dropped.map(({ why }) => why))).toEqual(new Set(['overflow']));
    expect(dropped.at(-1)?.target.name).toBe('web-14');
  });

  it('forget the event used longest ago, so that memory is bounded', async () => {
    const recorder = aRecorder({ maxRemembered: 2 });
    for (const name of ['a', 'b', 'c']) recorder.event(aService(name), aWarning());
    await vi.advanceTimersByTimeAsync(MINUTE);
    recorder.event(aService('c'), aWarning());
    recorder.event(aService('a'), aWarning());
    await settle();
    expect(sent.slice(3).map(({ method }) => method)).toEqual(['PATCH', 'POST']);
  });
});

describe('failures', () => {
  it('never reach the caller, are told, and do not stop later events', async () => {
    const cause = new ApiError('ApiForbidden', { what: 'POST', message: 'no' });
    answer = () => Promise.reject(cause);
    const recorder = aRecorder();
    expect(() => recorder.event(aService(), aWarning())).not.toThrow();
    await settle();
    expect(dropped).toMatchObject([{ why: 'failed', error: cause, target: { name: 'web' } }]);
    answer = () => Promise.resolve({});
    recorder.event(aService(), aWarning());
    await settle();
    expect(sent.map(({ method }) => method)).toEqual(['POST', 'POST']);
  });
});

describe('closing', () => {
  it('sends what is queued and counts not sent yet', async () => {
    const recorder = aRecorder();
    recorder.event(aService(), aWarning());
    await settle();
    recorder.event(aService(), aWarning());
    recorder.event(aService('other'), aWarning());
    await recorder.close();
    expect(sent.map(({ method, body }) => [method, body['count']]).toSorted()).toEqual([
      ['PATCH', 2],
      ['POST', 1],
      ['POST', 1],
    ]);
    recorder.event(aService(), aWarning('too late'));
    await settle();
    expect(sent).toHaveLength(3);
    expect(dropped).toMatchObject([{ why: 'closed' }]);
  });

  it('takes no longer than its deadline, and drops the rest', async () => {
    answer = ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    const recorder = aRecorder({ concurrency: 1 });
    recorder.event(aService('a'), aWarning());
    recorder.event(aService('b'), aWarning());
    let closed = false;
    const closing = recorder.close(500).then(() => (closed = true));
    await vi.advanceTimersByTimeAsync(499);
    expect(closed).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await closing;
    expect(dropped.map(({ why, target }) => [why, target.name])).toEqual([
      ['closed', 'a'],
      ['closed', 'b'],
    ]);
  });
});
