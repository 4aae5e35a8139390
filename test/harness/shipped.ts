import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasProgram } from '../../infra/packages.ts';
import { ROOT } from '../sources.ts';

/** Directory in the checkout by package name. */
export const PACKAGES = {
  '@berth/core': 'src',
  '@berth/provider-local': 'providers/local',
  '@berth/provider-aws': 'providers/aws',
  '@berth/provider-metal': 'providers/metal',
} as const;

interface Manifest {
  readonly files: readonly string[];
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string }>>;
}

/** The packages, built and installed as a stranger would, below a directory of their own. */
export interface Shipped {
  /** It has nothing but `node_modules`. */
  readonly dir: string;
  /** The command line's program. */
  readonly program: string;
  remove(): void;
}

/**
 * Builds what `npm run build` builds from a copy of the sources, and lays out what would be packed.
 *
 * @throws Error when a build fails or says anything.
 */
export async function ship(): Promise<Shipped> {
  const checkout = mkdtempSync(join(tmpdir(), 'berth-build-'));
  const dir = mkdtempSync(join(tmpdir(), 'berth-shipped-'));
  const remove = (): void => rmSync(dir, { recursive: true, force: true });
  try {
    await build(checkout);
    linkDependencies(dir);
    for (const [name, path] of Object.entries(PACKAGES)) {
      for (const entry of ['package.json', ...manifestOf(path).files])
        cpSync(join(checkout, path, entry), join(dir, 'node_modules', name, entry), { recursive: true });
    }
  } catch (error) {
    remove();
    throw error;
  } finally {
    rmSync(checkout, { recursive: true, force: true });
  }
  return { dir, program: join(dir, 'node_modules/@berth/core/bin/berth.mjs'), remove };
}

async function build(checkout: string): Promise<void> {
  const wanted = (path: string): boolean => !/\/(node_modules|dist)$/.test(path);
  for (const path of ['package.json', 'tsconfig.json', ...Object.values(PACKAGES)])
    cpSync(join(ROOT, path), join(checkout, path), { recursive: true, filter: wanted });
  linkDependencies(checkout);
  for (const [name, path] of Object.entries(PACKAGES))
    symlinkSync(join(checkout, path), join(checkout, 'node_modules', name));
  const { scripts } = read<{ scripts: Record<string, string> }>(join(checkout, 'package.json'));
  for (const command of (scripts['build'] ?? '').split(' && ')) {
    const [tool = '', ...args] = command.split(' ');
    const { code, text } = await runBare(join(checkout, 'node_modules/.bin', tool), args, checkout);
    // That there is no C compiler may be remarked on, where there is none.
    assert.equal(hasProgram('cc') ? text : text.replace(/^note: .*\n/m, ''), '');
    assert.equal(code, 0);
  }
}

/** Everything that is installed in this checkout, except its own packages. */
function linkDependencies(at: string): void {
  mkdirSync(join(at, 'node_modules/@berth'), { recursive: true });
  for (const name of readdirSync(join(ROOT, 'node_modules')).filter((entry) => entry !== '@berth'))
    symlinkSync(join(ROOT, 'node_modules', name), join(at, 'node_modules', name));
}

/** The package.json of a package, by its directory. */
export function manifestOf(path: string): Manifest {
  return read<Manifest>(join(ROOT, path, 'package.json'));
}

function read<T>(file: string): T {
  return JSON.parse(readFileSync(file, 'utf8')) as T;
}

/** Runs a program with next to nothing in its environment; its exit code and all that it said. */
export function runBare(
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<{ readonly code: number | null; readonly text: string }> {
  return new Promise((resolve, reject) => {
    let text = '';
    const child = spawn(program, args, {
      cwd,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/nowhere' },
    });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += String(chunk)));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, text }));
  });
}
