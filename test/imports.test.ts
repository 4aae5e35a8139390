import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseSource, ROOT, sources, target, type Source } from './sources.ts';

/** What each part of the core may import of the others. A part that is not listed may import nothing. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  model: [],
  plan: ['model'],
  provider: ['plan', 'model'],
  kube: ['model'],
  controller: ['kube', 'provider', 'plan', 'model'],
  conformance: ['provider', 'plan', 'model'],
  sandbox: [],
  cli: ['controller', 'kube', 'provider', 'plan', 'model', 'sandbox'],
  'index.ts': ['provider', 'plan', 'model'],
};
/** Packages that belong to one part: its types stop there. */
const BELONGS: readonly (readonly [pattern: RegExp, path: string])[] = [
  [/^@kubernetes\/client-node/, 'src/kube/'],
  [/^@aws-sdk\//, 'providers/aws/'],
  [/^vitest/, 'src/conformance/vitest.ts'],
];
/** What a provider may import of the core. */
const PUBLIC: readonly string[] = ['@berth/core'];

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

function manifest(directory: string): Manifest {
  return JSON.parse(readFileSync(join(ROOT, directory, 'package.json'), 'utf8')) as Manifest;
}

/** `model` of `src/model/address.ts`. */
function partOf(path: string): string {
  return path.split('/')[1] ?? '';
}

/** `@scope/name` of `@scope/name/sub`. */
function packageOf(imported: string): string {
  return imported
    .split('/')
    .slice(0, imported.startsWith('@') ? 2 : 1)
    .join('/');
}

function isBuiltin(imported: string): boolean {
  return imported.startsWith('node:') || builtinModules.includes(imported);
}

/** Every import that `wrong` says something about, as `path imports x: why`. */
function findings(
  modules: readonly Source[],
  wrong: (module: Source, imported: string) => string | undefined,
): readonly string[] {
  return modules.flatMap((module) =>
    module.imports.flatMap((imported) => {
      const why = wrong(module, imported);
      return why === undefined ? [] : [`${module.path} imports ${imported}: ${why}`];
    }),
  );
}

/** What is wrong with the direction of an import inside the core. */
function wrongDirection(module: Source, imported: string): string | undefined {
  if (!imported.startsWith('.')) return undefined;
  const to = target(module, imported);
  if (!to.startsWith('src/')) return 'it leaves the core';
  const [from, part] = [partOf(module.path), partOf(to)];
  if (from === part || MAY_IMPORT[from]?.includes(part) === true) return undefined;
  return `${from} may import ${MAY_IMPORT[from]?.join(', ') || 'nothing of the tree'}`;
}

/** What is wrong with a package that is imported. */
function wrongPackage(module: Source, imported: string): string | undefined {
  if (imported.startsWith('.') || imported === '*' || isBuiltin(imported)) return undefined;
  const owner = BELONGS.find(([pattern]) => pattern.test(imported))?.[1];
  return owner === undefined || module.path.startsWith(owner) ? undefined : `it belongs to ${owner}`;
}

const core = sources('src/**/*.ts');
const providers = readdirSync(join(ROOT, 'providers'));

describe('imports of the core', () => {
  it('point one way: cli → controller → {kube, provider} → plan → model', () => {
    expect(core.length).toBeGreaterThan(20);
    expect(findings(core, wrongDirection)).toEqual([]);
  });

  it('name files that exist, with their ending', () => {
    expect(
      findings(core, (module, imported) =>
        imported.startsWith('.') && !existsSync(join(ROOT, target(module, imported)))
          ? 'there is no such file'
          : undefined,
      ),
    ).toEqual([]);
  });

  it('of Kubernetes’ client stay in kube, of AWS’ in providers/aws', () => {
    expect(findings([...core, ...sources('providers/**/*.ts')], wrongPackage)).toEqual([]);
  });

  it('name no provider: without providers/local nothing of the core breaks', () => {
    const names = ['local', ...providers].flatMap((name) => [`@berth/provider-${name}`, `providers/${name}`]);
    expect(
      findings(core, (module, imported) =>
        names.some((name) => target(module, imported).startsWith(name)) ? 'it is a provider' : undefined,
      ),
    ).toEqual([]);
  });

  it('take a module from a variable in one place only: where providers are loaded', () => {
    const dynamic = core.filter(({ imports }) => imports.includes('*')).map(({ path }) => path);
    expect(dynamic).toEqual(['src/provider/load.ts']);
  });

  it('are dependencies that the package declares', () => {
    const { dependencies = {}, peerDependencies = {} } = manifest('src');
    const declared = new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies), 'vitest']);
    expect(
      findings(core, (_module, imported) =>
        imported.startsWith('.') ||
        imported === '*' ||
        isBuiltin(imported) ||
        declared.has(packageOf(imported))
          ? undefined
          : 'src/package.json does not declare it',
      ),
    ).toEqual([]);
  });
});

