/**
 * The program of the lab's pods: tells over HTTP and UDP which pod was reached and by whom. Arguments: the port, then
 * NAME=ADDRESS for each pod; runs until it is killed.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { isIPv6 } from 'node:net';

const [port = '8080', ...pods] = process.argv.slice(2);
for (const pod of pods) {
  const split = pod.indexOf('=');
  const [name, host] = [pod.slice(0, split), pod.slice(split + 1)];
  const answer = (client: string | undefined): string => JSON.stringify({ pod: name, client });
  createServer((request, response) => response.end(answer(request.socket.remoteAddress))).listen(
    Number(port),
    host,
  );
  const udp = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  udp.on('message', (_, from) => udp.send(answer(from.address), from.port, from.address));
  udp.bind(Number(port), host);
}
