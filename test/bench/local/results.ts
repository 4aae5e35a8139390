import { availableParallelism } from 'node:os';
import { quantile, rounded, type Measurement } from '../report.ts';
import type { LoadKind, LoadResult } from './load.ts';

/** One thing that is measured for every subject. */
export interface Scenario {
  readonly id: string;
  readonly what: string;
  readonly kind: LoadKind;
  readonly connections: number;
  /** Share of HAProxy's figure to reach. */
  readonly atLeast?: number;
}

/** One measurement of one scenario with one subject. */
export interface Run {
  readonly scenario: string;
  readonly subject: 'direct' | 'berth' | 'haproxy';
  readonly round: number;
  readonly result: LoadResult;
  /** How long it took, warm-up included. */
  readonly seconds: number;
  /** Processor seconds that it took. */
  readonly processor: {
    readonly proxy: number;
    readonly generator: number;
    readonly backend: number;
    /** Everything else on the machine. */
    readonly others: number;
  };
}

/** From this share of all cores on, what others use is worth a remark. */
const DISTURBED = 0.1;

/** From this share of a core on the generator counts as the bottleneck. */
const BUSY = 0.9;

/** The report's lines, and remarks on what limits the figures. */
export function measurementsOf(
  scenarios: readonly Scenario[],
  runs: readonly Run[],
): { readonly measurements: readonly Measurement[]; readonly remarks: readonly string[] } {
  const measurements = scenarios.flatMap((scenario) => {
    const own = runs.filter((run) => run.scenario === scenario.id);
    return scenario.kind === 'paced' ? latencies(scenario, own) : throughput(scenario, own);
  });
  const remarks = [...bottlenecks(scenarios, runs), ...failures(scenarios, runs), ...disturbance(runs)];
  return { measurements, remarks };
}

function throughput(scenario: Scenario, runs: readonly Run[]): readonly Measurement[] {
  const bulk = scenario.kind === 'download' || scenario.kind === 'upload';
  const [unit, scale] = bulk ? ['MB/s', 1e6] : ['1/s', 1];
  const subjects = (['direct', 'haproxy', 'berth'] as const).flatMap((subject): Measurement[] => {
    const own = of(runs, subject);
    if (own.length === 0) return [];
    const id = `local.${scenario.id}.${subject}`;
    const value = median(own.map(({ result }) => result.perSecond / scale));
    return [{ id, what: `${scenario.what}, ${subject}`, value, unit, note: cost(own, bulk) }];
  });
  const ratios = shares(runs);
  if (ratios.length === 0 || scenario.atLeast === undefined) return subjects;
  const ratio: Measurement = {
    id: `local.${scenario.id}.ratio`,
    what: `${scenario.what}, berth / haproxy`,
    value: median(ratios),
    unit: 'x',
    target: { atLeast: scenario.atLeast },
    note: `rounds: ${ratios.map((value) => value.toFixed(2)).join(' ')}`,
  };
  return [...subjects, ratio];
}

/** Berth's share of HAProxy's figure in each round. */
function shares(runs: readonly Run[]): readonly number[] {
  const theirs = new Map(of(runs, 'haproxy').map(({ round, result }) => [round, result.perSecond]));
  return of(runs, 'berth').flatMap(({ round, result }) => {
    const other = theirs.get(round);
    return other === undefined || other === 0 ? [] : [result.perSecond / other];
  });
}

/** Processor time of the proxy for each megabyte or round trip, which noise on the machine alters least. */
function cost(runs: readonly Run[], bulk: boolean): string {
  const each = runs.map(({ processor, result }) => (processor.proxy / result.total) * (bulk ? 1e12 : 1e6));
  const value = median(each);
  return Number.isNaN(value) ? '' : `processor: ${rounded(value)} µs for each ${bulk ? 'MB' : 'one'}`;
}

function latencies(scenario: Scenario, runs: readonly Run[]): readonly Measurement[] {
  const value = (subject: Run['subject'], key: 'p50Ms' | 'p99Ms'): number =>
    median(of(runs, subject).map(({ result }) => result[key])) * 1_000;
  const subjects = (['haproxy', 'berth'] as const).filter((subject) => of(runs, subject).length > 0);
  return (['p50Ms', 'p99Ms'] as const).flatMap((key) =>
    subjects.map((subject): Measurement => {
      const name = key.slice(0, 3);
      return {
        id: `local.${scenario.id}.${name}.${subject}`,
        what: `${scenario.what}, ${name} added by ${subject}`,
        value: value(subject, key) - value('direct', key),
        unit: 'µs',
        note: `${rounded(value(subject, key))} µs, without a proxy ${rounded(value('direct', key))} µs`,
      };
    }),
  );
}

/** Scenarios in which the generator had no processor time left, so that all subjects look alike. */
function bottlenecks(scenarios: readonly Scenario[], runs: readonly Run[]): readonly string[] {
  const busy = scenarios.filter(({ id }) => {
    const own = runs.filter(({ scenario, subject }) => scenario === id && subject !== 'direct');
    return median(own.map(({ processor, seconds }) => processor.generator / seconds)) >= BUSY;
  });
  if (busy.length === 0) return [];
  const names = busy.map(({ what }) => what).join('; ');
  return [`The load generator used a whole core and limits both proxies alike in: ${names}.`];
}

/** Whether somebody else was at work. One thread gets a smaller share of a busy machine than HAProxy's several. */
function disturbance(runs: readonly Run[]): readonly string[] {
  const share = median(
    runs.map(({ processor, seconds }) => processor.others / seconds / availableParallelism()),
  );
  if (Number.isNaN(share) || share < DISTURBED) return [];
  const percent = Math.round(share * 100);
  return [
    `Other processes used ${percent} % of the machine meanwhile, so the figures are not those of a quiet one.`,
  ];
}

function failures(scenarios: readonly Scenario[], runs: readonly Run[]): readonly string[] {
  return scenarios.flatMap(({ id, what }) =>
    (['direct', 'berth', 'haproxy'] as const).flatMap((subject) => {
      const own = of(runs, subject).filter(({ scenario }) => scenario === id);
      const errors = own.reduce((sum, { result }) => sum + result.errors, 0);
      return errors === 0 ? [] : [`${errors} connections failed in: ${what}, ${subject}.`];
    }),
  );
}

function of(runs: readonly Run[], subject: Run['subject']): readonly Run[] {
  return runs.filter((run) => run.subject === subject);
}

function median(values: readonly number[]): number {
  return quantile(
    values.filter((value) => !Number.isNaN(value)),
    0.5,
  );
}
