import { openSync, closeSync } from 'node:fs';
import { nonceText } from '../codec/datagram.ts';
import { ETHERTYPE } from '../codec/ethernet.ts';
import { Counters } from '../engine/counters.ts';
import { DEFAULT_EXCLUDE } from '../engine/interfaces.ts';
import { warmUp } from '../engine/warm-up.ts';
import { Throttle } from '../engine/throttle.ts';
import { type Timer, Timers } from '../engine/timers.ts';
import { type EventReport, type PlainEvent, plainError, type Report, type WorkerInput } from '../protocol.ts';
import { assertPlatform, checked, eventfd, setns, SOCK } from '../sys/libc.ts';
import { FastPath } from '../sys/fast-path.ts';
import { LinkMonitor } from '../sys/netlink-socket.ts';
import { PacketSocket } from '../sys/packet-socket.ts';
import { Poller } from '../sys/poller.ts';
import { Receiver } from '../sys/receiver.ts';
import type { RejectReason, WireEvents } from '../types.ts';
import { Commands } from './commands.ts';
import { Heart } from './heart.ts';
import { Loop, MAX_WAIT_MS, STALL_MS } from './loop.ts';
import { Station } from './station.ts';

const CLONE_NEWNET = 0x4000_0000;
/** Milliseconds between looks at the interfaces, and of patience after the kernel told of a change. */
const SCAN_MS = 10_000;
const SETTLE_MS = 50;
/** Milliseconds between looks at the main thread's ticks; not more than a part of what it may be stuck. */
const CHECK_MS = 1000;
const CHECKS_OF_STALL = 8;
const DROPS_MS = 1000;
/** How long answers wait after a long stall when the main thread does not say `resume`. */
const MUTED_MS = 1000;
/** How long a predecessor may take to tell its state. */
const FOLLOW_MS = 1000;
const REJECTED_INTERVAL_MS = 1000;
/** By this part of its interval a regular look may be early, so that a heartbeat's turn serves for it. */
const EARLY_PART = 4;
const MAIN_STALL_MS = 10_000;
const DEFAULTS = { refreshMs: 60_000, burstRounds: 5, burstIntervalMs: 1100 } as const;

/**
 * The worker's side of the wire: sockets, timers and commands. Everything is done in one loop, synchronously.
 *
 * Guarantees: an address that was withdrawn is not answered after the command's report; what was read before a stall is
 * not answered after it; without ticks of the main thread for `mainStallMs` nothing is answered.
 */
export class WireThread {
  readonly #input: WorkerInput;
  readonly #report: (report: Report) => void;
  readonly #fastPath: FastPath | undefined;
  readonly #poller: Poller;
  readonly #timers = new Timers();
  readonly #counters: Counters;
  readonly #station: Station;
  readonly #heart: Heart | undefined;
  readonly #monitor: LinkMonitor;
  readonly #wake: number;
  readonly #loop: Loop;
  readonly #ticks: Int32Array;
  readonly #rejected = new Throttle(REJECTED_INTERVAL_MS);
  #lastTick = 0;
  #tickedAt = 0;
  #lapsed = false;
  #scanSoon = false;
  #ready = false;
  #judging: Timer | undefined;

