/**
 * What the wire offers to the speaker: the vocabulary of `Wire` (`index.ts`). Everything here is plain data that may
 * cross a thread; nothing here touches a socket.
 */
import type { IpAddress } from '@berth/core';

declare const brand: unique symbol;

/** A MAC address in canonical text: six lower-case pairs, `02:fc:00:00:00:01`. Only `parseMac` and the wire make one. */
export type Mac = string & { readonly [brand]: 'mac' };

/** Why an interface is never used for announcements. */
export type UnusableReason =
  | 'excluded'
  | 'down'
  | 'noCarrier'
  | 'slave'
  | 'loopback'
  | 'pointToPoint'
  | 'noArp'
  | 'noMac'
  | 'notEthernet'
  | 'tunnel'
  | 'noSocket';

/** An address that the kernel has on an interface. */
export interface InterfaceAddress {
  readonly ip: IpAddress;
  readonly prefixLength: number;
}

/** A network interface of this node as the last look (every 10 s, or on demand) found it. */
export interface WireInterface {
  /** The kernel's number: a new one when an interface of the same name comes back. */
  readonly index: number;
  readonly name: string;
  readonly mac: Mac;
  /** Absent: addresses can be announced on it. */
  readonly unusable?: UnusableReason;
  /** Answers ARP: usable. */
  readonly arp: boolean;
  /** Answers NDP: usable and has an IPv6 link-local address, without which IPv6 is not up. */
  readonly ndp: boolean;
  readonly addresses: readonly InterfaceAddress[];
}

/** Which interfaces are looked at. Patterns are sources of regular expressions, as in MetalLB's `excludel2.yaml`. */
export interface InterfaceSelection {
  /** Names never used. Default `DEFAULT_EXCLUDE`: container links, tunnels, dummies. Tests with veth pairs pass `[]`. */
  readonly exclude?: readonly string[];
}

/** The transport of heartbeats and messages between speakers. */
export interface HeartbeatOptions {
  /** Name of this node: the identity that survives a restart of the speaker. */
  readonly node: string;
  /** Identity of the cluster; two clusters on one segment, even with one key, do not hear each other. */
  readonly cluster: string;
  /** Address to listen on and to send from: this node's InternalIP. */
  readonly address: IpAddress;
  /** UDP port, default 7947. */
  readonly port?: number;
  /** Shared secret, at least 16 bytes (the Secret `berth-speaker`). */
  readonly key: Uint8Array;
  /** Milliseconds between heartbeats, default 200. */
  readonly intervalMs?: number;
  /** Heartbeats missed after which a peer counts as gone, default 3. */
  readonly missedLimit?: number;
  /** Default false: a starting speaker looks for a predecessor on this node and takes over from it (`takeOver`). */
  readonly alone?: boolean;
}

/** How to start the wire. */
export interface WireOptions {
  readonly interfaces?: InterfaceSelection;
  /** Absent: this node has no peers (a single node); nothing is sent or heard but ARP and NDP. */
  readonly heartbeat?: HeartbeatOptions;
  /** Mean milliseconds between slow refreshes of an announced address (jittered by a quarter), default 60,000; 0: none. */
  readonly refreshMs?: number;
  /** Rounds of a takeover burst, default 5. */
  readonly burstRounds?: number;
  /** Milliseconds between the rounds of a burst, default 1,100. */
  readonly burstIntervalMs?: number;
  /** How long the main thread may be stuck before the wire says goodbye and stops answering, default 10,000. */
  readonly mainStallMs?: number;
  /** File of the fast path of ARP; false: do without; absent: the one of the build, when there was a C compiler. */
  readonly fastPath?: string | false;
  /** Path of a network namespace (`/run/netns/NAME`) to work in, for tests; absent: the one of this process. */
  readonly netns?: string;
}

/** An address to answer for. */
export interface Announcement {
  readonly address: IpAddress;
  /** Names of interfaces to answer on; absent: every usable one, also one that appears later. */
  readonly interfaces?: readonly string[];
  /** Default true: tell the neighbours at once and in rounds; false: only answer (nothing changed for the neighbours). */
  readonly burst?: boolean;
}

/** How to look for an address on the wire. */
export interface LookOptions {
  /** Names of interfaces to ask on; absent: every usable one. */
  readonly interfaces?: readonly string[];
  /** MACs that do not count: those of our own speakers. This node's own never count. */
  readonly ignore?: readonly Mac[];
  readonly signal: AbortSignal;
}

/** Who uses an address. */
export interface AddressUser {
  readonly mac: Mac;
  readonly interface: string;
}

