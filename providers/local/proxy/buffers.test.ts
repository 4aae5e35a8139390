import { describe, expect, it } from 'vitest';
import { BufferPool } from './buffers.ts';

describe('a buffer pool', () => {
  it('lends a buffer again that came back, the latest first', () => {
    const pool = new BufferPool(16, 2);
    const [a, b] = [pool.take(), pool.take()];
    expect(a).not.toBe(b);
    pool.give(a);
    pool.give(b);
    expect(pool.take()).toBe(b);
    expect(pool.take()).toBe(a);
    expect(pool.take().length).toBe(16);
  });

  it('keeps no more buffers than it may', () => {
    const pool = new BufferPool(16, 2);
    for (const buffer of [pool.take(), pool.take(), pool.take()]) pool.give(buffer);
    expect(pool.idle).toBe(2);
  });
});
