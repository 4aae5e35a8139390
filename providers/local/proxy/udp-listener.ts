import type { Socket } from 'node:dgram';
import { isExhaustion } from './exhaustion.ts';
import { ListenError } from './listen-error.ts';
import { SourceRanges } from './source-ranges.ts';
import type { Listener, ListenerSettings, ListenerStats, TrafficSettings } from './spec.ts';
import { Sweeper } from './sweep.ts';
import { TargetSet } from './targets.ts';
import type { ListenerContext } from './tcp-listener.ts';
import { createDatagramSocket, UdpSession, type SessionOwner, type UdpClient } from './udp-session.ts';

/** Sessions that are looked at for one that was never answered, before the oldest has to go. */
const EVICTION_SCAN = 64;

/**
 * One UDP address and port, forwarded to its targets. A client (address and port) is one session: its datagrams go to
 * the same target until it is silent for the idle time, or the target is removed, unhealthy, or refuses; then the next
 * datagram begins a session with another target, because datagrams have no connection that could be drained.
 */
export class UdpListener implements Listener, SessionOwner {
  readonly #context: ListenerContext;
  readonly #targets: TargetSet;
  readonly #sessions = new Map<string, UdpSession>();
  readonly #sweeper: Sweeper;
  readonly #socket: Socket;
  #ranges = new SourceRanges([]);
  #traffic: TrafficSettings;
  #accepted = 0;
  #refused = 0;
  #connectFailures = 0;

  /**
   * Opens a listener.
   *
   * @throws ListenError named for the reason: no permission, port in use, address not on this machine.
   */
  static async open(
    at: { readonly address: string; readonly port: number },
    settings: ListenerSettings,
    context: ListenerContext,
  ): Promise<UdpListener> {
    const listener = new UdpListener(at.address, settings, context);
    try {
      await listener.#listen(at.address, at.port);
    } catch (cause) {
      listener.close();
      throw new ListenError({ ...at, protocol: 'UDP' }, cause);
    }
    return listener;
  }

  private constructor(address: string, settings: ListenerSettings, context: ListenerContext) {
    this.#context = context;
    this.#traffic = settings.traffic;
    this.#targets = new TargetSet({ checks: context.checks, now: () => context.clock.monotonic() });
    this.#sweeper = new Sweeper(context.clock, () => this.#sweep());
    this.#socket = createDatagramSocket(address);
    this.update(settings);
  }

  get stats(): ListenerStats {
    return {
      open: this.#sessions.size,
      accepted: this.#accepted,
      refused: this.#refused,
      connectFailures: this.#connectFailures,
    };
  }

  /** The port that it listens on: the one that the system chose if 0 was asked for. */
  get port(): number {
    return this.#socket.address().port;
  }

  targetStates(): ReturnType<TargetSet['states']> {
    return this.#targets.states();
  }

  update(settings: ListenerSettings): void {
    this.#ranges = new SourceRanges(settings.sourceRanges);
    this.#traffic = settings.traffic;
    this.#targets.affinityMs = settings.affinityMs;
    this.#targets.update(settings.targets);
    this.#sweeper.pace(settings.traffic.idleTimeoutMs);
    for (const [key, session] of this.#sessions) {
      if (!this.#ranges.allows(session.client.address)) this.#end(key, session);
    }
  }

  /** Ends everything at once: datagrams have no connection to drain, and the port may be wanted again. */
  close(): void {
    this.#targets.close();
    this.#sweeper.stop();
    for (const [key, session] of this.#sessions) this.#end(key, session);
    this.#socket.close();
    this.#context.onStats?.(this.stats);
  }

  answered(session: UdpSession, message: Buffer): void {
    this.#socket.send(message, session.client.port, session.client.address);
  }

  failed(session: UdpSession, error: Error): void {
    if (isExhaustion(error)) this.#context.onError?.(error);
    else {
      this.#connectFailures++;
      this.#targets.failed(session.target);
    }
    this.#end(keyOf(session.client), session);
  }

  #listen(address: string, port: number): Promise<void> {
    const socket = this.#socket;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once('error', reject);
    socket.once('listening', () => {
      socket.off('error', reject);
      socket.on('error', (error) => this.#context.onError?.(error));
      socket.on('message', (message, client) => this.#received(message, client));
      resolve();
    });
    socket.bind({ address, port, exclusive: true });
    return promise;
  }

  #received(message: Buffer, client: UdpClient): void {
    const key = keyOf(client);
    this.#session(key, client)?.send(message);
  }

  /** The client's session; a new one if it has none whose target is still in rotation. */
  #session(key: string, client: UdpClient): UdpSession | undefined {
    const session = this.#sessions.get(key);
    const { version } = this.#targets;
    if (session !== undefined) {
      if (session.version === version) return session;
      session.version = version;
      if (this.#targets.inRotation(session.target)) return session;
      this.#end(key, session);
    }
    return this.#begin(key, client);
  }

  #begin(key: string, client: UdpClient): UdpSession | undefined {
    this.#sweeper.start();
    if (!this.#ranges.allows(client.address)) {
      this.#refused++;
      return undefined;
    }
    const target = this.#targets.pick(client.address);
    if (target === undefined) return undefined;
    if (this.#sessions.size >= this.#traffic.maxConnections) this.#evict();
    const nowMs = this.#context.clock.monotonic();
    const session = new UdpSession(this, { client, target, version: this.#targets.version, nowMs });
    if (session.broken) {
      session.close();
      return undefined;
    }
    this.#sessions.set(key, session);
    this.#accepted++;
    return session;
  }

  #end(key: string, session: UdpSession): void {
    if (this.#sessions.get(key) !== session) return;
    this.#sessions.delete(key);
    session.close();
  }

  /** Makes room: for one that was never answered (as a flood of forged senders leaves) among the oldest, else the oldest. */
  #evict(): void {
    let victim: readonly [string, UdpSession] | undefined;
    let seen = 0;
    for (const entry of this.#sessions) {
      victim ??= entry;
      if (!entry[1].answered) {
        victim = entry;
        break;
      }
      if (++seen >= EVICTION_SCAN) break;
    }
    if (victim !== undefined) this.#end(...victim);
  }

  #sweep(): boolean {
    const nowMs = this.#context.clock.monotonic();
    for (const [key, session] of this.#sessions) {
      if (session.active) {
        session.active = false;
        session.lastActiveMs = nowMs;
      } else if (nowMs - session.lastActiveMs >= this.#traffic.idleTimeoutMs) this.#end(key, session);
    }
    this.#context.onStats?.(this.stats);
    return this.#sessions.size > 0;
  }
}

function keyOf({ address, port }: UdpClient): string {
  return `${address} ${port}`;
}
