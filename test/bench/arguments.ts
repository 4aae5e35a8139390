/** The arguments of a benchmark: read alike, refused alike. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;

/** What `parseArgs` makes of arguments. */
export type Values<O extends Options> = ReturnType<typeof parseArgs<{ options: O }>>['values'];

interface Helped {
  readonly help?: boolean;
}

/** How a benchmark is called. */
export interface Calling<O extends Options, Wanted> {
  readonly usage: string;
  /** Options beside `--help`. */
  readonly options: O;
  /** What is to be measured. @throws RangeError for arguments that make no sense. */
  readonly wanted: (values: Values<O>) => Wanted;
}

/**
 * What the arguments ask for; `undefined` when there is nothing to measure: the usage was asked for and printed, or it
 * was printed below what is wrong, and the exit code is 2.
 */
export function wantedOf<O extends Options, Wanted>(
  args: readonly string[],
  { usage, options, wanted }: Calling<O, Wanted>,
): Wanted | undefined {
  try {
    const all = { ...options, help: { type: 'boolean' } } as const;
    const values = parseArgs({ args: [...args], options: all }).values as Values<O> & Helped;
    if (values.help !== true) return wanted(values);
    console.log(usage);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
    process.exitCode = 2;
  }
  return undefined;
}

/** A whole number within limits, the value of a flag. @throws RangeError for another one. */
export function count(flag: string, text: string, { min = 1, max }: { min?: number; max: number }): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(`${flag} takes a whole number from ${min} to ${max}, not ${JSON.stringify(text)}.`);
}

/** The phases that `--only` names; all when it names none. @throws RangeError for one that there is not. */
export function phasesOf(only: readonly string[], known: readonly string[]): readonly string[] {
  const unknown = only.find((phase) => !known.includes(phase));
  if (unknown !== undefined)
    throw new RangeError(`--only takes one of ${known.join(', ')}, not ${JSON.stringify(unknown)}.`);
  return only.length > 0 ? only : known;
}
