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
} else if (sources) {
  // Imported here, because an older Node has no such export and would not get as far as the message above.
  const { registerHooks } = await import('node:module');
  registerHooks({
    resolve: (specifier, context, next) =>
      next(specifier, { ...context, conditions: ['source', ...(context.conditions ?? [])] }),
  });
  await import('../cli/main.ts').then((cli) => cli.main(process.argv.slice(2)));
} else {
  const built = new URL('../dist/cli/main.js', import.meta.url);
  await import(built.href).then((cli) => cli.main(process.argv.slice(2)));
}
