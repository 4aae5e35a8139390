import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Programs from outside npm that tests and benchmarks use, with the Debian packages that bring each. */
export const TOOLS = {
  haproxy: { debian: 'haproxy', usedFor: 'npm run bench -- local' },
  setpriv: { debian: 'util-linux', usedFor: 'ending test servers with the test that started them' },
  ip: { debian: 'iproute2', usedFor: 'network namespaces of the tests of metal' },
  nft: { debian: 'nftables', usedFor: 'cutting nodes off, and kube-proxy' },
  iptables: { debian: 'iptables', usedFor: 'kube-proxy' },
  ip6tables: { debian: 'iptables', usedFor: 'kube-proxy' },
  conntrack: { debian: 'conntrack', usedFor: 'kube-proxy' },
  curl: { debian: 'curl', usedFor: 'requests of the client in the tests of metal' },
  arping: { debian: 'iputils-arping', usedFor: 'ARP as others see it' },
  ndisc6: { debian: 'ndisc6', usedFor: 'neighbour discovery as others see it' },
  tcpdump: { debian: 'tcpdump', usedFor: 'frames as others see them' },
  cc: { debian: 'gcc libc6-dev', usedFor: 'the fast path of ARP' },
  faketime: { debian: 'faketime', usedFor: 'clocks that jump' },
} as const;

/** One of them. */
export type Tool = keyof typeof TOOLS;

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
  const missing = Object.entries(TOOLS).filter(([program]) => !hasProgram(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.flatMap(([, { debian }]) => debian.split(' ')))];
  if (process.getuid?.() !== 0 || !hasProgram('apt-get')) {
    for (const [program, { debian, usedFor }] of missing) {
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
