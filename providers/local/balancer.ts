import type { Host, IpAddress, ServiceKey } from '@berth/core';
import { listenerSettings, type ListenerView } from './listener-settings.ts';
import type { Listener, ListenerStats } from './proxy/spec.ts';
import type { HealthChecks } from './proxy/health.ts';
import { ListenError } from './proxy/listen-error.ts';
import { TcpListener, type ListenerContext } from './proxy/tcp-listener.ts';
import { UdpListener } from './proxy/udp-listener.ts';
import type { Frontend, ListenerState, ListenerWish, LocalLoadBalancer, TargetAddress } from './state.ts';

/** What a balancer works with. */
export interface BalancerContext {
  readonly host: Pick<Host, 'clock' | 'log'>;
  readonly checks: HealthChecks;
  /** Told what a port of a Service counted since the last time; `open` is the difference, too. */
  readonly count: (port: PortLabels, counted: ListenerStats) => void;
  /** Closes a listener, and sees to it that its connections end. */
  readonly retire: (listener: Listener, drainMs: number) => void;
}

/** Which port it is about, for metrics and the log. */
export interface PortLabels {
  readonly service: ServiceKey;
  /** `443/TCP`. */
  readonly port: string;
}

interface OpenListener {
  wish: ListenerWish;
  failure: ListenError | undefined;
  sockets: readonly Listener[];
}

/** A problem of a listener is logged once in this time: one without descriptors left has it with each client. */
const QUIET_MS = 10_000;

const NOTHING: ListenerStats = { open: 0, accepted: 0, refused: 0, connectFailures: 0 };

/**
 * The proxy of one Service: what holds for all ports, the targets, and the listeners. It is the world that the
 * provider observes and changes; it decides nothing.
 */
export class Balancer {
  readonly key: ServiceKey;
  readonly uid: string;
  readonly #context: BalancerContext;
  readonly #listeners = new Map<string, OpenListener>();
  #frontend: Frontend;
  #targets: readonly TargetAddress[] = [];

  constructor(
    id: { readonly key: ServiceKey; readonly uid: string },
    frontend: Frontend,
    context: BalancerContext,
  ) {
    this.key = id.key;
    this.uid = id.uid;
    this.#frontend = frontend;
    this.#context = context;
  }

  /** As the provider reports it. */
  get state(): LocalLoadBalancer {
    const listeners = [...this.#listeners].map(([name, listener]) => [name, stateOf(listener)]);
    return {
      uid: this.uid,
      frontend: this.#frontend,
      targets: this.#targets,
      listeners: Object.fromEntries(listeners),
    };
  }

  /** Changes what holds for all ports. */
  configure(frontend: Frontend): void {
    this.#frontend = frontend;
    this.#refresh();
  }

  /** Replaces the nodes to forward to. */
  setTargets(targets: readonly TargetAddress[]): void {
    this.#targets = targets;
    this.#refresh();
  }

  /**
   * Opens a port on all its addresses, or on none. One that is open there already only gets its node port. Sockets on
   * other addresses are closed first, because an address that the Service does not hold may be another's by now.
   */
  async open(name: string, wish: ListenerWish): Promise<ListenerState> {
    const present = this.#listeners.get(name);
    const open = present?.failure === undefined && sameAddresses(present?.wish, wish);
    if (present !== undefined && !open) this.close(name);
    const listener = open && present !== undefined ? present : await this.#open(name, wish);
    this.#change(() => {
      listener.wish = wish;
      this.#listeners.set(name, listener);
    });
    this.#update(name, listener);
    return stateOf(listener);
  }

  /** Closes a port; its TCP connections may finish until the drain deadline. */
  close(name: string, drainMs = this.#frontend.settings.drainSeconds * 1_000): void {
    const listener = this.#listeners.get(name);
    for (const socket of listener?.sockets ?? []) this.#context.retire(socket, drainMs);
    this.#change(() => this.#listeners.delete(name));
  }

  /** Closes everything at once, without draining. */
  destroy(): void {
    for (const name of this.#listeners.keys()) this.close(name, 0);
  }

  async #open(name: string, wish: ListenerWish): Promise<OpenListener> {
    const [port = '', protocol] = name.split('/');
    const at = { name, port: Number(port), protocol: protocol === 'UDP' ? 'UDP' : 'TCP' } as const;
    const sockets: Listener[] = [];
    try {
      for (const address of wish.addresses) sockets.push(await this.#listen({ ...at, address }, wish));
      return { wish, failure: undefined, sockets };
    } catch (error) {
      for (const socket of sockets) socket.close(0);
      if (error instanceof ListenError) return { wish, failure: error, sockets: [] };
      throw error;
    }
  }

  #listen(
    at: {
      readonly name: string;
      readonly address: IpAddress;
      readonly port: number;
      readonly protocol: 'TCP' | 'UDP';
    },
    wish: ListenerWish,
  ): Promise<Listener> {
    const settings = listenerSettings(this.#view(at.name, wish));
    const context = this.#listenerContext(`${at.address} ${at.name}`, at.name);
    return at.protocol === 'TCP'
      ? TcpListener.open(at, settings, context)
      : UdpListener.open(at, settings, context);
  }

  #listenerContext(where: string, name: string): ListenerContext {
    const { host, checks, count } = this.#context;
    const labels = { service: this.key, port: name };
    let told = NOTHING;
    let quietUntilMs = 0;
    return {
      clock: host.clock,
      checks,
      onError: (error) => {
        if (host.clock.monotonic() < quietUntilMs) return;
        quietUntilMs = host.clock.monotonic() + QUIET_MS;
        host.log.warn(
          { ...labels, where, error: error.message },
          'the proxy cannot take or pass on connections',
        );
      },
      onStats: (stats) => {
        count(labels, {
          open: stats.open - told.open,
          accepted: stats.accepted - told.accepted,
          refused: stats.refused - told.refused,
          connectFailures: stats.connectFailures - told.connectFailures,
        });
        told = stats;
      },
    };
  }

  #view(name: string, wish: ListenerWish): ListenerView {
    return { name, wish, frontend: this.#frontend, targets: this.#targets, tcpNodePort: this.#tcpNodePort };
  }

  get #tcpNodePort(): number | undefined {
    return [...this.#listeners].find(([name]) => name.endsWith('/TCP'))?.[1].wish.nodePort;
  }

  /** Changes the list of listeners. UDP ports are probed by a TCP port, so they are told when that is another one. */
  #change(work: () => void): void {
    const before = this.#tcpNodePort;
    work();
    if (this.#tcpNodePort === before) return;
    for (const [name, listener] of this.#listeners) if (name.endsWith('/UDP')) this.#update(name, listener);
  }

  #refresh(): void {
    for (const [name, listener] of this.#listeners) this.#update(name, listener);
  }

  #update(name: string, { wish, sockets }: OpenListener): void {
    const settings = listenerSettings(this.#view(name, wish));
    for (const socket of sockets) socket.update(settings);
  }
}

function stateOf({ wish, failure }: OpenListener): ListenerState {
  if (failure === undefined) return wish;
  return { ...wish, failure: { code: failure.reason, message: failure.what, remedy: failure.remedy } };
}

function sameAddresses(a: ListenerWish | undefined, b: ListenerWish): boolean {
  return (
    a !== undefined &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every((ip, i) => ip === b.addresses[i])
  );
}
