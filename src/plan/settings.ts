import { InvalidSpec } from '../model/errors.ts';
import {
  ADDRESS_ANNOTATIONS,
  POOL_ANNOTATIONS,
  SHARING_ANNOTATIONS,
  ANNOTATION_ADDRESSES,
  ANNOTATION_APPLIED,
  ANNOTATION_PAUSED,
  PREFIX,
} from '../model/names.ts';
import { note, REASONS, type Note } from '../model/reasons.ts';
import type { SettingDefinition, SettingsTable } from '../model/settings.ts';
import { nearest } from '../model/suggest.ts';
import { compareText } from './step.ts';

/** Annotations of the core itself. */
const CORE_ANNOTATIONS: readonly string[] = [ANNOTATION_ADDRESSES, ANNOTATION_PAUSED, ANNOTATION_APPLIED];

/** Names of the annotations that the table's provider reads; one that ends in `*` stands for a family. */
export function settingNames(table: SettingsTable): ReadonlySet<string> {
  return new Set(Object.values(table).flatMap(({ annotations }) => annotations));
}

/** Whether an annotation is one of these names, or of one of their families. */
export function isSettingName(key: string, names: ReadonlySet<string>): boolean {
  if (names.has(key)) return true;
  for (const name of names) if (name.endsWith('*') && key.startsWith(name.slice(0, -1))) return true;
  return false;
}

/**
 * Annotations that do nothing although they look as if they did: known and not carried out, or unknown under a prefix
 * that is the provider's business. One note for each, sorted by annotation.
 */
export function settingNotes(
  { settings, prefixes = [] }: { readonly settings: SettingsTable; readonly prefixes?: readonly string[] },
  annotations: Readonly<Record<string, string>>,
): readonly Note[] {
  const known = settingNames(settings);
  const refused = Object.values(settings).filter(({ unsupported }) => unsupported !== undefined);
  return Object.keys(annotations)
    .toSorted(compareText)
    .flatMap((key): readonly Note[] => {
      const why = refused.find(({ annotations: names }) => isSettingName(key, new Set(names)))?.unsupported;
      if (why !== undefined)
        return [note('AnnotationUnsupported', key, `annotation ${key} is ignored: ${why}`)];
      const foreign = prefixes.some((prefix) => key.startsWith(prefix)) && !isSettingName(key, known);
      return foreign
        ? [note('AnnotationIgnored', key, `annotation ${key} is not known and does nothing`)]
        : [];
    });
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
  const claimed = Object.keys(annotations).filter(
    (key) => key.startsWith(PREFIX) || key.startsWith(`${provider}.${PREFIX}`),
  );
  // Most Services have none, and this is asked in every pass.
  if (claimed.length === 0) return;
  const ours = settingNames(table);
  const known = [
    ...CORE_ANNOTATIONS,
    ...ADDRESS_ANNOTATIONS,
    ...POOL_ANNOTATIONS,
    ...SHARING_ANNOTATIONS,
    ...ours,
  ];
  const names = new Set(known);
  const unknown = claimed.filter((key) => !isSettingName(key, names)).toSorted(compareText)[0];
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
  if (definition.each === true) return valuesOf(definition, annotations);
  const name = definition.annotations.find((key) => annotations[key] !== undefined);
  return name === undefined ? definition.default : parsed(definition, name, annotations[name] ?? '');
}

/** A family of annotations: the value of each by its suffix; of two names for one suffix the first one wins. */
function valuesOf(definition: SettingDefinition, annotations: Readonly<Record<string, string>>): unknown {
  const entries = definition.annotations.toReversed().flatMap((family) =>
    Object.entries(annotations)
      .filter(([key]) => key.startsWith(family.slice(0, -1)))
      .map(([key, text]) => [key.slice(family.length - 1), parsed(definition, key, text)] as const),
  );
  return entries.length === 0
    ? definition.default
    : Object.fromEntries(entries.toSorted(([a], [b]) => compareText(a, b)));
}

function parsed(definition: SettingDefinition, name: string, text: string): unknown {
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
