// The backend of the benchmark: ports that echo, echo once and close, send, and swallow, as fast as each can.
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { answer } from './child.ts';

/** Where the backend listens. */
export interface BackendPorts {
  readonly echo: number;
  readonly once: number;
  readonly source: number;
  readonly sink: number;
}

const CHUNK = Buffer.alloc(64 * 1024, 'x');

async function listen(host: string, serve: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    serve(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port: 0, backlog: 4_096 }, resolve);
  });
  return (server.address() as AddressInfo).port;
}

function echo(socket: Socket): void {
  socket.on('data', (data) => socket.write(data));
  socket.on('end', () => socket.end());
}

/** The server closes first, so that it keeps the TIME_WAIT: kept by clients, they would use up all ephemeral ports. */
function once(socket: Socket): void {
  socket.on('data', (data) => socket.end(data));
}

function send(socket: Socket): void {
  const more = (): void => {
    while (!socket.destroyed && socket.write(CHUNK));
  };
  socket.on('drain', more);
  socket.on('end', () => socket.destroy());
  socket.resume();
  more();
}

function swallow(socket: Socket): void {
  socket.on('end', () => socket.end());
  socket.resume();
}

answer(async ({ host }: { readonly host: string }): Promise<BackendPorts> => ({
  echo: await listen(host, echo),
  once: await listen(host, once),
  source: await listen(host, send),
  sink: await listen(host, swallow),
}));
