import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { conformance } from '../../src/conformance/vitest.ts';
import { createTestHost, Driver } from '../../src/conformance/index.ts';
import { rangeText } from '../../src/model/address.ts';
import type { Provider } from '../../src/provider/spi.ts';
import { loadProvider } from '../../src/provider/registry.ts';

const from = fileURLToPath(new URL('.', import.meta.url));

/** Loaded as `berth run --provider ./provider-hello` does. */
function load(directory: string): Promise<Provider> {
  const config = { directory, addresses: ['192.0.2.128/28', '2001:db8::/120'] };
  return loadProvider({ spec: './provider-hello', config, host: createTestHost(), from });
}

conformance({
  name: 'the example provider hello',
  annotation: ['hello.berth.dev/balance', 'leastconn'],
  async create() {
    const directory = await mkdtemp(join(tmpdir(), 'berth-hello-'));
    return {
      provider: await load(directory),
      restart: () => load(directory),
      async drift() {
        const [name = ''] = await readdir(directory);
        await rm(join(directory, name));
      },
      dispose: () => rm(directory, { recursive: true }),
    };
  },
});

describe('the example provider hello', () => {
  it('is under 150 lines and imports nothing of Berth but its public entry', async () => {
    const source = await readFile(join(from, 'provider-hello/index.js'), 'utf8');
    expect(source.trimEnd().split('\n').length).toBeLessThan(150);
    const imported = [...source.matchAll(/from '([^']+)'/g)].map(([, name]) => name);
    expect(imported.toSorted()).toEqual(['@berth/core', 'node:fs/promises', 'node:path']);
  });

  it('leaves a file alone that has the name it wants and is not its own', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'berth-hello-'));
    await writeFile(join(directory, 'default.web.cfg'), '# by hand\n');
    const provider = await load(directory);
    const driver = new Driver(
      { provider, dispose: () => provider.close() },
      { name: 'hello', create: expect.fail },
    );
    await driver.observe();
    await expect(driver.converge(driver.want(driver.service()))).rejects.toMatchObject({
      kind: 'NotOwned',
      message: expect.stringContaining('Move the file away'),
    });
    expect(await readFile(join(directory, 'default.web.cfg'), 'utf8')).toBe('# by hand\n');
    await rm(directory, { recursive: true });
  });

  it('loads without any configuration', async () => {
    const request = { spec: './provider-hello', host: createTestHost(), from };
    const provider = await loadProvider(request);
    expect(provider.pools?.().map(({ ranges }) => ranges.map(rangeText))).toEqual([
      ['127.78.0.0-127.78.0.255'],
    ]);
  });

  it('refuses a configuration that is wrong, naming the key', async () => {
    const request = { spec: './provider-hello', section: 'hello', host: createTestHost(), from };
    const config = { directory: '/somewhere', addresses: ['192.0.2.0/24', '192.0.2.0/33'] };
    await expect(loadProvider({ ...request, config })).rejects.toMatchObject({
      code: 'ProviderConfigInvalid',
      message: expect.stringContaining('providers.hello.config.addresses[1]: expected a CIDR'),
    });
  });
});
