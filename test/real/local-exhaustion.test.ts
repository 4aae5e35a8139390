import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import type { Endpoint } from '../../providers/local/proxy/targets.ts';
import * as kit from '../../providers/local/proxy/testkit.ts';

const SCRIPT = fileURLToPath(new URL('local-exhaustion-child.ts', import.meta.url));

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Line {
  readonly tcp?: number;
  readonly udp?: number;
  readonly code?: string;
}

/** Starts proxies with few file descriptors: of 64, Node itself leaves about 40 free. */
async function limited(files = 64): Promise<{ said: readonly Line[]; tcp: Endpoint; udp: Endpoint }> {
  const backend = await kit.echo();
  const udpBackend = await kit.udpNamed('udp');
  const command = `ulimit -n ${files}; exec "$0" --conditions=source "$@"`;
  const args = [process.execPath, SCRIPT, String(backend.port), String(udpBackend.port)];
  const child = spawn('sh', ['-c', command, ...args], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  cleanups.push(
    () => backend.close(),
    () => udpBackend.close(),
    () => child.kill('SIGKILL'),
  );
  const said: Line[] = [];
  createInterface(child.stdout!).on('line', (line) => said.push(JSON.parse(line) as Line));
  await kit.until(() => said.length > 0, 'the proxy');
  const at = (port = 0): Endpoint => ({ host: '127.0.0.1', port });
  return { said, tcp: at(said[0]?.tcp), udp: at(said[0]?.udp) };
}

describe('the local proxy without file descriptors left', () => {
  it('turns TCP clients away, says why, and serves again afterwards', async () => {
    const reports: (string | undefined)[] = [];
    // With an even or odd number left, accepting or connecting fails first; libuv hides the former from Node.
    for (const files of [64, 65]) {
      const { said, tcp } = await limited(files);
      const clients = await Promise.all(Array.from({ length: 80 }, () => kit.dial(tcp)));
      await kit.until(() => clients.some((client) => client.destroyed), 'a client that is turned away');
      expect(clients.filter((client) => !client.destroyed).length).toBeGreaterThan(5);
      for (const client of clients) client.destroy();
      const served = async (): Promise<boolean> => (await kit.talk(tcp, 'again')).text === 'again';
      for (let attempt = 0; attempt < 20 && !(await served()); attempt++) await kit.pause(100);
      expect(await served()).toBe(true);
      reports.push(...said.map(({ code }) => code));
    }
    expect(reports).toContain('EMFILE');
  });

  it('drops datagrams of new UDP clients, says why, and serves them again afterwards', async () => {
    const { said, udp } = await limited();
    const clients = await Promise.all(Array.from({ length: 80 }, () => kit.udpClient()));
    cleanups.push(...clients.map((client) => () => client.close()));
    const answers = await Promise.all(clients.map((client) => client.ask(udp, 'x', 500)));
    expect(answers).toContain('udp:x');
    expect(answers).toContain(undefined);
    await kit.until(() => said.some(({ code }) => code === 'EMFILE'), 'a report of it');
    const [late] = clients.filter((_, index) => answers[index] === undefined);
    const served = async (): Promise<boolean> => (await late?.ask(udp, 'again', 200)) === 'udp:again';
    for (let attempt = 0; attempt < 20 && !(await served()); attempt++) await kit.pause(100);
    expect(await served()).toBe(true);
  });
});
