import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { adopt, takeRawConnections } from './sockets.ts';
import * as kit from './testkit.ts';

describe('raw connections', () => {
  it('are handed over before Node makes a socket of them, and become sockets that read into our buffer', async () => {
    const server = createServer();
    server.on('connection', () => expect.unreachable('Node made a socket by itself'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const buffer = Buffer.alloc(64);
    const read = Promise.withResolvers<number>();
    let accepted: Socket | undefined;
    const taken = takeRawConnections(server, (connection) => {
      const callback = (length: number): boolean => (read.resolve(length), true);
      accepted = adopt(connection, { buffer, callback });
      accepted._read(0);
    });
    expect(taken).toBe(true);
    const client = await kit.dial({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
    client.write('ahoy');
    expect(await read.promise).toBe(4);
    expect(buffer.toString('utf8', 0, 4)).toBe('ahoy');
    expect(accepted?.allowHalfOpen).toBe(true);
    client.destroy();
    accepted?.destroy();
    server.close();
  });

  it('are left to Node where a server is not made as expected', () => {
    const shapes = [{}, { _handle: null }, { _handle: {} }, { _handle: { onconnection: 1 } }];
    for (const shape of shapes) expect(takeRawConnections(shape as Server, () => {})).toBe(false);
  });

  it('leave errors of accepting to the server', () => {
    const seen: number[] = [];
    const handle = { onconnection: (status: number) => seen.push(status) };
    expect(takeRawConnections({ _handle: handle } as unknown as Server, () => {})).toBe(true);
    handle.onconnection(-24);
    expect(seen).toEqual([-24]);
  });
});
