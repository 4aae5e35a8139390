import { describe, expect, it } from 'vitest';
import type { KubeObject } from './objects.ts';
import { type Change, Store } from './store.ts';

const thing = (name: string, namespace = 'a', size = 1): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { namespace, name },
  size,
});

function aCollection(historySize = 100) {
  const store = new Store({ historySize });
  return { store, things: store.collection('things') };
}

const keys = (entries: readonly { key: string }[] | undefined) => entries?.map(({ key }) => key);

describe('Collection', () => {
  it('gives every write the next revision as resourceVersion', () => {
    const { store, things } = aCollection();
    const first = things.put(thing('x')).object.metadata.resourceVersion;
    const second = things.put(thing('x', 'a', 2)).object.metadata.resourceVersion;
    expect(Number(second)).toBe(Number(first) + 1);
    expect(store.revision).toBe(Number(second));
  });

  it('lists in the order of the keys, by namespace when asked to', () => {
    const { things } = aCollection();
    for (const [name, namespace] of [
      ['b', 'b'],
      ['a', 'b'],
      ['z', 'a'],
      ['a', 'a-b'],
    ])
      things.put(thing(name!, namespace));
    expect(keys(things.entries())).toEqual(['a-b/a', 'a/z', 'b/a', 'b/b']);
    expect(keys(things.entries('b/'))).toEqual(['b/a', 'b/b']);
  });

  it('hands out frozen objects', () => {
    const { things } = aCollection();
    const { object } = things.put(thing('x'));
    expect(() => Object.assign(object.metadata, { name: 'y' })).toThrow(TypeError);
  });

  it('tells listeners about every change, with the state before it', () => {
    const { things } = aCollection();
    const seen: Change[] = [];
    const stop = things.subscribe((change) => seen.push(change));
    things.put(thing('x'));
    things.put(thing('x', 'a', 2));
    things.remove('a/x');
    stop();
    things.put(thing('y'));
    expect(seen.map(({ type, previous }) => [type, previous?.object['size']])).toEqual([
      ['ADDED', undefined],
      ['MODIFIED', 1],
      ['DELETED', 2],
    ]);
    expect(seen[2]!.entry.object.metadata.resourceVersion).toBe(String(seen[2]!.revision));
  });

  it('shows the state at an earlier revision', () => {
    const { store, things } = aCollection();
    things.put(thing('x'));
    things.put(thing('y'));
    const { revision } = store;
    things.put(thing('x', 'a', 2));
    things.remove('a/y');
    things.put(thing('z'));
    expect(things.entriesAt(revision)?.map(({ key, object }) => [key, object['size']])).toEqual([
      ['a/x', 1],
      ['a/y', 1],
    ]);
    expect(keys(things.entries())).toEqual(['a/x', 'a/z']);
  });

  it('remembers as many changes as it promises and then no more than twice as many', () => {
    const { store, things } = aCollection(10);
    for (let size = 0; size < 100; size++) things.put(thing('x', 'a', size));
    expect(things.since(store.revision - 10)).toHaveLength(10);
    expect(things.since(store.revision - 21)).toBeUndefined();
    expect(things.entriesAt(store.revision - 21)).toBeUndefined();
  });

  it('knows nothing of the past once it was told to forget', () => {
    const { store, things } = aCollection();
    things.put(thing('x'));
    const { revision } = store;
    expect(things.since(revision)).toEqual([]);
    store.forgetHistory();
    expect(things.since(revision)).toBeUndefined();
    expect(things.since(store.revision)).toEqual([]);
  });

  it('makes JSON with and without kind and apiVersion', () => {
    const { things } = aCollection();
    const entry = things.put(thing('x'));
    expect(JSON.parse(entry.json)).toEqual(entry.object);
    expect(JSON.parse(entry.bare)).toEqual({ metadata: entry.object.metadata, size: 1 });
  });
});
