import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestHost } from '../../test/builders.ts';
import type { Provider } from './spi.ts';
import { loadProvider, ProviderLoadError, type LoadRequest, type ProviderLoadCode } from './registry.ts';

let from: string;
const host = createTestHost();

beforeAll(async () => {
  from = await mkdtemp(join(tmpdir(), 'berth-load-'));
});
afterAll(() => rm(from, { recursive: true }));

/** The members of a provider as source text, with some replaced or (undefined) left out. */
function providerText(members: Readonly<Record<string, string | undefined>> = {}): string {
  const all = {
    contract: '1',
    name: '"hello"',
    classes: '["example.com/hello"]',
    capabilities: '{}',
    settings: '{}',
    observe: 'async () => {}',
    plan: '() => []',
    apply: 'async () => {}',
    ingress: '() => {}',
    close: 'async () => {}',
    ...members,
  };
  const lines = Object.entries(all).flatMap(([name, text]) =>
    text === undefined ? [] : [`${name}: ${text}`],
  );
  return `({ ${lines.join(', ')} })`;
}

const factory = (provider = providerText(), more = ''): string =>
  `export default function make(config, host) { return ${provider}; }\n${more}`;

/** Writes files below the working directory; each module gets a name of its own, because imports are cached. */
async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(from, path)), { recursive: true });
    await writeFile(join(from, path), text);
  }
}

function load(spec: string, more: Partial<LoadRequest> = {}): Promise<Provider> {
  return loadProvider({ spec, host, from, ...more });
}

async function failure(loading: Promise<unknown>): Promise<ProviderLoadError> {
  const error = await loading.then(
    () => new Error('it loaded'),
    (reason: unknown) => reason,
  );
  if (error instanceof ProviderLoadError) return error;
  throw error;
}

describe('loadProvider finds', () => {
  it('the built-in memory provider', async () => {
    expect((await load('memory')).name).toBe('memory');
  });

  it('a file by its relative path, its absolute path and its URL', async () => {
    await write({ 'by-path.mjs': factory() });
    for (const spec of [
      './by-path.mjs',
      join(from, 'by-path.mjs'),
      pathToFileURL(join(from, 'by-path.mjs')).href,
    ]) {
      expect((await load(spec)).name).toBe('hello');
    }
    expect((await load('../by-path.mjs', { from: join(from, 'deeper') })).name).toBe('hello');
  });

  it.each([
    ['exports as text', { exports: './entry.mjs' }],
    ['exports with conditions', { exports: { '.': { types: './x.d.ts', import: './entry.mjs' } } }],
    ['conditions without a subpath', { exports: { require: './x.cjs', default: './entry.mjs' } }],
    ['nested conditions', { exports: { '.': { node: { import: './entry.mjs' }, default: './x.mjs' } } }],
    ['main', { main: 'entry.mjs' }],
  ])('a directory by its package.json: %s', async (what, manifest) => {
    const directory = `directory ${what}`;
    await write({
      [`${directory}/package.json`]: JSON.stringify(manifest),
      [`${directory}/entry.mjs`]: factory(),
    });
    expect((await load(`./${directory}`)).name).toBe('hello');
  });

  it('a package in the node_modules above the working directory', async () => {
    await write({
      'node_modules/@example/provider/package.json': JSON.stringify({ exports: './entry.mjs' }),
      'node_modules/@example/provider/entry.mjs': factory(),
    });
    expect((await load('@example/provider', { from: join(from, 'some/where') })).name).toBe('hello');
  });

  it('a short name as the package @berth/provider-NAME, here one that stands beside the working directory', async () => {
    await write({
      'elsewhere/metal/package.json': JSON.stringify({ exports: './entry.mjs' }),
      'elsewhere/metal/entry.mjs': factory(providerText({ name: '"metal"' })),
    });
    await mkdir(join(from, 'node_modules/@berth'), { recursive: true });
    await symlink(join(from, 'elsewhere/metal'), join(from, 'node_modules/@berth/provider-metal'));
    expect((await load('metal')).name).toBe('metal');
  });
});

describe('loadProvider gives the factory', () => {
  it('the configuration as its schema makes it, and the host', async () => {
    const schema = `make.configSchema = { '~standard': { version: 1, vendor: 'x', validate: (value) => ({ value: { ...value, seen: true } }) } };`;
    await write({ 'echo.mjs': factory(providerText({ echo: '{ config, host }' }), schema) });
    expect(await load('./echo.mjs', { config: { a: 1 } })).toMatchObject({
      echo: { config: { a: 1, seen: true }, host },
    });
  });

  it('an empty configuration where there is none', async () => {
    await write({ 'empty.mjs': factory(providerText({ echo: 'config' })) });
    expect(await load('./empty.mjs')).toMatchObject({ echo: {} });
  });

  it('time: it may answer later', async () => {
    await write({ 'later.mjs': `export default async () => ${providerText()};` });
    expect((await load('./later.mjs')).name).toBe('hello');
  });
});

