/** The packages as a stranger installs them: built, packed, and run without a line of TypeScript. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../sources.ts';

/** Directory in the checkout by package name. */
const PACKAGES = { '@berth/core': 'src', '@berth/provider-local': 'providers/local' } as const;

interface Manifest {
  readonly files: readonly string[];
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
}

let checkout: string;
let installed: string;

beforeAll(async () => {
  checkout = mkdtempSync(join(tmpdir(), 'berth-build-'));
  installed = mkdtempSync(join(tmpdir(), 'berth-published-'));
  const sources = ['package.json', 'tsconfig.json', ...Object.values(PACKAGES)];
  const wanted = (path: string): boolean => !/\/(node_modules|dist)$/.test(path);
  for (const path of sources)
    cpSync(join(ROOT, path), join(checkout, path), { recursive: true, filter: wanted });
  for (const at of [checkout, installed]) linkDependencies(at);
  for (const [name, path] of Object.entries(PACKAGES))
    symlinkSync(join(checkout, path), join(checkout, 'node_modules', name));
  const { scripts } = read<{ scripts: Record<string, string> }>(join(checkout, 'package.json'));
  for (const command of (scripts['build'] ?? '').split(' && ')) {
    const [tool = '', ...args] = command.split(' ');
    const { code, text } = await run(join(checkout, 'node_modules/.bin', tool), args, checkout);
    assert.equal(text, '');
    assert.equal(code, 0);
  }
  for (const [name, path] of Object.entries(PACKAGES)) {
    const to = join(installed, 'node_modules', name);
    for (const entry of ['package.json', ...manifest(path).files])
      cpSync(join(checkout, path, entry), join(to, entry), { recursive: true });
  }
});

afterAll(() => {
  for (const directory of [checkout, installed]) rmSync(directory, { recursive: true, force: true });
});

/** Everything that is installed in this checkout, except its own packages. */
function linkDependencies(at: string): void {
  mkdirSync(join(at, 'node_modules/@berth'), { recursive: true });
  for (const name of readdirSync(join(ROOT, 'node_modules')).filter((entry) => entry !== '@berth'))
    symlinkSync(join(ROOT, 'node_modules', name), join(at, 'node_modules', name));
}

function read<T>(file: string): T {
  return JSON.parse(readFileSync(file, 'utf8')) as T;
}

function manifest(path: string): Manifest {
  return read<Manifest>(join(ROOT, path, 'package.json'));
}

function run(
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<{ readonly code: number | null; readonly text: string }> {
  return new Promise((resolve, reject) => {
    let text = '';
    const child = spawn(program, args, { cwd, env: { PATH: '/usr/bin:/bin', HOME: '/nowhere' } });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += String(chunk)));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, text }));
  });
}

describe('what is published', () => {
  it.each(Object.entries(PACKAGES))('%s has every file that its exports name, and no test', (name, path) => {
    const at = join(installed, 'node_modules', name);
    const named = Object.values(manifest(path).exports).flatMap((entry) => [entry.types, entry.default]);
    expect(named.filter((file) => !existsSync(join(at, file)))).toEqual([]);
    const files = readdirSync(at, { recursive: true }).map(String);
    expect(files.filter((file) => /(\.test|testkit)\.(js|d\.ts)$|(?<!\.d)\.ts$/.test(file))).toEqual([]);
  });

  it('the program runs from the built JavaScript, finds the provider local, and tells the whole story', async () => {
    const program = join(installed, 'node_modules/@berth/core/bin/berth.mjs');
    const { code, text } = await run(process.execPath, [program, 'demo', '--once'], installed);
    expect(text).toMatch(/All \d+ checks held/);
    expect(code).toBe(0);
  });

  it('an older Node is told what to do, before anything that it does not know', async () => {
    const older =
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } })";
    const asOlder = ['--import', `data:text/javascript,${encodeURIComponent(older)}`];
    for (const [at, remedy] of [
      [join(installed, 'node_modules/@berth/core'), 'Install Node 24 or newer.'],
      [join(ROOT, 'src'), 'Run it as `npx berth` in the checkout'],
    ] as const) {
      const { code, text } = await run(process.execPath, [...asOlder, join(at, 'bin/berth.mjs')], installed);
      expect(text).toContain('Node 24 or newer is needed');
      expect(text).toContain(remedy);
      expect(code).toBe(3);
      const program = readFileSync(join(at, 'bin/berth.mjs'), 'utf8');
      expect(program.match(/^import .*$/gm)).toEqual(["import { existsSync } from 'node:fs';"]);
    }
  });
});
