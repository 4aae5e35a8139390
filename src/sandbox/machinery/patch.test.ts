import { describe, expect, it } from 'vitest';
import type { Json } from './objects.ts';
import { jsonPatch, mergePatch } from './patch.ts';

describe('mergePatch', () => {
  // The test cases of RFC 7386, appendix A, as far as the target is an object.
  it.each<[Json, Json, Json]>([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j with %j gives %j', (target, patch, result) => {
    const before = structuredClone(target);
    expect(mergePatch(target, patch)).toEqual(result);
    expect(target).toEqual(before);
  });
});

describe('jsonPatch', () => {
  const target = { list: [1, 2], map: { 'a/b': 1, 'm~n': 2 }, name: 'x' };

  it.each<[Json, Json]>([
    [[{ op: 'add', path: '/list/-', value: 3 }], { ...target, list: [1, 2, 3] }],
    [[{ op: 'add', path: '/list/0', value: 0 }], { ...target, list: [0, 1, 2] }],
    [[{ op: 'remove', path: '/list/0' }], { ...target, list: [2] }],
    [[{ op: 'replace', path: '/list/1', value: 9 }], { ...target, list: [1, 9] }],
    [[{ op: 'remove', path: '/map/a~1b' }], { ...target, map: { 'm~n': 2 } }],
    [[{ op: 'replace', path: '/map/m~0n', value: 7 }], { ...target, map: { 'a/b': 1, 'm~n': 7 } }],
    [[{ op: 'move', from: '/name', path: '/other' }], { list: [1, 2], map: target.map, other: 'x' }],
    [[{ op: 'copy', from: '/name', path: '/other' }], { ...target, other: 'x' }],
    [[{ op: 'test', path: '/name', value: 'x' }], target],
  ])('applies %j', (patch, result) => {
    expect(jsonPatch(target, patch)).toEqual(result);
  });

  it.each<[number, Json]>([
    [422, [{ op: 'test', path: '/name', value: 'y' }]],
    [422, [{ op: 'remove', path: '/nothing' }]],
    [422, [{ op: 'replace', path: '/nothing', value: 1 }]],
    [422, [{ op: 'add', path: '/nothing/there', value: 1 }]],
    [422, [{ op: 'add', path: '/list/9', value: 1 }]],
    [422, [{ op: 'add', path: '/list/x', value: 1 }]],
    [422, [{ op: 'move', from: '/nothing', path: '/a' }]],
    [422, [{ op: 'blow', path: '/a' }]],
    [422, [{ op: 'remove', path: 'name' }]],
    [400, { op: 'remove', path: '/name' }],
    [400, [{ op: 'remove' }]],
  ])('answers %d to %j', (code, patch) => {
    expect(() => jsonPatch(target, patch)).toThrow(expect.objectContaining({ code }));
  });

  it('leaves the target as it was when a later operation fails', () => {
    const before = structuredClone(target);
    const patch = [
      { op: 'remove', path: '/name' },
      { op: 'remove', path: '/nothing' },
    ];
    expect(() => jsonPatch(target, patch)).toThrow('missing');
    expect(target).toEqual(before);
  });
});
