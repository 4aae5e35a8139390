import { describe, expect, it } from 'vitest';
import { fieldSelector, labelSelector, metadataFields } from './selectors.ts';

const labelled = (labels: Record<string, string>) => ({
  apiVersion: 'v1',
  kind: 'X',
  metadata: { name: 'x', labels },
});

describe('labelSelector', () => {
  it.each<[string, Record<string, string>, boolean]>([
    ['a=b', { a: 'b' }, true],
    ['a==b', { a: 'b' }, true],
    ['a=b', { a: 'c' }, false],
    ['a!=b', { a: 'c' }, true],
    ['a!=b', {}, true],
    ['a!=b', { a: 'b' }, false],
    ['a', { a: '' }, true],
    ['a', {}, false],
    ['!a', {}, true],
    ['!a', { a: 'b' }, false],
    ['a in (b,c)', { a: 'c' }, true],
    ['a in (b, c)', { a: 'd' }, false],
    ['a in (b)', {}, false],
    ['a notin (b,c)', { a: 'b' }, false],
    ['a notin (b,c)', {}, true],
    ['a=b,c in (d,e),!f', { a: 'b', c: 'e' }, true],
    ['a=b,c in (d,e),!f', { a: 'b', c: 'e', f: '' }, false],
    ['example.com/a=b', { 'example.com/a': 'b' }, true],
    ['a=', { a: '' }, true],
  ])('%s on %j is %s', (selector, labels, selected) => {
    expect(labelSelector(selector)(labelled(labels))).toBe(selected);
  });

  it('refuses what does not parse', () => {
    expect(() => labelSelector('a b c')).toThrow('unable to parse requirement');
  });
});

describe('fieldSelector', () => {
  const selectable = { fields: metadataFields, known: ['metadata.name', 'metadata.namespace'] };

  it('compares fields for equality and inequality', () => {
    expect(fieldSelector('metadata.name=x', selectable)(labelled({}))).toBe(true);
    expect(fieldSelector('metadata.name!=x', selectable)(labelled({}))).toBe(false);
    expect(fieldSelector('metadata.name=x,metadata.namespace=y', selectable)(labelled({}))).toBe(false);
  });

  it('refuses a field that the kind cannot be selected by', () => {
    expect(() => fieldSelector('spec.size=1', selectable)).toThrow('field label not supported: spec.size');
  });
});
