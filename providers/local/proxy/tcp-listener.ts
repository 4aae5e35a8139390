import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import type { Clock } from '@berth/core';
import { Connection, type ConnectionHost } from './connection.ts';
import type { HealthChecks } from './health.ts';
import { ListenError } from './listen-error.ts';
import { adopt, takeRawConnections } from './sockets.ts';
import { SourceRanges } from './source-ranges.ts';
import type { Listener, ListenerSettings, ListenerStats, TrafficSettings } from './spec.ts';
import { Sweeper } from './sweep.ts';
import { TargetSet, type Target } from './targets.ts';

/** Connections that the kernel completes before we accept them; it cuts this to `net.core.somaxconn`. */
const BACKLOG = 4_096;

/** What a listener works with. */
export interface ListenerContext {
  readonly clock: Clock;
  readonly checks: HealthChecks;
  /** Told about failures that concern no single client: accepting, for lack of descriptors. */
  readonly onError?: (error: Error) => void;
  /** Told what the listener has counted: about once a second while there are clients, and when the last has gone. */
  readonly onStats?: (stats: ListenerStats) => void;
  /** Whether to accept below `net.Server`, which is faster; default true. See `takeRawConnections`. */
  readonly rawAccept?: boolean;
}

/**
 * One TCP address and port, forwarded to its targets.
 *
 * Everything but the address changes while it runs. A target that is removed gets no new connections, and those it has
 * may finish until the drain deadline; one that comes back before is taken back with them. Closing works the same way
 * for all connections.
 */
export class TcpListener implements Listener, ConnectionHost {
  readonly #context: ListenerContext;
  readonly #targets: TargetSet;
  readonly #connections = new Set<Connection>();
  readonly #sweeper: Sweeper;
  #server: Server | undefined;
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
  ): Promise<TcpListener> {
    const listener = new TcpListener(settings, context);
    try {
      await listener.#listen(at.address, at.port);
    } catch (cause) {
      listener.close(0);
      throw new ListenError({ ...at, protocol: 'TCP' }, cause);
    }
    return listener;
  }

  private constructor(settings: ListenerSettings, context: ListenerContext) {
    this.#context = context;
    this.#traffic = settings.traffic;
    this.#targets = new TargetSet({ checks: context.checks, now: () => context.clock.monotonic() });
    this.#sweeper = new Sweeper(context.clock, () => this.#sweep());
    this.update(settings);
  }

  get stats(): ListenerStats {
    return {
      open: this.#connections.size,
      accepted: this.#accepted,
      refused: this.#refused,
      connectFailures: this.#connectFailures,
    };
  }

  /** The port that it listens on: the one that the system chose if 0 was asked for. */
  get port(): number {
    const address = this.#server?.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  targetStates(): ReturnType<TargetSet['states']> {
    return this.#targets.states();
  }

  update(settings: ListenerSettings): void {
    this.#ranges = new SourceRanges(settings.sourceRanges);
    this.#traffic = settings.traffic;
    this.#targets.affinityMs = settings.affinityMs;
    this.#targets.update(settings.targets);
    this.#pace();
    for (const connection of this.#connections) this.#drainIfGone(connection);
  }

  close(drainMs: number): void {
    this.#server?.close();
    this.#server = undefined;
    this.#targets.close();
    this.#traffic = { ...this.#traffic, drainMs };
    this.#pace();
    for (const connection of this.#connections) this.#drainIfGone(connection);
    if (this.#connections.size > 0) return;
    this.#sweeper.stop();
    this.#context.onStats?.(this.stats);
  }

  get proxyProtocol(): boolean {
    return this.#traffic.proxyProtocol;
  }

  now(): number {
    return this.#context.clock.monotonic();
  }

  pick(client: Socket, tried: ReadonlySet<Target> | undefined): Target | undefined {
    return this.#targets.pick(this.#targets.sticky ? client.remoteAddress : undefined, tried);
  }

  connected(target: Target): void {
    this.#targets.succeeded(target);
  }

  connectFailed(target: Target): void {
    this.#connectFailures++;
    this.#targets.failed(target);
  }

  exhausted(error: Error): void {
    this.#context.onError?.(error);
  }

  closed(connection: Connection): void {
    this.#connections.delete(connection);
  }

  #listen(host: string, port: number): Promise<void> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    this.#server = server;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      server.on('error', (error) => this.#context.onError?.(error));
      this.#accept(server);
      resolve();
    });
    server.listen({ host, port, backlog: BACKLOG, exclusive: true, ipv6Only: isIPv6(host) });
    return promise;
  }

  #accept(server: Server): void {
    const raw =
      this.#context.rawAccept !== false &&
      takeRawConnections(server, (accepted) => {
        const connection = new Connection(this);
        this.#admit(connection, adopt(accepted, connection.clientReads));
      });
    if (!raw) server.on('connection', (socket) => this.#admit(new Connection(this), socket));
  }

  #admit(connection: Connection, client: Socket): void {
    this.#sweeper.start();
    const full = this.#connections.size >= this.#traffic.maxConnections;
    if (full || (!this.#ranges.open && !this.#ranges.allows(client.remoteAddress))) {
      this.#refused++;
      connection.refuse(client);
      return;
    }
    this.#accepted++;
    this.#connections.add(connection);
    connection.open(client);
  }

  #pace(): void {
    const { connectTimeoutMs, idleTimeoutMs, drainMs } = this.#traffic;
    this.#sweeper.pace(connectTimeoutMs, idleTimeoutMs, ...(drainMs > 0 ? [drainMs] : []));
  }

  #drainIfGone(connection: Connection): void {
    if (connection.target === undefined) return;
    const { drainMs } = this.#traffic;
    if (this.#targets.has(connection.target)) connection.deadlineMs = Infinity;
    else if (drainMs <= 0) connection.abort();
    else connection.deadlineMs = Math.min(connection.deadlineMs, this.now() + drainMs);
  }

  #sweep(): boolean {
    const nowMs = this.now();
    const { connectTimeoutMs, idleTimeoutMs } = this.#traffic;
    for (const connection of this.#connections) {
      if (connection.active) {
        connection.active = false;
        connection.lastActiveMs = nowMs;
      }
      if (nowMs >= connection.deadlineMs) connection.abort();
      else if (connection.attemptedAtMs === undefined) {
        if (nowMs - connection.lastActiveMs >= idleTimeoutMs) connection.abort();
      } else if (nowMs - connection.attemptedAtMs >= connectTimeoutMs) connection.connectTimedOut();
    }
    this.#context.onStats?.(this.stats);
    return this.#connections.size > 0;
  }
}
