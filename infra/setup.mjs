// Runs a script of this repository on the Node pinned in devDependencies, installing dependencies first when they
// are missing or stale. Plain JavaScript, so that it runs on whatever Node (20 or newer) the host has.
//   node infra/setup.mjs SCRIPT [ARG ...]
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamp = join(root, 'node_modules', '.berth-installed');
const pinned = join(root, 'node_modules', 'node', 'bin', 'node');

if (Number(process.versions.node.split('.')[0]) < 20) {
  console.error(`berth: Node 20 or newer is needed to set up, this is ${process.version}.`);
  process.exit(3);
}

const wanted = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');
const installed = existsSync(stamp) ? readFileSync(stamp, 'utf8') : '';
if (installed !== wanted || !existsSync(pinned)) install();

const [script, ...args] = process.argv.slice(2);
const child = spawn(pinned, ['--conditions=source', join(root, script), ...args], {
  stdio: 'inherit',
  cwd: process.cwd(),
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)));

/** Installs what the lockfile pins, then makes sure that the pinned Node came with it. */
function install() {
  console.log(
    `berth: dependencies are ${installed ? 'stale' : 'missing'}, installing them (npm ci, about 30 s) ...`,
  );
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  if (!existsSync(pinned)) {
    console.log(
      'berth: the pinned Node was not installed by its package (install scripts are off), fetching it ...',
    );
    run('npm', ['rebuild', 'node', '--ignore-scripts=false', '--foreground-scripts', '--loglevel=error']);
  }
  if (!existsSync(pinned)) {
    console.error(
      'berth: the npm package `node` did not bring a Node binary. Remedy: allow its install script and run `npm ci`.',
    );
    process.exit(3);
  }
  writeFileSync(stamp, wanted);
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', cwd: root });
  if (status === 0) return;
  console.error(
    `berth: \`${command} ${args.join(' ')}\` failed${error ? `: ${error.message}` : ''}. Its output is above.`,
  );
  process.exit(3);
}