/** A default gateway of this node, for the question whether we or the others are cut off. */
export interface Gateway {
  readonly address: IpAddress;
  readonly interface: string;
}

/** Another speaker: where its heartbeats go and come from. */
export interface WirePeer {
  readonly node: string;
  readonly address: IpAddress;
}

/**
 * What a message between speakers is about. The wire does not read the payload. Delivery is best effort and unordered;
 * a loss shows when a heartbeat's digest differs from that of the last claims, and is repaired by `claims-request`.
 */
export type MessageKind = 'claims' | 'claims-request' | 'notice';

/** Largest payload of a message in bytes; larger ones are refused with `RangeError`. */
export const MAX_PAYLOAD: number = 128 * 1024;
/** Largest digest in bytes. */
export const MAX_DIGEST: number = 32;
/** Largest payload of a goodbye in bytes: it has to fit into one datagram. */
export const MAX_GOODBYE: number = 1100;

/** How somebody claimed an address of ours. */
export type ClaimedBy = 'arp-reply' | 'arp-announcement' | 'arp-request' | 'na';

/** Why a datagram was thrown away. */
export type RejectReason =
  | 'malformed'
  | 'version'
  | 'cluster'
  | 'wrongKey'
  | 'notForUs'
  | 'unknownNode'
  | 'replayed'
  | 'unchallenged'
  | 'retired';

/** Events of `Wire`; each is one object. */
export interface WireEvents {
  /** The list of interfaces differs from the last one (also: MAC, addresses, link state). */
  interfaces: [
    {
      readonly interfaces: readonly WireInterface[];
      /** Usable before, now not there or not usable. */
      readonly lost: readonly string[];
      /** Usable now, not before. */
      readonly found: readonly string[];
      /** Usable before and now, with another MAC or index. */
      readonly changed: readonly string[];
    },
  ];
  /** A stranger (not one of this node's MACs) acts as the holder of an announced address; at most once a second per MAC. */
  claimed: [
    {
      readonly address: IpAddress;
      readonly mac: Mac;
      readonly interface: string;
      readonly by: ClaimedBy;
      /** Frames since the last event of this address and MAC. */
      readonly count: number;
    },
  ];
  /** A peer counts as alive: its boot nonce answered our challenge. `restarted`: with another nonce than before. */
  heard: [{ readonly node: string; readonly nonce: string; readonly restarted: boolean }];
  /** A peer missed its limit of heartbeats. */
  gone: [{ readonly node: string; readonly silentMs: number }];
  /** A peer is leaving; once per boot nonce. It counts as gone. Empty payload: it gave none. */
  goodbye: [{ readonly node: string; readonly payload: Uint8Array }];
  /** A peer's heartbeats carry another digest than before. */
  digest: [{ readonly node: string; readonly digest: Uint8Array }];
  message: [{ readonly node: string; readonly kind: MessageKind; readonly payload: Uint8Array }];
  /** Datagrams were thrown away; at most once a second per reason. Not for `unchallenged`: every start begins so. */
  rejected: [{ readonly reason: RejectReason; readonly from: string; readonly count: number }];
  /**
   * This process (or its worker) stood still; its sockets were drained and its peers' timers restarted. `muted`: so long
   * that the peers may have taken over: nothing is answered until `resume()` (call it when what the drained messages
   * say has been judged), or for 1 s.
   */
  stalled: [{ readonly gapMs: number; readonly muted: boolean }];
  /** The main thread stood still for `mainStallMs`: goodbye was said, nothing is announced any more. */
  lapsed: [{ readonly stuckMs: number }];
  /** A successor on this node asks to take over; it gets what `setHandover` left. */
  successor: [{ readonly nonce: string }];
  /** The successor took over: nothing is answered or sent any more. End without a goodbye. */
  superseded: [{ readonly nonce: string }];
  /** The predecessor that this wire follows is gone without a hand-over; `takeOver` is still to be called. */
  orphaned: [Record<string, never>];
  /** Something failed, and the wire goes on without it (an interface without a socket, a refused group). */
  fault: [{ readonly error: Error }];
  /** The worker thread is gone; nothing is answered any more. */
  failed: [{ readonly error: Error }];
}

/** State of one peer. */
export interface PeerState {
  readonly node: string;
  readonly state: 'unheard' | 'alive' | 'gone' | 'left';
  /** Boot nonce, in hexadecimal; absent while unheard. */
  readonly nonce?: string;
  readonly digest?: Uint8Array;
}

/** What one address has seen, for the incumbent's metrics `metallb_layer2_*` (label `ip`). */
export interface AddressStats {
  readonly requestsReceived: number;
  readonly responsesSent: number;
  readonly gratuitousSent: number;
}

