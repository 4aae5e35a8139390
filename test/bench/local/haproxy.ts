import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BackendPorts } from './backend.ts';

/** A running HAProxy. */
export interface HaProxy {
  /** As it says itself. */
  readonly version: string;
  readonly pid: number;
  stop(): void;
}

/** HAProxy as an administrator would set it up for this: TCP mode, everything that is not said at its default. */
export function haProxyConfig(address: string, backend: string, ports: BackendPorts): string {
  const sections = Object.entries(ports).flatMap(([name, port]) => [
    `frontend ${name}`,
    `  bind ${address}:${port}`,
    `  default_backend ${name}`,
    `backend ${name}`,
    `  server one ${backend}:${port} check inter 5s`,
  ]);
  const defaults = ['mode tcp', 'timeout connect 3s', 'timeout client 350s', 'timeout server 350s'];
  return [
    'global',
    '  maxconn 1000',
    'defaults',
    ...defaults.map((line) => `  ${line}`),
    ...sections,
    '',
  ].join('\n');
}

/** HAProxy's version; `undefined` where it is not installed. Installs it if it may, after saying so. */
export function findHaProxy(): string | undefined {
  const version = versionOf();
  if (version !== undefined || process.getuid?.() !== 0) return version;
  console.log('HAProxy is not installed; running `apt-get install haproxy` ...');
  spawnSync('apt-get', ['install', '--yes', '--no-install-recommends', 'haproxy'], { stdio: 'ignore' });
  return versionOf();
}

/** Starts HAProxy and waits until it accepts. */
export async function startHaProxy(
  version: string,
  at: { readonly address: string; readonly backend: string; readonly ports: BackendPorts },
): Promise<HaProxy> {
  const dir = mkdtempSync(join(tmpdir(), 'berth-haproxy-'));
  const file = join(dir, 'haproxy.cfg');
  writeFileSync(file, haProxyConfig(at.address, at.backend, at.ports));
  const child = spawn('haproxy', ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  const stop = (): void => {
    child.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  };
  const said: Buffer[] = [];
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  await accepts(child, at.address, at.ports.echo).catch((error: unknown) => {
    stop();
    throw new Error(`HAProxy did not start: ${Buffer.concat(said).toString()}`, { cause: error });
  });
  return { version, pid: child.pid ?? 0, stop };
}

function versionOf(): string | undefined {
  const { status, stdout } = spawnSync('haproxy', ['-v'], { encoding: 'utf8' });
  return status === 0 ? /version (\S+)/.exec(stdout)?.[1] : undefined;
}

async function accepts(child: ChildProcess, host: string, port: number): Promise<void> {
  for (let attempt = 0; attempt < 50 && child.exitCode === null; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect({ host, port }, () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`nothing accepts on ${host}:${port}`);
}
