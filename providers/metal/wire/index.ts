/**
 * The wire half of the speaker: ARP, NDP and heartbeats in a worker thread, and this hold on it.
 *
 * ```ts
 * const wire = await startWire({ heartbeat: { node, cluster, address, key } });
 * wire.on('gone', ({ node }) => …);
 * await wire.setPeers([{ node: 'node-2', address }]);
 * if ((await wire.probe(address, { signal })) === 'free') await wire.announce([{ address }]);
 * ```
 */
import { EventEmitter } from 'node:events';
import { closeSync, writeSync } from 'node:fs';
import { MessageChannel, Worker } from 'node:worker_threads';
import type { IpAddress } from '@berth/core';
import { Counters, counterMemory, MAX_SLOTS, PER_ADDRESS, REJECT_REASONS } from './engine/counters.ts';
import { wireEnded, wireError } from './errors.ts';
import type { Command, EventReport, Report, Result } from './protocol.ts';
import {
  type AddressStats,
  type AddressUser,
  type Announcement,
  type Gateway,
  type Handover,
  type LookOptions,
  MAX_DIGEST,
  MAX_GOODBYE,
  MAX_PAYLOAD,
  type MessageKind,
  type PeerState,
  type RejectReason,
  type StopOptions,
  type WireApi,
  type WireEvents,
  type WireInterface,
  type WireOptions,
  type WirePeer,
  type WireStats,
} from './types.ts';
import { PeerBook } from './peer-book.ts';
import { Slots } from './slots.ts';

export * from './types.ts';
export { DEFAULT_EXCLUDE } from './engine/interfaces.ts';
export { HeartbeatUnavailable, MissingCapability } from './errors.ts';
export { macBytes, parseMac } from './codec/address.ts';

/** How often the main thread shows that it lives, in milliseconds. */
const TICK_MS = 1000;
/** How long the worker may take to end by itself, in milliseconds. */
const END_MS = 2000;
/** The worker's file, beside this one: TypeScript in the tree, JavaScript in what is published. */
const WORKER = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);
/** Megabytes of the worker's heap: it holds thousands of addresses in one or two, and a small young generation keeps
 *  the pauses of its collection far below a millisecond. */
const HEAP = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 } as const;
const ONE = new Uint8Array(BigUint64Array.of(1n).buffer);
const EMPTY = new Uint8Array(0);

interface Pending {
  readonly resolve: (result: Result) => void;
  readonly reject: (error: Error) => void;
}
type CommandWithId = Extract<Command, { id: number }>;
type WithoutId<C> = C extends unknown ? Omit<C, 'id'> : never;

/**
 * Starts the worker and waits until its sockets are open (and, on a node with a predecessor, until that told its state).
 *
 * @throws MissingCapability without CAP_NET_RAW; HeartbeatUnavailable when the address is not this node's or the port is
 *   taken; the signal's reason.
 */
