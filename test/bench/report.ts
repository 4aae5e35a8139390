import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What a figure is held against; both ends count as met. */
export type Target =
  | { readonly atMost: number }
  | { readonly atLeast: number }
  | { readonly between: readonly [number, number] }
  | { readonly exactly: number };

/** One line of a report. */
export interface Measurement {
  /** Stable name for machines: `core.ready.ms`. */
  readonly id: string;
  /** What was measured, for people. */
  readonly what: string;
  readonly value: number;
  /** `ms`, `MB`, `requests`, ... */
  readonly unit: string;
  /** Absent: a figure to know, nothing that can be missed. */
  readonly target?: Target;
  /** How it came about: spread, number of runs, what it was cross-checked with. */
  readonly note?: string;
}

/** What one benchmark found. */
export interface Report {
  readonly bench: string;
  readonly machine: MachineFacts;
  /** What the figures were measured with: sizes, options. */
  readonly setup: Readonly<Record<string, string | number | boolean>>;
  readonly measurements: readonly Measurement[];
  /** What a reader has to know to judge the figures. */
  readonly caveats: readonly string[];
}

/** What the figures were measured on. */
export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  readonly platform: string;
  /** Load average over a minute before the benchmark began: above 0 means that somebody else was at work. */
  readonly loadBefore: number;
}

/** Reads the machine's facts. */
export function machineFacts(): MachineFacts {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: rounded(totalmem() / 2 ** 30),
    node: process.version,
    platform: `${process.platform}/${process.arch}`,
    loadBefore: rounded(loadavg()[0] ?? 0),
  };
}

/** The machine in one line. */
export function machineText(machine: MachineFacts): string {
  const { cores, cpu, memoryGiB, node, platform, loadBefore } = machine;
  return `${cores} cores (${cpu}), ${memoryGiB} GiB, Node ${node} on ${platform}, load ${loadBefore} before`;
}

/** Whether a measurement meets its target; `undefined` when it has none. */
export function meets({ value, target }: Pick<Measurement, 'value' | 'target'>): boolean | undefined {
  if (target === undefined) return undefined;
  // What could not be measured (NaN) meets nothing.
  if ('atMost' in target) return value <= target.atMost;
  if ('atLeast' in target) return value >= target.atLeast;
  if ('exactly' in target) return value === target.exactly;
  return value >= target.between[0] && value <= target.between[1];
}

/** Whether no measurement missed its target. */
export function allMet(report: Pick<Report, 'measurements'>): boolean {
  return report.measurements.every((measurement) => meets(measurement) !== false);
}

/** The report as a table with target and measured columns, then its caveats and a counts line. */
export function reportText(report: Report): string {
  const { measurements, caveats } = report;
  const rows = measurements.map((measurement) => [
    measurement.what,
    targetText(measurement),
    `${numberText(measurement.value)} ${measurement.unit}`,
    verdictText(meets(measurement)),
    measurement.note ?? '',
  ]);
  const missed = measurements.filter((measurement) => meets(measurement) === false).length;
  const held = measurements.filter((measurement) => meets(measurement) === true).length;
  return [
    ...table(['', 'target', 'measured', '', ''], rows),
    '',
    ...caveats.map((caveat) => `- ${caveat}`),
    `${held} of ${held + missed} targets met${missed === 0 ? '' : `, ${missed} MISSED`}`,
  ].join('\n');
}

/** Writes `test-results/bench-NAME.json` and returns its path, relative to the working directory. */
export async function writeReport(report: Report): Promise<string> {
  const dir = fileURLToPath(new URL('../../test-results', import.meta.url));
  const path = join(dir, `bench-${report.bench}.json`);
  const measurements = report.measurements.map((measurement) => ({
    ...measurement,
    met: meets(measurement),
  }));
  await mkdir(dir, { recursive: true });
  await writeFile(path, `${JSON.stringify({ ...report, measurements, at: new Date() }, null, 2)}\n`);
  return relative(process.cwd(), path);
}

/** Prints the report, writes it, and makes the exit code 1 when a target was missed. */
export async function publish(report: Report): Promise<void> {
  console.log(reportText(report));
  console.log(`written to ${await writeReport(report)}`);
  if (!allMet(report)) process.exitCode = 1;
}

/** Rows in columns as wide as their widest cell, without trailing spaces. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const widths = head.map((_, column) =>
    Math.max(...[head, ...rows].map((row) => (row[column] ?? '').length)),
  );
  return [head, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** The value below which the given share (0 to 1) of the values lies; NaN for none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Rounded for people: two decimals below 10, one below 100, none above. */
export function rounded(value: number): number {
  const digits = Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0;
  return Number(value.toFixed(digits));
}

function numberText(value: number): string {
  return Number.isNaN(value) ? 'not measured' : rounded(value).toLocaleString('en-GB');
}

function targetText({ target, unit }: Measurement): string {
  if (target === undefined) return '';
  if ('atMost' in target) return `<= ${numberText(target.atMost)} ${unit}`;
  if ('atLeast' in target) return `>= ${numberText(target.atLeast)} ${unit}`;
  if ('exactly' in target) return `= ${numberText(target.exactly)} ${unit}`;
  return `${numberText(target.between[0])} to ${numberText(target.between[1])} ${unit}`;
}

function verdictText(met: boolean | undefined): string {
  return met === undefined ? '' : met ? 'ok' : 'MISS';
}
