/** What a recording says about one address: who held it, silence, two owners, moves. Pure. */
import type { NeighbourFrame } from './metal-record.ts';

/** A stretch of time, in milliseconds since the epoch. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** What was seen of one address in a span. */
export interface Timeline {
  readonly requests: number;
  readonly answers: number;
  /** Requests that nobody answered, not even late; the last one does not count. */
  readonly unanswered: number;
  /** Longest time between two answers, or between an answer and the span's begin or end. */
  readonly silenceMs: number;
  /** Requests answered by two nodes, times the time between requests: how long there were two owners. */
  readonly twoOwnersMs: number;
  /** MACs in the order of their first answer. */
  readonly owners: readonly string[];
  /** Who answered last. */
  readonly owner: string | undefined;
  /** How often the node that answered alone for a while (`SETTLED_MS`) was another one than before. */
  readonly moves: number;
  readonly gratuitous: number;
}

/** Reads a recording. `intervalMs` is the time between two requests for the address. */
export function timelineOf(
  frames: readonly NeighbourFrame[],
  address: string,
  { fromMs, toMs, intervalMs }: Span & { readonly intervalMs: number },
): Timeline {
  const about = frames.filter(
    (frame) => frame.address === address && frame.atMs >= fromMs && frame.atMs <= toMs,
  );
  const answers = about.filter(({ kind }) => kind === 'answer');
  const rounds = roundsOf(about);
  return {
    requests: rounds.length,
    answers: answers.length,
    unanswered: rounds.slice(0, -1).filter(({ macs }) => macs.size === 0).length,
    silenceMs: longestGap([fromMs, ...answers.map(({ atMs }) => atMs), toMs]),
    twoOwnersMs: rounds.filter(({ macs }) => macs.size > 1).length * intervalMs,
    owners: [...new Set(answers.map(({ mac }) => mac))],
    owner: answers.at(-1)?.mac,
    moves: movesIn(rounds),
    gratuitous: about.filter(({ kind }) => kind === 'gratuitous').length,
  };
}

/** When the address was first answered by somebody whose MAC fits, in milliseconds after `fromMs`. */
export function firstAnswerMs(
  frames: readonly NeighbourFrame[],
  address: string,
  { fromMs, by = () => true }: { readonly fromMs: number; readonly by?: (mac: string) => boolean },
): number | undefined {
  const found = frames.find(
    (frame) => frame.kind === 'answer' && frame.address === address && frame.atMs >= fromMs && by(frame.mac),
  );
  return found === undefined ? undefined : found.atMs - fromMs;
}

/** A request with those who answered it. */
interface Round {
  readonly atMs: number;
  readonly macs: Set<string>;
}

/** How late an answer may be: a busy machine's processes wait for their turn. */
const LATE_MS = 500;

/**
 * Answers do not say which request they belong to. One counts for the newest request that its sender has not answered
 * yet: after a pause, a burst of late answers pays for the requests of the pause.
 */
function roundsOf(frames: readonly NeighbourFrame[]): readonly Round[] {
  const rounds: Round[] = [];
  for (const { kind, mac, atMs } of frames) {
    if (kind === 'request') rounds.push({ atMs, macs: new Set() });
    if (kind !== 'answer') continue;
    for (let i = rounds.length - 1; i >= 0; i--) {
      const round = rounds[i];
      if (round === undefined || atMs - round.atMs > LATE_MS) break;
      if (round.macs.has(mac)) continue;
      round.macs.add(mac);
      break;
    }
  }
  return rounds;
}

/** Whoever answers alone for less is part of a dispute, which counts as two owners and not as moves. */
const SETTLED_MS = 250;

function movesIn(rounds: readonly Round[]): number {
  const stretches: { mac: string; fromMs: number; toMs: number }[] = [];
  for (const { atMs, macs } of rounds) {
    const [mac] = macs;
    if (mac === undefined || macs.size > 1) continue;
    const last = stretches.at(-1);
    if (last?.mac === mac) last.toMs = atMs;
    else stretches.push({ mac, fromMs: atMs, toMs: atMs });
  }
  const settled = stretches.filter(({ fromMs, toMs }) => toMs - fromMs >= SETTLED_MS);
  return settled.filter(({ mac }, index) => index > 0 && mac !== settled[index - 1]?.mac).length;
}

function longestGap(times: readonly number[]): number {
  return times.reduce((longest, at, index) => Math.max(longest, at - (times[index - 1] ?? at)), 0);
}
