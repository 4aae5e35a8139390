import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineSplitter } from './lines.ts';

function split(chunks: readonly Buffer[]): string[] {
  const splitter = new LineSplitter();
  const lines: string[] = [];
  for (const chunk of chunks) splitter.push(chunk, (line) => lines.push(line));
  return lines;
}

describe('LineSplitter', () => {
  it('gives each complete line once and keeps what has no newline yet', () => {
    expect(split([Buffer.from('a\nbc'), Buffer.from('d\n\ne')])).toEqual(['a', 'bcd']);
  });

  it('makes a character whole that was cut between two chunks', () => {
    const bytes = Buffer.from('{"name":"Grüße 🚢"}\n');
    for (let cut = 1; cut < bytes.length; cut++) {
      expect(split([bytes.subarray(0, cut), bytes.subarray(cut)])).toEqual(['{"name":"Grüße 🚢"}']);
    }
  });

  it('gives the same lines however the bytes are cut', () => {
    const lines = fc.array(fc.string({ unit: 'grapheme', minLength: 1 }).map((text) => JSON.stringify(text)));
    fc.assert(
      fc.property(lines, fc.array(fc.nat(200), { minLength: 1 }), (expected, sizes) => {
        let rest = Buffer.from(expected.map((line) => `${line}\n`).join(''));
        const chunks: Buffer[] = [];
        for (let i = 0; rest.length > 0; i++) {
          const size = 1 + (sizes[i % sizes.length] ?? 0);
          chunks.push(rest.subarray(0, size));
          rest = rest.subarray(size);
        }
        expect(split(chunks)).toEqual(expected);
      }),
    );
  });
});
