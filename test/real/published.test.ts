/** The packages as a stranger installs them: built, packed, and run without a line of TypeScript. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasProgram } from '../../infra/packages.ts';
import { kubeconfigText } from '../../src/sandbox/kubeconfig.ts';
import { describeAsRoot } from '../harness/netns.ts';
import { manifestOf, PACKAGES, runBare, ship, type Shipped } from '../harness/shipped.ts';
import { ROOT } from '../sources.ts';

let shipped: Shipped;

beforeAll(async () => {
  shipped = await ship();
});

afterAll(() => shipped?.remove());

describe('what is published', () => {
  it.each(Object.entries(PACKAGES))('%s has every file that its exports name, and no test', (name, path) => {
    const at = join(shipped.dir, 'node_modules', name);
    const named = Object.values(manifestOf(path).exports).flatMap((entry) => [entry.types, entry.default]);
    expect(named.filter((file) => !existsSync(join(at, file)))).toEqual([]);
    const files = readdirSync(at, { recursive: true }).map(String);
    expect(files.filter((file) => /(\.test|testkit[a-z-]*)\.(js|d\.ts)$|(?<!\.d)\.ts$/.test(file))).toEqual(
      [],
    );
  });

  it('the program runs from the built JavaScript, finds the provider local, and tells the whole story', async () => {
    const { dir, program } = shipped;
    const { code, text } = await runBare(process.execPath, [program, 'demo', '--once'], dir);
    expect(text).toMatch(/All \d+ checks held/);
    expect(code).toBe(0);
    // What was compiled is kept for the next start.
    expect(readdirSync(join(dir, 'node_modules/@berth/core/.cache'))).not.toEqual([]);
  });

  it.each(['aws', 'metal'])(
    'the provider %s is loaded by its name, and judges its configuration',
    async (name) => {
      const { dir, program } = shipped;
      const [file, kubeconfig] = [join(dir, `${name}.yaml`), join(dir, 'kubeconfig')];
      // Nobody is there.
      writeFileSync(kubeconfig, kubeconfigText('http://127.0.0.1:9'));
      writeFileSync(file, JSON.stringify({ kubeconfig, providers: { [name]: { config: { nonsense: 1 } } } }));
      const { code, text } = await runBare(process.execPath, [program, 'run', '--config', file], dir);
      expect(text).toContain(`providers.${name}.config.nonsense: unknown key (known here: `);
      expect(code).toBe(2);
    },
  );

  it('an older Node is told what to do, before anything that it does not know', async () => {
    const older =
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } })";
    const asOlder = ['--import', `data:text/javascript,${encodeURIComponent(older)}`];
    for (const [at, remedy] of [
      [join(shipped.dir, 'node_modules/@berth/core'), 'Install Node 24 or newer.'],
      [join(ROOT, 'src'), 'Run it as `npx berth` in the checkout'],
    ] as const) {
      const { code, text } = await runBare(
        process.execPath,
        [...asOlder, join(at, 'bin/berth.mjs')],
        shipped.dir,
      );
      expect(text).toContain('Node 24 or newer is needed');
      expect(text).toContain(remedy);
      expect(code).toBe(3);
      const program = readFileSync(join(at, 'bin/berth.mjs'), 'utf8');
      expect(program.match(/^import .*$/gm)).toEqual(["import { existsSync } from 'node:fs';"]);
    }
  });
});

await describeAsRoot('what is published, on the wire', () => {
  it('the thread of the provider metal runs from the built JavaScript, with what a compiler made', async () => {
    const code = `
      const { startWire } = await import('./node_modules/@berth/provider-metal/dist/wire/index.js');
      const wire = await startWire({});
      console.log(wire.interfaces().map(({ name }) => name).join(), wire.fastPath);
      await wire.stop();
    `;
    const node = [process.execPath, '--input-type=module', '-e', code];
    expect(await runBare('unshare', ['--net', ...node], shipped.dir)).toEqual({
      code: 0,
      text: `lo ${hasProgram('cc')}\n`,
    });
  });
});
