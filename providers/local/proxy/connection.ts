import { connect, type Socket } from 'node:net';
import { isExhaustion } from './exhaustion.ts';
import { Flow, type FlowOwner } from './flow.ts';
import { encodeProxyHeader } from './proxy-header.ts';
import { reset } from './sockets.ts';
import type { Target } from './targets.ts';

/** What a connection needs of the listener that accepted it. */
export interface ConnectionHost {
  /** Whether connections begin with a PROXY protocol v2 header. */
  readonly proxyProtocol: boolean;
  /** Monotonic milliseconds. */
  now(): number;
  /** A target for this client, none of `tried`; `undefined` when there is none left. */
  pick(client: Socket, tried: ReadonlySet<Target> | undefined): Target | undefined;
  connected(target: Target): void;
  connectFailed(target: Target): void;
  /** The machine itself cannot connect; that is no target's fault. */
  exhausted(error: Error): void;
  closed(connection: Connection): void;
}

/** Targets that one connection is tried with before its client is turned away. */
const MAX_ATTEMPTS = 3;

/**
 * One client and the target that serves it.
 *
 * Flow: pick a target, connect (the next one if that fails), then move bytes both ways until both sides have sent FIN.
 * A FIN is passed on by itself, so half-closed connections work. When one side breaks, or time is up, both get RST.
 */
export class Connection implements FlowOwner {
  active = false;
  /** Monotonic milliseconds of the last sweep that saw bytes move. */
  lastActiveMs: number;
  /** When it is ended whatever it does; `Infinity` until it is draining. */
  deadlineMs = Infinity;
  /** When the attempt to reach the target began; `undefined` once it is reached. */
  attemptedAtMs: number | undefined;
  target: Target | undefined;
  readonly #host: ConnectionHost;
  readonly #up = new Flow(this);
  readonly #down = new Flow(this);
  #client: Socket | undefined;
  #upstream: Socket | undefined;
  #tried: Set<Target> | undefined;
  #closed = false;

  constructor(host: ConnectionHost) {
    this.#host = host;
    this.lastActiveMs = host.now();
  }

  /** How the client's socket must read, for the one who makes it. */
  get clientReads(): Flow['reads'] {
    return this.#up.reads;
  }

  /** Takes the client's socket, which is not read yet, and looks for a target. */
  open(client: Socket): void {
    this.#client = client;
    client.setNoDelay(true);
    client.on('error', this.#failed);
    this.#attempt();
  }

  /** Turns the client away. */
  refuse(client: Socket): void {
    this.#client = client;
    client.on('error', ignore);
    this.abort();
  }

  /** Gives up on the target that does not answer and tries the next. */
  connectTimedOut(): void {
    this.#upstream?.destroy();
    this.#attemptFailed();
  }

  /** Ends both sides with RST. */
  abort(): void {
    if (this.#closed) return;
    if (this.#client !== undefined) reset(this.#client);
    if (this.#upstream !== undefined) reset(this.#upstream);
    this.#close();
  }

  flowEnded(flow: Flow): void {
    const other = flow === this.#up ? this.#down : this.#up;
    if (!other.ended) {
      (flow === this.#up ? this.#upstream : this.#client)?.end();
      return;
    }
    // Both FINs were seen and everything is written: closing sends the last FIN, a shutdown before it would be wasted.
    this.#client?.destroy();
    this.#upstream?.destroy();
    this.#close();
  }

  flowFailed(): void {
    this.abort();
  }

  readonly #failed = (): void => this.abort();

  #attempt(): void {
    const client = this.#client;
    if (client === undefined) return;
    const target = this.#host.pick(client, this.#tried);
    if (target === undefined) {
      this.abort();
      return;
    }
    this.target = target;
    this.attemptedAtMs = this.#host.now();
    const upstream = connect({
      host: target.host,
      port: target.port,
      allowHalfOpen: true,
      noDelay: true,
      autoSelectFamily: false,
      onread: this.#down.reads,
    });
    this.#upstream = upstream;
    upstream.on('connect', this.#connected);
    upstream.on('error', (error: NodeJS.ErrnoException) => {
      if (upstream === this.#upstream) this.#upstreamFailed(error);
    });
  }

  #upstreamFailed(error: NodeJS.ErrnoException): void {
    if (this.attemptedAtMs === undefined) {
      this.abort();
    } else if (isExhaustion(error)) {
      this.#host.exhausted(error);
      this.abort();
    } else this.#attemptFailed();
  }

  #attemptFailed(): void {
    const { target } = this;
    if (this.#closed || target === undefined) return;
    this.#host.connectFailed(target);
    const tried = (this.#tried ??= new Set());
    tried.add(target);
    if (tried.size < MAX_ATTEMPTS) this.#attempt();
    else this.abort();
  }

  readonly #connected = (): void => {
    const client = this.#client;
    const upstream = this.#upstream;
    const { target } = this;
    if (this.#closed || client === undefined || upstream === undefined || target === undefined) return;
    this.attemptedAtMs = undefined;
    this.active = true;
    this.#tried = undefined;
    this.#host.connected(target);
    this.#down.start(upstream, client);
    this.#up.start(client, upstream, this.#host.proxyProtocol ? headerFor(client) : undefined);
  };

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#up.release();
    this.#down.release();
    this.#host.closed(this);
  }
}

function headerFor(client: Socket): Uint8Array {
  const { remoteAddress, remotePort, localAddress, localPort } = client;
  if (remoteAddress === undefined || remotePort === undefined) return encodeProxyHeader(undefined);
  if (localAddress === undefined || localPort === undefined) return encodeProxyHeader(undefined);
  return encodeProxyHeader({
    source: { address: remoteAddress, port: remotePort },
    destination: { address: localAddress, port: localPort },
  });
}

function ignore(): void {
  // A client that is turned away may have gone already.
}
