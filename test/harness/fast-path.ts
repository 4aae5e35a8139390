import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { hasProgram, TOOLS } from '../../infra/packages.ts';
import { ROOT } from '../sources.ts';

const METAL = join(ROOT, 'providers/metal');

/** Where sources find the compiled fast path of ARP. */
export const FAST_PATH: string = join(METAL, `dist/wire/fast-path/answer-${process.arch}.so`);

/** Compiles the fast path to where sources find it, as `npm run build` does; why it cannot be had. */
export function buildFastPath(): string | undefined {
  if (!hasProgram('cc')) {
    rmSync(FAST_PATH, { force: true });
    return `no C compiler; to get one on Debian: apt-get install ${TOOLS.cc.debian}`;
  }
  const program = join(METAL, 'wire/fast-path/build.mjs');
  const { stdout, stderr } = spawnSync(process.execPath, [program, join(METAL, 'dist/wire/fast-path')], {
    encoding: 'utf8',
  });
  const said = `${stdout}${stderr}`.trim();
  return said === '' && existsSync(FAST_PATH) ? undefined : `the fast path cannot be built: ${said}`;
}
