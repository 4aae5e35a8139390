import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import * as kit from '../../providers/local/proxy/testkit.ts';

const SCRIPT = fileURLToPath(new URL('local-exhaustion-child.ts', import.meta.url));

it('the local proxy survives running out of file descriptors, says so, and serves again afterwards', async () => {
  const server = createServer((socket) => socket.on('error', () => {}).pipe(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const limited = 'ulimit -n 64; exec "$0" --conditions=source "$@"';
  const backendPort = String((server.address() as AddressInfo).port);
  const child = spawn('sh', ['-c', limited, process.execPath, SCRIPT, backendPort], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const said: { port?: number; code?: string }[] = [];
  const lines = createInterface(child.stdout!);
  lines.on('line', (line) => said.push(JSON.parse(line) as { port?: number; code?: string }));
  await kit.until(() => said.length > 0, 'the proxy');
  const proxy = { host: '127.0.0.1', port: said[0]?.port ?? 0 };

  const clients = await Promise.all(Array.from({ length: 80 }, () => kit.dial(proxy)));
  await kit.until(() => clients.some((client) => client.destroyed), 'a client that is turned away');
  const served = clients.filter((client) => !client.destroyed);
  expect(served.length).toBeGreaterThan(5);
  expect(said.slice(1).map(({ code }) => code)).toContain('EMFILE');

  for (const client of clients) client.destroy();
  let answer = await kit.talk(proxy, 'again');
  for (let attempt = 0; attempt < 20 && answer.ended !== 'end'; attempt++) {
    await kit.pause(100);
    answer = await kit.talk(proxy, 'again');
  }
  expect(answer).toEqual({ text: 'again', ended: 'end' });
  child.kill('SIGKILL');
  server.close();
});
