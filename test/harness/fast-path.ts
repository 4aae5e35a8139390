import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hasProgram, TOOLS } from '../../infra/packages.ts';
import { LIBRARY } from '../../providers/metal/wire/fast-path/library.ts';
import { ROOT } from '../sources.ts';

const BUILD = join(ROOT, 'providers/metal/wire/fast-path/build.mjs');

/** Compiles the fast path to where sources find it, as `npm run build` does; why it cannot be had. */
export function buildFastPath(): string | undefined {
  if (!hasProgram('cc')) {
    rmSync(LIBRARY, { force: true });
    return `no C compiler; to get one on Debian: apt-get install ${TOOLS.cc.debian}`;
  }
  const { stdout, stderr } = spawnSync(process.execPath, [BUILD, dirname(LIBRARY)], { encoding: 'utf8' });
  const said = `${stdout}${stderr}`.trim();
  return said === '' && existsSync(LIBRARY) ? undefined : `the fast path cannot be built: ${said}`;
}
