// The load generator of the benchmark: one job at a time, in a process of its own.
import { connect, type Socket } from 'node:net';
import { quantile } from '../report.ts';
import { answer } from './child.ts';

/** What is generated. `paced` sends at a fixed rate and measures latency; the others go as fast as they can. */
export type LoadKind = 'download' | 'upload' | 'requests' | 'connections' | 'paced';

/** One job. */
export interface LoadJob {
  readonly kind: LoadKind;
  readonly host: string;
  readonly port: number;
  readonly connections: number;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

/** What came of it. */
export interface LoadResult {
  /** Bytes (bulk) or round trips in a second. */
  readonly perSecond: number;
  /** Bytes or round trips altogether, warm-up included: what processor time is divided by. */
  readonly total: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly errors: number;
}

/** Round trips in a second of a `paced` job, over all its connections. */
const PACE = 1_000;
const MESSAGE = Buffer.alloc(64, 'm');
const CHUNK = Buffer.alloc(64 * 1024, 'c');
const READ_BUFFER = Buffer.alloc(256 * 1024);

/** A running job counts here; `latencies` only while measuring. */
interface Counter {
  count: number;
  errors: number;
  stopped: boolean;
  latencies: number[] | undefined;
  readonly sockets: Set<Socket>;
}

type Generator = (job: LoadJob, counter: Counter) => void;

function dial(job: LoadJob, counter: Counter, reads?: (length: number) => void): Socket {
  const onread = reads && { buffer: READ_BUFFER, callback: (length: number) => (reads(length), true) };
  const { host, port } = job;
  const socket = connect({
    host,
    port,
    noDelay: true,
    autoSelectFamily: false,
    ...(onread ? { onread } : {}),
  });
  counter.sockets.add(socket);
  socket.on('close', () => counter.sockets.delete(socket));
  socket.on('error', () => {
    if (!counter.stopped) counter.errors++;
  });
  return socket;
}

const generators: Readonly<Record<LoadKind, Generator>> = {
  download(job, counter) {
    for (let i = 0; i < job.connections; i++) dial(job, counter, (length) => (counter.count += length));
  },
  upload(job, counter) {
    for (let i = 0; i < job.connections; i++) {
      const socket = dial(job, counter);
      const more = (): void => {
        // What waits in Node's own queue is counted when it has left it.
        while (!counter.stopped && socket.write(CHUNK)) counter.count += CHUNK.length;
      };
      socket.on('drain', () => {
        counter.count += CHUNK.length;
        more();
      });
      socket.on('connect', more);
    }
  },
  requests(job, counter) {
    for (let i = 0; i < job.connections; i++) {
      let got = 0;
      const socket = dial(job, counter, (length) => {
        got += length;
        if (got < MESSAGE.length) return;
        got = 0;
        counter.count++;
        if (!counter.stopped) socket.write(MESSAGE);
      });
      socket.on('connect', () => socket.write(MESSAGE));
    }
  },
  connections(job, counter) {
    const next = (): void => {
      if (counter.stopped) return;
      let got = 0;
      const socket = dial(job, counter, (length) => (got += length));
      socket.on('connect', () => socket.write(MESSAGE));
      socket.on('close', () => {
        if (got === MESSAGE.length) counter.count++;
        next();
      });
    };
    for (let i = 0; i < job.connections; i++) next();
  },
  paced(job, counter) {
    const sockets = Array.from({ length: job.connections }, () => {
      let sentAt = 0;
      const socket = dial(job, counter, () => {
        counter.latencies?.push(performance.now() - sentAt);
        sentAt = 0;
        counter.count++;
      });
      return () => {
        if (sentAt !== 0 || socket.connecting || socket.destroyed) return;
        sentAt = performance.now();
        socket.write(MESSAGE);
      };
    });
    let turn = 0;
    const timer = setInterval(() => {
      if (counter.stopped) clearInterval(timer);
      else sockets[turn++ % sockets.length]?.();
    }, 1_000 / PACE);
  },
};

async function work(job: LoadJob): Promise<LoadResult> {
  const counter: Counter = { count: 0, errors: 0, stopped: false, latencies: undefined, sockets: new Set() };
  generators[job.kind](job, counter);
  await pause(job.warmUpMs);
  const [countBefore, before] = [counter.count, performance.now()];
  const latencies: number[] = [];
  counter.latencies = latencies;
  await pause(job.measureMs);
  const perSecond = ((counter.count - countBefore) / (performance.now() - before)) * 1_000;
  counter.stopped = true;
  for (const socket of counter.sockets) socket.destroy();
  const [p50Ms, p99Ms] = [quantile(latencies, 0.5), quantile(latencies, 0.99)];
  return { perSecond, total: counter.count, p50Ms, p99Ms, errors: counter.errors };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

answer(work);
