import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A program that tests use, and the Debian package that brings it. */
interface Tool {
  readonly program: string;
  readonly debian: string;
  readonly usedFor: string;
}

/** Programs from outside npm that tests and benchmarks use. */
const TOOLS: readonly Tool[] = [
  { program: 'haproxy', debian: 'haproxy', usedFor: 'npm run bench -- local' },
  {
    program: 'setpriv',
    debian: 'util-linux',
    usedFor: 'ending test servers with the test that started them',
  },
  { program: 'ip', debian: 'iproute2', usedFor: 'network namespaces of the tests of metal' },
  { program: 'arping', debian: 'iputils-arping', usedFor: 'ARP as others see it' },
  { program: 'ndisc6', debian: 'ndisc6', usedFor: 'neighbour discovery as others see it' },
  { program: 'faketime', debian: 'faketime', usedFor: 'clocks that jump' },
  { program: 'tcpdump', debian: 'tcpdump', usedFor: 'frames as others see them' },
];

/** Directories that hold system programs, also where they are not on a user's PATH. */
const SYSTEM = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** Whether a program can be run by its name. */
export function hasProgram(name: string): boolean {
  const path = (process.env['PATH'] ?? '').split(delimiter);
  return [...path, ...SYSTEM].some((directory) => directory !== '' && existsSync(join(directory, name)));
}

/**
 * Installs the Debian packages that are missing, when this is Debian and we are root; says so before it does, and says
 * what to install otherwise. Never fails: what is missing makes its tests skipped, with the remedy.
 */
export function ensurePackages(log: (line: string) => void): void {
  const missing = TOOLS.filter(({ program }) => !hasProgram(program));
  if (missing.length === 0) return;
  const packages = missing.map(({ debian }) => debian);
  if (process.getuid?.() !== 0 || !hasProgram('apt-get')) {
    for (const { program, debian, usedFor } of missing) {
      log(`${program} is missing (for ${usedFor}). Remedy: install it (Debian: apt-get install ${debian})`);
    }
    return;
  }
  log(`installing Debian packages: ${packages.join(' ')} ...`);
  const apt = (...args: string[]): boolean =>
    spawnSync('apt-get', ['-qq', ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }).status === 0;
  const done = apt('update') && apt('install', '-y', '--no-install-recommends', ...packages);
  if (!done) log(`apt-get could not install them. Remedy: apt-get install ${packages.join(' ')}`);
}
