/** Ends a connection with a TCP reset. */
import type { Socket } from 'node:net';

/**
 * Resets the connection, so that the other side sees ECONNRESET and not an orderly end. While its own end is still being
 * sent a socket cannot be reset (libuv refuses, and Node would leave the descriptor open); it is closed then.
 */
export function reset(socket: Socket): void {
  const ending = socket.writableEnded && !socket.writableFinished;
  if (ending || socket.connecting) socket.destroy();
  else if (!socket.destroyed) socket.resetAndDestroy();
}
