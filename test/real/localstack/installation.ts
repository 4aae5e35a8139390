import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { harnessEnvironment } from '../../harness/environment.ts';
import { ensureLocalStack } from '../../harness/localstack.ts';

const log = (): void => undefined;

/** Expectations on a machine without Python. */
export function withoutPython(): void {
  it('says which Python it lacks, and how to get it', async () => {
    const environment = { ...harnessEnvironment(), forChildren: { PATH: '/nonexistent' } };
    expect(await ensureLocalStack({ log, environment })).toMatchObject({
      available: false,
      reason: expect.stringContaining('no Python 3.11'),
      remedy: expect.stringContaining('apt-get install python3'),
    });
  });
}

/** Expectations on a machine with Python that reaches no package index. */
export function withoutPackages(): void {
  it('says what pip said when there is no package index, and leaves nothing behind', async () => {
    const cacheDir = await mkdtemp(join(tmpdir(), 'berth-cache-'));
    const { forChildren } = harnessEnvironment();
    const nowhere = { PIP_NO_INDEX: '1', PIP_FIND_LINKS: cacheDir, PIP_CONFIG_FILE: '/dev/null' };
    try {
      const environment = { cacheDir, ci: false, forChildren: { ...forChildren, ...nowhere } };
      expect(await ensureLocalStack({ log, environment })).toMatchObject({
        available: false,
        reason: expect.stringContaining('localstack-core'),
        remedy: expect.stringContaining('PIP_INDEX_URL'),
      });
      expect(await readdir(join(cacheDir, 'localstack'))).toEqual([]);
    } finally {
      await rm(cacheDir, { recursive: true, force: true });
    }
  });
}
