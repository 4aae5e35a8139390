import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, extname, isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/**
 * Export conditions for a provider's package, in no order (a package's own order decides). From a checkout, where the
 * core runs as TypeScript, packages of the tree are taken from their sources as well.
 */
const CONDITIONS: readonly string[] = [
  ...(extname(fileURLToPath(import.meta.url)) === '.ts' ? ['source'] : []),
  'node',
  'import',
  'default',
];

/** Whether the text is a path (or file: URL) rather than the name of a package. */
export function isPath(spec: string): boolean {
  return /^(\.{1,2}(\/|$)|file:)/.test(spec) || isAbsolute(spec);
}

/** The URL of the module that a path names: a file, or the entry of a directory; `undefined` when there is none. */
export function moduleOfPath(spec: string, from: string): string | undefined {
  const path = spec.startsWith('file:') ? fileURLToPath(spec) : resolve(from, spec);
  if (!existsSync(path)) return undefined;
  return statSync(path).isDirectory() ? entryOf(path) : fileUrl(path);
}

/**
 * The URL of a package's entry, looked for in the `node_modules` of the directory and of those above it, as Node does;
 * `undefined` when it is not installed. Node itself resolves only from the module that asks, which is the core, and
 * not from the working directory of the person who starts it.
 */
export function moduleOfPackage(name: string, from: string): string | undefined {
  for (let directory = resolve(from); ; directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return entryOf(candidate);
    if (dirname(directory) === directory) return undefined;
  }
}

/** The directory that packages are looked for from when the working directory has none: the core's own. */
export function coreDirectory(): string {
  return dirname(fileURLToPath(import.meta.url));
}

function entryOf(directory: string): string | undefined {
  const manifest = join(directory, 'package.json');
  const { exports, main } = existsSync(manifest) ? readManifest(manifest) : {};
  const entry = exports === undefined ? (main ?? 'index.js') : targetOf(exports);
  const path = entry === undefined ? undefined : join(directory, entry);
  return path !== undefined && existsSync(path) ? fileUrl(path) : undefined;
}

interface Manifest {
  readonly exports?: unknown;
  readonly main?: string;
}

function readManifest(path: string): Manifest {
  return JSON.parse(readFileSync(path, 'utf8')) as Manifest;
}

/** The file of the main entry in a package's `exports` (https://nodejs.org/api/packages.html#exports). */
function targetOf(exports: unknown): string | undefined {
  if (typeof exports === 'string') return exports;
  if (typeof exports !== 'object' || exports === null) return undefined;
  if ('.' in exports) return targetOf(exports['.']);
  for (const [condition, target] of Object.entries(exports)) {
    const found = CONDITIONS.includes(condition) ? targetOf(target) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** With links resolved, because a linked package must be the module that its other importers see. */
function fileUrl(path: string): string {
  return pathToFileURL(realpathSync(path)).href;
}
