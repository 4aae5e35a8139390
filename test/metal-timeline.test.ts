import { describe, expect, it } from 'vitest';
import type { NeighbourFrame } from './harness/metal-record.ts';
import { firstAnswerMs, timelineOf } from './harness/metal-timeline.ts';

const ADDRESS = '192.0.2.1';
const base = { family: 'IPv4', address: ADDRESS } as const;

/** A request every 10 ms from 0 on, answered by the nodes that `by` names after `lateMs`. */
function asked(rounds: number, by: (round: number) => string, lateMs = 1): readonly NeighbourFrame[] {
  const frames = Array.from({ length: rounds }, (_, round): NeighbourFrame[] => [
    { ...base, kind: 'request', mac: 'client', atMs: round * 10 },
    ...[...by(round)].map((mac): NeighbourFrame => ({
      ...base,
      kind: 'answer',
      mac,
      atMs: round * 10 + lateMs,
    })),
  ]).flat();
  return frames.toSorted((a, b) => a.atMs - b.atMs);
}

const timeline = (frames: readonly NeighbourFrame[], toMs: number): ReturnType<typeof timelineOf> =>
  timelineOf(frames, ADDRESS, { fromMs: 0, toMs, intervalMs: 10 });

describe('the timeline of an address', () => {
  it('one owner who answers everything: nothing lost, nothing doubled, no move', () => {
    expect(
      timeline(
        asked(100, () => 'a'),
        1_000,
      ),
    ).toMatchObject({
      requests: 100,
      answers: 100,
      unanswered: 0,
      twoOwnersMs: 0,
      moves: 0,
      owner: 'a',
    });
  });

  it('a failover is one move, and its silence is the time between the two answers', () => {
    const frames = asked(150, (round) => (round < 50 ? 'a' : round < 100 ? '' : 'b'));
    expect(timeline(frames, 1_500)).toMatchObject({
      unanswered: 50,
      silenceMs: 510,
      moves: 1,
      owners: ['a', 'b'],
    });
  });

  it('an address that goes and comes back has moved twice', () => {
    const frames = asked(150, (round) => (round < 50 || round >= 100 ? 'a' : 'b'));
    expect(timeline(frames, 1_500).moves).toBe(2);
  });

  it('requests answered by two nodes are time with two owners; a dispute is no move', () => {
    const frames = asked(150, (round) => (round < 50 ? 'a' : round < 60 ? 'ab' : round < 65 ? 'b' : 'a'));
    expect(timeline(frames, 1_500)).toMatchObject({ twoOwnersMs: 100, moves: 0, unanswered: 0 });
  });

  it('answers that come late, all at once, count for the requests that waited for them', () => {
    const frames = asked(50, () => 'a').map((frame) =>
      frame.kind === 'answer' && frame.atMs > 100 && frame.atMs < 200 ? { ...frame, atMs: 205 } : frame,
    );
    const sorted = frames.toSorted((a, b) => a.atMs - b.atMs);
    expect(timeline(sorted, 500)).toMatchObject({ unanswered: 0, twoOwnersMs: 0 });
  });

  it('the first answer is that of a sender who fits, after the given moment', () => {
    const frames = asked(100, (round) => (round < 50 ? 'a' : 'b'));
    expect(firstAnswerMs(frames, ADDRESS, { fromMs: 100, by: (mac) => mac !== 'a' })).toBe(401);
    expect(firstAnswerMs(frames, ADDRESS, { fromMs: 100, by: (mac) => mac === 'c' })).toBeUndefined();
  });
});
