/**
 * Keeps one TCP connection busy with requests, one after another. Arguments: address, port, milliseconds; prints JSON
 * (`ConnectionFound`).
 */
import { connect } from 'node:net';

/** What became of a connection. */
export interface ConnectionFound {
  readonly answers: number;
  /** Longest time from a request to its answer, one that never came included. */
  readonly longestMs: number;
  /** Whether the other side, or the network, ended it. */
  readonly cut: boolean;
}

const PAUSE_MS = 20;
const [host = '', port = '80', lastMs = '1000'] = process.argv.slice(2);
const socket = connect({ host, port: Number(port) });
const until = performance.now() + Number(lastMs);
let [answers, longestMs, askedMs] = [0, 0, performance.now()];

function ask(): void {
  askedMs = performance.now();
  socket.write('GET / HTTP/1.1\r\nHost: pod\r\n\r\n');
}

function end(cut: boolean): never {
  longestMs = Math.max(longestMs, performance.now() - askedMs - PAUSE_MS);
  const found: ConnectionFound = { answers, longestMs: Math.round(longestMs), cut };
  console.log(JSON.stringify(found));
  process.exit(0);
}

socket.on('connect', ask);
// The answers are small: each comes whole, and one at a time.
socket.on('data', () => {
  answers += 1;
  longestMs = Math.max(longestMs, performance.now() - askedMs);
  if (performance.now() < until) setTimeout(ask, PAUSE_MS);
});
socket.on('error', () => end(true));
socket.on('close', () => end(true));
setTimeout(() => end(false), Number(lastMs));
