import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { LARGE_BUFFER, SMALL_BUFFER, smallBuffers } from './buffers.ts';
import { Flow } from './flow.ts';

/** Node hands the buffer back with each read; the flow knows it. */
const UNUSED = new Uint8Array();

/** A flow between sockets that do nothing by themselves: `written` holds what the sink has not yet taken. */
function scene() {
  const owner = { active: false, flowEnded: () => {}, flowFailed: () => {} };
  const flow = new Flow(owner);
  const written: { chunk: Uint8Array; taken: () => void }[] = [];
  let resumed = 0;
  let slow = false;
  const source = { _read: () => resumed++ } as unknown as Socket;
  const sink = {
    _write(chunk: Uint8Array, _encoding: string, callback: () => void) {
      if (slow) written.push({ chunk, taken: callback });
      else callback();
    },
  } as unknown as Socket;
  const nextBuffer = flow.reads.buffer as () => Buffer;
  const read = (length: number): { goesOn: boolean; buffer: Buffer } => ({
    goesOn: flow.reads.callback(length, UNUSED),
    buffer: nextBuffer(),
  });
  nextBuffer();
  flow.start(source, sink);
  return {
    flow,
    read,
    nextBuffer,
    written,
    block: (value: boolean) => (slow = value),
    resumed: () => resumed,
  };
}

describe('a flow', () => {
  it('takes a large buffer when the small one was filled, and a small one after many small reads', () => {
    const { read, nextBuffer } = scene();
    expect(nextBuffer().length).toBe(SMALL_BUFFER);
    expect(read(SMALL_BUFFER - 1).buffer.length).toBe(SMALL_BUFFER);
    expect(read(SMALL_BUFFER).buffer.length).toBe(LARGE_BUFFER);
    const lengths = Array.from({ length: 16 }, () => read(10).buffer.length);
    expect(lengths).toEqual([...Array<number>(15).fill(LARGE_BUFFER), SMALL_BUFFER]);
  });

  it('starts counting small reads anew after a large one', () => {
    const { read } = scene();
    read(SMALL_BUFFER);
    for (let i = 0; i < 15; i++) read(10);
    read(LARGE_BUFFER);
    expect(read(10).buffer.length).toBe(LARGE_BUFFER);
  });

  it('stops reading while the sink is slow, and goes on when it has taken everything', () => {
    const { read, written, block, resumed } = scene();
    block(true);
    const before = resumed();
    expect(read(10).goesOn).toBe(false);
    expect(resumed()).toBe(before);
    written[0]?.taken();
    expect(resumed()).toBe(before + 1);
    block(false);
    expect(read(10).goesOn).toBe(true);
  });

  it('gives no buffer away that the sink has not yet taken', () => {
    const { read, nextBuffer, written, block } = scene();
    const small = nextBuffer();
    block(true);
    read(SMALL_BUFFER);
    expect(written[0]?.chunk.buffer).toBe(small.buffer);
    expect(nextBuffer()).toBe(small);
    expect(smallBuffers.take()).not.toBe(small);
    written[0]?.taken();
    block(false);
    read(SMALL_BUFFER);
    expect(nextBuffer()).not.toBe(small);
    expect(smallBuffers.take()).toBe(small);
  });

  it('gives its buffer back when it is released, once', () => {
    const { flow, nextBuffer } = scene();
    const buffer = nextBuffer();
    const idle = smallBuffers.idle;
    flow.release();
    flow.release();
    expect(smallBuffers.idle).toBe(idle + 1);
    expect(smallBuffers.take()).toBe(buffer);
  });
});
