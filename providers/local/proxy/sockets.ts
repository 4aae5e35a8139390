import { Socket, type OnReadOpts, type Server } from 'node:net';

/** An accepted connection before it is a `net.Socket`. */
export type RawConnection = object;

type Accept = (status: number, connection: RawConnection | undefined) => void;

interface ListeningHandle {
  onconnection?: Accept;
}

/**
 * Hands every connection of a listening server to `take` before Node makes a socket of it, so that the socket can be
 * made with a read buffer of ours (`onread`), which `net.createServer` has no option for. That needs the server's
 * handle, whose `onconnection` is not documented (it has been there since Node 0.8). Where it is not as expected
 * nothing changes and the answer is `false`: the server's `connection` events do the same, at about 0.6 of the bulk
 * throughput.
 */
export function takeRawConnections(server: Server, take: (connection: RawConnection) => void): boolean {
  const handle = (server as unknown as { _handle?: ListeningHandle | null })._handle;
  const accept = handle?.onconnection;
  if (handle === null || handle === undefined || typeof accept !== 'function') return false;
  handle.onconnection = (status, connection) => {
    if (status === 0 && connection !== undefined) take(connection);
    else accept.call(handle, status, connection);
  };
  return true;
}

/** A socket of a raw connection. It reads into the buffers of `reads`, beginning when it is told to. */
export function adopt(connection: RawConnection, reads: OnReadOpts): Socket {
  const options = { handle: connection, allowHalfOpen: true, manualStart: true, onread: reads };
  return new Socket(options as ConstructorParameters<typeof Socket>[0]);
}

/**
 * Ends a connection at once with RST, so that the peer does not take what it got for complete.
 *
 * `resetAndDestroy()` would first wait until everything is written, which a peer that reads nothing never allows; the
 * flag is what it sets in the end. While a FIN is still on its way out libuv refuses to reset, and a plain close does.
 */
export function reset(socket: Socket): void {
  const finishing = socket.writableEnded && !socket.writableFinished;
  if (!finishing && !socket.connecting) (socket as { resetAndClosing?: boolean }).resetAndClosing = true;
  socket.destroy();
}
