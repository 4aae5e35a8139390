/** Sends one datagram to ADDRESS PORT and prints what comes back; exit code 1 after 3 s without an answer. */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';

const [address = '', port = ''] = process.argv.slice(2);
const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
const late = setTimeout(() => {
  console.error(`no answer from ${address} port ${port} within 3 s`);
  process.exit(1);
}, 3_000);
socket.on('message', (message) => {
  clearTimeout(late);
  console.log(message.toString());
  socket.close();
});
socket.send('who is there', Number(port), address);
