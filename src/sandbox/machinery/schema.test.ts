import { describe, expect, it } from 'vitest';
import type { Json } from './objects.ts';
import {
  bool,
  decode,
  type Field,
  int,
  intOrString,
  kept,
  list,
  microTime,
  object,
  str,
  strings,
  struct,
  time,
} from './schema.ts';

function read(field: Field, value: Json): { value: Json | undefined; unknown: string[] } {
  const unknown: string[] = [];
  return { value: decode(field, value, { path: '', unknown }), unknown };
}

describe('decode', () => {
  it('drops unknown fields and names them', () => {
    const field = object({ spec: object({ ports: list(object({ port: int })) }) });
    expect(read(field, { spec: { ports: [{ port: 1, prot: 2 }], x: 1 }, y: 1 })).toEqual({
      value: { spec: { ports: [{ port: 1 }] } },
      unknown: ['spec.ports[0].prot', 'spec.x', 'y'],
    });
  });

  it('leaves zero values and nulls out, but keeps those of pointers', () => {
    const fields = { a: int, b: kept(int), c: str, d: kept(bool), e: strings, f: list(str), g: kept(str) };
    const value = { a: 0, b: 0, c: '', d: false, e: {}, f: [], g: null };
    expect(read(object(fields), value).value).toEqual({ b: 0, d: false });
  });

  it('puts in the structs that are always there', () => {
    const field = struct({ status: struct({ loadBalancer: struct({}) }), spec: object({}) });
    expect(read(field, {}).value).toEqual({ status: { loadBalancer: {} } });
  });

  it('keeps empty values of maps', () => {
    expect(read(strings, { a: '' }).value).toEqual({ a: '' });
  });

  it('takes __proto__ for the field name that it is', () => {
    const body = JSON.parse('{"__proto__": {"a": "b"}, "a": "c"}') as Json;
    expect(read(object({ a: str }), body)).toEqual({ value: { a: 'c' }, unknown: ['__proto__'] });
  });

  it.each<[Field, Json]>([
    [int, '80'],
    [int, 1.5],
    [str, 1],
    [bool, 'true'],
    [intOrString, true],
    [list(str), {}],
    [strings, { a: 1 }],
    [object({}), []],
    [time, 'yesterday'],
    [time, '2024-13-01T00:00:00Z'],
    [microTime, '2024-01-01T00:00:00Z'],
    [microTime, '2024-01-01T00:00:00.000Z'],
  ])('refuses %j for %j', (field, value) => {
    expect(() => read(field, value)).toThrow('expected');
  });

  it('keeps times in whole seconds, and micro times to the microsecond, in UTC', () => {
    expect(read(time, '2024-01-01T01:00:00.999+01:00').value).toBe('2024-01-01T00:00:00Z');
    expect(read(microTime, '2024-01-01T00:00:00.123456Z').value).toBe('2024-01-01T00:00:00.123456Z');
  });
});
