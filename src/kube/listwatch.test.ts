import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ScriptedCall, ScriptedServer } from '../../test/harness/scripted-server.ts';
import { KubeClient } from './client.ts';
import { connectPlain } from './connection.ts';
import { ListWatch, type ListWatchOptions, type Trouble, type Tuning } from './listwatch.ts';
import type { Change } from './store.ts';

interface Thing {
  readonly name: string;
  readonly value: string;
}

const path = '/api/v1/services';
const fast: Partial<Tuning> = { backoffMinMs: 10, backoffMaxMs: 80, healthyMs: 30 };

let server: ScriptedServer;
let client: KubeClient;
let stop: AbortController;
let told: string[];
let troubles: Trouble[];
let watches: ListWatch<Thing>[];

beforeEach(async () => {
  server = await ScriptedServer.start();
  client = new KubeClient(connectPlain(server.url));
  stop = new AbortController();
  told = [];
  troubles = [];
  watches = [];
});

afterEach(async () => {
  stop.abort(new Error('the test is over'));
  await Promise.all(watches.map((watch) => watch.stopped));
  client.close();
  await server.close();
});

/** A raw object. */
function aThing(name: string, version: number, value = `v${version}`): object {
  return { metadata: { namespace: 'ns', name, uid: `uid-${name}`, resourceVersion: String(version) }, value };
}

function aList(version: number, items: readonly object[], token = ''): object {
  return { kind: 'List', metadata: { resourceVersion: String(version), continue: token }, items };
}

const added = (object: object): object => ({ type: 'ADDED', object });
const modified = (object: object): object => ({ type: 'MODIFIED', object });
const deleted = (object: object): object => ({ type: 'DELETED', object });
const bookmark = (version: number): object => ({
  type: 'BOOKMARK',
  object: { kind: 'Service', metadata: { resourceVersion: String(version) } },
});
const expired = {
  type: 'ERROR',
  object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' },
};

function convert(raw: unknown): Thing {
  const { metadata, value } = raw as { metadata: { name: string }; value: string };
  return { name: metadata.name, value };
}

function start(options: Partial<ListWatchOptions<Thing>> = {}): ListWatch<Thing> {
  const watch = new ListWatch<Thing>({
    client,
    path,
    convert,
    signal: stop.signal,
    onChange: ({ type, key, object, via }: Change<Thing>) =>
      told.push(`${via}: ${type} ${key} ${object.value}`),
    onTrouble: (trouble) => troubles.push(trouble),
    ...options,
    tuning: { ...fast, ...options.tuning },
  });
  watches.push(watch);
  return watch;
}

/** Answers lists and watches with these in turn; when they run out, lists fail and watches stay open and silent. */
function script(
  lists: ((call: ScriptedCall) => void)[],
  streams: ((call: ScriptedCall) => void)[] = [],
): void {
  server.handle = (call) => {
    const next = call.isWatch ? streams.shift() : lists.shift();
    if (next) next(call);
    else if (call.isWatch) call.events();
    else call.status(500, 'InternalError', { message: 'no further list was expected' });
  };
}

/** Waits until the condition holds. */
async function until(condition: () => boolean, why: string): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (condition()) return;
    await delay(5);
  }
  expect.fail(
    `in vain: ${why}; told ${JSON.stringify(told)}, troubles ${troubles.map((t) => String(t.error))}`,
  );
}

const watchCalls = (): ScriptedCall[] => server.calls.filter((call) => call.isWatch);
const listCalls = (): ScriptedCall[] => server.calls.filter((call) => !call.isWatch);

