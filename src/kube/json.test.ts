import { expect, it } from 'vitest';
import { jsonOf } from './json.ts';

it('writes a bigint with all its digits and everything else as JSON does', () => {
  expect(jsonOf({ count: 2n ** 63n - 1n, list: [1, null, 'a', { b: undefined }] })).toBe(
    '{"count":9223372036854775807,"list":[1,null,"a",{}]}',
  );
});
