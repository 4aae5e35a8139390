#!/usr/bin/env node
// From a checkout the TypeScript sources run as they are (type stripping, the `source` export condition);
// from a published package the built JavaScript in dist/ does.
import { existsSync } from 'node:fs';

const sources = existsSync(new URL('../cli/main.ts', import.meta.url));
if (Number(process.versions.node.split('.')[0]) < 24) {
  const remedy = sources
    ? 'Run it as `npx berth` in the checkout: that uses the Node pinned in node_modules.'
    : 'Install Node 24 or newer.';
  console.error(`berth: Node 24 or newer is needed, this is ${process.version}. ${remedy}`);
  process.exitCode = 3;
} else {
  // Imported here, because an older Node has no such exports and would not get as far as the message above.
  const { enableCompileCache, registerHooks } = await import('node:module');
  const { fileURLToPath } = await import('node:url');
  // What was compiled is kept for the next start, which takes half the processor time then. It is code, so it lies where
  // the code lies; where nothing can be written it changes nothing. NODE_DISABLE_COMPILE_CACHE=1 turns it off.
  const cache = sources ? '../../node_modules/.cache/berth' : '../.cache';
  enableCompileCache(fileURLToPath(new URL(cache, import.meta.url)));
  if (sources) {
    registerHooks({
      resolve: (specifier, context, next) =>
        next(specifier, { ...context, conditions: ['source', ...(context.conditions ?? [])] }),
    });
  }
  const program = new URL(sources ? '../cli/main.ts' : '../dist/cli/main.js', import.meta.url);
  await import(program.href).then((cli) => cli.main(process.argv.slice(2)));
}