describe('loadProvider adds the configured classes', () => {
  it('beside the provider’s own, and everything else of it still works, private fields and frozen objects too', async () => {
    await write({
      'class.mjs': `class Hello { contract = 1; name = 'hello'; classes = ['example.com/hello']; capabilities = {}; settings = {};
        #secret = 42; observe() { return this.#secret; } plan() {} apply() {} ingress() {} close() {} extra() { return this.#secret; } }
        export default () => Object.freeze(new Hello());`,
    });
    const provider = await load('./class.mjs', { classes: ['metallb.io/metallb', 'example.com/hello'] });
    expect(provider.classes).toEqual(['example.com/hello', 'metallb.io/metallb']);
    expect(provider.observe(new AbortController().signal)).toBe(42);
    expect('extra' in provider).toBe(true);
    expect(provider.name).toBe('hello');
  });

  it('and refuses one that no Service can have', async () => {
    await write({ 'more.mjs': factory() });
    const error = await failure(load('./more.mjs', { section: 'hello', classes: ['not a class'] }));
    expect(error.code).toBe('ProviderConfigInvalid');
    expect(error.message).toContain('providers.hello.classes: "not a class"');
  });
});

describe('loadProvider says what is wrong and what to do', () => {
  it.each<[string, string, RegExp]>([
    ['a package that is not installed', '@example/absent', /npm install @example\/absent/],
    ['a short name that is misspelt', 'locl', /Did you mean local\?/],
    ['a path that does not exist', './absent.mjs', /Give the path of a JavaScript module/],
  ])('about %s', async (_what, spec, remedy) => {
    const error = await failure(load(spec));
    expect(error.code).toBe('ProviderNotFound');
    expect(error.message).toMatch(remedy);
    expect(error.message).toContain(spec);
  });

  it.each<[string, string, ProviderLoadCode, RegExp]>([
    ['a syntax error', 'export default (', 'ProviderInvalid', /could not be imported/],
    [
      'a dependency that is missing',
      'import "not-installed-anywhere"; export default 1',
      'ProviderInvalid',
      /not-installed-anywhere.*install what it depends on/s,
    ],
    [
      'no default export',
      'export const make = 1',
      'ProviderInvalid',
      /default export .* is missing.*Export one factory/,
    ],
    ['a default export that is no function', 'export default {}', 'ProviderInvalid', /of type object/],
    [
      'a factory that throws',
      'export default () => { throw new Error("no directory /x") }',
      'ProviderInvalid',
      /could not be set up: no directory \/x/,
    ],
    [
      'a factory that throws something strange',
      'export default () => { throw "text" }',
      'ProviderInvalid',
      /could not be set up: text/,
    ],
    ['a factory that gives nothing', 'export default () => undefined', 'ProviderInvalid', /is not an object/],
    [
      'a newer contract',
      factory(providerText({ contract: '2' })),
      'ProviderContractMismatch',
      /contract 2, this core speaks 1.*Update Berth/,
    ],
    [
      'an older contract',
      factory(providerText({ contract: '0' })),
      'ProviderContractMismatch',
      /contract 0, this core speaks 1.*newer version of the provider/,
    ],
    [
      'no contract',
      factory(providerText({ contract: undefined })),
      'ProviderContractMismatch',
      /contract undefined/,
    ],
    [
      'missing members',
      factory(providerText({ plan: undefined, close: '1' })),
      'ProviderInvalid',
      /has no plan \(function\), no close \(function\)/,
    ],
    [
      'no list of classes',
      factory(providerText({ classes: '"x"' })),
      'ProviderInvalid',
      /has no classes \(list\)/,
    ],
    ['an empty list of classes', factory(providerText({ classes: '[]' })), 'ProviderInvalid', /at least one/],
    [
      'a class that no Service can have',
      factory(providerText({ classes: '["a b"]' })),
      'ProviderInvalid',
      /serves the class "a b"/,
    ],
    [
      'a name that is no prefix of annotations',
      factory(providerText({ name: '"Hello World"' })),
      'ProviderInvalid',
      /has the name "Hello World"/,
    ],
  ])('about a module with %s', async (what, ...[text, code, message]) => {
    const path = `./wrong ${what}.mjs`;
    await write({ [path]: text });
    const error = await failure(load(path));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(path);
    expect(error.message.endsWith(`${error.remedy}.`)).toBe(true);
  });

  it('about a package.json that cannot be read', async () => {
    await write({ 'broken/package.json': '{' });
    expect(await failure(load('./broken'))).toMatchObject({
      code: 'ProviderInvalid',
      message: expect.stringContaining('package.json'),
    });
  });

  it('about a directory whose entry is missing', async () => {
    await write({ 'hollow/package.json': JSON.stringify({ exports: './absent.mjs' }) });
    expect((await failure(load('./hollow'))).code).toBe('ProviderNotFound');
  });

  it('about the configuration: each wrong value with its place in the file and what is expected', async () => {
    const config = { pools: [{ addresses: ['10.0.0.0/24', '10.0.0.0/33'] }], latencyMs: -1, colour: 'red' };
    const { code, message } = await failure(load('memory', { config }));
    expect(code).toBe('ProviderConfigInvalid');
    expect(message).toContain('providers.memory.config.pools[0].name: ');
    expect(message).toContain('providers.memory.config.pools[0].addresses[1]: expected a CIDR');
    expect(message).toContain('providers.memory.config.latencyMs: ');
    expect(message).toContain('providers.memory.config.colour: unknown key (known here: ');
    expect((await failure(load('memory', { config: { latencyms: 1 } }))).message).toBe(
      'providers.memory.config.latencyms: unknown key (did you mean latencyMs?). Correct the value in the configuration.',
    );
  });

  it('about the configuration of a provider that has a section of another name', async () => {
    const { message } = await failure(load('memory', { section: 'bench', config: { latencyMs: 'x' } }));
    expect(message).toContain('providers.bench.config.latencyMs: ');
  });
});