describe('the environment of the process', () => {
  it('is read in one file of the core', () => {
    expect(core.filter(({ readsEnvironment }) => readsEnvironment).map(({ path }) => path)).toEqual([
      'src/cli/environment.ts',
    ]);
  });
});

describe.each(providers)('providers/%s', (name) => {
  const modules = sources(`providers/${name}/**/*.ts`);

  it('imports the core by its public entry, nothing beside its own directory, and what it declares', () => {
    const { dependencies = {}, peerDependencies = {} } = manifest(`providers/${name}`);
    const declared = new Set([...Object.keys(dependencies), ...Object.keys(peerDependencies)]);
    expect(
      findings(modules, (module, imported) => {
        if (isBuiltin(imported) || PUBLIC.includes(imported)) return undefined;
        if (imported.startsWith('.')) {
          return target(module, imported).startsWith(`providers/${name}/`)
            ? undefined
            : 'it leaves the provider';
        }
        return declared.has(packageOf(imported)) && packageOf(imported) !== '@berth/core'
          ? undefined
          : 'it is not public, or not declared';
      }),
    ).toEqual([]);
  });
});

describe('the check itself', () => {
  const wrong = (path: string, text: string): readonly string[] => {
    const module = parseSource(path, text);
    return [...findings([module], wrongDirection), ...findings([module], wrongPackage)];
  };

  it.each([
    ['a plain import', `import { x } from '../kube/client.ts';`],
    ['an import of a type', `import type { X } from '../kube/client.ts';`],
    ['an import for its effect', `import '../kube/client.ts';`],
    ['a re-export', `export * from '../kube/client.ts';`],
    ['a re-export of a name', `export { x } from '../kube/client.ts';`],
    ['a type in place', `export type X = import('../kube/client.ts').X;`],
    ['an import while it runs', `export const x = () => import('../kube/client.ts');`],
  ])('sees %s', (_what, text) => {
    expect(wrong('src/model/x.ts', text)).toEqual([
      'src/model/x.ts imports ../kube/client.ts: model may import nothing of the tree',
    ]);
    expect(wrong('src/controller/x.ts', text)).toEqual([]);
  });

  it.each([
    ['src/plan/x.ts', '../provider/spi.ts', 'plan may import model'],
    ['src/kube/x.ts', '../plan/step.ts', 'kube may import model'],
    ['src/sandbox/a/x.ts', '../../model/address.ts', 'sandbox may import nothing of the tree'],
    ['src/provider/x.ts', '../conformance/index.ts', 'provider may import plan, model'],
    ['src/new/x.ts', '../model/address.ts', 'new may import nothing of the tree'],
    ['src/cli/x.ts', '../../providers/local/index.ts', 'it leaves the core'],
    ['src/controller/x.ts', '@kubernetes/client-node', 'it belongs to src/kube/'],
    ['src/kube/x.ts', '@aws-sdk/client-ec2', 'it belongs to providers/aws/'],
  ])('finds that %s must not import %s: %s', (path, imported, why) => {
    expect(wrong(path, `import '${imported}';`)).toEqual([`${path} imports ${imported}: ${why}`]);
  });

  it.each([
    ['process.env.HOME', true],
    ['process["env"]', true],
    ['const { env } = process', true],
    ['import { env } from "node:process"', true],
    ['other.env; process.argv; const { argv } = process; const env = 1', false],
  ])('knows whether %s reads the environment: %s', (text, expected) => {
    expect(parseSource('src/x.ts', text).readsEnvironment).toBe(expected);
  });
});
