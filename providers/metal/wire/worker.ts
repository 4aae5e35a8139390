/**
 * Entry of the worker thread. It imports neither the core nor a Kubernetes client: the thread has a heap of its own, and
 * what is not loaded costs no memory.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { WireThread } from './thread/wire-thread.ts';
import type { WorkerInput } from './protocol.ts';

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
const thread = new WireThread(workerData as WorkerInput, (report) => parentPort?.postMessage(report));
thread.start();