export async function startWire(options: WireOptions, signal?: AbortSignal): Promise<Wire> {
  signal?.throwIfAborted();
  const { port1, port2 } = new MessageChannel();
  const counters = counterMemory();
  const ticks = new SharedArrayBuffer(4);
  const worker = new Worker(WORKER, {
    name: 'berth-wire',
    workerData: { options, commands: port2, counters, ticks },
    transferList: [port2],
    execArgv: [],
    resourceLimits: HEAP,
  });
  const { promise, resolve, reject } = Promise.withResolvers<Report & { type: 'ready' }>();
  const early: Report[] = [];
  const onReport = (report: Report): void =>
    void (report.type === 'ready' ? resolve(report) : early.push(report));
  const onError = (error: Error): void => reject(wireEnded(error));
  const onAbort = (): void => reject(signal?.reason instanceof Error ? signal.reason : new Error('aborted'));
  worker.on('message', onReport).once('error', onError);
  worker.once('exit', () => reject(wireEnded({ message: 'the wire’s thread ended while it started' })));
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    const ready = await promise;
    worker.off('message', onReport).off('error', onError);
    return new Wire({
      worker,
      ready,
      early,
      commands: port1,
      counters,
      ticks: new Int32Array(ticks),
      options,
    });
  } catch (error) {
    await worker.terminate();
    port1.close();
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

interface WireParts {
  readonly worker: Worker;
  readonly ready: Report & { readonly type: 'ready' };
  /** What was reported before it was ready. */
  readonly early: readonly Report[];
  readonly commands: MessageChannel['port1'];
  readonly counters: SharedArrayBuffer;
  readonly ticks: Int32Array;
  readonly options: WireOptions;
}

/** See `WireApi` for the contract and `WireEvents` for the events. Made by `startWire`. */
export class Wire extends EventEmitter<WireEvents> implements WireApi {
  readonly #worker: Worker;
  readonly #port: MessageChannel['port1'];
  readonly #wake: number;
  readonly #counters: Counters;
  readonly #slots: Slots;
  readonly #pending = new Map<number, Pending>();
  readonly #peers: PeerBook;
  readonly #ticker: NodeJS.Timeout;
  /** Whether plain ARP requests are answered by the compiled fast path. */
  readonly fastPath: boolean;
  #interfaces: readonly WireInterface[];
  #predecessor: Handover | undefined;
  #nonce: string;
  #commandId = 0;
  #ending: Promise<void> | undefined;
  #ended = false;

  constructor({ worker, ready, early, commands, counters, ticks, options }: WireParts) {
    super();
    this.#worker = worker;
    this.#port = commands;
    this.#wake = ready.wake;
    this.fastPath = ready.fastPath;
    this.#interfaces = ready.interfaces;
    this.#predecessor = ready.predecessor;
    this.#nonce = ready.nonce;
    this.#peers = new PeerBook(options.heartbeat?.node);
    this.#counters = new Counters(counters);
    this.#slots = new Slots(MAX_SLOTS, (slot) => this.#counters.clear(slot));
    const tickMs = Math.min(TICK_MS, (options.mainStallMs ?? Number.POSITIVE_INFINITY) / 4);
    this.#ticker = setInterval(() => Atomics.add(ticks, 0, 1), tickMs);
    this.#ticker.unref();
    worker.on('message', (report: Report) => this.#onReport(report));
    worker.once('error', (error) => this.#fail(wireEnded(error)));
    worker.once('exit', () => this.#fail(wireEnded({ message: 'the wire’s thread ended' })));
    // The caller gets a turn to listen before what happened meanwhile is told.
    setImmediate(() => early.forEach((report) => this.#onReport(report)));
  }

  get predecessor(): Handover | undefined {
    return this.#predecessor;
  }

  get nonce(): string {
    return this.#nonce;
  }

  interfaces(): readonly WireInterface[] {
    return this.#interfaces;
  }

  async rescan(): Promise<readonly WireInterface[]> {
    this.#interfaces = (await this.#ask({ type: 'rescan' })) as readonly WireInterface[];
    return this.#interfaces;
  }

  async announce(announcements: readonly Announcement[]): Promise<void> {
    const items = announcements.map(({ address, interfaces, burst = true }) => ({
      address,
      slot: this.#slots.take(address),
      interfaces,
      burst,
    }));
    if (items.length > 0) await this.#ask({ type: 'announce', items });
  }

  async withdraw(addresses: readonly IpAddress[]): Promise<void> {
    if (addresses.length === 0) return;
    await this.#ask({ type: 'withdraw', addresses });
    for (const address of addresses) this.#slots.release(address);
  }

  async probe(address: IpAddress, options: LookOptions): Promise<'free' | AddressUser> {
    return (await this.#look('probe', address, options)) ?? 'free';
  }

  resolve(address: IpAddress, options: LookOptions): Promise<AddressUser | undefined> {
    return this.#look('resolve', address, options);
  }

  async gateways(): Promise<readonly Gateway[]> {
    return (await this.#ask({ type: 'gateways' })) as readonly Gateway[];
  }

  async setPeers(peers: readonly WirePeer[]): Promise<void> {
    this.#peers.keep(peers.map(({ node }) => node));
    await this.#ask({ type: 'peers', peers });
  }

  peers(): readonly PeerState[] {
    return this.#peers.list();
  }

  setDigest(digest: Uint8Array): void {
    this.#tell({ type: 'digest', digest: bounded('a digest', digest, MAX_DIGEST) });
  }

  send(node: string, kind: MessageKind, payload: Uint8Array): void {
    this.#tell({ type: 'send', node, kind, payload: bounded('a message', payload, MAX_PAYLOAD) });
  }

  broadcast(kind: MessageKind, payload: Uint8Array): void {
    this.#tell({ type: 'send', kind, payload: bounded('a message', payload, MAX_PAYLOAD) });
  }

  setHandover(payload: Uint8Array): void {
    this.#tell({ type: 'handover', payload: bounded('a hand-over', payload, MAX_PAYLOAD) });
  }

  resume(): void {
    this.#tell({ type: 'resume' });
  }

  async takeOver(): Promise<void> {
    await this.#ask({ type: 'takeOver' });
    this.#predecessor = undefined;
  }

  goodbye(payload: Uint8Array = EMPTY): void {
    this.#tell({ type: 'goodbye', payload: bounded('a goodbye', payload, MAX_GOODBYE) });
  }

  stats(): WireStats {
    const counters = this.#counters;
    const addresses = new Map<IpAddress, AddressStats>();
    for (const [address, slot] of this.#slots.entries()) {
      addresses.set(address as IpAddress, {
        requestsReceived: counters.getFor(slot, PER_ADDRESS.requests),
        responsesSent: counters.getFor(slot, PER_ADDRESS.responses),
        gratuitousSent: counters.getFor(slot, PER_ADDRESS.gratuitous),
      });
    }
    const rejected = Object.fromEntries(REJECT_REASONS.map((reason) => [reason, counters.get(reason)]));
    return {
      addresses,
      framesReceived: counters.get('framesReceived'),
      framesMalformed: counters.get('framesMalformed'),
      requestsDenied: counters.get('requestsDenied'),
      framesDropped: counters.get('framesDropped'),
      sendErrors: counters.get('sendErrors'),
      heartbeatsSent: counters.get('heartbeatsSent'),
      heartbeatsReceived: counters.get('heartbeatsReceived'),
      messagesSent: counters.get('messagesSent'),
      messagesReceived: counters.get('messagesReceived'),
      rejected: rejected as Record<RejectReason, number>,
      stalls: counters.get('stalls'),
    };
  }

  stop({ goodbye = true }: StopOptions = {}): Promise<void> {
    return (this.#ending ??= this.#end(goodbye));
  }

  async #end(goodbye: boolean): Promise<void> {
    clearInterval(this.#ticker);
    if (this.#ended) return;
    const gone = new Promise<void>((resolve) => this.#worker.once('exit', () => resolve()));
    this.#ask({ type: 'stop', goodbye }).catch(() => undefined);
    const killer = setTimeout(() => void this.#worker.terminate(), END_MS);
    await gone;
    clearTimeout(killer);
    this.#port.close();
  }

  async #look(
    mode: 'probe' | 'resolve',
    address: IpAddress,
    { interfaces, ignore = [], signal }: LookOptions,
  ): Promise<AddressUser | undefined> {
    signal.throwIfAborted();
    const look = this.#commandId;
    const answer = this.#ask({ type: 'look', mode, address, interfaces, ignore });
    const { promise, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => {
      this.#tell({ type: 'forgetLook', look });
      this.#pending.delete(look);
      reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return (await Promise.race([answer, promise])) as AddressUser | undefined;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Sends a command that is answered. */
  #ask(command: WithoutId<CommandWithId>): Promise<Result> {
    const id = this.#commandId++;
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    if (this.#ended) reject(wireEnded({ message: 'the wire’s thread has ended' }));
    else this.#pending.set(id, { resolve, reject });
    this.#tell({ ...command, id } as Command);
    return promise;
  }

  #tell(command: Command): void {
    if (this.#ended) return;
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#port.postMessage(command);
    try {
      writeSync(this.#wake, ONE);
    } catch {
      // The worker has just ended, which its own event tells.
    }
  }

  #onReport(report: Report): void {
    switch (report.type) {
      case 'event':
        return this.#onEvent(report);
      case 'done':
        return this.#settle(report.id)?.resolve(report.result);
      case 'refused':
        return this.#settle(report.id)?.reject(wireError(report.error));
      case 'handover':
        this.#predecessor = { nonce: report.nonce, payload: report.payload };
        return;
      case 'nonce':
        this.#nonce = report.nonce;
        return;
      case 'fault':
        this.emit('fault', { error: wireError(report.error) });
        return;
      case 'ready':
        return;
    }
  }

  #onEvent(report: EventReport): void {
    if (report.event === 'interfaces') this.#interfaces = report.detail.interfaces;
    this.#peers.onEvent(report);
    // One generic emit for all events: the pair of name and detail was checked where it was made.
    (this as EventEmitter).emit(report.event, report.detail);
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  #fail(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#ticker);
    // Not before the thread has ended, and nothing is written after: the number may be another file's by then.
    closeSync(this.#wake);
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    if (this.#ending === undefined) this.emit('failed', { error });
  }
}

function bounded(what: string, bytes: Uint8Array, limit: number): Uint8Array {
  if (bytes.length > limit)
    throw new RangeError(`${what} of ${bytes.length} bytes; at most ${limit} are possible`);
  return bytes;
}
