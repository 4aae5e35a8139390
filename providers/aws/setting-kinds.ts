import { z } from 'zod';
import type { SettingDefinition } from '@berth/core';

/** Prefix of our own names of the annotations. */
export const OURS = 'aws.berth.dev/';
/** Prefix of the names that the incumbents read. */
export const INCUMBENT = 'service.beta.kubernetes.io/aws-load-balancer-';

/** What all kinds need to know of an annotation: its name without prefix, and what it does. */
export interface Named<T> {
  readonly name: string;
  readonly doc: string;
  readonly default: T;
}

function names(name: string): [string, string] {
  return [`${OURS}${name}`, `${INCUMBENT}${name}`];
}

function define<T>(
  { name, doc, default: value }: Named<T>,
  type: string,
  schema: SettingDefinition<T>['schema'],
): SettingDefinition<T> {
  return { annotations: names(name), type, default: value, doc, schema };
}

/** One of some words. */
export function choice<const T extends string, D extends T | undefined>(
  named: Named<D>,
  values: readonly [T, ...T[]],
): SettingDefinition<T | D> {
  const type = values.map((value) => `\`${value}\``).join(' or ');
  return define<T | D>(named, type, z.string().trim().pipe(z.enum(values)));
}

/** Any text that matches. */
export function text<D extends string | undefined>(
  named: Named<D>,
  type: string,
  pattern: RegExp,
): SettingDefinition<string | D> {
  return define<string | D>(named, type, z.string().trim().regex(pattern));
}

/** The words that Go's ParseBool takes, because manifests were written for it. */
const BOOLEANS: Readonly<Record<string, boolean>> = Object.fromEntries([
  ...['1', 't', 'T', 'TRUE', 'true', 'True'].map((word) => [word, true]),
  ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map((word) => [word, false]),
]) as Record<string, boolean>;

/** `true` or `false`, in any of the forms that Go knows. */
export function flag<D extends boolean | undefined>(named: Named<D>): SettingDefinition<boolean | D> {
  const schema = z
    .string()
    .trim()
    .refine((word) => word in BOOLEANS)
    .transform((word) => BOOLEANS[word] === true);
  return define<boolean | D>(named, '`true` or `false`', schema);
}

/** A whole number of a range. */
export function whole<D extends number | undefined>(
  named: Named<D>,
  { from, to, unit = '' }: { readonly from: number; readonly to: number; readonly unit?: string },
): SettingDefinition<number | D> {
  const schema = z
    .string()
    .trim()
    .regex(/^\d{1,9}$/)
    .transform(Number)
    .pipe(z.number().min(from).max(to));
  return define<number | D>(
    named,
    `a whole number${unit === '' ? '' : ` of ${unit}`} from ${from} to ${to}`,
    schema,
  );
}

/** Items between commas; spaces around them and empty ones are dropped. */
export function list(
  named: Named<readonly string[]>,
  type: string,
  item: RegExp = /^[^\s,]+$/,
): SettingDefinition<readonly string[]> {
  return define(
    named,
    type,
    z
      .string()
      .transform(items)
      .pipe(z.array(z.string().regex(item))),
  );
}

/** `key=value` between commas; a comma inside a value is written `\,`. */
export function map(
  named: Named<Readonly<Record<string, string>>>,
  type: string,
): SettingDefinition<Readonly<Record<string, string>>> {
  return define(named, type, mapSchema);
}

/** The same for a family of annotations that differ in what follows the name: by what follows. */
export function mapsBySuffix(
  named: Named<Readonly<Record<string, never>>>,
  type: string,
): SettingDefinition<Readonly<Record<string, Readonly<Record<string, string>>>>> {
  return {
    annotations: [`${OURS}${named.name}.*`, `${INCUMBENT}${named.name}.*`],
    type,
    default: named.default,
    doc: named.doc,
    schema: mapSchema as never,
    each: true,
  };
}

/** An annotation of an incumbent that is not carried out; `why` says so in an event, with what to do instead. */
export function unsupported(
  annotations: readonly [string, ...string[]],
  why: string,
): SettingDefinition<string> {
  return {
    annotations,
    type: 'anything',
    default: '',
    doc: `Not carried out: ${why}`,
    schema: z.string(),
    unsupported: why,
  };
}

/** The same for a family of annotations, whose name ends in `*`. */
export function unsupportedFamily(
  family: string,
  why: string,
): SettingDefinition<Readonly<Record<string, string>>> {
  return { ...unsupported([family], why), default: {}, schema: z.string() as never, each: true };
}

function items(value: string): string[] {
  return value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

const mapSchema = z.string().transform((value, context): Record<string, string> => {
  const entries: (readonly [string, string])[] = [];
  for (const part of value.split(/(?<!\\),/).map((item) => item.trim())) {
    if (part === '') continue;
    const at = part.indexOf('=');
    const key = (at < 0 ? part : part.slice(0, at)).trim();
    if (key === '') {
      context.addIssue(`${JSON.stringify(part)} has no key`);
      return z.NEVER;
    }
    entries.push([
      key,
      at < 0
        ? ''
        : part
            .slice(at + 1)
            .trim()
            .replaceAll('\\,', ','),
    ]);
  }
  return Object.fromEntries(entries);
});