  /**
   * Opens every socket.
   *
   * @throws SyscallError; `EPERM` of `socket` means that CAP_NET_RAW is missing.
   */
  constructor(input: WorkerInput, report: (report: Report) => void) {
    assertPlatform();
    this.#input = input;
    this.#report = report;
    const { options } = input;
    if (options.netns !== undefined) enterNamespace(options.netns);
    this.#counters = new Counters(input.counters);
    this.#ticks = new Int32Array(input.ticks);
    this.#fastPath = this.#findFastPath();
    this.#poller = new Poller(this.#fastPath);
    this.#wake = checked('eventfd', eventfd(0, SOCK.nonBlocking | SOCK.closeOnExec));
    // The right to raw sockets shows at the start, also where there is no interface yet.
    new PacketSocket(LOOPBACK, ETHERTYPE.arp).close();
    const receiver = new Receiver();
    this.#station = this.#makeStation(receiver);
    this.#heart = options.heartbeat && this.#makeHeart(receiver);
    this.#monitor = new LinkMonitor();
    this.#loop = new Loop({
      poller: this.#poller,
      timers: this.#timers,
      now,
      busy: () => this.#station.ports.busy || this.#heart?.busy === true,
      work: () => this.#work(),
      onStall: (gapMs) => this.#stalled(gapMs),
      onError: (error) => this.#end(error),
    });
  }

  /** Looks at the interfaces, finds out whether there is a predecessor, and begins to work. */
  start(): void {
    const commands = new Commands({
      port: this.#input.commands,
      wake: this.#wake,
      station: this.#station,
      heart: this.#heart,
      report: this.#report,
      stop: (goodbye) => this.#stop(goodbye),
    });
    this.#poller.add(this.#wake, () => commands.read());
    this.#poller.add(this.#monitor.fd, () => {
      this.#monitor.drain();
      this.#scanLater();
    });
    warmUp();
    this.#station.ports.scan();
    const role = this.#heart?.start();
    this.#tickedAt = now();
    this.#every(Math.min(CHECK_MS, this.#mainStallMs / CHECKS_OF_STALL), () => this.#check());
    this.#judge();
    this.#every(SCAN_MS, () => this.#station.ports.scan());
    this.#every(DROPS_MS, () => this.#station.ports.countDrops());
    this.#loop.start();
    if (role !== 'follower') return this.#sayReady();
    this.#station.mute('following', true);
    this.#timers.at(now() + FOLLOW_MS, () => this.#followNobody());
  }

  /** Without it everything works, an answer only takes longer. */
  #findFastPath(): FastPath | undefined {
    const { fastPath: library } = this.#input.options;
    if (library === false || (library === undefined && !FastPath.exists())) return undefined;
    try {
      return new FastPath({
        counters: this.#counters,
        stallMs: STALL_MS,
        sliceMs: MAX_WAIT_MS,
        now,
        library,
      });
    } catch (error) {
      this.#report({ type: 'fault', error: plainError(error) });
      return undefined;
    }
  }

  #makeStation(receiver: Receiver): Station {
    const { interfaces, refreshMs, burstRounds, burstIntervalMs } = this.#input.options;
    return new Station({
      exclude: (interfaces?.exclude ?? DEFAULT_EXCLUDE).map((pattern) => new RegExp(pattern)),
      announcer: {
        refreshMs: refreshMs ?? DEFAULTS.refreshMs,
        burstRounds: burstRounds ?? DEFAULTS.burstRounds,
        burstIntervalMs: burstIntervalMs ?? DEFAULTS.burstIntervalMs,
      },
      poller: this.#poller,
      fastPath: this.#fastPath,
      receiver,
      counters: this.#counters,
      timers: this.#timers,
      now,
      onClaimed: (claimed) => this.#emit('claimed', claimed),
      onInterfaces: (change) => this.#ready && this.#emit('interfaces', change),
      onFault: (error) => this.#report({ type: 'fault', error: plainError(error) }),
      stale: () => this.#loop.stale,
      onSocketError: () => this.#scanLater(),
    });
  }

  #makeHeart(receiver: Receiver): Heart | undefined {
    const options = this.#input.options.heartbeat;
    return (
      options &&
      new Heart({
        options,
        poller: this.#poller,
        receiver,
        counters: this.#counters,
        timers: this.#timers,
        now,
        emit: (event, detail) => this.#emit(event, detail),
        onRejected: (reason, from) => this.#onRejected(reason, from),
        // While peers are heard, the look for silent ones is put off in turns that are taken anyway.
        onBeat: () => this.#judge(),
        relay: {
          onState: (nonce, payload) => this.#onState(nonce, payload),
          onSuccessor: (nonce) => this.#emit('successor', { nonce }),
          onSuperseded: (nonce) => this.#superseded(nonce),
          onOrphaned: () => this.#emit('orphaned', {}),
        },
      })
    );
  }

  #work(): void {
    this.#station.ports.apply();
    this.#heart?.flush();
  }

  #every(intervalMs: number, run: () => void): void {
    const again = (): void => {
      run();
      this.#every(intervalMs, run);
    };
    this.#timers.at(now() + intervalMs, again, intervalMs / EARLY_PART);
  }

  /** Looks for silent peers, and again when one may have been silent for too long. */
  #judge(): void {
    if (this.#heart === undefined) return;
    this.#judging?.cancel();
    this.#judging = this.#timers.at(this.#heart.peers.judge(now()), () => this.#judge());
  }

  get #mainStallMs(): number {
    return this.#input.options.mainStallMs ?? MAIN_STALL_MS;
  }

  #check(): void {
    const tick = Atomics.load(this.#ticks, 0);
    const stuckMs = now() - this.#tickedAt;
    if (tick !== this.#lastTick) {
      this.#lastTick = tick;
      this.#tickedAt = now();
      if (this.#lapsed) this.#recovered();
    } else if (!this.#lapsed && stuckMs > this.#mainStallMs) this.#lapse(stuckMs);
  }

  /** The main thread is stuck: nobody knows any more whether we should answer. */
  #lapse(stuckMs: number): void {
    this.#lapsed = true;
    this.#station.clear();
    this.#heart?.leave(new Uint8Array(0));
    this.#emit('lapsed', { stuckMs: Math.round(stuckMs) });
  }

  #recovered(): void {
    this.#lapsed = false;
    if (this.#heart !== undefined) this.#report({ type: 'nonce', nonce: this.#heart.renew() });
  }

  #stalled(gapMs: number): void {
    this.#counters.add('stalls');
    this.#station.mute('draining', true);
    this.#loop.drain();
    this.#station.mute('draining', false);
    this.#heart?.peers.restart(now());
    // The main thread stood still too, and has not had its turn yet.
    this.#tickedAt = now();
    const muted = this.#heart !== undefined && gapMs > this.#heart.patienceMs;
    if (muted) {
      this.#station.mute('stalled', true);
      this.#timers.at(now() + MUTED_MS, () => this.#station.mute('stalled', false));
    }
    this.#emit('stalled', { gapMs: Math.round(gapMs), muted });
  }

  #scanLater(): void {
    if (this.#scanSoon) return;
    this.#scanSoon = true;
    this.#timers.at(now() + SETTLE_MS, () => {
      this.#scanSoon = false;
      this.#station.ports.scan();
    });
  }

  #onRejected(reason: RejectReason, from: string): void {
    this.#counters.add(reason);
    // Every start of a peer begins so; what stays unproved never counts, and shows in the counter.
    if (reason === 'unchallenged') return;
    const count = this.#rejected.hit(reason, now());
    if (count !== undefined) this.#emit('rejected', { reason, from, count });
  }

  #onState(nonce: string, payload: Uint8Array): void {
    if (this.#ready) this.#report({ type: 'handover', nonce, payload });
    else this.#sayReady({ nonce, payload });
  }

  /** Somebody has the name and does not answer (another key, another version, stuck). */
  #followNobody(): void {
    if (this.#ready) return;
    this.#heart?.relay.giveUp();
    this.#station.mute('following', false);
    this.#heart?.speak();
    const message =
      'another speaker of this node does not answer; going on without a hand-over. ' +
      'Remedy: if it lasts, see whether two speakers with different Secrets run on the node.';
    this.#report({ type: 'fault', error: { message } });
    this.#sayReady();
  }

  #superseded(nonce: string): void {
    this.#station.mute('superseded', true);
    this.#heart?.hush();
    this.#heart?.closeAfterRelay();
    this.#emit('superseded', { nonce });
  }

  #sayReady(predecessor?: { nonce: string; payload: Uint8Array }): void {
    this.#ready = true;
    this.#report({
      type: 'ready',
      wake: this.#wake,
      nonce: this.#heart === undefined ? '' : nonceText(this.#heart.peers.nonce),
      interfaces: this.#station.ports.interfaces,
      fastPath: this.#fastPath !== undefined,
      predecessor,
    });
  }

  #stop(goodbye: boolean): void {
    if (goodbye) this.#heart?.leave(new Uint8Array(0));
    this.#loop.stop();
    this.#station.close();
    this.#heart?.close();
    this.#monitor.close();
    // The main thread closes `wake`: it may write to it until it knows that this thread has ended.
    this.#poller.close();
  }

  #end(error: unknown): never {
    throw error;
  }

  #emit<E extends PlainEvent>(event: E, detail: WireEvents[E][0]): void {
    this.#report({ type: 'event', event, detail } as EventReport);
  }
}

/** Index of the loopback interface, in every network namespace. */
const LOOPBACK = 1;

function now(): number {
  return performance.now();
}

/** Moves this thread, and nothing else of the process, to a network namespace. */
function enterNamespace(path: string): void {
  const fd = openSync(path, 'r');
  try {
    checked('setns', setns(fd, CLONE_NEWNET));
  } finally {
    closeSync(fd);
  }
}
