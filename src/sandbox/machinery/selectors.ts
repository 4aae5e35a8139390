/** Label and field selectors of list and watch requests. */
import type { KubeObject } from './objects.ts';
import { badRequest } from './status.ts';

/** Whether an object is selected. */
export type Predicate = (object: KubeObject) => boolean;

type Labels = Readonly<Record<string, string>>;
type Requirement = (labels: Labels) => boolean;

/** Splits at commas outside parentheses. */
const PARTS = /(?:[^,(]|\([^)]*\))+/g;
const SET = /^(!?[\w./-]+)\s+(in|notin)\s*\(([^)]*)\)$/;
const EQUALITY = /^([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)$/;
const EXISTS = /^(!?)\s*([\w./-]+)$/;

/**
 * Parses a label selector: `a=b`, `a==b`, `a!=b`, `a`, `!a`, `a in (x,y)`, `a notin (x,y)`, joined by commas.
 *
 * @throws ApiError 400 when it does not parse
 */
export function labelSelector(text: string): Predicate {
  const parts = text.match(PARTS) ?? [];
  // A comma that separates nothing is a mistake.
  if (text.replaceAll(/\([^)]*\)/g, '').split(',').length !== parts.length) {
    throw badRequest(`unable to parse requirement: ${JSON.stringify(text)}`);
  }
  const requirements = parts.map((part) => requirement(part.trim()));
  return (object) => {
    const labels = object.metadata.labels ?? {};
    return requirements.every((meets) => meets(labels));
  };
}

function requirement(text: string): Requirement {
  const set = SET.exec(text);
  if (set) {
    const [, key = '', operator, list = ''] = set;
    const values = new Set(list.split(',').map((value) => value.trim()));
    return operator === 'in'
      ? (labels) => key in labels && values.has(labels[key] ?? '')
      : (labels) => !(key in labels && values.has(labels[key] ?? ''));
  }
  const equality = EQUALITY.exec(text);
  if (equality) {
    const [, key = '', operator, value] = equality;
    return operator === '!=' ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  const [, not, key = ''] = EXISTS.exec(text) ?? [];
  if (key === '') throw badRequest(`unable to parse requirement: ${JSON.stringify(text)}`);
  return (labels) => key in labels !== (not === '!');
}

/** The fields of an object that can be selected by, with their values. */
export type SelectableFields = (object: KubeObject) => Readonly<Record<string, string>>;

/** `metadata.name` and `metadata.namespace`, which every kind has. */
export const metadataFields: SelectableFields = ({ metadata }) => ({
  'metadata.name': metadata.name,
  'metadata.namespace': metadata.namespace ?? '',
});

/**
 * Parses a field selector: `path=value`, `path!=value`, joined by commas.
 *
 * @throws ApiError 400 when it does not parse or names a field that the kind cannot be selected by
 */
export function fieldSelector(
  text: string,
  selectable: { fields: SelectableFields; known: readonly string[] },
): Predicate {
  const terms = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const [, path = '', operator, value = ''] = /^([^=!]+)(==|=|!=)(.*)$/.exec(part) ?? [];
      if (path === '') throw badRequest(`invalid selector: '${text}'; can't understand '${part}'`);
      if (!selectable.known.includes(path)) throw badRequest(`field label not supported: ${path}`);
      return { path, wanted: operator !== '!=', value: value.replaceAll(/\\(.)/g, '$1') };
    });
  return (object) => {
    const fields = selectable.fields(object);
    return terms.every(({ path, wanted, value }) => ((fields[path] ?? '') === value) === wanted);
  };
}
