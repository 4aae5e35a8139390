/** MetalLB's layer-2 announcer (metallb/main.go), built once and kept. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lastLines, runGo } from '../../infra/go.ts';
import { cachePath, produceOnce } from '../harness/cache.ts';
import { harnessEnvironment } from '../harness/environment.ts';

const MODULE = join(import.meta.dirname, 'metallb');

/** The program's path. @throws Error saying why there is none, with the remedy. */
export async function metallbResponder(log: (line: string) => void): Promise<string> {
  const hash = createHash('sha256');
  for (const file of ['go.mod', 'go.sum', 'main.go']) hash.update(await readFile(join(MODULE, file)));
  const path = cachePath('metallb', hash.digest('hex').slice(0, 16));
  await produceOnce({
    path,
    produce: async (unfinished) => {
      log(`MetalLB: building its announcer with Go, once; takes a minute and is kept in ${path}`);
      const { ok, missing, output } = await runGo({
        args: ['build', '-mod=readonly', '-trimpath', '-ldflags', '-s -w', '-o', unfinished, '.'],
        cwd: MODULE,
        environment: harnessEnvironment(),
      });
      if (ok) return;
      throw new Error(missing ? 'there is no Go. Remedy: install it.' : `go build: ${lastLines(output, 3)}`);
    },
  });
  return path;
}