describe('listing', () => {
  it('reads all pages by quorum, then watches from the version of the list with bookmarks', async () => {
    script([
      (call) => call.json(aList(10, [aThing('a', 1)], 'next')),
      (call) => call.json(aList(10, [aThing('b', 2)])),
    ]);
    const watch = start({ labelSelector: 'app=x', fieldSelector: 'metadata.name=a' });
    await watch.synced;
    expect(watch.isSynced).toBe(true);
    await until(() => watchCalls().length === 1, 'the watch begins');
    expect(told).toEqual(['list: added ns/a v1', 'list: added ns/b v2']);
    expect(watch.size).toBe(2);
    expect(watch.get('ns/a')).toEqual({ name: 'a', value: 'v1' });
    const [first, second, third] = server.calls.map((call) => Object.fromEntries(call.query));
    const selectors = { labelSelector: 'app=x', fieldSelector: 'metadata.name=a' };
    expect(first).toEqual({ ...selectors, limit: '500' });
    expect(second).toEqual({ ...selectors, limit: '500', continue: 'next' });
    expect(third).toMatchObject({
      ...selectors,
      watch: '1',
      allowWatchBookmarks: 'true',
      resourceVersion: '10',
    });
    expect(Number(third?.['timeoutSeconds'])).toBeGreaterThanOrEqual(300);
    expect(Number(third?.['timeoutSeconds'])).toBeLessThanOrEqual(600);
  });

  it('begins again when the server has forgotten the list between two pages', async () => {
    script([
      (call) => call.json(aList(10, [aThing('a', 1), aThing('gone', 2)], 'next')),
      (call) => call.status(410, 'Expired'),
      (call) => call.json(aList(20, [aThing('a', 1)], 'again')),
      (call) => call.json(aList(20, [aThing('b', 15)])),
    ]);
    const watch = start();
    await watch.synced;
    expect(
      watch
        .list()
        .map((thing) => thing.name)
        .toSorted(),
    ).toEqual(['a', 'b']);
    expect(told.at(-1)).toBe('list: deleted ns/gone v2');
    expect(troubles).toEqual([]);
  });

  it('asks for everything in one piece when that happens twice', async () => {
    script([
      (call) => call.json(aList(10, [aThing('a', 1)], 'next')),
      (call) => call.status(410, 'Expired'),
      (call) => call.json(aList(20, [aThing('a', 1)], 'next')),
      (call) => call.status(410, 'Expired'),
      (call) => call.json(aList(30, [aThing('a', 1)])),
    ]);
    await start().synced;
    expect(listCalls().map((call) => call.query.get('limit'))).toEqual(['500', '500', '500', '500', null]);
  });

  it('waits for a slow list and does not hold up another resource', async () => {
    server.handle = (call) => {
      if (call.isWatch) call.events();
      else if (call.path === path) {
        call.events().write('{"kind":"List","metadata":{"resourceVersion":"5"},');
        setTimeout(() => call.write('"items":[]}'), 60);
        setTimeout(() => call.end(), 120);
      } else call.json(aList(7, [aThing('n', 1)]));
    };
    const slow = start();
    const quick = start({ path: '/api/v1/nodes' });
    await quick.synced;
    expect(slow.isSynced).toBe(false);
    await slow.synced;
    expect(troubles).toEqual([]);
  });

  it('says what stands in the way of the first list, and goes on trying', async () => {
    script([
      (call) => call.status(403, 'Forbidden'),
      (call) => call.status(403, 'Forbidden'),
      (call) => call.json(aList(1, [])),
    ]);
    await start().synced;
    expect(troubles.map(({ next }) => next)).toEqual(['relist', 'relist']);
    expect(troubles[0]?.error).toMatchObject({ code: 'ApiForbidden' });
  });

  it('rejects `synced` when it is stopped before', async () => {
    server.handle = () => {};
    const watch = start();
    stop.abort(new Error('no time'));
    await expect(watch.synced).rejects.toThrow('no time');
    await watch.stopped;
  });
});