/** Counters since the start. */
export interface WireStats {
  readonly addresses: ReadonlyMap<IpAddress, AddressStats>;
  readonly framesReceived: number;
  readonly framesMalformed: number;
  /** Requests for addresses that are not announced (the kernel's filter keeps most of them away). */
  readonly requestsDenied: number;
  /** Frames that the kernel dropped because the socket's buffer was full. */
  readonly framesDropped: number;
  readonly sendErrors: number;
  readonly heartbeatsSent: number;
  readonly heartbeatsReceived: number;
  readonly messagesSent: number;
  readonly messagesReceived: number;
  readonly rejected: Readonly<Record<RejectReason, number>>;
  readonly stalls: number;
}

/** What the predecessor on this node left for its successor. */
export interface Handover {
  readonly nonce: string;
  /** What the predecessor last gave to `setHandover`. */
  readonly payload: Uint8Array;
}

/** How `stop` goes about it. */
export interface StopOptions {
  /** Say goodbye (when `goodbye` was not called before) or go silently; default true. */
  readonly goodbye?: boolean;
}

/**
 * The main thread's hold on the wire. Made by `startWire(options, signal)`.
 *
 * Flow: `startWire` → `setPeers` → `announce`/`withdraw` as the election says → `goodbye(payload)` → wait until the
 * successors' claims are heard, `withdraw` each address → `stop()`. Calls are cheap and may be repeated; those which
 * return a promise resolve when the worker has carried them out.
 */
export interface WireApi {
  /**
   * Set when a predecessor on this node was found: the peers' heartbeats and messages are heard (relayed), but nothing
   * is answered or sent until `takeOver()`. What is announced meanwhile is answered from then on, without a burst.
   */
  readonly predecessor: Handover | undefined;
  /** Boot nonce of this process, in hexadecimal. */
  readonly nonce: string;
  /** Whether plain ARP requests are answered by the compiled fast path, some 10 µs sooner than without. */
  readonly fastPath: boolean;
  interfaces(): readonly WireInterface[];
  /** Looks at the interfaces now instead of within 10 s. */
  rescan(): Promise<readonly WireInterface[]>;
  /** Answers for the addresses from now on. An address that is announced already gets the new interfaces and a new burst. */
  announce(announcements: readonly Announcement[]): Promise<void>;
  /** Stops answering, bursts and refreshes at once; unknown addresses are ignored. */
  withdraw(addresses: readonly IpAddress[]): Promise<void>;
  /**
   * Asks whether a stranger uses the address (RFC 5227 §2.1, RFC 4862 §5.4; three probes 100 ms apart and 150 ms of
   * waiting). Must not be one that is announced.
   *
   * @throws the signal's reason; `Error` when no named interface is usable.
   */
  probe(address: IpAddress, options: LookOptions): Promise<'free' | AddressUser>;
  /** Asks who has the address (an ordinary request, three times 100 ms apart); `undefined`: nobody answered. */
  resolve(address: IpAddress, options: LookOptions): Promise<AddressUser | undefined>;
  /** Default gateways of this node, read from the kernel's routing tables now. */
  gateways(): Promise<readonly Gateway[]>;
  /** The speakers to talk with; one that is not in the list any more is forgotten without an event. */
  setPeers(peers: readonly WirePeer[]): Promise<void>;
  peers(): readonly PeerState[];
  /** What each heartbeat from now on carries. @throws RangeError above `MAX_DIGEST`. */
  setDigest(digest: Uint8Array): void;
  /** @throws RangeError above `MAX_PAYLOAD`. Unknown or unheard peers get it too: they may hear us though we do not hear them. */
  send(node: string, kind: MessageKind, payload: Uint8Array): void;
  /** To every peer. */
  broadcast(kind: MessageKind, payload: Uint8Array): void;
  /**
   * What a successor on this node is given when it comes, and again when it changes. It can ask the peers nothing before
   * it took over, so this should hold all that it needs. @throws RangeError above `MAX_PAYLOAD`.
   */
  setHandover(payload: Uint8Array): void;
  /** Answers again after a stall; without one it does nothing. */
  resume(): void;
  /** Ends the predecessor's work and begins ours: heartbeats start, then the predecessor goes silently. */
  takeOver(): Promise<void>;
  /**
   * Tells the peers that this node leaves, again with every heartbeat until `stop`; answering goes on.
   *
   * @throws RangeError above `MAX_GOODBYE`.
   */
  goodbye(payload?: Uint8Array): void;
  stats(): WireStats;
  /** Stops answering, lets go of every socket and ends the worker; safe to call twice. */
  stop(options?: StopOptions): Promise<void>;
}
