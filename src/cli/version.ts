import { existsSync, readFileSync } from 'node:fs';

/** The version of this package, from its own package.json (one directory up in the sources, two in what is built). */
export function packageVersion(): string {
  const candidates = ['../package.json', '../../package.json'].map((path) => new URL(path, import.meta.url));
  const found = candidates.find((url) => existsSync(url));
  if (found === undefined) return 'unknown';
  const { version } = JSON.parse(readFileSync(found, 'utf8')) as { readonly version?: string };
  return version ?? 'unknown';
}
