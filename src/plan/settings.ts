import { InvalidSpec } from '../model/errors.ts';
import {
  ADDRESS_ANNOTATIONS,
  ANNOTATION_ADDRESSES,
  ANNOTATION_APPLIED,
  ANNOTATION_PAUSED,
  PREFIX,
} from '../model/names.ts';
import { REASONS } from '../model/reasons.ts';
import type { SettingDefinition, SettingsTable } from '../model/settings.ts';
import { compareText } from './step.ts';

/** Annotations of the core itself. */
const CORE_ANNOTATIONS: readonly string[] = [ANNOTATION_ADDRESSES, ANNOTATION_PAUSED, ANNOTATION_APPLIED];

/** Annotations in a Service that the table's provider reads, and those names. */
export function settingNames(table: SettingsTable): ReadonlySet<string> {
  return new Set(Object.values(table).flatMap(({ annotations }) => annotations));
}

/**
 * Turns a Service's annotations into the provider's settings.
 *
 * @throws InvalidSpec `UnknownAnnotation` for a key under `berth.dev/` or the provider's own prefix that nobody knows,
 * `InvalidAnnotation` for a value that its schema refuses; both name the annotation and the value.
 */
export function parseSettings(
  provider: string,
  table: SettingsTable,
  annotations: Readonly<Record<string, string>>,
): Readonly<Record<string, unknown>> {
  refuseUnknown(provider, table, annotations);
  return Object.freeze(
    Object.fromEntries(
      Object.entries(table).map(([name, definition]) => [name, valueOf(definition, annotations)]),
    ),
  );
}

function refuseUnknown(
  provider: string,
  table: SettingsTable,
  annotations: Readonly<Record<string, string>>,
): void {
  const ours = settingNames(table);
  const known = [...CORE_ANNOTATIONS, ...ADDRESS_ANNOTATIONS, ...ours];
  const unknown = Object.keys(annotations)
    .filter((key) => key.startsWith(PREFIX) || key.startsWith(`${provider}.${PREFIX}`))
    .filter((key) => !known.includes(key))
    .toSorted(compareText)[0];
  if (unknown === undefined) return;
  const near = nearest(unknown, known);
  throw new InvalidSpec('UnknownAnnotation', {
    message: `annotation ${unknown} is not known to the provider ${provider}`,
    remedy:
      near === undefined
        ? REASONS.UnknownAnnotation.remedy
        : `Did you mean ${near}? ${REASONS.UnknownAnnotation.remedy}`,
  });
}

function valueOf(definition: SettingDefinition, annotations: Readonly<Record<string, string>>): unknown {
  const name = definition.annotations.find((key) => annotations[key] !== undefined);
  if (name === undefined) return definition.default;
  const text = annotations[name] ?? '';
  const result = definition.schema['~standard'].validate(text);
  if (result instanceof Promise) {
    throw new TypeError(`the schema of ${name} is asynchronous; settings must validate synchronously`);
  }
  if (result.issues === undefined) return result.value;
  throw new InvalidSpec('InvalidAnnotation', {
    message: `annotation ${name} has the value ${JSON.stringify(text)}`,
    remedy: `It takes ${definition.type}`,
  });
}

/** The known name that is at most three edits away, if any. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(name, candidate) }))
    .toSorted((a, b) => a.distance - b.distance);
  return ranked[0] !== undefined && ranked[0].distance <= 3 ? ranked[0].candidate : undefined;
}

/** Levenshtein distance, for "did you mean". */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
