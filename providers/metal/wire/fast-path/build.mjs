/**
 * Compiles the fast path into a directory: `node build.mjs DIRECTORY`. It is a choice: without a C compiler the build is
 * whole, and ARP is answered through JavaScript alone. Nothing but the C library that the process already runs on is
 * referred to, by name, so that one library serves glibc and musl.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [directory = '.'] = process.argv.slice(2);
const compiler = process.env.CC ?? 'cc';
const library = join(directory, `answer-${process.arch}.so`);
const flags = '-std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wpedantic -fPIC -shared -nostdlib'.split(' ');
const source = fileURLToPath(new URL('answer.c', import.meta.url));

mkdirSync(directory, { recursive: true });
// Another process may load it meanwhile, and must not find half of it.
const unfinished = `${library}.${process.pid}`;
const { status } = spawnSync(compiler, [...flags, '-o', unfinished, source], { stdio: 'inherit' });
if (status === 0) renameSync(unfinished, library);
else {
  rmSync(library, { force: true });
  console.log(
    `note: ${compiler} cannot be used, so this is built without the fast path of ARP: an answer takes some 10 µs longer. ` +
      'Remedy, where that matters: install a C compiler (Debian: apt-get install gcc libc6-dev) and build again.',
  );
}
