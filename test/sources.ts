/** Reads the tree's sources as syntax trees, for tests that hold the house rules. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';

/** The repository. */
export const ROOT: string = dirname(dirname(fileURLToPath(import.meta.url)));

/** One module of the tree. Paths are relative to the repository, with forward slashes. */
export interface Source {
  readonly path: string;
  /** What it imports, re-exports, imports as a type or imports when it runs, as written; a name in a variable is `*`. */
  readonly imports: readonly string[];
  /** Whether it reads the environment of the process. */
  readonly readsEnvironment: boolean;
}

interface SyntaxNode {
  readonly type: string;
  readonly [key: string]: unknown;
}

/** The modules that the patterns match, without `node_modules`, `dist` and (unless asked for) tests. */
export function sources(pattern: string, tests = false): readonly Source[] {
  return globSync(pattern, { cwd: ROOT, exclude: (name) => /(^|\/)(node_modules|dist)$/.test(name) })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => tests || !path.endsWith('.test.ts'))
    .toSorted()
    .map((path) => parseSource(path, readFileSync(join(ROOT, path), 'utf8')));
}

/** One module from its text. Throws on a syntax error. */
export function parseSource(path: string, text: string): Source {
  const { program, errors } = parseSync(path, text);
  if (errors[0] !== undefined) throw new Error(`${path}: ${errors[0].message}`);
  const nodes = [...walk(program)];
  return { path, imports: nodes.flatMap(importOf), readsEnvironment: nodes.some(readsEnvironment) };
}

/** Where a relative import of a module points, relative to the repository; other imports are given back as they are. */
export function target({ path }: Source, imported: string): string {
  return imported.startsWith('.') ? posix.normalize(posix.join(posix.dirname(path), imported)) : imported;
}

function* walk(value: unknown): Generator<SyntaxNode> {
  if (Array.isArray(value)) for (const item of value) yield* walk(item);
  if (!isNode(value)) return;
  yield value;
  for (const child of Object.values(value)) yield* walk(child);
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

const IMPORTING: readonly string[] = [
  'ImportDeclaration',
  'ExportNamedDeclaration',
  'ExportAllDeclaration',
  'ImportExpression',
  'TSImportType',
];

function importOf(node: SyntaxNode): readonly string[] {
  const { source } = node;
  if (!IMPORTING.includes(node.type) || !isNode(source)) return [];
  return [source.type === 'Literal' ? String(source['value']) : '*'];
}

function readsEnvironment(node: SyntaxNode): boolean {
  const named = (value: unknown, name: string): boolean =>
    isNode(value) && (value['name'] === name || value['value'] === name);
  if (node.type === 'MemberExpression')
    return named(node['object'], 'process') && named(node['property'], 'env');
  if (node.type === 'ImportSpecifier') return named(node['imported'], 'env');
  const { id, init } = node;
  if (node.type !== 'VariableDeclarator' || !isNode(id) || !named(init, 'process')) return false;
  return [...walk(id)].some((one) => one.type === 'Property' && named(one['key'], 'env'));
}
