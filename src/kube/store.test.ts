import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Change, isNewer, isOlder, ObjectStore } from './store.ts';

interface Thing {
  readonly value: string;
}

/** A raw object as the API server would send it. */
function raw(name: string, version: number | string, extra: { uid?: string; value?: string } = {}): unknown {
  const { uid = `uid-${name}`, value = `v${version}` } = extra;
  return { metadata: { namespace: 'ns', name, uid, resourceVersion: String(version) }, value };
}

function aStore(): ObjectStore<Thing> {
  return new ObjectStore<Thing>((object) => {
    const { value } = object as { value: string };
    return value === 'absent' ? undefined : { value };
  });
}

function types(changes: readonly Change<Thing>[]): string[] {
  return changes.map((change) => `${change.type} ${change.key} ${change.object.value}`);
}

function replaceBy(store: ObjectStore<Thing>, version: number, items: readonly unknown[]): Change<Thing>[] {
  const replacement = store.replace(String(version));
  return [...items.flatMap((item) => replacement.accept(item)), ...replacement.finish()];
}

describe('comparing resourceVersions', () => {
  it.each([
    ['10', '9', true],
    ['9', '10', false],
    ['9', '9', false],
    ['18446744073709551617', '18446744073709551616', true],
    ['9007199254740993', '9007199254740992', true],
  ])('%s newer than %s: %s', (a, b, newer) => {
    expect(isNewer(a, b)).toBe(newer);
    expect(isOlder(b, a)).toBe(newer);
  });

  it('takes what is no decimal number for newer when it differs, and for older never', () => {
    expect(isNewer('abc', 'abd')).toBe(true);
    expect(isNewer('abc', 'abc')).toBe(false);
    expect(isOlder('abc', 'abd')).toBe(false);
  });
});

