import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from './sources.ts';

/** Imports what `berth speaker` imports in a pod, and tells which modules that took. */
const PROGRAM = `
  import { registerHooks } from 'node:module';
  const loaded = new Set();
  registerHooks({ load: (url, context, next) => (loaded.add(url), next(url, context)) });
  await import('./src/cli/main.ts');
  await import('./src/cli/commands/speaker.ts');
  const { loadProcess } = await import('./src/provider/registry.ts');
  await loadProcess({ spec: 'metal', from: '.' }, 'speaker');
  await import('./providers/metal/speaker/run.ts');
  console.log([...loaded].join('\\n'));
`;

function loadedBySpeaker(): readonly string[] {
  const args = ['--conditions=source', '--input-type=module', '--eval', PROGRAM];
  return execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
}

it('a speaker loads neither the controller nor what only that needs: three start at once after an outage', () => {
  const loaded = loadedBySpeaker();
  const packages = new Set(
    loaded.flatMap((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(url)?.[1] ?? []),
  );
  for (const needed of ['zod', 'pino', 'ip-address']) expect(packages).toContain(needed);
  for (const other of ['@kubernetes/client-node', 'prom-client', 'p-queue', 'undici'])
    expect(packages).not.toContain(other);
  expect([...packages].filter((name) => name.startsWith('@aws-sdk/'))).toEqual([]);
  // Its import loads undici inside of Node (src/kube/http.ts).
  expect(loaded).not.toContain('node:http');
  const controller = loaded.filter((url) => url.includes(`${join('src', 'controller')}/`));
  expect(controller.map((url) => url.slice(url.lastIndexOf('/') + 1))).toEqual(['http.ts']);
  expect(loaded.some((url) => url.endsWith('providers/metal/speaker/run.ts'))).toBe(true);
});