describe('watching', () => {
  it('tells of every change once and keeps the cache up to date', async () => {
    script(
      [(call) => call.json(aList(10, [aThing('a', 1)]))],
      [
        (call) =>
          call.events(
            added(aThing('b', 11)),
            modified(aThing('a', 12)),
            modified(aThing('a', 12)),
            deleted(aThing('b', 13)),
          ),
      ],
    );
    const watch = start();
    await until(() => told.length === 4, 'all is told');
    await delay(20);
    expect(told).toEqual([
      'list: added ns/a v1',
      'watch: added ns/b v11',
      'watch: modified ns/a v12',
      'watch: deleted ns/b v11',
    ]);
    expect(watch.list()).toEqual([{ name: 'a', value: 'v12' }]);
    expect(watch.isConnected).toBe(true);
  });

  it('goes on from the last event or bookmark when the server ends the watch', async () => {
    script(
      [(call) => call.json(aList(10, []))],
      [
        (call) => call.events(added(aThing('a', 11))).end(),
        (call) => call.events(bookmark(40)).end(),
        (call) => call.events(),
      ],
    );
    start();
    await until(() => watchCalls().length === 3, 'the third watch');
    expect(watchCalls().map((call) => call.query.get('resourceVersion'))).toEqual(['10', '11', '40']);
    expect(listCalls()).toHaveLength(1);
    expect(troubles).toEqual([]);
  });

  it('loses and doubles nothing when the stream is cut in the middle of a line and of a character', async () => {
    const line = Buffer.from(`${JSON.stringify(added(aThing('b', 12, 'Größe 🚢')))}\n`);
    const middleOfCharacter = line.indexOf(Buffer.from('🚢')) + 2;
    script(
      [(call) => call.json(aList(10, []))],
      [
        (call) => {
          call.events(added(aThing('a', 11))).write(line.subarray(0, middleOfCharacter));
          setTimeout(() => call.cut(), 10);
        },
        (call) => {
          call.events().write(line.subarray(0, middleOfCharacter));
          setTimeout(() => call.write(line.subarray(middleOfCharacter)), 10);
        },
      ],
    );
    start();
    await until(() => told.length === 2, 'both objects');
    expect(told).toEqual(['watch: added ns/a v11', 'watch: added ns/b Größe 🚢']);
    expect(watchCalls().map((call) => call.query.get('resourceVersion'))).toEqual(['10', '11']);
    expect(troubles).toMatchObject([{ next: 'resume', error: { code: 'ApiUnreachable' } }]);
  });

  it.each([
    ['as an answer', (call: ScriptedCall): void => call.status(410, 'Expired')],
    ['inside the stream', (call: ScriptedCall): void => void call.events(expired)],
  ])('lists again after a 410 %s and tells what changed and vanished meanwhile', async (_, refuse) => {
    script(
      [
        (call) => call.json(aList(10, [aThing('a', 1), aThing('b', 2), aThing('c', 3)])),
        (call) => call.json(aList(30, [aThing('a', 1), aThing('c', 20)])),
      ],
      [refuse],
    );
    const watch = start();
    await until(() => watchCalls().length === 2, 'the second watch');
    expect(told.slice(3)).toEqual(['list: modified ns/c v20', 'list: deleted ns/b v2']);
    expect(watchCalls()[1]?.query.get('resourceVersion')).toBe('30');
    expect(troubles).toMatchObject([{ next: 'relist', error: { code: 'ApiExpired' } }]);
    expect(watch.size).toBe(2);
  });

  it('lists again when the server comes back with older data than it had', async () => {
    script(
      [
        (call) => call.json(aList(500, [aThing('a', 400)])),
        (call) => call.json(aList(50, [aThing('a', 40)])),
      ],
      [(call) => call.events(bookmark(45))],
    );
    start();
    await until(() => watchCalls().length === 2, 'the second watch');
    expect(told).toEqual(['list: added ns/a v400', 'list: modified ns/a v40']);
    expect(watchCalls()[1]?.query.get('resourceVersion')).toBe('50');
  });

  it('obeys Retry-After exactly', async () => {
    const headers = { 'Retry-After': '1' };
    script([(call) => call.json(aList(1, []))], [(call) => call.status(429, 'TooManyRequests', { headers })]);
    start();
    await until(() => watchCalls().length === 2, 'the second watch');
    const [first, second] = watchCalls();
    expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(995);
    expect(troubles).toMatchObject([{ next: 'resume', retryInMs: 1000 }]);
  });

  it('comes back ever more slowly to a server that ends each watch at once', async () => {
    server.handle = (call) => (call.isWatch ? call.events().end() : call.json(aList(1, [])));
    start({ tuning: { backoffMinMs: 20, backoffMaxMs: 80, healthyMs: 1000 } });
    await until(() => troubles.length === 6, 'six failures');
    const waits = troubles.map((trouble) => trouble.retryInMs);
    [20, 40, 80, 80, 80, 80].forEach((ceiling, index) => {
      expect(waits[index]).toBeGreaterThanOrEqual(ceiling / 2);
      expect(waits[index]).toBeLessThanOrEqual(ceiling);
    });
    expect(listCalls()).toHaveLength(1);
  });

  it('comes back ever more slowly to a server that lists, and refuses each watch with a 410', async () => {
    server.handle = (call) => (call.isWatch ? call.status(410, 'Expired') : call.json(aList(1, [])));
    start({ tuning: { backoffMinMs: 20, backoffMaxMs: 80, healthyMs: 1000 } });
    await until(() => troubles.length === 4, 'four failures');
    expect(troubles[3]?.retryInMs).toBeGreaterThanOrEqual(40);
  });

  it('comes back as soon as a server that could not be reached answers anybody else', async () => {
    const answer = (call: ScriptedCall): void => call.json(aList(1, []));
    script([answer, answer], [(call) => call.cut()]);
    start({ tuning: { backoffMinMs: 60_000, backoffMaxMs: 60_000, healthyMs: 1000 } });
    await until(() => troubles.length === 1, 'the broken watch');
    await delay(20);
    expect(watchCalls()).toHaveLength(1);
    await client.request({ path, signal: stop.signal });
    await until(() => watchCalls().length === 2, 'the second watch');
  });

  it('is woken only once by a server that cuts every watch and answers all else', async () => {
    server.handle = (call) => (call.isWatch ? call.cut() : call.json(aList(1, [])));
    start({ tuning: { backoffMinMs: 60_000, backoffMaxMs: 60_000, healthyMs: 1000 } });
    for (const failures of [1, 2]) {
      await until(() => troubles.length === failures, `failure ${failures}`);
      await client.request({ path, signal: stop.signal });
    }
    await delay(50);
    expect(watchCalls()).toHaveLength(2);
  });

  it('starts with short pauses again after a watch that did some good', async () => {
    script(
      [(call) => call.json(aList(1, []))],
      [
        (call) => call.cut(),
        (call) => call.cut(),
        (call) => {
          call.events(added(aThing('a', 5)));
          setTimeout(() => call.cut(), 10);
        },
      ],
    );
    start({ tuning: { backoffMinMs: 20, backoffMaxMs: 1000, healthyMs: 1000 } });
    await until(() => watchCalls().length === 4, 'the fourth watch');
    expect(troubles[1]?.retryInMs).toBeGreaterThanOrEqual(20);
    expect(troubles[2]?.retryInMs).toBeLessThanOrEqual(20);
  });

  it('notices a half-open connection by the silence after the time it asked for', async () => {
    script([(call) => call.json(aList(10, []))], [(call) => call.events(added(aThing('a', 11)))]);
    const started = performance.now();
    start({ tuning: { watchMinMs: 1000, watchMaxMs: 1000, graceMs: 100 } });
    await until(() => watchCalls().length === 2, 'the second watch');
    expect(performance.now() - started).toBeGreaterThan(1_090);
    expect(watchCalls()[0]?.query.get('timeoutSeconds')).toBe('1');
    expect(watchCalls()[1]?.query.get('resourceVersion')).toBe('11');
    expect(troubles).toMatchObject([{ next: 'resume', error: { code: 'ApiTimeout' } }]);
  });

  it('gets over garbage in the stream and over a server that is gone for a while', async () => {
    script(
      [(call) => call.json(aList(10, []))],
      [(call) => call.events(added(aThing('a', 11))).write('{"type":"ADD\n')],
    );
    start();
    await until(() => watchCalls().length === 2, 'the second watch');
    expect(troubles).toMatchObject([{ error: { code: 'ApiBadAnswer' } }]);
    const { port } = server;
    await server.close();
    await until(() => troubles.length >= 4, 'failures while nobody listens');
    script([], [(call) => call.events(added(aThing('b', 12)))]);
    await server.listen(port);
    await until(() => told.length === 2, 'the event after the restart');
    expect(watchCalls().at(-1)?.query.get('resourceVersion')).toBe('11');
  });

  it('survives a listener and a converter that throw, without losing what comes after', async () => {
    script(
      [(call) => call.json(aList(10, []))],
      [(call) => call.events(added(aThing('bad', 11)), added(aThing('loud', 12)), added(aThing('c', 13)))],
    );
    const watch = start({
      convert: (raw) => {
        const thing = convert(raw);
        if (thing.name === 'bad') throw new TypeError('cannot convert');
        return thing;
      },
      onChange: ({ object }) => {
        if (object.name === 'loud') throw new TypeError('cannot listen');
        told.push(object.name);
      },
    });
    await until(() => told.length === 1, 'what comes after');
    expect(troubles.map(({ next, error }) => [next, String(error)])).toEqual([
      ['none', 'TypeError: cannot convert'],
      ['none', 'TypeError: cannot listen'],
    ]);
    expect(watch.size).toBe(2);
    expect(watchCalls()).toHaveLength(1);
  });

  it('stops for good when the signal aborts, and closes its connection', async () => {
    const closed = Promise.withResolvers<void>();
    script(
      [(call) => call.json(aList(10, []))],
      [(call) => void call.events().response.on('close', () => closed.resolve())],
    );
    const watch = start();
    await until(() => watch.isConnected, 'the watch stands');
    stop.abort(new Error('enough'));
    await watch.stopped;
    await closed.promise;
    const { length } = server.calls;
    await delay(50);
    expect(server.calls).toHaveLength(length);
    expect(watch.isConnected).toBe(false);
  });
});

