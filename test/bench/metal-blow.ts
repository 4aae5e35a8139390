/** A failure again and again: what it does to the addresses, and how that is judged. */
import { type MetalBench, spread, total, Watch, worst } from './metal-watch.ts';
import type { Measurement } from './report.ts';

/** Long enough for the holder to have answered alone before. */
const BEFORE_MS = 500;

/** What one failure did to the addresses of the node that it hit. */
export interface Blow {
  /** First answer by another node, of the slowest address. */
  readonly firstMs: number;
  /** Longest time without an answer, of the worst address. */
  readonly silenceMs: number;
  readonly unanswered: number;
  readonly twoOwnersMs: number;
  /** Moves of all addresses, and those that the failure explains. */
  readonly moves: number;
  readonly expected: number;
  /** Gratuitous frames for each address that moved. */
  readonly gratuitous: number;
}

/** What is done to a node, in stages; `mark` tells how the time up to it is to be judged. */
export type Treatment = (victim: string, mark: (stage: string) => Promise<void>) => Promise<void>;

/** The same treatment again and again; the stages' blows by name. */
export async function repeated(
  bench: MetalBench,
  addresses: readonly string[],
  { runs, treat }: { readonly runs: number; readonly treat: Treatment },
): Promise<ReadonlyMap<string, readonly Blow[]>> {
  const blows = new Map<string, Blow[]>();
  for (let run = 0; run < runs; run++) {
    const watch = await Watch.start(bench, addresses);
    try {
      const before = await watch.settled();
      const victim = before.get(addresses[run % addresses.length] ?? '') ?? '';
      const theirs = addresses.filter((address) => before.get(address) === victim);
      let fromMs = Date.now();
      await treat(victim, async (stage) => {
        const toMs = Date.now();
        await watch.read();
        const blow = blowOf(watch, { addresses, theirs, victim, fromMs, toMs });
        blows.set(stage, [...(blows.get(stage) ?? []), blow]);
        fromMs = toMs;
      });
    } finally {
      await watch.stop();
    }
  }
  return blows;
}

interface Case {
  readonly addresses: readonly string[];
  readonly theirs: readonly string[];
  readonly victim: string;
  readonly fromMs: number;
  readonly toMs: number;
}

function blowOf(watch: Watch, { addresses, theirs, victim, fromMs, toMs }: Case): Blow {
  const lines = theirs.map((address) => watch.timeline(address, { fromMs, toMs }));
  const all = addresses.map((address) => watch.timeline(address, { fromMs, toMs }));
  // Who answered before is part of a move.
  const withBefore = addresses.map((address) =>
    watch.timeline(address, { fromMs: fromMs - BEFORE_MS, toMs }),
  );
  return {
    firstMs: worst(theirs.map((address) => watch.firstFromOther(address, victim, fromMs))),
    silenceMs: worst(lines.map((line) => line.silenceMs)),
    unanswered: total(all.map((line) => line.unanswered)),
    twoOwnersMs: worst(all.map((line) => line.twoOwnersMs)),
    moves: total(withBefore.map((line) => line.moves)),
    expected: theirs.length,
    gratuitous: total(all.map((line) => line.gratuitous)) / theirs.length,
  };
}

/** Records what was measured: as `metal.ID`. */
export function measure({ record }: MetalBench, id: string, measurement: Omit<Measurement, 'id'>): void {
  record({ id: `metal.${id}`, ...measurement });
}

/** Records the longest time that an address was answered by two nodes. */
export function twoOwners(
  bench: MetalBench,
  id: string,
  {
    what,
    blows,
    atMostMs,
  }: { readonly what: string; readonly blows: readonly Blow[]; readonly atMostMs: number },
): void {
  const values = blows.map(({ twoOwnersMs }) => twoOwnersMs);
  measure(bench, `${id}.twoOwners`, {
    what,
    value: worst(values),
    unit: 'ms',
    target: { atMost: atMostMs },
    note: spread(values),
  });
}

/** Records moves on top of one for each address of the node that failed; of a stage that ends with its return, all count. */
export function moves(
  bench: MetalBench,
  id: string,
  {
    what,
    blows,
    back,
  }: { readonly what: string; readonly blows: readonly Blow[]; readonly back: readonly Blow[] },
): void {
  const extra = blows.map((blow) => blow.moves - blow.expected);
  const returned = back.map((blow) => blow.moves);
  measure(bench, `${id}.moves`, {
    what,
    value: total(extra) + total(returned),
    unit: 'moves',
    target: { exactly: 0 },
    note: `by run: ${extra.join(' ')}; at the return: ${returned.join(' ')}`,
  });
}
