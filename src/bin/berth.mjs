#!/usr/bin/env node
// From a checkout the TypeScript sources run as they are (type stripping, the `source` export condition);
// from a published package the built JavaScript in dist/ does.
import { existsSync } from 'node:fs';
import { registerHooks } from 'node:module';

const built = new URL('../dist/cli/main.js', import.meta.url);
if (!existsSync(new URL('../cli/main.ts', import.meta.url))) {
  await import(built.href).then((cli) => cli.main(process.argv.slice(2)));
} else if (Number(process.versions.node.split('.')[0]) < 24) {
  console.error(
    `berth: running from sources needs Node 24 or newer, this is ${process.version}. ` +
      'Run it as `npx berth` in the checkout: that uses the Node pinned in node_modules.',
  );
  process.exitCode = 3;
} else {
  registerHooks({
    resolve: (specifier, context, next) =>
      next(specifier, { ...context, conditions: ['source', ...(context.conditions ?? [])] }),
  });
  await import('../cli/main.ts').then((cli) => cli.main(process.argv.slice(2)));
}