describe('the answer of our own write', () => {
  it('is in the cache at once, and its event is not told again', async () => {
    const stream = Promise.withResolvers<ScriptedCall>();
    script([(call) => call.json(aList(10, [aThing('a', 5)]))], [(call) => stream.resolve(call)]);
    const watch = start();
    const call = await stream.promise;
    watch.put(aThing('a', 20));
    expect(watch.get('ns/a')?.value).toBe('v20');
    call.events(modified(aThing('a', 15)), modified(aThing('a', 20)), modified(aThing('a', 21)));
    await until(() => told.length === 3, 'the event after it');
    expect(told.slice(1)).toEqual(['put: modified ns/a v20', 'watch: modified ns/a v21']);
  });

  it('survives a list that was taken before it', async () => {
    const list = Promise.withResolvers<ScriptedCall>();
    script(
      [(call) => call.json(aList(10, [aThing('a', 5)])), (call) => list.resolve(call)],
      [(call) => call.status(410, 'Expired')],
    );
    const watch = start();
    const call = await list.promise;
    watch.put(aThing('a', 20));
    call.json(aList(15, [aThing('a', 12)]));
    await until(() => watchCalls().length === 2, 'the second watch');
    expect(watch.get('ns/a')?.value).toBe('v20');
    expect(told).toEqual(['list: added ns/a v5', 'put: modified ns/a v20']);
  });
});
