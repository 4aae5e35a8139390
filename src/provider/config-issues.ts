import type { SchemaIssue } from '../model/settings.ts';
import { suggestion } from '../model/suggest.ts';

/** What is known of a provider's configuration beside the issue. */
export interface IssueContext {
  /** Where the configuration is in the file: `providers.aws.config`. */
  readonly at: string;
  /** An object with a `shape` tells its keys, as Zod's schemas do. */
  readonly schema: unknown;
}

/** Says what is wrong with a provider's configuration; of unknown keys, what may have been meant. */
export function issueTexts(issue: SchemaIssue, { at, schema }: IssueContext): readonly string[] {
  const path = `${at}${pathText(issue)}`;
  const unknown = unknownKeysOf(issue);
  const known = keysOf(schema);
  if (unknown.length === 0 || known.length === 0 || (issue.path ?? []).length > 0)
    return [`${path}: ${issue.message}`];
  return unknown.map((key) => `${path}.${key}: unknown key (${suggestion(key, known)})`);
}

/** Zod's issue of this code lists them; of other libraries the message has to do. */
function unknownKeysOf(issue: object): readonly string[] {
  const named = 'code' in issue && issue.code === 'unrecognized_keys' && 'keys' in issue;
  return named && Array.isArray(issue.keys) ? issue.keys.map(String) : [];
}

function keysOf(schema: unknown): readonly string[] {
  const shape: unknown =
    typeof schema === 'object' && schema !== null && 'shape' in schema ? schema.shape : undefined;
  return typeof shape === 'object' && shape !== null ? Object.keys(shape) : [];
}

/** `.pools[0].name` */
function pathText({ path = [] }: SchemaIssue): string {
  return path
    .map((part) => (typeof part === 'object' ? part.key : part))
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('');
}
