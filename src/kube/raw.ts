/**
 * Reading raw JSON of which nothing is certain. Every reader gives a value of its type and never throws: what is
 * absent or of another type is the fallback.
 */

/** An object of unknown content. */
export type Raw = Readonly<Record<string, unknown>>;

/** The value as an object; an empty one if it is none. */
export function record(value: unknown): Raw {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Raw) : {};
}

/** The value as a list; an empty one if it is none. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The value as text; the fallback if it is none. */
export function text(value: unknown, fallback = ''): string {
  return typeof value === 'string' ? value : fallback;
}

/** The value as a whole number from 0 up to what is exact; the fallback if it is none. */
export function count(value: unknown, fallback = 0): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : fallback;
}

/** The entries of a list that are text. */
export function texts(value: unknown): string[] {
  return list(value).filter((entry) => typeof entry === 'string');
}

/** The entries of a map whose values are text. */
export function textMap(value: unknown): Record<string, string> {
  const entries = Object.entries(record(value)).filter(([, entry]) => typeof entry === 'string');
  return Object.fromEntries(entries) as Record<string, string>;
}

/** The value if it is one of the choices, else the fallback. */
export function oneOf<T extends string>(value: unknown, choices: readonly T[], fallback: T): T {
  return choices.find((choice) => choice === value) ?? fallback;
}

/** `{ [name]: value }` if there is text, else nothing: for optional fields. */
export function optionalText<K extends string>(name: K, value: unknown): { readonly [P in K]?: string } {
  return (typeof value === 'string' ? { [name]: value } : {}) as { readonly [P in K]?: string };
}
