import { type AwsWorld, type Counts, sum } from '../fixtures/aws-world.ts';
import type { AwsBerth } from './aws-process.ts';
import { until } from './berth-process.ts';
import { type Measurement, table, type Target } from './report.ts';

/** How large the benchmark is. Times are milliseconds. */
export interface AwsSizes {
  readonly services: number;
  readonly nodes: number;
  readonly latencyMs: number;
  /** Services whose port is changed. */
  readonly changed: number;
  readonly restMs: number;
  readonly nodeArgs: readonly string[];
  /** Whether times have targets: not where the sizes are not those of the table. */
  readonly judged: boolean;
}

/** What every phase works with. */
export interface AwsBench {
  readonly world: AwsWorld;
  readonly sizes: AwsSizes;
  readonly dir: string;
  /** Ends everything. */
  readonly signal: AbortSignal;
  readonly record: (measurement: Measurement) => void;
  /** Keeps what was called in a phase, for the table of operations. */
  readonly keep: (phase: string, counts: Counts) => void;
}

/** Ports of each Service. */
export const PORTS = [80, 443] as const;

/** Nothing is waited for longer than this, in milliseconds. */
const LIMIT_MS = 150_000;

/** Longer than any pause between the calls of one piece of work, in milliseconds. */
const QUIET_MS = 1_500;

/** `web-7`. */
export function serviceNames(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `web-${index}`);
}

/** What a piece of work took. */
export interface Taken {
  /** From its beginning until it was seen to be done, in milliseconds. */
  readonly doneMs: number;
  /** From its beginning until the answer of its last call, in milliseconds. */
  readonly callsMs: number;
  readonly counts: Counts;
}

/** Waits as `until` does, as long and as closely as these phases ask for. */
export function awaited(
  what: string,
  holds: () => boolean | Promise<boolean>,
  waiting: { readonly berth: AwsBerth; readonly signal: AbortSignal },
): Promise<void> {
  return until(what, holds, { ...waiting, everyMs: 10, limitMs: LIMIT_MS });
}

/** How a piece of work is measured. */
export interface Work {
  readonly what: string;
  readonly berth: AwsBerth;
  readonly begin: () => unknown;
  /** Whether it is done; without, it is done with its last call. */
  readonly done?: () => boolean | Promise<boolean>;
}

/** Measures a piece of work: when it was done, when the last call was answered, and what was called. */
export async function measure({ world, sizes, signal }: AwsBench, work: Work): Promise<Taken> {
  const { calls } = world.account;
  await calls.reset();
  const begun = Date.now();
  await work.begin();
  await awaited(work.what, work.done ?? (async () => (await calls.total()) > 0), {
    berth: work.berth,
    signal,
  });
  const doneMs = Date.now() - begun;
  const counts = await world.quiet(QUIET_MS, LIMIT_MS);
  const last = Math.max(begun, ...(await calls.list()).map(({ at }) => at + sizes.latencyMs));
  return { doneMs, callsMs: last - begun, counts };
}

/** The figures of the two incumbents for the same work. */
export interface Incumbents {
  readonly lbc: string;
  readonly cpa: string;
}

/** `AWS LB Controller 1,473, cloud-provider-aws 930`. */
export function beside({ lbc, cpa }: Incumbents): string {
  return `AWS LB Controller ${lbc}, cloud-provider-aws ${cpa}`;
}

/** What a count of calls is told with. */
export interface Count {
  readonly id: string;
  readonly what: string;
  readonly counts: Counts;
  readonly target?: Target;
  readonly note: string;
}

/** Records how many calls there were. */
export function recordCalls({ record, keep }: AwsBench, { id, counts, target, ...told }: Count): void {
  keep(id, counts);
  record({ id: `aws.${id}.calls`, value: sum(counts), unit: 'calls', ...(target && { target }), ...told });
}

/** Records a time in seconds; it has a target only at full size. */
export function recordTime(
  { record, sizes }: AwsBench,
  {
    ms,
    atMost,
    ...told
  }: Pick<Measurement, 'id' | 'what' | 'note'> & { readonly ms: number; readonly atMost?: number },
): void {
  const target = sizes.judged && atMost !== undefined ? { target: { atMost } } : {};
  record({ value: ms / 1_000, unit: 's', ...target, ...told });
}

/** Calls by operation, one column for each phase. */
export function operationsTable(phases: ReadonlyMap<string, Counts>): readonly string[] {
  const operations = [...new Set([...phases.values()].flatMap((counts) => Object.keys(counts)))].toSorted();
  const row = (operation: string): string[] => [
    operation,
    ...[...phases.values()].map((counts) => String(counts[operation] ?? '')),
  ];
  const total = ['together', ...[...phases.values()].map((counts) => String(sum(counts)))];
  return table(['calls by operation', ...phases.keys()], [...operations.map(row), total]);
}
