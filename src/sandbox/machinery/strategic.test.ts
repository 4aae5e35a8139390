import { describe, expect, it } from 'vitest';
import type { JsonObject } from './objects.ts';
import { int, list, object, str, strings } from './schema.ts';
import { strategicMerge } from './strategic.ts';

const schema = object({
  metadata: object({ labels: strings, finalizers: list(str, '') }),
  ports: list(object({ name: str, port: int, target: int }), 'port'),
  ranges: list(str),
});

const merge = (target: JsonObject, patch: JsonObject) => strategicMerge(target, patch, schema);

describe('strategicMerge', () => {
  it('merges objects field by field and removes what is null', () => {
    const target = { metadata: { labels: { a: '1', b: '2' } } };
    expect(merge(target, { metadata: { labels: { a: null, c: '3' } } })).toEqual({
      metadata: { labels: { b: '2', c: '3' } },
    });
    expect(target).toEqual({ metadata: { labels: { a: '1', b: '2' } } });
  });

  it('joins list items by their merge key; items of the patch come before others, unless these were in front', () => {
    const target = { ports: [{ port: 80, name: 'http' }, { port: 443 }] };
    expect(merge(target, { ports: [{ port: 80, target: 8080 }, { port: 90 }] })).toEqual({
      ports: [{ port: 80, name: 'http', target: 8080 }, { port: 90 }, { port: 443 }],
    });
  });

  it('removes the items marked $patch: delete', () => {
    const target = { ports: [{ port: 80 }, { port: 443 }] };
    expect(merge(target, { ports: [{ $patch: 'delete', port: 80 }] })).toEqual({ ports: [{ port: 443 }] });
  });

  it('replaces a list that holds $patch: replace', () => {
    const target = { ports: [{ port: 80 }, { port: 443 }] };
    expect(merge(target, { ports: [{ $patch: 'replace' }, { port: 1 }] })).toEqual({ ports: [{ port: 1 }] });
  });

  it('replaces or empties an object that is marked so', () => {
    const target = { metadata: { labels: { a: '1' } } };
    expect(merge(target, { metadata: { labels: { $patch: 'replace', b: '2' } } })).toEqual({
      metadata: { labels: { b: '2' } },
    });
    expect(merge(target, { metadata: { labels: { $patch: 'delete' } } })).toEqual({
      metadata: { labels: {} },
    });
  });

  it('replaces lists without a merge key as a whole', () => {
    expect(merge({ ranges: ['a', 'b'] }, { ranges: ['c'] })).toEqual({ ranges: ['c'] });
  });

  it('unites lists of plain values, and takes from them what $deleteFromPrimitiveList names', () => {
    const target = { metadata: { finalizers: ['a', 'b'] } };
    const patch = { metadata: { '$deleteFromPrimitiveList/finalizers': ['a'], finalizers: ['c', 'b'] } };
    expect(merge(target, patch)).toEqual({ metadata: { finalizers: ['c', 'b'] } });
  });

  it('orders a list as $setElementOrder says; items that it does not name stay in front of what they were in front of', () => {
    const target = { ports: [{ port: 1 }, { port: 2 }, { port: 3 }] };
    const order = [{ port: 3 }, { port: 1 }];
    expect(merge(target, { '$setElementOrder/ports': order, ports: [] })).toEqual({
      ports: [{ port: 2 }, { port: 3 }, { port: 1 }],
    });
  });

  it('keeps only what $retainKeys names', () => {
    const target = { metadata: {}, ranges: ['a'] };
    expect(merge(target, { $retainKeys: ['ranges'], ranges: ['b'] })).toEqual({ ranges: ['b'] });
  });

  it('refuses an item without its merge key and a directive that is none', () => {
    expect(() => merge({}, { ports: [{ name: 'x' }] })).toThrow('merge key: port');
    expect(() => merge({}, { metadata: { $patch: 'explode' } })).toThrow('explode');
  });
});