describe('ObjectStore', () => {
  it('tells of an object as added, then modified, then deleted', () => {
    const store = aStore();
    expect(types(store.upsert(raw('a', 1)))).toEqual(['added ns/a v1']);
    expect(types(store.upsert(raw('a', 2)))).toEqual(['modified ns/a v2']);
    expect(types(store.remove(raw('a', 3)))).toEqual(['deleted ns/a v2']);
    expect(store.size).toBe(0);
  });

  it('tells nothing when the same version comes twice', () => {
    const store = aStore();
    store.upsert(raw('a', 1));
    expect(store.upsert(raw('a', 1))).toEqual([]);
    expect(types(store.upsert(raw('a', 2)))).toEqual(['modified ns/a v2']);
  });

  it('does not let an older event overwrite the answer of our own patch', () => {
    const store = aStore();
    store.upsert(raw('a', 5));
    expect(types(store.put(raw('a', 9)))).toEqual(['modified ns/a v9']);
    expect(store.upsert(raw('a', 7))).toEqual([]);
    expect(store.upsert(raw('a', 9))).toEqual([]);
    expect(store.get('ns/a')).toEqual({ value: 'v9' });
    expect(types(store.upsert(raw('a', 10)))).toEqual(['modified ns/a v10']);
  });

  it('does not bring back by a late answer what was deleted meanwhile', () => {
    const store = aStore();
    store.upsert(raw('a', 5));
    store.remove(raw('a', 8));
    expect(store.put(raw('a', 7))).toEqual([]);
    expect(store.size).toBe(0);
    expect(types(store.put(raw('a', 9)))).toEqual(['added ns/a v9']);
  });

  it('counts a bookmark as news when it judges a late answer', () => {
    const store = aStore();
    store.advance('20');
    expect(store.put(raw('a', 19))).toEqual([]);
    expect(types(store.put(raw('a', 21)))).toEqual(['added ns/a v21']);
  });

  it('ignores a deletion that is older than what it knows', () => {
    const store = aStore();
    store.put(raw('a', 9));
    expect(store.remove(raw('a', 4))).toEqual([]);
    expect(types(store.remove(raw('a', 10)))).toEqual(['deleted ns/a v9']);
  });

  it('tells of what vanished between two lists, and of nothing that stayed', () => {
    const store = aStore();
    replaceBy(store, 10, [raw('a', 1), raw('b', 2), raw('c', 3)]);
    const changes = replaceBy(store, 20, [raw('a', 1), raw('c', 15), raw('d', 16)]);
    expect(types(changes)).toEqual(['modified ns/c v15', 'added ns/d v16', 'deleted ns/b v2']);
  });

  it('keeps what was put after the list was taken', () => {
    const store = aStore();
    replaceBy(store, 10, [raw('a', 1)]);
    const replacement = store.replace('20');
    store.put(raw('b', 25));
    expect(replacement.finish().map((change) => change.key)).toEqual(['ns/a']);
    expect(store.get('ns/b')).toEqual({ value: 'v25' });
  });

  it('tells of an object that was created anew as of two objects', () => {
    const store = aStore();
    store.upsert(raw('a', 1, { uid: 'first' }));
    expect(types(store.upsert(raw('a', 5, { uid: 'second' })))).toEqual(['deleted ns/a v1', 'added ns/a v5']);
  });

  it('takes everything anew when the data went back in time, even if that list had to be begun twice', () => {
    const store = aStore();
    replaceBy(store, 1000, [raw('a', 900), raw('b', 950)]);
    store.replace('50').accept(raw('a', 40));
    expect(types(replaceBy(store, 51, [raw('a', 40)]))).toEqual(['deleted ns/b v950']);
    expect(store.get('ns/a')).toEqual({ value: 'v40' });
    expect(types(store.upsert(raw('a', 52)))).toEqual(['modified ns/a v52']);
  });

  it('treats an object that the converter turns away as absent', () => {
    const store = aStore();
    expect(store.upsert(raw('a', 1, { value: 'absent' }))).toEqual([]);
    store.upsert(raw('a', 2));
    expect(types(store.upsert(raw('a', 3, { value: 'absent' })))).toEqual(['deleted ns/a v2']);
  });

  it('leaves out what has no name or no version', () => {
    const store = aStore();
    for (const garbage of [
      null,
      undefined,
      7,
      'x',
      [],
      {},
      { metadata: null },
      { metadata: { name: 'a' } },
    ]) {
      expect(store.upsert(garbage)).toEqual([]);
      expect(store.remove(garbage)).toEqual([]);
      expect(store.put(garbage)).toEqual([]);
    }
  });

  it('ends with the newest state in whatever order events and answers come, and its changes add up to it', () => {
    const history = fc.array(fc.record({ name: fc.constantFrom('a', 'b', 'c'), put: fc.boolean() }));
    fc.assert(
      fc.property(history, fc.infiniteStream(fc.nat(3)), (writes, delays) => {
        const store = aStore();
        const mirror = new Map<string, string>();
        const apply = (changes: readonly Change<Thing>[]): void => {
          for (const { type, key, object } of changes) {
            if (type === 'deleted') mirror.delete(key);
            else mirror.set(key, object.value);
          }
        };
        // Events come in order; answers to our own writes come before, with or after them.
        const deliveries = writes.flatMap(({ name, put }, index) => {
          const object = raw(name, index + 1);
          const event = { at: index, run: () => apply(store.upsert(object)) };
          const delay = delays.next().value ?? 0;
          return put ? [{ at: index + delay - 1.5, run: () => apply(store.put(object)) }, event] : [event];
        });
        for (const { run } of deliveries.toSorted((a, b) => a.at - b.at)) run();
        for (const name of ['a', 'b', 'c']) {
          const last = writes.findLastIndex((write) => write.name === name);
          const expected = last === -1 ? undefined : `v${last + 1}`;
          expect(store.get(`ns/${name}`)?.value).toBe(expected);
          expect(mirror.get(`ns/${name}`)).toBe(expected);
        }
      }),
    );
  });
});
