import { FIRST_SOCKET } from '../codec/filter.ts';
import { AF, bind, checked, close, OPTION, sendTo, setOption, SOCK, socket, trySetOption } from './libc.ts';
import { filterProgram } from './packet-socket.ts';

const RECEIVE_BUFFER = 1024 * 1024;

/**
 * A UDP socket on one address. A second speaker of the node (a rolling update) may bind the same port: until the first
 * one closes its socket, that gets every datagram (and relays it); none is lost when it closes.
 */
export class UdpSocket {
  readonly fd: number;

  /**
   * @throws SyscallError `EADDRNOTAVAIL` when the address is not this node's, `EADDRINUSE` when another program has the
   *   port.
   */
  constructor(address: Uint8Array, port: number) {
    const family = address.length === 4 ? AF.inet : AF.inet6;
    this.fd = checked('socket', socket(family, SOCK.dgram | SOCK.nonBlocking | SOCK.closeOnExec, 0));
    try {
      setOption(this.fd, OPTION.reusePort, 1);
      trySetOption(this.fd, OPTION.receiveBuffer, RECEIVE_BUFFER);
      const name = socketAddress(address, port);
      checked('bind', bind(this.fd, name, name.length));
      setOption(this.fd, OPTION.attachReusePortFilter, filterProgram(FIRST_SOCKET));
    } catch (error) {
      close(this.fd);
      throw error;
    }
  }

  /** Sends a datagram to a `socketAddress`; `false` when the kernel refused it. */
  send(datagram: Uint8Array, to: Uint8Array): boolean {
    return sendTo(this.fd, datagram, to) === datagram.length;
  }

  close(): void {
    close(this.fd);
  }
}

/** `struct sockaddr_in` or `sockaddr_in6` of 4 or 16 bytes of address and a port. */
export function socketAddress(address: Uint8Array, port: number): Uint8Array {
  const inet = address.length === 4;
  const view = new DataView(new ArrayBuffer(inet ? 16 : 28));
  view.setUint16(0, inet ? AF.inet : AF.inet6, true);
  view.setUint16(2, port);
  const bytes = new Uint8Array(view.buffer);
  bytes.set(address, inet ? 4 : 8);
  return bytes;
}
